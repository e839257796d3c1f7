//! What the process sensor sees of real processes on this kernel. Needs root; only watches.
//!
//! Every process of the machine passes by: those started here are known by their first argument.

#[path = "support/ensure.rs"]
mod ensure;
#[path = "process/program.rs"]
mod program;
#[path = "process/surroundings.rs"]
mod surroundings;
#[path = "process/watched.rs"]
mod watched;
#[path = "support/watching.rs"]
mod watching;

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use cordon_agent::clock;
use cordon_agent::sensor::process::ProcessSettings;
use cordon_proto::Text;
use cordon_proto::event::SensorState;
use cordon_proto::event::process::{Exec, Exit, Tier};
use cordon_proto::id::Hash;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::thread::{CapabilitySet, LinkNameSpaceType};

use ensure::{ensure, ensure_eq};
use program::{Part, Storm, storm_if_asked, tiny_program};
use watched::{Found, Sensor};

type Outcome = Result<(), Failed>;

type Test = (&'static str, fn() -> Outcome);

const TESTS: [Test; 17] = [
    ("every program loads and reports", every_program_loads),
    ("twenty thousand short processes are all seen", flat_out_is_all_seen),
    ("what a full ring drops is counted", full_ring_is_counted),
    ("arguments are cut with a mark, and bytes stay bytes", arguments_are_kept),
    ("a path is told as executed and as resolved", paths_are_told),
    ("the user is told", user_is_told),
    ("an end tells how", ends_tell_how),
    ("two thousand short processes are told with all that is around them", surroundings::whole),
    ("an end tells how long the process lived", surroundings::duration),
    ("session and terminal are told", surroundings::terminal),
    ("an orphan keeps its makers", surroundings::orphan),
    ("a program is hashed once and known from then on", surroundings::hash),
    ("what the kernel could not hand over is found by listing", surroundings::late),
    ("the connector sees processes that live", connector_sees),
    ("the list sees processes that live", list_sees),
    ("in another network namespace the connector says so", connector_says_where),
    ("without the right to BPF the next tier is taken", next_tier_is_taken),
];

fn main() -> ExitCode {
    if let Some(code) = storm_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // A storm beside another test would measure neither.
    arguments.test_threads = Some(1);
    let trials = TESTS.map(|(name, test)| Trial::ignorable_test(name, move || unless(test)));
    let mut trials = Vec::from(trials);
    trials.push(Trial::ignorable_test("the control group and its container are told", || {
        match surroundings::tree() {
            Some(_) => unless(surroundings::group),
            None => Ok(Completion::ignored_with("no cgroup-v2 tree is mounted")),
        }
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn unless(test: fn() -> Outcome) -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("needs root"));
    }
    if cfg!(not(target_arch = "x86_64")) {
        return Ok(Completion::ignored_with("its tiny programs are written for x86-64"));
    }
    test().map(|()| Completion::Completed)
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
    let age_ns = clock::stamp().time_ns.abs_diff(sensor.found.last_ns);
    ensure(age_ns < 10_000_000_000, &format!("the time of an event is off by {age_ns} ns"))
}

fn flat_out_is_all_seen() -> Outcome {
    const COUNT: usize = 20_000;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("ends");
    tiny_program(&program, Part::End(0))?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let marker = sensor.marker("");
    let loaded = sensor.processor_time()?;
    let started = tokio::time::Instant::now();
    let storm = Storm { program: &program, marker: &marker, count: COUNT, more_bytes: 0 };
    let mut storm = Running(storm.start()?);
    let parent = storm.0.id();
    let told = sensor.look(|found: &Found| {
        let (starts, ends) = (found.execs.len(), found.ends.get(&parent).copied().unwrap_or(0));
        starts + found.lost_starts >= COUNT && ends + found.lost_ends >= COUNT
    });
    let (cpu, took) = (sensor.processor_time()?.saturating_sub(loaded), started.elapsed());
    ensure(storm.0.wait()?.success(), "every process ran")?;
    let found = &sensor.found;
    let (seen, lost) = (found.execs.len(), found.lost_starts);
    let ends = found.ends.get(&parent).copied().unwrap_or(0);
    let lost_ends = found.lost_ends;
    let counts = format!("{seen} starts, {ends} ends; lost {lost} and {lost_ends}; of {COUNT}");
    ensure(told.is_ok(), &counts)?;
    for (name, execs) in &found.execs {
        let [exec] = execs.as_slice() else {
            return Err(format!("{name} was seen {} times", execs.len()).into());
        };
        let same = |exit: &&Exit| exit.start_boot_ns == exec.start_boot_ns;
        let ends = found.exits.get(&exec.pid).into_iter().flatten().filter(same).count();
        ensure(ends == 1 || lost_ends > 0, &format!("{name} ended {ends} times"))?;
        ensure_eq(&exec.tier, &Tier::Bpf)?;
        ensure_eq(&exec.image.as_ref().map(Text::as_bytes), &Some(bytes(&program)))?;
        let args = format!("tiny\0{marker}{name}\0second argument with spaces\0end={name}\0");
        ensure_eq(&exec.args.as_ref().map(Text::as_bytes), &Some(args.as_bytes()))?;
        ensure_eq(&exec.args_bytes, &u64::try_from(args.len()).ok())?;
        ensure_eq(&exec.parent_pid, &Some(parent))?;
        ensure_eq(&(exec.uid, exec.euid), &(Some(0), Some(0)))?;
        ensure(exec.start_boot_ns.is_some() && exec.cgroup_id.is_some(), "start and cgroup")?;
    }
    let rate = f64::from(u32::try_from(COUNT)?) / took.as_secs_f64();
    let per_10k = cpu.as_secs_f64() * 10_000.0 / f64::from(u32::try_from(COUNT)?);
    say(&format!("{counts}; {rate:.0} a second; {per_10k:.4} s of processor time for 10,000"))
}

fn full_ring_is_counted() -> Outcome {
    const COUNT: usize = 4_000;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("ends");
    tiny_program(&program, Part::End(0))?;
    // The ring holds some twenty such processes, and ends of any.
    let settings = ProcessSettings { ring_bytes: 1, ..ProcessSettings::default() };
    let mut sensor = Sensor::start(settings)?;
    let marker = sensor.marker("");
    let storm = Storm { program: &program, marker: &marker, count: COUNT, more_bytes: 3_000 };
    // Nobody takes the sensor's reports meanwhile.
    ensure(storm.start()?.wait()?.success(), "every process ran")?;
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
    ensure_eq(&exec.image_resolved.as_ref().map(Text::as_bytes), &Some(bytes(&target)))?;
    let cwd = std::env::current_dir()?;
    ensure_eq(&exec.cwd.as_ref().map(Text::as_bytes), &Some(bytes(&cwd)))
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
    let [ends, stays, first] = ["ends", "stays", "first"].map(|name| folder.path().join(name));
    tiny_program(&ends, Part::End(3))?;
    tiny_program(&stays, Part::Stay)?;
    tiny_program(&first, Part::FirstThreadFirst)?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let code = finish(&mut Command::new(&ends))?;
    let killed = Running::new(&mut Command::new(&stays))?.end()?;
    let threads = finish(Command::new(&first).arg(sensor.marker("threads")))?;
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
    let cwd = std::env::current_dir()?;
    ensure_eq(&exec.cwd.as_ref().map(Text::as_bytes), &Some(bytes(&cwd)))?;
    ensure(exec.session.is_some() && exec.tty.is_some(), "session and terminal")?;
    let maker = exec.ancestors.as_ref().and_then(|all| all.first()).map(|maker| maker.pid);
    ensure_eq(&maker, &Some(std::process::id()))?;
    ensure_eq(&exec.file.map(|file| file.bytes), &Some(program.metadata()?.len()))?;
    let hash = Hash::of(&std::fs::read(&program)?);
    sensor.look(|found| found.hashes.iter().any(|told| told.sha256 == Some(hash)))?;
    let pid = child.end()?;
    sensor.look(|found| found.exits.contains_key(&pid))?;
    let exit = &sensor.found.exits[&pid][0];
    ensure_eq(&exit.start_boot_ns, &exec.start_boot_ns)?;
    let status = if tier == Tier::ProcList { None } else { Some(9) };
    ensure_eq(&exit.wait_status, &status)?;
    Ok(exec)
}

fn connector_says_where() -> Outcome {
    let elsewhere = Elsewhere::new()?;
    let namespace = std::fs::File::open(Path::new("/run/netns").join(&elsewhere.name))?;
    let move_there = move || {
        let kind = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)?;
        Ok(())
    };
    let settings = ProcessSettings { tier: Some(Tier::ProcConnector), ..Default::default() };
    let sensor = Sensor::start_after(move_there, settings)?;
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

/// A network namespace with nothing in it, removed when this is dropped.
struct Elsewhere {
    name: String,
}

impl Elsewhere {
    fn new() -> Result<Self, Failed> {
        let name = format!("cordon-process-{}", std::process::id());
        let status = Command::new("ip").args(["netns", "add", &name]).status()?;
        ensure(status.success(), "a network namespace")?;
        Ok(Self { name })
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "delete", &self.name]).status());
    }
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
