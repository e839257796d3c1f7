//! A signed policy makes an agent cost less, within its floors, and never more than its own
//! settings say; what the line may carry is what it carries, and operators' commands go first.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{CLIENT, Fleet};
use cordon_packaging::lab::Namespace;

use crate::scene::{PATIENCE, WEB, await_some, cordon, fleet_of_one, let_one_set_policy};

/// What the line may carry in a second.
const RATE: u64 = 64 << 10;

/// Lines of random hexadecimal, which shrink to half their size at best.
const LINES: u64 = 16_000;
const LINE_BYTES: u64 = 160;

/// What goes over the line beside telemetry: sessions, health, acknowledgements, headers.
const BESIDE_BYTES: u64 = 96 << 10;

/// A batch is sent whole, and what waits then waits longer: up to a mebibyte of these lines, half as
/// long on the line.
const BATCH_BYTES: u64 = 512 << 10;

pub(crate) fn kept() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let_one_set_policy(&fleet, |_roster| {})?;
    let refused = fleet.cordon(&["policy", "set", &policy(&fleet, 1, 1)?, WEB, "--reason", "e2e"]);
    let error = refused.err().context("a budget of 1 % of a core was taken")?.to_string();
    ensure!(error.contains("has a budget with cpu_percent 1; 5 to 6400"), "{error}");
    fleet.cordon(&["policy", "set", &policy(&fleet, 1, 10)?, WEB, "--reason", "e2e", "--wait"])?;
    // Of each limit the lower one: the settings' 64 MiB, the policy's share, spool and rate.
    limits(&fleet, 10)?;

    let sent_before = sent(fleet.namespace(WEB)?)?;
    let watch = Stopwatch::start();
    let last = flood(&fleet)?;
    await_some("a command is answered while much waits", || {
        let (code, said) = cordon(&fleet, &["query", WEB, "SELECT port FROM listeners", "--json"])?;
        Ok((code == Some(0)).then_some(said))
    })?;
    let come = wait_until(PATIENCE * 2, || {
        let asked = ["events", "--class", "log", "--endpoint", WEB, "--since", "1h"];
        let found =
            fleet.cordon_json(&[&asked[..], &["--text", &last, "--limit", "1"]].concat())?;
        anyhow::Ok((!found.is_empty()).then_some(()))
    })?;
    come.context("the last line never came in")?;
    let sent = sent(fleet.namespace(WEB)?)? - sent_before;
    let secs = watch.elapsed().as_secs() + 2;
    ensure!(
        sent <= RATE * secs + BESIDE_BYTES + BATCH_BYTES,
        "{sent} bytes went out in {secs} s, at {RATE} a second"
    );
    ensure!(sent > LINES * LINE_BYTES / 4, "{sent} bytes are too few to have been held up");

    // Held after a restart, too, and given back by the next policy.
    fleet.stop_agent(WEB)?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    limits(&fleet, 10)?;
    fleet.cordon(&[
        "policy",
        "set",
        &policy(&fleet, 2, 6000)?,
        WEB,
        "--reason",
        "e2e",
        "--wait",
    ])?;
    limits(&fleet, 25)
}

fn policy(fleet: &Fleet, version: u64, cpu_percent: u64) -> Result<String> {
    let path = fleet.folder().join("budget.toml");
    let text = format!(
        "client = \"{CLIENT}\"\nversion = {version}\n[budget]\ncpu_percent = {cpu_percent}\n\
         memory_bytes = 1073741824\nspool_bytes = 33554432\nbandwidth_bytes_per_s = {RATE}\n"
    );
    fs::write(&path, text).context("writing a policy")?;
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// What holds, as the endpoint itself answers.
fn limits(fleet: &Fleet, cpu_percent: u64) -> Result<()> {
    let sql =
        "SELECT cpu_percent_max, memory_bytes_max, spool_bytes_max, bandwidth_max FROM health";
    let expected = format!(
        "{{\"bandwidth_max\":{RATE},\"cpu_percent_max\":{cpu_percent},\
         \"memory_bytes_max\":67108864,\"spool_bytes_max\":33554432}}"
    );
    let mut last = String::new();
    let told = wait_until(PATIENCE, || {
        last = cordon(fleet, &["query", WEB, sql, "--json"])?.1;
        anyhow::Ok(last.contains(&expected).then_some(()))
    })?;
    told.with_context(|| format!("{expected} is not what holds: {last}"))
}

/// Writes lines that cannot be made small; what the last one says.
fn flood(fleet: &Fleet) -> Result<String> {
    let (mut text, mut random) = (String::new(), 0x9e37_79b9_7f4a_7c15_u64);
    for number in 0..LINES {
        write!(text, "budget-{number} ")?;
        for _ in 0..LINE_BYTES / 16 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            write!(text, "{random:016x}")?;
        }
        text.push('\n');
    }
    fs::write(fleet.logs(WEB).join("budget.log"), text).context("writing lines")?;
    Ok(format!("budget-{} ", LINES - 1))
}

/// Bytes that the endpoint has sent over all its devices but loopback.
fn sent(namespace: &Namespace) -> Result<u64> {
    let read = || std::fs::read_to_string("/proc/thread-self/net/dev");
    let table = namespace.run(read)?.context("reading the devices' counters")?;
    let devices = table.lines().filter_map(|line| line.split_once(':'));
    let foreign = devices.filter(|(name, _)| name.trim() != "lo");
    let sent = foreign.filter_map(|(_, rest)| rest.split_whitespace().nth(8)?.parse::<u64>().ok());
    Ok(sent.sum())
}
