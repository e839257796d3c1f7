//! The demo's known events: caused on purpose, and seen to arrive exactly once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::step;
use crate::clock::wait_until;
use crate::fleet::Fleet;
use crate::undo;

const ARRIVE_MAX: Duration = Duration::from_secs(20);

/// Processes caused, and lines written before and after the rotation.
const PROCESSES: usize = 20;
const LINES: usize = 200;

/// The machine's host name, for the demo without root.
pub(super) fn host_name() -> Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").context("reading the host name")?;
    Ok(name.trim().to_owned())
}

/// Processes with known arguments. Those must live long enough to be listed where there is no BPF.
pub(super) fn processes(fleet: &Fleet, name: &str, when: &str) -> Result<()> {
    let mark = format!("demo-{when}-{}", std::process::id());
    let what = format!("{when}: {PROCESSES} processes with known arguments arrived exactly once");
    step(&what, || {
        let script = "sleep 2 & wait; exit 0";
        let start = |number| {
            let mut command = Command::new("sh");
            command.args(["-c", script, &format!("{mark}-{number}-end")]).spawn()
        };
        let children: Vec<_> = (0..PROCESSES).map(start).collect::<Result<_, _>>()?;
        for mut child in children {
            child.wait()?;
        }
        let launched = |event: &Value| {
            let args = event["process"]["args"].as_array()?;
            (event["activity_name"] == "Launch")
                .then(|| args.iter().filter_map(Value::as_str).find(|a| a.starts_with(&mark)))?
                .map(str::to_owned)
        };
        let expected = (0..PROCESSES).map(|number| format!("{mark}-{number}-end"));
        each_once(fleet, name, "process", &mark, &launched, expected)
    })
}

/// Log lines through a rotation by rename, the last of them into the file already renamed.
pub(super) fn logs(fleet: &Fleet, name: &str) -> Result<()> {
    let mark = format!("demo-line-{}", std::process::id());
    let line = |event: &Value| event["raw_data"].as_str().map(str::to_owned);
    let numbered = |numbers: Range<usize>| {
        let mark = mark.clone();
        numbers.map(move |number| format!("{mark}-{number}-end"))
    };
    step(&format!("{LINES} log lines through a rotation: each arrived exactly once"), || {
        let log = fleet.logs(name).join("app.log");
        let mut file = File::options().create(true).append(true).open(&log)?;
        write_lines(&mut file, numbered(0..LINES / 4))?;
        each_once(fleet, name, "log", &mark, &line, numbered(0..LINES / 4))?;
        fs::rename(&log, fleet.logs(name).join("app.log.1"))?;
        write_lines(&mut file, numbered(LINES / 4..LINES / 2))?;
        let mut file = File::options().create(true).append(true).open(&log)?;
        write_lines(&mut file, numbered(LINES / 2..LINES))?;
        each_once(fleet, name, "log", &mark, &line, numbered(0..LINES))
    })
}

fn write_lines(file: &mut File, lines: impl Iterator<Item = String>) -> Result<()> {
    for line in lines {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

/// A tmpfs that appears, fills up and goes.
pub(super) fn disks(fleet: &Fleet, name: &str) -> Result<()> {
    let place = fleet.folder().join("filling");
    let shown = place.to_string_lossy().into_owned();
    step("a tmpfs appeared, filled up and went: each was seen once", || {
        fs::create_dir(&place)?;
        let gone = place.clone();
        let unmount = move || mount_command("umount", &[&gone.to_string_lossy()]);
        let (_, mounted) = undo::make("the tmpfs", unmount, || {
            mount_command("mount", &["-t", "tmpfs", "-o", "size=4m", "cordon-demo", &shown])
                .map_err(anyhow::Error::msg)
        })?;
        let of_mount = |event: &Value| {
            (event["mount"]["path"] == shown.as_str())
                .then(|| event["activity_name"].as_str().map(str::to_owned))?
        };
        let seen = |activity: &str| {
            let activity = [activity.to_owned()];
            each_once_of(fleet, name, "disk", &shown, &of_mount, activity.into())
        };
        seen("Mounted")?;
        fs::write(place.join("fill"), vec![0_u8; 4_000_000])?;
        let threshold = |event: &Value| {
            let percent = event["space"]["threshold_percent"].as_u64()?;
            (event["mount"]["path"] == shown.as_str()).then(|| percent.to_string())
        };
        let look = || {
            let events = events(fleet, name, "disk", &shown)?;
            Ok::<_, anyhow::Error>(events.iter().find_map(threshold))
        };
        let crossed = wait_until(FILL_MAX, look)?;
        ensure!(crossed.is_some(), "no threshold was reported");
        drop(mounted);
        seen("Unmounted")
    })
}

/// The demo's agent measures space every five seconds.
const FILL_MAX: Duration = Duration::from_secs(30);

fn mount_command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The stored events of a class that hold a text.
pub(super) fn events(fleet: &Fleet, name: &str, class: &str, text: &str) -> Result<Vec<Value>> {
    let endpoint = ["events", "--endpoint", name, "--since", "1h", "--limit", "100000"];
    fleet.cordon_json(&[&endpoint[..], &["--class", class, "--text", text]].concat())
}

fn each_once(
    fleet: &Fleet,
    name: &str,
    class: &str,
    text: &str,
    key: &dyn Fn(&Value) -> Option<String>,
    expected: impl Iterator<Item = String>,
) -> Result<()> {
    each_once_of(fleet, name, class, text, key, expected.collect())
}

/// Waits until everything expected has arrived, and sees that nothing arrived twice.
fn each_once_of(
    fleet: &Fleet,
    name: &str,
    class: &str,
    text: &str,
    key: &dyn Fn(&Value) -> Option<String>,
    expected: Vec<String>,
) -> Result<()> {
    let mut counts = BTreeMap::<String, usize>::new();
    wait_until(ARRIVE_MAX, || {
        counts.clear();
        for found in events(fleet, name, class, text)?.iter().filter_map(key) {
            *counts.entry(found).or_default() += 1;
        }
        let complete = expected.iter().all(|key| counts.contains_key(key));
        Ok::<_, anyhow::Error>(complete.then_some(()))
    })?;
    let missing: Vec<_> = expected.iter().filter(|key| !counts.contains_key(*key)).collect();
    if let Some(first) = missing.first() {
        let log = fleet.log_tail(name);
        bail!(
            "{} of {} did not arrive, {first} for one; the agent's log ends:\n{log}",
            missing.len(),
            expected.len()
        );
    }
    let doubled = expected.iter().find(|key| counts.get(*key) != Some(&1));
    ensure!(doubled.is_none(), "{doubled:?} arrived {:?} times", doubled.map(|key| counts[key]));
    Ok(())
}
