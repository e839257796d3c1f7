//! From an edit of an isolation's rules by somebody with root until they stand again.

use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::Fleet;
use cordon_tests::measure::Report;
use cordon_tests::measure::fleet::{self, ENDPOINT};

use crate::{ms, tell};

/// As on a kernel where any root process can edit any table; on later ones nobody else can.
const PLAIN: &str = "[isolation]\nown_tables = false\n";

const EDITS: [&str; 4] = [
    "insert rule inet cordon output accept",
    "delete table inet cordon",
    "flush chain inet cordon input",
    "delete table netdev cordon",
];

const BACK_MAX: Duration = Duration::from_secs(10);

/// Starts the agent anew, with tables that others can edit.
pub(crate) fn measure(fleet: &mut Fleet, count: usize, report: &mut Report) -> Result<()> {
    fleet.stop_agent(ENDPOINT)?;
    fleet.configure(ENDPOINT, PLAIN)?;
    fleet::start(fleet)?;
    fleet.cordon(&["isolate", ENDPOINT, "--reason", "benchmark", "--wait"])?;
    let before = rules(fleet)?;
    let mut times_ms = Vec::new();
    for edit in EDITS.iter().cycle().take(count) {
        let watch = Stopwatch::start();
        fleet.namespace(ENDPOINT)?.output("nft", &[edit])?;
        let edited = watch.elapsed();
        let back = wait_until(BACK_MAX, || {
            let stands = rules(fleet)? == before;
            anyhow::Ok(stands.then(|| watch.elapsed()))
        })?;
        let back = back.with_context(|| format!("{edit:?} was not put back"))?;
        times_ms.push(ms(back.saturating_sub(edited)));
    }
    tell(report, "tamper_reapply", "tampered with to put back, as `nft` shows it", &times_ms)?;
    fleet.cordon(&["release", ENDPOINT, "--reason", "benchmark", "--wait"]).map(drop)
}

/// The rules without the counts of their counters.
fn rules(fleet: &Fleet) -> Result<String> {
    let text = fleet.namespace(ENDPOINT)?.output("nft", &["list", "ruleset"])?;
    let counts = |line: &&str| line.trim_start().starts_with("counter packets");
    Ok(text.lines().filter(|line| !counts(line)).collect::<Vec<_>>().join("\n"))
}
