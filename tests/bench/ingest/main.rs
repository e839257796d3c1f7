//! `cargo measure ingest`: how fast one collector takes in signed batches from many endpoints,
//! synced and queryable, against the least work that this must be.
//!
//! The endpoints are enrolled through the collector's real door and stream over real TLS
//! websockets; only their batches are sealed before the clock starts.

mod batches;
mod driver;
mod events;
mod limit;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_tests::measure::{self, Options, Report, proc_file, whole};
use serde_json::Value;

use batches::Stock;

const ENDPOINTS: u32 = 16;

/// How long the last batches may take to be found.
const FOUND_MAX: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    measure::main("ingest", ingest)
}

fn ingest(options: Options, report: &mut Report) -> Result<()> {
    let batches_each = if options.quick { 96 } else { 384 };
    let mut fleet = Fleet::make(Plan::default())?;
    let token = fleet.cordon(&["token", "create", "--uses", &ENDPOINTS.to_string()])?;
    let token = token.lines().find(|line| line.starts_with("cordon1:")).context("no token")?;
    let door = fleet.stage()?.door.clone();
    let endpoints = door.run(|| driver::enrol(token, ENDPOINTS))??;
    let watch = Stopwatch::start();
    let stocks = batches::make(&endpoints, batches_each)?;
    let events: f64 = stocks.iter().map(|stock| f64::from(stock.events)).sum();
    report.row("events", events, "");
    report.row("endpoints, each with a connection of its own", f64::from(ENDPOINTS), "");
    report.row("sealing them, before the clock starts", watch.elapsed().as_secs_f64(), "s");
    let wire: usize = stocks.iter().map(Stock::wire_bytes).sum();
    report.row("signed and packed, per event", whole(wire) / events, "bytes");

    let pid = fleet.collector_pid().context("the collector does not run")?;
    let (cpu_before, driver_before) = (proc_file::cpu(pid)?, proc_file::own_cpu()?);
    let took = door.run(|| driver::stream(token, &endpoints, &stocks))??;
    let (cpu, driver) = (proc_file::cpu(pid)? - cpu_before, proc_file::own_cpu()? - driver_before);
    let peak_kib = proc_file::memory(pid)?.rss_peak_kib;
    let found_after = queryable(&fleet, &stocks)?;
    fleet.stop_collector()?;
    let log_bytes = log_bytes(&fleet.folder().join("collector"))?;

    let rate = events / took.as_secs_f64();
    let limit = events / limit::measure(&endpoints, &stocks, fleet.folder())?.as_secs_f64();
    report.row("until the last batch was acknowledged", took.as_secs_f64(), "s");
    report.row("until the last of each endpoint was found, after that", found_after, "s");
    report.row("CPU of the collector per event", cpu.as_secs_f64() * 1e6 / events, "µs");
    report.row("CPU of the driver per event", driver.as_secs_f64() * 1e6 / events, "µs");
    report.figure("events_per_s", "taken in, synced and acknowledged", rate, "events/s")?;
    let what = "the limit: hash, unpack, verify, write, sync; all CPUs";
    report.figure("limit_events_per_s", what, limit, "events/s")?;
    report.figure("limit_ratio", "share of the limit", rate / limit, "")?;
    let per_event = whole(log_bytes) / events;
    report.figure("bytes_per_event", "the log on disk, per event", per_event, "bytes")?;
    let peak = whole(peak_kib) / 1024.0;
    report.figure("collector_rss_peak_mib", "peak of the collector's memory", peak, "MiB")?;
    report.not_measured("a driver on another machine: it shares the CPUs with the collector");
    report.not_measured("Fleetspeak server and NATS JetStream as peers");
    report.not_measured("a log that is larger than the machine's memory");
    Ok(())
}

/// The log, and what a journal beside it still holds.
fn log_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().as_encoded_bytes().starts_with(b"log.db") {
            bytes += file.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// How many seconds it takes until the last event of every endpoint is found, and, for one
/// endpoint, one event of every batch.
fn queryable(fleet: &Fleet, stocks: &[Stock]) -> Result<f64> {
    let watch = Stopwatch::start();
    for stock in stocks {
        let (id, last) = (stock.endpoint.to_string(), stock.events.to_string());
        let asked = ["events", "--endpoint", &id, "--class", "process", "--since", "1d"];
        let found = wait_until(FOUND_MAX, || {
            let latest = fleet.cordon_json(&[&asked[..], &["--limit", "1"]].concat())?;
            let is_last = |event: &Value| event["metadata"]["sequence"] == last.as_str();
            anyhow::Ok(latest.first().is_some_and(is_last).then_some(()))
        })?;
        found.with_context(|| format!("the last event of {id} is not found"))?;
    }
    let took = watch.elapsed().as_secs_f64();
    let stock = stocks.first().context("no endpoint")?;
    let id = stock.endpoint.to_string();
    let asked = ["events", "--endpoint", &id, "--since", "1d", "--limit", "100000", "--text"];
    let marked = fleet.cordon_json(&[&asked[..], &[events::MARK]].concat())?;
    let (found, sent) = (marked.len(), stock.batches.len());
    ensure!(found == sent, "{found} of {sent} batches of {id} are found by a word in them");
    Ok(took)
}
