//! Some hundred short-lived processes by BPF: each must be told whole, and none as lost.

use std::collections::HashMap;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use cordon_agent::clock;
use cordon_agent::sensor::process::{self, ProcessSettings};
use cordon_agent::sensor::{Report, Sample};
use cordon_proto::Text;
use cordon_proto::event::process::{Exec, Exit, Tier, split_args};
use cordon_proto::event::{Body, ProcessEvent, SensorState};
use cordon_proto::limits::ARGS_BYTES_MAX;

use super::{SHELL, STORM};

pub(super) const COUNT: usize = 600;
/// One in so many has more arguments than are kept.
const CUT_EVERY: usize = 50;
const MARK: &str = "cordon-kernels-";

/// What one of the processes is.
pub(super) struct Short {
    pub(super) args: Vec<String>,
    pub(super) uid: u32,
    pub(super) code: i32,
    is_cut: bool,
}

impl Short {
    pub(super) fn new(number: usize) -> Self {
        let small = i32::try_from(number % 200).unwrap_or(0);
        let is_cut = number.is_multiple_of(CUT_EVERY);
        let length = if is_cut { 2 * ARGS_BYTES_MAX } else { 1000 + number };
        let script = format!("exit {small}");
        let args = ["-c".to_owned(), script, format!("{MARK}{number}"), "x".repeat(length)];
        Self { args: args.into(), uid: 1000 + small.unsigned_abs() % 7, code: small, is_cut }
    }

    /// As the kernel holds them.
    fn whole(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for arg in std::iter::once(SHELL).chain(self.args.iter().map(String::as_str)) {
            bytes.extend_from_slice(arg.as_bytes());
            bytes.push(0);
        }
        bytes
    }
}

#[derive(Default)]
struct Found {
    execs: HashMap<usize, Exec>,
    exits: HashMap<u32, Exit>,
    forks: usize,
}

pub(super) fn look() -> Result<String> {
    let settings =
        ProcessSettings { tier: Some(Tier::Bpf), forks: true, ..ProcessSettings::default() };
    let (mut found, mut storm) = (Found::default(), None::<Child>);
    let sensor = move |outlet| process::run(settings, clock::stamp, outlet);
    super::guest::watch(sensor, process::NAME, |report| {
        match report {
            Report::Condition(condition) => {
                let runs = condition.state == SensorState::Running;
                ensure!(runs && condition.tier == Some(Tier::Bpf), "{condition:?}");
                if storm.is_none() {
                    storm = Some(Command::new(STORM).spawn().context("starting the storm")?);
                }
            }
            Report::Proved => {}
            Report::Sample(sample) => found.take(sample)?,
        }
        let storm = storm.as_ref().map_or(0, Child::id);
        let ends = found.exits.values().filter(|exit| exit.parent_pid == Some(storm)).count();
        Ok(found.execs.len() >= COUNT && ends >= COUNT)
    })?;
    let mut storm = storm.context("no storm")?;
    ensure!(storm.wait()?.success(), "the storm failed");
    for (number, exec) in &found.execs {
        let exit = found.exits.get(&exec.pid).with_context(|| format!("{number} has no end"))?;
        check(&Short::new(*number), exec, exit, storm.id()).with_context(|| format!("{exec:?}"))?;
    }
    ensure!(found.forks >= COUNT, "{} forks", found.forks);
    Ok(format!("{COUNT} of {COUNT} whole, {} forks", found.forks))
}

fn check(short: &Short, exec: &Exec, exit: &Exit, parent: u32) -> Result<()> {
    ensure!(exec.tier == Tier::Bpf, "another tier");
    ensure!(exec.image.as_ref().and_then(Text::as_str) == Some(SHELL), "another path");
    let (whole, told) = (short.whole(), exec.args.as_ref().context("no arguments")?.as_bytes());
    ensure!(exec.args_bytes == u64::try_from(whole.len()).ok(), "another length");
    let expected = if short.is_cut { whole.get(..told.len()) } else { Some(whole.as_slice()) };
    ensure!(expected == Some(told) && !told.is_empty(), "other arguments");
    ensure!(exec.parent_pid == Some(parent), "another parent");
    let makers: Vec<u32> = exec.ancestors.iter().flatten().map(|maker| maker.pid).collect();
    ensure!(makers == [parent, 1], "other makers: {makers:?}");
    ensure!((exec.uid, exec.euid) == (Some(short.uid), Some(short.uid)), "another user");
    ensure!(exec.start_boot_ns.is_some() && exec.cgroup_id.is_some(), "no start or group");
    ensure!(exit.start_boot_ns == exec.start_boot_ns, "an end of another process: {exit:?}");
    ensure!(exit.parent_pid == Some(parent), "an end with another parent: {exit:?}");
    let status = exit.wait_status.context("no exit code")?;
    ensure!(i64::from(status) == i64::from(short.code) << 8, "another exit code: {exit:?}");
    Ok(())
}

impl Found {
    fn take(&mut self, sample: Sample) -> Result<()> {
        ensure!(sample.losses.is_empty(), "lost: {:?}", sample.losses);
        for seen in sample.observations {
            let Body::Process(event) = seen.body else { continue };
            match event {
                ProcessEvent::Exec(exec) => {
                    let third = exec.args.as_ref().and_then(|args| split_args(args).nth(3));
                    let number = third.and_then(|arg| arg.strip_prefix(MARK.as_bytes()));
                    let number =
                        number.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                    if let Some(number) = number {
                        let again = self.execs.insert(number, *exec);
                        ensure!(again.is_none(), "{number} was told twice");
                    }
                }
                ProcessEvent::Exit(exit) => drop(self.exits.insert(exit.pid, exit)),
                ProcessEvent::Fork(_) => self.forks += 1,
                ProcessEvent::ImageHash(_) => {}
            }
        }
        Ok(())
    }
}
