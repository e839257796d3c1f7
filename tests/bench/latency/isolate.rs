//! From the start of `cordon isolate`, a whole program with its sign-in and signature, to the last
//! packet that got through to a neighbour.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::Fleet;
use cordon_tests::measure::fleet::ENDPOINT;
use cordon_tests::measure::spread::percentile;
use cordon_tests::measure::{Report, workload};
use serde_json::Value;

use crate::probe::Probe;
use crate::{ms, tell};

/// The neighbour that the packets go to; no agent runs there.
const NEIGHBOUR: &str = "db-01";
const PORT: u16 = 9999;

/// How long nothing may come through before and after.
const QUIET: Duration = Duration::from_millis(100);

/// How long packets may take to flow again after a release.
const FLOW_MAX: Duration = Duration::from_secs(10);

pub(crate) fn measure(fleet: &Fleet, count: usize, report: &mut Report) -> Result<()> {
    let neighbour = fleet.endpoint(NEIGHBOUR)?;
    let at = SocketAddr::new(neighbour.machine.v4.parse()?, PORT);
    let watch = Stopwatch::start();
    let probe = Probe::start(fleet.namespace(ENDPOINT)?, &neighbour.namespace, at, watch)?;
    let mut times_ms = Vec::new();
    for round in 0..count {
        let taken = once(fleet, &probe, watch);
        times_ms.push(ms(taken.with_context(|| format!("isolation {round}"))?));
    }
    let what = "`cordon isolate` to last packet through";
    tell(report, "isolate_to_block", what, &times_ms)?;
    let changes_ms = changes(fleet)?;
    let kernel = percentile(&changes_ms, 99).context("no receipt tells how long it took")?;
    let what = format!("of it the kernel's change, p99 of {} receipts", changes_ms.len());
    report.figure("isolate_kernel_p99_ms", &what, kernel, "ms")
}

/// Isolates, and lets back.
fn once(fleet: &Fleet, probe: &Probe, watch: Stopwatch) -> Result<Duration> {
    flows(probe)?;
    let started = watch.elapsed();
    fleet.cordon(&["isolate", ENDPOINT, "--reason", "benchmark", "--wait"])?;
    let (last, passed) = (probe.last(), probe.count());
    ensure!(last > started, "packets stopped before the isolation began");
    workload::pause(QUIET);
    ensure!(probe.count() == passed, "packets get through though the isolation is proved");
    fleet.cordon(&["release", ENDPOINT, "--reason", "benchmark", "--wait"])?;
    Ok(last.saturating_sub(started))
}

/// Waits until packets get through.
fn flows(probe: &Probe) -> Result<()> {
    let before = probe.count();
    let flows = wait_until(FLOW_MAX, || {
        Ok::<_, anyhow::Error>((probe.count() >= before + 20).then_some(()))
    })?;
    flows.context("no packet gets through though nothing is isolated")
}

/// How long the changes took in the kernel, as the endpoint signed it.
fn changes(fleet: &Fleet) -> Result<Vec<f64>> {
    let asked = ["events", "--class", "receipt", "--endpoint", ENDPOINT, "--since", "1d"];
    let events = fleet.cordon_json(&[&asked[..], &["--limit", "10000"]].concat())?;
    let receipts = events.iter().map(|event| &event["receipt"]);
    let ours = receipts.filter(|receipt| {
        receipt["action"] == "isolate" && receipt["stood_already"] == Value::Bool(false)
    });
    let us = ours.filter_map(|receipt| receipt["change_us"].as_u64());
    Ok(us.map(|us| ms(Duration::from_micros(us))).collect())
}
