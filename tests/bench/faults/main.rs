//! `cargo measure faults`: lives of an endpoint and of its connection in which everything fails,
//! and whether a promise was broken in any.

use std::process::ExitCode;

use anyhow::Result;
use cordon_packaging::say;
use cordon_tests::measure::{self, Options, Report, whole};
use cordon_tests::sim::endpoint::{self, Fault};
use cordon_tests::sim::wire::{self, Wrong};

/// Each with a life of an endpoint and one of its connection to the collector.
const ROUNDS: u64 = 10_000;
const ROUNDS_QUICK: u64 = 1_000;
/// So many that failed are told to their end; all are counted.
const TOLD_MAX: u64 = 5;

fn main() -> ExitCode {
    measure::main_anywhere("faults", faults)
}

/// Broken promises by their kind.
#[derive(Default)]
struct Count {
    lost: u64,
    doubled: u64,
    forged_accepted: u64,
    stranded: u64,
    /// The collector's log did not hold together.
    broken: u64,
    told: u64,
}

fn faults(options: Options, report: &mut Report) -> Result<()> {
    let rounds = if options.quick { ROUNDS_QUICK } else { ROUNDS };
    let seeds = options.seed.map_or(0..rounds, |seed| seed..seed.saturating_add(1));
    let (mut count, one) = (Count::default(), options.seed.is_some());
    for seed in seeds.clone() {
        count.live(seed, one);
        count.connect(seed);
    }
    report.figure("rounds", "rounds", whole(seeds.end - seeds.start), "")?;
    report.figure("lost", "events, isolations and locks lost", whole(count.lost), "")?;
    report.figure("doubled", "events doubled", whole(count.doubled), "")?;
    let forged = whole(count.forged_accepted);
    report.figure("forged_accepted", "obeyed without authority, or twice", forged, "")?;
    report.figure("stranded", "left standing", whole(count.stranded), "")?;
    report.row("logs that do not hold together", whole(count.broken), "");
    report.not_measured(
        "the event loop and the supervisor's hands: what they do between the cores is played, and \
         shown on real kernels by the tests of the agent, tests/e2e and tests/vm",
    );
    report.not_measured("break-glass: its codes are tested by themselves and end to end");
    report.not_measured("a ledger whose bytes the disk itself damages: it is set aside and told");
    report.not_measured("one thing locked in two different ways at once");
    Ok(())
}

impl Count {
    fn live(&mut self, seed: u64, one: bool) {
        if one && let Ok(story) = endpoint::tell(seed, None) {
            return story.iter().for_each(|line| say::line(line));
        }
        let Err(fault) = endpoint::run(seed, None) else { return };
        *match fault {
            Fault::Lost(_) => &mut self.lost,
            Fault::Forged(_) => &mut self.forged_accepted,
            Fault::Stranded(_) => &mut self.stranded,
        } += 1;
        say::line(&format!("seed {seed}: {fault}"));
        if self.is_to_be_told()
            && let Err(failed) = endpoint::tell(seed, None)
        {
            failed.story.iter().for_each(|line| say::line(&format!("    {line}")));
        }
    }

    fn connect(&mut self, seed: u64) {
        let faults = wire::ALL.iter().cycle().nth(usize::try_from(seed % 5).unwrap_or_default());
        let Some(faults) = faults else { return };
        let Err((wrong, story)) = wire::run(seed, *faults) else { return };
        *match wrong {
            Wrong::Lost(_) => &mut self.lost,
            Wrong::Doubled(_) => &mut self.doubled,
            Wrong::Broken(_) => &mut self.broken,
        } += 1;
        say::line(&format!("seed {seed}, {faults:?}: {wrong}"));
        if self.is_to_be_told() {
            say::line(&story);
        }
    }

    fn is_to_be_told(&mut self) -> bool {
        self.told += 1;
        self.told <= TOLD_MAX
    }
}
