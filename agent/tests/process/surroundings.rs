//! What is told around a process: makers, session, terminal, control group, hash, length of life;
//! and that lists of /proc find what the kernel could not hand over.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cordon_agent::clock;
use cordon_agent::sensor::process::ProcessSettings;
use cordon_proto::Text;
use cordon_proto::event::container::container;
use cordon_proto::event::process::{Exec, Tier};
use cordon_proto::id::Hash;
use libtest_mimic::Failed;

use crate::ensure::{ensure, ensure_eq};
use crate::program::{Part, Storm, tiny_program};
use crate::watched::{Found, Sensor};
use crate::{Outcome, Running, bytes, finish, say};

pub(crate) fn whole() -> Outcome {
    const COUNT: usize = 2_000;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("ends");
    tiny_program(&program, Part::End(0))?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let marker = sensor.marker("");
    let storm = Storm { program: &program, marker: &marker, count: COUNT, more_bytes: 0 };
    let mut storm = Running(storm.start()?);
    let (parent, expected) = (storm.0.id(), Expected::read(&program)?);
    let told = sensor.look(|found: &Found| {
        let ends = found.ends.get(&parent).copied().unwrap_or(0);
        found.execs.len() + found.lost_starts >= COUNT && ends + found.lost_ends >= COUNT
    });
    ensure(storm.0.wait()?.success(), "every process ran")?;
    let Found { execs, exits, ended_ns, hashes, .. } = &sensor.found;
    told.map_err(|error| format!("{error:?}: {} of {COUNT} starts", execs.len()))?;
    ensure_eq(&execs.len(), &COUNT)?;
    for exec in execs.values().flatten() {
        expected.check(exec, parent)?;
        let [exit] = exits.get(&exec.pid).map(Vec::as_slice).unwrap_or_default() else {
            // A number that was used twice has two ends; they are looked at in another test.
            continue;
        };
        let lived_ns = ended_ns.get(&exec.pid).and_then(|ended| exit.duration_ns(*ended));
        ensure(lived_ns.is_some_and(|ns| ns > 0), &format!("it lived for {lived_ns:?} ns"))?;
    }
    let hash = Hash::of(&std::fs::read(&program)?);
    let of_program = hashes.iter().filter(|told| told.sha256 == Some(hash)).count();
    let hashed = execs.values().flatten().filter(|exec| exec.sha256 == Some(hash)).count();
    ensure_eq(&of_program, &1)?;
    say(&format!("{COUNT} of {COUNT} whole; {hashed} with their hash in the start itself"))
}

/// What all processes of this test have around them.
struct Expected {
    makers: Vec<u32>,
    session: Option<u32>,
    login_uid: Option<u32>,
    audit_session: Option<u32>,
    cgroup: Option<String>,
    file: (u64, u64),
}

impl Expected {
    fn read(program: &Path) -> Result<Self, Failed> {
        use std::os::unix::fs::MetadataExt;
        let file = program.metadata()?;
        let number = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/self/{name}")).ok()?;
            text.trim().parse().ok()
        };
        let cgroups = std::fs::read_to_string("/proc/self/cgroup")?;
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        Ok(Self {
            makers: parents(std::process::id())?,
            // 0 where a process was made by the kernel's first one and nobody began a session.
            session: stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(3)?.parse().ok()),
            login_uid: number("loginuid"),
            audit_session: number("sessionid"),
            cgroup: cgroups.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned),
            file: (file.ino(), file.len()),
        })
    }

    fn check(&self, exec: &Exec, parent: u32) -> Outcome {
        let makers = exec.ancestors.as_ref().ok_or("its makers")?;
        let pids: Vec<u32> = makers.iter().map(|maker| maker.pid).collect();
        let all = std::iter::once(&parent).chain(&self.makers).take(8).copied();
        ensure_eq(&pids, &all.collect())?;
        ensure(makers.iter().all(|maker| maker.start_boot_ns.is_some()), "starts of all makers")?;
        ensure_eq(&exec.parent_start_boot_ns, &makers[0].start_boot_ns)?;
        ensure_eq(&exec.session, &self.session)?;
        ensure_eq(&exec.login_uid, &self.login_uid)?;
        ensure_eq(&exec.audit_session, &self.audit_session)?;
        ensure(exec.tty.is_some(), "whether there is a terminal")?;
        let cgroup = exec.cgroup.as_ref().and_then(Text::as_str);
        ensure_eq(&cgroup, &self.cgroup.as_deref())?;
        ensure_eq(&exec.file.map(|file| (file.inode, file.bytes)), &Some(self.file))
    }
}

/// A process and its parents, the nearest first.
fn parents(mut pid: u32) -> Result<Vec<u32>, Failed> {
    let mut all = Vec::new();
    while pid != 0 {
        all.push(pid);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        pid = line.ok_or("a parent")?.trim().parse()?;
    }
    Ok(all)
}

pub(crate) fn duration() -> Outcome {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("stays");
    tiny_program(&program, Part::Stay)?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let before_ns = clock::boot_ns();
    let child = Running::new(Command::new(&program).arg(sensor.marker("lives")))?;
    sensor.look(|found| found.exec("lives").is_some())?;
    let lived_ns = clock::boot_ns();
    let pid = child.end()?;
    let after_ns = clock::boot_ns();
    sensor.look(|found| found.exits.contains_key(&pid))?;
    let exec = sensor.found.exec("lives").ok_or("its start")?;
    let start_ns = exec.start_boot_ns.ok_or("when it was made")?;
    ensure(start_ns >= before_ns, "it was made after it was asked for")?;
    let duration_ns = sensor.found.exits[&pid][0].duration_ns(sensor.found.ended_ns[&pid]);
    let duration_ns = duration_ns.ok_or("how long it lived")?;
    let bounds = lived_ns - start_ns..=after_ns - before_ns;
    ensure(bounds.contains(&duration_ns), &format!("{duration_ns} ns in {bounds:?}"))
}

pub(crate) fn terminal() -> Outcome {
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let marker = sensor.marker("typed");
    // script(1) makes a terminal, and a session on it.
    let line = format!("tty; cut -d' ' -f6 /proc/self/stat; /bin/true {marker}");
    let command = ["-q", "-e", "-c", &line, "/dev/null"];
    let output = Command::new("script").args(command).stdin(Stdio::null()).output()?;
    ensure(output.status.success(), "script ran")?;
    let output = String::from_utf8(output.stdout)?;
    let mut lines = output.lines().map(str::trim);
    let tty = lines.next().and_then(|line| line.strip_prefix("/dev/")).ok_or("a terminal")?;
    let session = lines.next().ok_or("a session")?.parse::<u32>()?;
    sensor.look(|found| found.exec("typed").is_some())?;
    let exec = sensor.found.exec("typed").ok_or("the process")?;
    ensure_eq(&exec.tty.as_ref().and_then(Text::as_str), &Some(tty))?;
    ensure_eq(&exec.session, &Some(session))
}

pub(crate) fn orphan() -> Outcome {
    let folder = tempfile::tempdir()?;
    let gate = folder.path().join("gate");
    ensure(Command::new("mkfifo").arg(&gate).status()?.success(), "a gate")?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let marker = sensor.marker("orphan");
    let line = format!("( read go < {}; exec /bin/true {marker} ) &", gate.display());
    let shell = finish(Command::new("sh").args(["-c", &line]))?;
    // Its maker is gone; only now it may go on.
    std::fs::OpenOptions::new().write(true).open(&gate)?.write_all(b"go\n")?;
    sensor.look(|found| found.exec("orphan").is_some())?;
    let exec = sensor.found.exec("orphan").ok_or("the orphan")?;
    ensure(exec.parent_pid != Some(shell), "another process has taken it on")?;
    let makers = exec.ancestors.as_ref().ok_or("its makers")?;
    let pids: Vec<u32> = makers.iter().take(2).map(|maker| maker.pid).collect();
    ensure_eq(&pids, &vec![shell, std::process::id()])
}

pub(crate) fn hash() -> Outcome {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("copy");
    let mut content = std::fs::read("/bin/true")?;
    // A file that nobody has hashed before.
    content.extend_from_slice(program.as_os_str().as_bytes());
    std::fs::write(&program, &content)?;
    std::fs::set_permissions(&program, std::fs::metadata("/bin/true")?.permissions())?;
    let hash = Hash::of(&content);
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let is_told = |found: &Found| found.hashes.iter().any(|told| told.sha256 == Some(hash));
    finish(Command::new(&program).arg(sensor.marker("first")))?;
    sensor.look(is_told)?;
    finish(Command::new(&program).arg(sensor.marker("second")))?;
    sensor.look(|found| found.exec("second").is_some())?;
    let [first, second] = ["first", "second"].map(|name| sensor.found.exec(name));
    let (first, second) = (first.ok_or("the first")?, second.ok_or("the second")?);
    ensure_eq(&second.sha256, &Some(hash))?;
    ensure_eq(&first.file, &second.file)?;
    let told = sensor.found.hashes.iter().filter(|told| told.sha256 == Some(hash));
    let told: Vec<_> = told.collect();
    ensure_eq(&told.len(), &1)?;
    ensure_eq(&Some(told[0].file), &first.file)?;
    ensure_eq(&told[0].path.as_ref().map(Text::as_bytes), &Some(bytes(&program)))
}

pub(crate) fn late() -> Outcome {
    const COUNT: usize = 1_500;
    let folder = tempfile::tempdir()?;
    let [ends, stays] = ["ends", "stays"].map(|name| folder.path().join(name));
    tiny_program(&ends, Part::End(0))?;
    tiny_program(&stays, Part::Stay)?;
    let settings =
        ProcessSettings { ring_bytes: 1, reconcile_secs: 1, ..ProcessSettings::default() };
    let mut sensor = Sensor::start(settings)?;
    let early = Running::new(Command::new(&stays).arg(sensor.marker("early")))?;
    sensor.look(|found| found.exec("early").is_some())?;
    let start_boot_ns = sensor.found.exec("early").and_then(|exec| exec.start_boot_ns);
    // Nobody takes the sensor's reports: the ring fills, and what happens then is not told.
    let marker = sensor.marker("storm");
    let storm = Storm { program: &ends, marker: &marker, count: COUNT, more_bytes: 3_000 };
    ensure(storm.start()?.wait()?.success(), "every process ran")?;
    let early = early.end()?;
    let _late = Running::new(Command::new(&stays).arg(sensor.marker("late")))?;
    sensor.look(|found| found.exec("late").is_some() && found.exits.contains_key(&early))?;
    let exec = sensor.found.exec("late").ok_or("the late one")?;
    ensure_eq(&exec.tier, &Tier::ProcList)?;
    ensure_eq(&exec.image_resolved.as_ref().map(Text::as_bytes), &Some(bytes(&stays)))?;
    let maker = exec.ancestors.as_ref().and_then(|all| all.first()).map(|maker| maker.pid);
    ensure_eq(&maker, &Some(std::process::id()))?;
    let exit = &sensor.found.exits[&early][0];
    ensure_eq(&(exit.tier, exit.wait_status), &(Tier::ProcList, None))?;
    ensure_eq(&exit.start_boot_ns, &start_boot_ns)?;
    sensor.look(|found| found.condition.is_some())?;
    let reason = sensor.found.condition.as_ref().and_then(|said| said.reason.clone());
    let reason = reason.unwrap_or_default();
    ensure(reason.contains("starts were found late"), &reason)?;
    ensure(reason.contains("ends were found late"), &reason)
}

/// Where the cgroup-v2 tree is mounted.
pub(crate) fn tree() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    mounts.find_map(|mut fields| {
        let path = PathBuf::from(fields.nth(1)?);
        (fields.next() == Some("cgroup2")).then_some(path)
    })
}

/// A group of this test's own, removed when this is dropped.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        // Only empty groups can be removed; what ran here has ended.
        drop(std::fs::remove_dir(&self.0));
        drop(self.0.parent().map(std::fs::remove_dir));
    }
}

pub(crate) fn group() -> Outcome {
    let id = "5eed".repeat(16);
    let name = format!("cordon-process-{}", std::process::id());
    let tree = tree().ok_or("a tree of groups")?;
    let group = Group(tree.join(&name).join(format!("docker-{id}.scope")));
    std::fs::create_dir_all(&group.0)?;
    let mut sensor = Sensor::start(ProcessSettings::default())?;
    let marker = sensor.marker("contained");
    let into = group.0.join("cgroup.procs");
    let line = format!("echo 0 > {} && exec /bin/true {marker}", into.display());
    finish(Command::new("sh").args(["-c", &line]))?;
    sensor.look(|found| found.exec("contained").is_some())?;
    let exec = sensor.found.exec("contained").ok_or("the process")?;
    let cgroup = exec.cgroup.as_ref().ok_or("its group")?;
    ensure_eq(&cgroup.as_str(), &Some(format!("/{name}/docker-{id}.scope").as_str()))?;
    let container = container(cgroup.as_bytes()).ok_or("its container")?;
    ensure_eq(&(container.id, container.runtime), &(id.as_str(), "docker"))
}
