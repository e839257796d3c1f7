//! What benchmarks ask of a fleet: an agent that is up, and what the collector holds of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::Fleet;
use serde_json::Value;

use super::{proc_file, workload};

/// The endpoint that is measured.
pub const ENDPOINT: &str = "web-01";

/// How long an agent may take to come up, and an event to come in.
const COME_MAX: Duration = Duration::from_secs(60);

/// More events than any benchmark looks for.
const EVENTS_MAX: &str = "1000000";

/// Enrols the endpoint, starts its agent and waits until the collector hears from it.
pub fn enrol(fleet: &mut Fleet) -> Result<u32> {
    fleet.enrol(ENDPOINT)?;
    settle(fleet)
}

/// Starts the agent of an endpoint that is enrolled, and waits until it watches.
pub fn start(fleet: &mut Fleet) -> Result<u32> {
    fleet.start_agent(ENDPOINT)?;
    settle(fleet)
}

fn settle(fleet: &Fleet) -> Result<u32> {
    fleet.wait_for_state(ENDPOINT, "online", COME_MAX)?;
    let pid = fleet.agent_pid(ENDPOINT).context("the agent does not run")?;
    // It is online before its sensors watch: what is started now and again is seen in the end.
    let mark = format!("cordon-settle-{pid}-");
    let mut number = 0;
    let seen = wait_until(COME_MAX, || {
        number += 1;
        workload::start(&format!("{mark}{number}"))?;
        anyhow::Ok(events(fleet, &mark, "5m", "1")?.pop())
    })?;
    match seen {
        Some(_) => Ok(pid),
        None => bail!("the agent sees no process; its log ends:\n{}", fleet.log_tail(ENDPOINT)),
    }
}

/// Waits until the agent has taken its first inventories and looked at its files: what a start
/// costs is not what a process costs. Answers how long it took and what it cost.
pub fn calm(fleet: &Fleet) -> Result<(Duration, Duration)> {
    let watch = Stopwatch::start();
    let first = agent_cpu(fleet)?;
    let mut before = first;
    while watch.elapsed() < COME_MAX {
        workload::pause(CALM_WINDOW);
        let now = agent_cpu(fleet)?;
        if now - before < CALM_WINDOW / 100 {
            break;
        }
        before = now;
    }
    Ok((watch.elapsed(), agent_cpu(fleet)? - first))
}

/// An agent is calm that takes less than a hundredth of a core for so long.
const CALM_WINDOW: Duration = Duration::from_secs(2);

/// CPU time of the agent, threads that have ended included: to the microsecond from its control
/// group, in which it is alone, and to a hundredth of a second where there is none.
pub fn agent_cpu(fleet: &Fleet) -> Result<Duration> {
    let Some(cgroup) = fleet.agent_cgroup(ENDPOINT) else {
        return proc_file::cpu(fleet.agent_pid(ENDPOINT).context("the agent does not run")?);
    };
    let stat = std::fs::read_to_string(cgroup.path().join("cpu.stat"))?;
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
    let usage = usage.context("the control group does not tell its CPU time")?;
    Ok(Duration::from_micros(usage.trim().parse().context("CPU time of the control group")?))
}

/// The latest process events with this in one of their texts.
fn events(fleet: &Fleet, text: &str, since: &str, limit: &str) -> Result<Vec<Value>> {
    let class = ["events", "--class", "process", "--endpoint", ENDPOINT];
    fleet.cordon_json(&[&class[..], &["--text", text, "--since", since, "--limit", limit]].concat())
}

/// Waits until the collector holds the process that was started with this argument: everything
/// that the agent saw before it has come in, too, or is a gap.
pub fn wait_for(fleet: &Fleet, argument: &str) -> Result<()> {
    let found = wait_until(COME_MAX, || anyhow::Ok(events(fleet, argument, "2m", "1")?.pop()))?;
    match found {
        Some(_) => Ok(()),
        None => bail!("the process with {argument} was not seen in {} s", COME_MAX.as_secs()),
    }
}

/// How the processes of a burst came in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Captured {
    /// Different ones, however much is known of them.
    pub seen: usize,
    /// Of these, with path, full arguments, parent and user.
    pub complete: usize,
}

/// Which processes of a burst the collector holds.
pub fn captured(fleet: &Fleet, mark: &str) -> Result<Captured> {
    Ok(count(&events(fleet, mark, "30m", EVENTS_MAX)?, mark))
}

fn count(events: &[Value], mark: &str) -> Captured {
    let (mut seen, mut complete) = (BTreeSet::new(), BTreeSet::new());
    for event in events.iter().filter(|event| event["activity_name"] == "Launch") {
        let process = &event["process"];
        let arguments = process["args"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(argument) = arguments.last().and_then(Value::as_str) else { continue };
        if !argument.starts_with(mark) {
            continue;
        }
        seen.insert(argument);
        // Working directory and resolved path are not asked for: /bin/true is gone too soon.
        let missing = event["unavailable"].as_array().map(Vec::as_slice).unwrap_or_default();
        let asked =
            |name: &Value| ["image", "args", "parent_pid", "uid"].iter().any(|it| name == it);
        let whole = !missing.iter().any(asked)
            && process["file"]["path"] == workload::PROGRAM
            && arguments.len() == 2
            && process["args_truncated"] != true
            && process["parent_process"]["pid"].is_u64()
            && process["user"]["uid"].is_string();
        if whole {
            complete.insert(argument);
        }
    }
    Captured { seen: seen.len(), complete: complete.len() }
}

/// How many events of all sensors have come in.
pub fn came_in(fleet: &Fleet) -> Result<u64> {
    let asked = ["events", "--class", "process,log,disk", "--endpoint", ENDPOINT];
    let latest = fleet.cordon_json(&[&asked[..], &["--since", "1d", "--limit", "1"]].concat())?;
    let sequence = latest.first().and_then(|event| event["metadata"]["sequence"].as_str());
    Ok(sequence.map(str::parse).transpose()?.unwrap_or_default())
}

/// Waits until the collector holds a log line.
pub fn wait_for_line(fleet: &Fleet, line: &str) -> Result<()> {
    let found = wait_until(COME_MAX * 5, || anyhow::Ok(log_lines(fleet, line, "1")?.pop()))?;
    match found {
        Some(_) => Ok(()),
        None => bail!("the line {line} was not seen; the log ends:\n{}", fleet.log_tail(ENDPOINT)),
    }
}

/// Every line with this in it that the collector holds.
pub fn lines(fleet: &Fleet, text: &str) -> Result<Vec<String>> {
    let events = log_lines(fleet, text, EVENTS_MAX)?;
    let line = |event: &Value| event["raw_data"].as_str().map(str::to_owned);
    Ok(events.iter().filter_map(line).collect())
}

fn log_lines(fleet: &Fleet, text: &str, limit: &str) -> Result<Vec<Value>> {
    let class = ["events", "--class", "log", "--endpoint", ENDPOINT, "--since", "1h"];
    fleet.cordon_json(&[&class[..], &["--text", text, "--limit", limit]].concat())
}

/// Events of a class that the agent counted as lost, over all its gaps.
pub fn lost(fleet: &Fleet, class: &str) -> Result<u64> {
    let asked = ["events", "--class", "gap", "--endpoint", ENDPOINT, "--since", "1d"];
    let gaps = fleet.cordon_json(&[&asked[..], &["--limit", EVENTS_MAX]].concat())?;
    Ok(gaps.iter().map(|gap| lost_in(gap, class)).sum())
}

fn lost_in(gap: &Value, class: &str) -> u64 {
    let counts = gap["gap"]["counts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = counts.iter().filter(|count| count["class"] == class);
    ours.filter_map(|count| count["count"].as_u64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn launch(argument: &str) -> Value {
        json!({"activity_name": "Launch", "process": {
            "file": {"path": "/bin/true"}, "args": ["/bin/true", argument],
            "args_truncated": false, "parent_process": {"pid": 1}, "user": {"uid": "0"}}})
    }

    #[test]
    fn each_process_counts_once_and_is_complete_only_with_everything() {
        let mut without_user = launch("m-2");
        without_user["process"]["user"] = Value::Null;
        let mut guessed = launch("m-3");
        guessed["unavailable"] = json!(["image"]);
        let mut gone = launch("m-4");
        gone["unavailable"] = json!(["cwd"]);
        let ended = json!({"activity_name": "Terminate", "process": {}});
        let events =
            [launch("m-1"), launch("m-1"), without_user, guessed, gone, launch("x-1"), ended];
        assert_eq!(count(&events, "m-"), Captured { seen: 4, complete: 2 });
    }

    #[test]
    fn only_events_of_the_class_asked_for_are_counted() {
        let counts = json!([{"class": "process", "count": 7}, {"class": "log", "count": 9}]);
        assert_eq!(lost_in(&json!({"gap": {"counts": counts}}), "process"), 7);
        assert_eq!(lost_in(&json!({"gap": {}}), "process"), 0);
    }
}
