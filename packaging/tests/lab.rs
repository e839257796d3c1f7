//! The lab on a real kernel: what it makes works, touches nothing else, and is gone afterwards.
//!
//! Needs root; without it every test skips by name.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock;
use cordon_packaging::lab::{Address, End, Lab, Launch, Namespace, unavailable};
use cordon_packaging::lines::Lines;
use cordon_packaging::process::Process;
use cordon_packaging::stage::Stage;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::Signal;

/// Tells this program to make a lab, say its parts, and hold it until it is ended.
const HOLD: &str = "CORDON_LAB_HOLD";
const WAIT_MAX: Duration = Duration::from_secs(10);

type Body = fn() -> Result<()>;

const TESTS: [(&str, Body); 11] = [
    ("two namespaces reach each other over both families", both_families),
    ("a switch joins more than two namespaces", switch_joins),
    ("the initial namespace gets no device, no address, no route", initial_untouched),
    ("a closure runs inside and its thread only", closure_runs_inside),
    ("a listener from inside reaches a program outside as descriptor 3", listener_handed_over),
    ("a program starts in its namespace and its control group", program_is_confined),
    ("a dropped lab leaves nothing", dropped_lab_leaves_nothing),
    ("SIGTERM removes the lab", || signal_removes_the_lab(Signal::TERM, 143)),
    ("SIGINT removes the lab", || signal_removes_the_lab(Signal::INT, 130)),
    ("what SIGKILL left is removed by the next lab", next_lab_sweeps),
    ("the demo's endpoints reach the collector's door", demo_stage),
];

fn main() -> ExitCode {
    if std::env::var_os(HOLD).is_some() {
        return match hold() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let trials = TESTS.map(|(name, body)| Trial::ignorable_test(name, move || unless(body)));
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn unless(body: Body) -> Result<Completion, Failed> {
    if let Some(reason) = unavailable() {
        return Ok(Completion::ignored_with(reason));
    }
    body().map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}

fn both_families() -> Result<()> {
    let lab = Lab::new()?;
    let (left, right) = pair(&lab)?;
    greet(&left, &right, "10.77.0.2")?;
    greet(&left, &right, "fd77::2")
}

fn switch_joins() -> Result<()> {
    let lab = Lab::new()?;
    let switch = lab.switch("switch")?;
    let mut machines = Vec::new();
    for number in 1..=3 {
        let machine = lab.namespace(&format!("machine{number}"))?;
        let (v4, v6) = (format!("10.77.0.{number}/24"), format!("fd77::{number}/64"));
        switch.plug(&end(&machine, &v4, &v6)?)?;
        machines.push(machine);
    }
    greet(&machines[0], &machines[2], "10.77.0.3")?;
    greet(&machines[1], &machines[0], "fd77::1")
}

fn initial_untouched() -> Result<()> {
    let before = initial_network()?;
    let lab = Lab::new()?;
    let (left, right) = pair(&lab)?;
    let during = initial_network()?;
    ensure!(during == before, "before:\n{before}\nwith a lab:\n{during}");
    drop((left, right));
    let after = initial_network()?;
    ensure!(after == before, "before:\n{before}\nafter the lab:\n{after}");
    Ok(())
}

/// Read with a program of its own, so that nothing of the lab decides what is seen.
fn initial_network() -> Result<String> {
    let mut seen = String::new();
    for arguments in [["-o", "link"], ["-o", "addr"], ["-4", "route"], ["-6", "route"]] {
        let output = Command::new("ip").args(arguments).output()?;
        ensure!(output.status.success(), "ip {arguments:?}: {}", output.status);
        // Lifetimes of addresses count down by themselves.
        for line in String::from_utf8(output.stdout)?.lines() {
            seen.push_str(line.split(" valid_lft").next().unwrap_or(line));
            seen.push('\n');
        }
    }
    Ok(seen)
}

fn closure_runs_inside() -> Result<()> {
    let own = network_of("self")?;
    let namespace = Lab::new()?.namespace("inside")?;
    let inside = namespace.run(|| network_of("thread-self"))??;
    ensure!(inside != own, "the closure ran in our own namespace");
    ensure!(network_of("thread-self")? == own, "our own thread was moved");
    Ok(())
}

fn network_of(task: &str) -> Result<String> {
    Ok(fs::read_link(format!("/proc/{task}/ns/net"))?.display().to_string())
}

fn listener_handed_over() -> Result<()> {
    let lab = Lab::new()?;
    let door = lab.namespace("door")?;
    let listener = door.listen("[::]:7443".parse()?)?;
    let wanted = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd()))?;
    let log = Log::new("listener")?;
    let script = "test $LISTEN_PID = $$; echo $? $LISTEN_FDS $LISTEN_FDNAMES; \
        readlink /proc/$$/fd/3 /proc/$$/fd/0 /proc/$$/ns/net";
    let launch = Launch::new("a collector", "sh").arguments(["-c", script]);
    let process = launch.listener("agents", listener).output(log.file()?).start_here()?;
    ensure!(process.wait()?.success(), "{}", log.read()?);
    let own = network_of("self")?;
    let expected = format!("0 1 agents\n{}\n/dev/null\n{own}\n", wanted.display());
    ensure!(log.read()? == expected, "{:?} instead of {expected:?}", log.read()?);
    Ok(())
}

fn program_is_confined() -> Result<()> {
    let lab = Lab::new()?;
    let namespace = lab.namespace("endpoint")?;
    let cgroup = lab.cgroup("endpoint")?;
    let mut launch = Launch::new("an agent", "sleep").arguments(["60"]);
    if let Some(cgroup) = &cgroup {
        launch = launch.cgroup(cgroup);
    }
    let process = launch.start_in(&namespace)?;
    let inside = namespace.run(|| network_of("thread-self"))??;
    ensure!(network_of(&process.id().to_string())? == inside, "it runs in another namespace");
    if let Some(cgroup) = &cgroup {
        // The shell joins the group, then becomes the program: wait for the latter.
        wait_until("it joined its group", || Ok(cgroup.pids()? == [process.id()]))?;
    }
    Ok(())
}

fn dropped_lab_leaves_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let namespace = lab.namespace("brief")?;
    let cgroup = lab.cgroup("brief")?;
    let path = namespace.path();
    let process = Launch::new("a sleeper", "sleep").arguments(["60"]).start_in(&namespace)?;
    let pid = process.id();
    ensure!(path.exists() && is_alive(pid), "the lab was not made");
    let group = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
    if let Some(group) = &group {
        // A group below, as the agent makes them, with a process in it.
        fs::create_dir(group.join("below"))?;
        let mut sleeper = Command::new("sleep").arg("60").spawn()?;
        fs::write(group.join("below/cgroup.procs"), sleeper.id().to_string())?;
        drop(cgroup);
        ensure!(!sleeper.wait()?.success(), "the process in the group ran to its end");
        ensure!(!group.exists(), "{} is still there", group.display());
    }
    drop(process);
    drop(namespace);
    ensure!(!path.exists(), "{} is still there", path.display());
    ensure!(!is_alive(pid), "process {pid} is still there");
    Ok(())
}

fn signal_removes_the_lab(signal: Signal, code: i32) -> Result<()> {
    let (mut holder, parts) = start_holder()?;
    holder.signal(signal)?;
    let status = holder.wait_at_most(WAIT_MAX)?.context("it did not end")?;
    ensure!(status.code() == Some(code), "it ended with {status}");
    parts.ensure_gone()
}

fn next_lab_sweeps() -> Result<()> {
    let (mut holder, parts) = start_holder()?;
    holder.signal(Signal::KILL)?;
    holder.wait_at_most(WAIT_MAX)?.context("it did not end")?;
    ensure!(parts.namespace_exists(), "nothing was left to sweep: the test shows nothing");
    // Other tests make labs at the same time and may have swept already, but after this it is done.
    drop(Lab::new()?);
    parts.ensure_gone()
}

fn demo_stage() -> Result<()> {
    Stage::make()?.check()
}

/// What a holder said it made.
#[derive(Debug)]
struct Parts {
    namespace: String,
    cgroup: String,
    sleeper: u32,
}

impl Parts {
    fn namespace_exists(&self) -> bool {
        Path::new(&self.namespace).exists()
    }

    fn ensure_gone(&self) -> Result<()> {
        let gone = || {
            Ok(!self.namespace_exists()
                && !Path::new(&self.cgroup).exists()
                && !is_alive(self.sleeper))
        };
        wait_until(&format!("all is gone of {self:?}"), gone)
    }
}

fn start_holder() -> Result<(Process, Parts)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(HOLD, "1").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut holder = Process::start("a holder of a lab", &mut command)?;
    let mut lines = Lines::new(holder.pipes().stdout.take().context("it has no output")?);
    let mut next = || {
        let part = |line: &str| line.strip_prefix("part ").map(str::to_owned);
        lines.find_within(WAIT_MAX, part)?.context("the holder ended early")
    };
    let parts = Parts { namespace: next()?, cgroup: next()?, sleeper: next()?.parse()? };
    Ok((holder, parts))
}

fn hold() -> Result<()> {
    let lab = Lab::new()?;
    let namespace = lab.namespace("held")?;
    let cgroup = lab.cgroup("held")?;
    let sleeper = Launch::new("a sleeper", "sleep").arguments(["600"]).start_in(&namespace)?;
    let group = cgroup.as_ref().map_or("/nowhere".into(), |cgroup| cgroup.path().to_owned());
    let mut out = std::io::stdout().lock();
    for part in [
        namespace.path().display().to_string(),
        group.display().to_string(),
        sleeper.id().to_string(),
    ] {
        writeln!(out, "part {part}")?;
    }
    out.flush()?;
    drop(out);
    sleeper.wait()?;
    Ok(())
}

/// Two namespaces and a wire between them.
fn pair(lab: &Lab) -> Result<(Namespace, Namespace)> {
    let (left, right) = (lab.namespace("left")?, lab.namespace("right")?);
    lab.join(
        &end(&left, "10.77.0.1/24", "fd77::1/64")?,
        &end(&right, "10.77.0.2/24", "fd77::2/64")?,
    )?;
    Ok((left, right))
}

fn end<'a>(namespace: &'a Namespace, v4: &str, v6: &str) -> Result<End<'a>> {
    let addresses: Vec<Address> = vec![v4.parse()?, v6.parse()?];
    Ok(End { namespace, device: "eth0", addresses })
}

/// A connection from one namespace to a listener in the other, and a word across.
fn greet(from: &Namespace, to: &Namespace, address: &str) -> Result<()> {
    let address = SocketAddr::from((address.parse::<IpAddr>()?, 7443));
    let door: OwnedFd = to.listen(address)?;
    let mut caller = from.run(|| TcpStream::connect_timeout(&address, WAIT_MAX))??;
    let (mut answerer, _) = TcpListener::from(door).accept()?;
    answerer.write_all(b"hello")?;
    drop(answerer);
    let mut heard = String::new();
    caller.read_to_string(&mut heard)?;
    ensure!(heard == "hello", "heard {heard:?}");
    Ok(())
}

/// A file for a program's output, removed on drop.
struct Log(std::path::PathBuf);

impl Log {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("cordon-lab-{}-{name}", std::process::id()));
        fs::File::create(&path)?;
        Ok(Self(path))
    }

    fn file(&self) -> Result<fs::File> {
        Ok(fs::OpenOptions::new().append(true).open(&self.0)?)
    }

    fn read(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.0)?)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

fn is_alive(pid: u32) -> bool {
    // A process that has ended and was not waited for yet is a zombie: gone for our purpose.
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let seen = clock::wait_until(WAIT_MAX, || anyhow::Ok(is_so()?.then_some(())))?;
    seen.with_context(|| format!("waited in vain until {what}"))
}
