//! What the process sensor sees of real processes on this kernel. Needs root; only watches.
//!
//! Every process of the machine passes by: those started here are known by their first argument.
#![allow(unsafe_code, reason = "a thread must end without its process, and leave a namespace")]

#[path = "process/program.rs"]
mod program;
#[path = "process/watched.rs"]
mod watched;

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use cordon_agent::sensor::process::ProcessSettings;
use cordon_proto::Text;
use cordon_proto::event::SensorState;
use cordon_proto::event::process::{Exec, Tier};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::thread::{CapabilitySet, UnshareFlags};

use program::{Part, flat_out, tiny_program};
use watched::{Found, Sensor, ensure, ensure_eq};

/// Set for a child that is this very program and shall play a part.
const PART: &str = "CORDON_TEST_PART";

type Outcome = Result<(), Failed>;

type Test = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    if std::env::var_os(PART).is_some() {
        first_thread_ends_first();
    }
    let mut arguments = Arguments::from_args();
    // A storm beside another test would measure neither.
    arguments.test_threads = Some(1);
    let tests: [Test; 11] = [
        ("every_program_loads_and_reports", every_program_loads),
        ("twenty_thousand_short_processes_are_all_seen", flat_out_is_all_seen),
        ("what_a_full_ring_drops_is_counted", full_ring_is_counted),
        ("arguments_are_cut_with_a_mark_and_bytes_stay_bytes", arguments_are_kept),
        ("a_path_is_told_as_executed_and_as_resolved", paths_are_told),
        ("the_user_is_told", user_is_told),
        ("ends_tell_how", ends_tell_how),
        ("the_connector_sees_processes_that_live", connector_sees),
        ("the_list_sees_processes_that_live", list_sees),
        ("in_another_network_namespace_the_connector_says_so", connector_says_where),
        ("without_the_right_to_bpf_the_next_tier_is_taken", next_tier_is_taken),
    ];
    let is_root = rustix::process::geteuid().is_root();
    let trials = tests.into_iter().map(|(name, test)| {
        let trial = Trial::test(name, test);
        if is_root { trial } else { trial.with_kind("needs root").with_ignored_flag(true) }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn every_program_loads() -> Outcome {
    let settings = ProcessSettings { forks: true, ..ProcessSettings::default() };
    let mut sensor = Sensor::start(settings)?;
    ensure_eq(&sensor.condition.state, &SensorState::Running)?;
    ensure_eq(&sensor.condition.tier, &Some(Tier::Bpf))?;
    let child = finish(Command::new("/bin/true").arg(sensor.marker("only")))?;
    sensor.look(|found| found.forks.contains_key(&child) && found.exits.contains_key(&child))?;
    let exec = sensor.found.exec("only").ok_or("the exec with its marker")?;
    let fork = &sensor.found.forks[&child];
    ensure_eq(&fork.parent_pid, &Some(std::process::id()))?;
    ensure_eq(&fork.start_boot_ns, &exec.start_boot_ns)?;
    let now_ns = watched::clocks().wall_ns;
    let age_ns = now_ns().abs_diff(sensor.found.last_ns);
    ensure(age_ns < 60_000_000_000, &format!("the time of an event is off by {age_ns} ns"))
}

fn flat_out_is_all_seen() -> Outcome {
    const COUNT: usize = 20_000;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("ends");
    tiny_program(&program, Part::End(0))?;
    let loading = Sensor::start(ProcessSettings::default())?.stop()?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let marker = sensor.marker("");
    let complete = |found: &Found| found.execs.len() + found.lost_starts >= COUNT;
    let (took, told) = std::thread::scope(|scope| {
        let storm = scope.spawn(|| flat_out(&program, &marker, COUNT, 0));
        let told = sensor.look(complete);
        (storm.join(), told)
    });
    let took = took.map_err(|_panic| "the storm panicked")??;
    let cpu = sensor.stop()?.saturating_sub(loading);
    let found = &sensor.found;
    let (seen, lost) = (found.execs.len(), found.lost_starts);
    ensure(told.is_ok(), &format!("{seen} seen and {lost} lost of {COUNT}"))?;
    for (name, execs) in &found.execs {
        let [exec] = execs.as_slice() else {
            return Err(format!("{name} was seen {} times", execs.len()).into());
        };
        ensure_eq(&exec.tier, &Tier::Bpf)?;
        ensure_eq(&exec.image.as_ref().map(Text::as_bytes), &Some(bytes(&program)))?;
        let args = format!("tiny\0{marker}{name}\0second argument with spaces\0end={name}\0");
        ensure_eq(&exec.args.as_ref().map(Text::as_bytes), &Some(args.as_bytes()))?;
        ensure_eq(&exec.args_bytes, &u64::try_from(args.len()).ok())?;
        ensure_eq(&exec.parent_pid, &Some(std::process::id()))?;
        ensure_eq(&(exec.uid, exec.euid), &(Some(0), Some(0)))?;
        ensure(exec.start_boot_ns.is_some() && exec.cgroup_id.is_some(), "start and cgroup")?;
    }
    let rate = f64::from(u32::try_from(COUNT)?) / took.as_secs_f64();
    let per_10k = cpu.as_secs_f64() * 10_000.0 / f64::from(u32::try_from(COUNT)?);
    let ends = found.exits.len();
    say(&format!(
        "{seen} of {COUNT} seen, {lost} counted as lost, {ends} ends of any process; {rate:.0} a \
         second; {per_10k:.4} s of processor time for 10,000"
    ))
}

fn full_ring_is_counted() -> Outcome {
    const COUNT: usize = 4_000;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("ends");
    tiny_program(&program, Part::End(0))?;
    // The ring holds some twenty such processes, and ends of any.
    let settings = ProcessSettings { ring_bytes: 1, ..ProcessSettings::default() };
    let mut sensor = Sensor::start(settings)?;
    flat_out(&program, &sensor.marker(""), COUNT, 3_000)?;
    let told = sensor.look(|found| found.execs.len() + found.lost_starts >= COUNT);
    let (seen, lost) = (sensor.found.execs.len(), sensor.found.lost_starts);
    ensure(told.is_ok(), &format!("{seen} seen and {lost} lost of {COUNT}"))?;
    ensure(lost > 0 && seen > 0, "some seen and some lost")?;
    say(&format!("{seen} of {COUNT} seen, {lost} counted as lost (of the whole machine)"))
}

fn arguments_are_kept() -> Outcome {
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let (long, raw) = (sensor.marker("long"), sensor.marker("raw"));
    finish(Command::new("/bin/true").arg(&long).arg("x".repeat(10_000)))?;
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe odd");
    finish(Command::new("/bin/true").arg(&raw).arg(odd).arg(""))?;
    sensor.look(|found| found.exec("long").is_some() && found.exec("raw").is_some())?;
    let exec = sensor.found.exec("long").ok_or("the long one")?;
    let whole = "/bin/true\0".len() + long.len() + 1 + 10_001;
    ensure_eq(&exec.args_bytes, &u64::try_from(whole).ok())?;
    ensure_eq(&exec.args.as_ref().map(Text::len), &Some(4096))?;
    let exec = sensor.found.exec("raw").ok_or("the raw one")?;
    let expected = [b"/bin/true\0", raw.as_bytes(), b"\0\xff\xfe odd\0\0"].concat();
    ensure_eq(&exec.args.as_ref().map(Text::as_bytes), &Some(expected.as_slice()))?;
    ensure_eq(&exec.args_bytes, &u64::try_from(expected.len()).ok())
}

fn paths_are_told() -> Outcome {
    let folder = tempfile::tempdir()?;
    let long = folder.path().join("n".repeat(200)).join("m".repeat(200));
    std::fs::create_dir_all(&long)?;
    let (link, target) = (long.join("link"), long.join("target"));
    tiny_program(&target, Part::Stay)?;
    std::os::unix::fs::symlink(&target, &link)?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let _child = Running::new(Command::new(&link).arg(sensor.marker("link")))?;
    sensor.look(|found| found.exec("link").is_some())?;
    let exec = sensor.found.exec("link").ok_or("the process")?;
    ensure_eq(&exec.image.as_ref().map(Text::as_bytes), &Some(bytes(&link)))?;
    ensure_eq(&exec.image_resolved.as_ref().map(Text::as_bytes), &Some(bytes(&target)))
}

fn user_is_told() -> Outcome {
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    finish(Command::new("/bin/true").arg(sensor.marker("user")).uid(1234))?;
    sensor.look(|found| found.exec("user").is_some())?;
    let exec = sensor.found.exec("user").ok_or("the process")?;
    ensure_eq(&(exec.uid, exec.euid), &(Some(1234), Some(1234)))
}

fn ends_tell_how() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (ends, stays) = (folder.path().join("ends"), folder.path().join("stays"));
    tiny_program(&ends, Part::End(3))?;
    tiny_program(&stays, Part::Stay)?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let code = finish(&mut Command::new(&ends))?;
    let killed = Running::new(&mut Command::new(&stays))?.end()?;
    let this = std::env::current_exe()?;
    let threads = finish(Command::new(this).arg(sensor.marker("threads")).env(PART, "threads"))?;
    let expected = [(code, 3 << 8), (killed, 9), (threads, 7 << 8)];
    sensor.look(|found| expected.iter().all(|(pid, _)| found.exits.contains_key(pid)))?;
    for (pid, wait_status) in expected {
        let [exit] = sensor.found.exits[&pid].as_slice() else {
            return Err(format!("{pid} ended more than once").into());
        };
        ensure_eq(&exit.wait_status, &Some(wait_status))?;
        ensure_eq(&exit.parent_pid, &Some(std::process::id()))?;
    }
    let exec = sensor.found.exec("threads").ok_or("the start of the one with threads")?;
    ensure_eq(&sensor.found.exits[&threads][0].start_boot_ns, &exec.start_boot_ns)
}

/// The part of a child: its first thread ends, and another ends the process with code 7 later.
fn first_thread_ends_first() -> ! {
    std::thread::spawn(|| {
        let task = format!("/proc/self/task/{}/stat", std::process::id());
        while std::fs::read_to_string(&task).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::yield_now();
        }
        std::process::exit(7);
    });
    // SAFETY: ends this thread alone, which holds nothing that another waits for.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("a thread that has ended");
}

fn connector_sees() -> Outcome {
    let exec = sees_what_lives(Tier::ProcConnector, "end within milliseconds")?;
    ensure_eq(&exec.parent_pid, &Some(std::process::id()))
}

fn list_sees() -> Outcome {
    let exec = sees_what_lives(Tier::ProcList, "less than a second")?;
    ensure_eq(&exec.parent_pid, &Some(std::process::id()))
}

/// A lesser tier finds a process with all that /proc tells, and its end.
fn sees_what_lives(tier: Tier, misses: &str) -> Result<Exec, Failed> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("stays");
    tiny_program(&program, Part::Stay)?;
    let mut sensor =
        Sensor::start(ProcessSettings { tier: Some(tier), ..ProcessSettings::default() })?;
    ensure_eq(&sensor.condition.state, &SensorState::Degraded)?;
    ensure_eq(&sensor.condition.tier, &Some(tier))?;
    let reason = sensor.condition.reason.clone().unwrap_or_default();
    ensure(reason.contains(misses), &reason)?;
    let marker = sensor.marker("lives");
    let child = Running::new(Command::new(&program).arg(&marker).uid(1234))?;
    sensor.look(|found| found.exec("lives").is_some())?;
    let exec = sensor.found.exec("lives").ok_or("the process")?.clone();
    ensure_eq(&exec.tier, &tier)?;
    ensure_eq(&exec.image, &None)?;
    ensure_eq(&exec.image_resolved.as_ref().map(Text::as_bytes), &Some(bytes(&program)))?;
    let args = format!("{}\0{marker}\0", program.display());
    ensure_eq(&exec.args.as_ref().map(Text::as_bytes), &Some(args.as_bytes()))?;
    ensure_eq(&exec.args_bytes, &u64::try_from(args.len()).ok())?;
    ensure_eq(&(exec.uid, exec.euid), &(Some(1234), Some(1234)))?;
    let pid = child.end()?;
    sensor.look(|found| found.exits.contains_key(&pid))?;
    let exit = &sensor.found.exits[&pid][0];
    ensure_eq(&exit.start_boot_ns, &exec.start_boot_ns)?;
    let status = if tier == Tier::ProcList { None } else { Some(9) };
    ensure_eq(&exit.wait_status, &status)?;
    Ok(exec)
}

fn connector_says_where() -> Outcome {
    let elsewhere = || {
        // SAFETY: only this thread leaves, and shares no descriptors of the network with others.
        let left = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
        left.map_err(std::io::Error::from)
    };
    let settings = ProcessSettings { tier: Some(Tier::ProcConnector), ..Default::default() };
    let sensor = Sensor::start_after(elsewhere, settings)?;
    ensure_eq(&sensor.condition.state, &SensorState::Blind)?;
    let reason = sensor.condition.reason.clone().unwrap_or_default();
    ensure(reason.contains("initial network namespace only"), &reason)
}

fn next_tier_is_taken() -> Outcome {
    let without = || {
        let mut sets = rustix::thread::capabilities(None)?;
        let bpf = CapabilitySet::BPF | CapabilitySet::SYS_ADMIN | CapabilitySet::PERFMON;
        sets.effective.remove(bpf);
        rustix::thread::set_capabilities(None, sets).map_err(std::io::Error::from)
    };
    let sensor = Sensor::start_after(without, ProcessSettings::default())?;
    ensure_eq(&sensor.condition.state, &SensorState::Degraded)?;
    ensure_eq(&sensor.condition.tier, &Some(Tier::ProcConnector))?;
    let reason = sensor.condition.reason.clone().unwrap_or_default();
    ensure(reason.contains("BPF: creating the BPF map cordon_ring"), &reason)
}

/// A child that is killed when a test ends early.
struct Running(Child);

impl Running {
    fn new(command: &mut Command) -> Result<Self, Failed> {
        Ok(Self(command.spawn()?))
    }

    /// Kills it, and gives its number.
    fn end(mut self) -> Result<u32, Failed> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(self.0.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

/// Runs a program to its end, and gives its number.
fn finish(command: &mut Command) -> Result<u32, Failed> {
    let mut child = command.spawn()?;
    child.wait()?;
    Ok(child.id())
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Figures go beside the tests' own lines.
fn say(figures: &str) -> Outcome {
    Ok(writeln!(std::io::stderr(), "    {figures}")?)
}
