//! A whole Cordon in a lab: an authority, a collector, endpoints with their agents, an operator's
//! `cordon`. The demo shows it, the tests of the whole try it, the benchmarks measure it.
//!
//! Everything is the real program, started as its user would start it. Keys are throw-away ones.
//! Without root there is no lab: collector and one agent then meet on loopback.

mod operator;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::operator::{succeed, text};
use crate::clock::wait_until;
use crate::lab::{Cgroup, Launch, Namespace};
use crate::process::Process;
use crate::stage::{COLLECTOR, Endpoint, Stage};
use crate::undo::{self, Undo};
use crate::{need, programs};

/// The client that everything belongs to.
pub const CLIENT: &str = "acme";

/// The people with keys; the first one's profile is the current one.
pub const OPERATORS: [&str; 2] = ["ann", "bob"];

/// Arguments of `unshare`: a host name of its own, then the program in the place of the shell. The
/// host name comes next, then the program and its arguments.
const HOST_NAMED: [&str; 5] =
    ["--uts", "sh", "-c", "echo \"$1\" >/proc/sys/kernel/hostname && shift && exec \"$@\"", "sh"];

const UP_MAX: Duration = Duration::from_secs(30);

/// What a fleet is made for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The people's door; a free port of loopback if none is given.
    pub people_port: Option<u16>,
    /// Lines of settings added to every agent's file.
    pub agent_settings: String,
    /// Lines of settings added to the collector's file.
    pub collector_settings: String,
    /// Without a lab though there could be one: collector and agents on this machine's loopback.
    pub on_loopback: bool,
    /// What endpoints of the stage call themselves, where that is another name than the stage's.
    pub host_names: BTreeMap<String, String>,
    /// A program and its arguments that start every agent in their place, such as `nsenter` into a
    /// mount namespace; agents start by themselves where there is none.
    pub agents_by: Vec<OsString>,
    /// A second client of the same authority at the same collector, if there is to be one. The first
    /// operator acts for it, too; the others do not know it.
    pub other_client: Option<String>,
    /// Agents measure their file systems as seldom as they do by themselves, not every 5 s for whoever
    /// waits for it.
    pub unhurried: bool,
}

/// A running fleet. What it made is put back when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    // Processes end before the lab they live in.
    agents: BTreeMap<String, Process>,
    collector: Option<Process>,
    /// The lab; none without root.
    stage: Option<Stage>,
    folder: PathBuf,
    people: u16,
    /// The agents' door where there is no lab.
    agents_port: u16,
    plan: Plan,
    _folder: Undo,
}

impl Fleet {
    /// Makes keys, a lab and a running collector; endpoints join by [`Self::enrol`].
    pub fn make(plan: Plan) -> Result<Self> {
        let (folder, folder_undo) = folder()?;
        let stage = if need::is_root() && !plan.on_loopback { Some(Stage::make()?) } else { None };
        let people = match plan.people_port {
            Some(port) => port,
            None => free_port()?,
        };
        let mut fleet = Self {
            agents: BTreeMap::new(),
            collector: None,
            stage,
            folder,
            people,
            agents_port: free_port()?,
            plan,
            _folder: folder_undo,
        };
        fleet.make_authority()?;
        fleet.make_collector()?;
        fleet.start_collector()?;
        Ok(fleet)
    }

    /// Where everything of this fleet is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The settings folder of `cordon`.
    pub fn operator(&self) -> PathBuf {
        self.path("operator")
    }

    /// The console and the API.
    pub fn people_url(&self) -> String {
        format!("https://localhost:{}", self.people)
    }

    /// The people's door itself.
    pub fn people_door(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.people))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make_authority(&self) -> Result<()> {
        let dir = self.path("authority");
        let mut command = self.command("cordon")?;
        command.args(["authority", "init", "--no-passphrase", "--client", CLIENT, "--dir"]);
        command.arg(&dir);
        OPERATORS.iter().for_each(|name| {
            command.args(["--operator", name]);
        });
        succeed("making the authority", &mut command).map(drop)
    }

    fn make_collector(&self) -> Result<()> {
        let settings = format!(
            "state_dir = {:?}\npeople = \"127.0.0.1:{}\"\nagents = \"127.0.0.1:{}\"\n\
             names = [\"localhost\", {:?}, {:?}]\n{}\n",
            self.path("collector"),
            self.people,
            self.agents_port,
            COLLECTOR.v4,
            COLLECTOR.v6,
            self.plan.collector_settings
        );
        std::fs::write(self.path("collector.toml"), settings)?;
        let mut command = self.command("cordon-collector")?;
        command.arg("init").arg("--config").arg(self.path("collector.toml"));
        command.arg("--authority").arg(self.path("authority/authority.pub"));
        command.arg("--roster").arg(self.roster(CLIENT));
        if let Some(other) = &self.plan.other_client {
            self.make_other_roster(other)?;
            command.arg("--roster").arg(self.roster(other));
        }
        let output = succeed("setting the collector up", &mut command)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let pin = said.lines().find_map(|line| line.strip_prefix("CA pin"));
        let pin = pin.with_context(|| format!("no CA pin in {said:?}"))?.trim();
        OPERATORS.iter().try_for_each(|name| self.add_profile(name, pin))?;
        self.cordon(&["profile", "use", OPERATORS[0]]).map(drop)
    }

    /// A client's first roster.
    fn roster(&self, client: &str) -> PathBuf {
        self.path(&format!("authority/roster-{client}-1.cbor"))
    }

    /// The first client's roster for another one, with the first operator alone.
    fn make_other_roster(&self, client: &str) -> Result<()> {
        let draft = self.path("authority/other.toml");
        let mut make = self.command("cordon")?;
        make.args(["roster", "make", "--from"]).arg(self.roster(CLIENT)).arg("--out").arg(&draft);
        OPERATORS[1..].iter().for_each(|name| {
            make.args(["--remove-operator", name]);
        });
        succeed("drafting another client's roster", &mut make)?;
        let text = std::fs::read_to_string(&draft)?;
        let named = |client: &str| format!("client = \"{client}\"");
        let text = text.replacen(&named(CLIENT), &named(client), 1);
        std::fs::write(&draft, text.replacen("version = 2", "version = 1", 1))?;
        let mut sign = self.command("cordon")?;
        sign.args(["roster", "sign"]).arg(&draft).arg("--key");
        sign.arg(self.path("authority/authority.key")).arg("--out").arg(self.roster(client));
        succeed("signing another client's roster", &mut sign).map(drop)
    }

    fn add_profile(&self, operator: &str, pin: &str) -> Result<()> {
        let authority = self.path("authority/authority.pub");
        let key = self.path(&format!("authority/operator-{operator}.key"));
        let mut command = self.command("cordon")?;
        command.args(["profile", "add", operator, "--collector", &self.people_url()]);
        command.args(["--pin", pin, "--client", CLIENT]);
        command.arg("--authority").arg(authority).arg("--key").arg(key);
        for address in self.agents_doors() {
            command.args(["--agents", &address]);
        }
        succeed("adding a profile", &mut command).map(drop)
    }

    /// Where agents find the collector, tried in turn.
    fn agents_doors(&self) -> Vec<String> {
        if self.stage.is_none() {
            return vec![format!("127.0.0.1:{}", self.agents_port)];
        }
        vec![format!("{}:7443", COLLECTOR.v4), format!("[{}]:7443", COLLECTOR.v6)]
    }

    /// Starts the collector, the agents' listener inside the lab, and waits for its API.
    pub fn start_collector(&mut self) -> Result<()> {
        let mut launch = Launch::new("cordon-collector", programs::find("cordon-collector")?)
            .arguments(["serve", "--config"])
            .arguments([self.path("collector.toml")])
            .output(self.log("collector")?);
        if let Some(stage) = &self.stage {
            launch = launch.listener("agents", stage.agents_listener()?);
        }
        self.collector = Some(launch.start_here()?);
        let up = wait_until(UP_MAX, || Ok::<_, ()>(self.cordon(&["client", "list"]).ok()));
        match up {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(()) => bail!(
                "the collector does not answer within {} s; its log ends:\n{}",
                UP_MAX.as_secs(),
                self.log_tail("collector")
            ),
        }
    }

    /// Ends the collector in order: its log is one file then, without a journal beside it.
    pub fn stop_collector(&mut self) -> Result<()> {
        let process = self.collector.take().context("the collector is not running")?;
        Ok(process.stop().map(drop)?)
    }

    /// Ends the collector as a power failure would: nothing is said, nothing is flushed.
    pub fn kill_collector(&mut self) -> Result<()> {
        match self.collector.take() {
            Some(process) => kill(process),
            None => bail!("the collector is not running"),
        }
    }

    pub fn collector_pid(&self) -> Option<u32> {
        self.collector.as_ref().map(Process::id)
    }

    /// The lab; an error without root.
    pub fn stage(&self) -> Result<&Stage> {
        self.stage.as_ref().context("there is no lab without root")
    }

    /// An endpoint of the stage by name.
    pub fn endpoint(&self, name: &str) -> Result<&Endpoint> {
        let mut endpoints = self.stage()?.endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint.machine.name == name);
        found.with_context(|| format!("the stage has no endpoint {name}"))
    }

    pub fn namespace(&self, name: &str) -> Result<&Namespace> {
        Ok(&self.endpoint(name)?.namespace)
    }

    /// Where an endpoint's agent keeps its state.
    pub fn agent_state(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}/state"))
    }

    pub fn agent_config(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}/agent.toml"))
    }

    /// Writes an agent's settings. Every agent of a fleet is told that it lives in a lab, so that
    /// none can cut off the machine that the fleet runs on.
    pub fn configure(&self, name: &str, more: &str) -> Result<()> {
        std::fs::create_dir_all(self.path(name))?;
        let logs = self.path(&format!("{name}/logs"));
        std::fs::create_dir_all(&logs)?;
        let settings = format!(
            "state_dir = {:?}\nlab = true\n{}\n{more}\n[sensors.logs]\npaths = [{:?}]\n{}",
            self.agent_state(name),
            self.plan.agent_settings,
            logs.join("*.log"),
            if self.plan.unhurried { "" } else { "[sensors.disks]\nperiod_secs = 5\n" },
        );
        Ok(std::fs::write(self.agent_config(name), settings)?)
    }

    /// A folder whose `*.log` files an endpoint's agent watches.
    pub fn logs(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}/logs"))
    }

    /// Enrols an endpoint with a fresh token and starts its agent.
    pub fn enrol(&mut self, name: &str) -> Result<()> {
        self.enrol_at(name, CLIENT)
    }

    /// The same at a client of choice.
    pub fn enrol_at(&mut self, name: &str, client: &str) -> Result<()> {
        self.configure(name, "")?;
        let create = ["token", "create", "--client", client, "--uses", "1", "--for", "1h"];
        let token = self.cordon(&create)?;
        let token = token.lines().find(|line| line.starts_with("cordon1:")).context("no string")?;
        let config = self.agent_config(name);
        let output = self.run_agent(
            name,
            &["enroll".as_ref(), "--config".as_ref(), config.as_os_str(), token.as_ref()],
        )?;
        ensure!(output.status.success(), "enrolling {name}: {}", text(&output));
        self.start_agent(name)
    }

    /// Runs `cordon-agent` once inside an endpoint's namespace.
    pub fn run_agent(&self, name: &str, arguments: &[&std::ffi::OsStr]) -> Result<Output> {
        self.run_agent_typing(name, arguments, "")
    }

    /// The same, with something typed into it.
    pub fn run_agent_typing(
        &self,
        name: &str,
        arguments: &[&std::ffi::OsStr],
        typed: &str,
    ) -> Result<Output> {
        let program = programs::find("cordon-agent")?;
        let run = move |command: &mut Command| {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            if let Some(mut input) = child.stdin.take() {
                // It may end before it has read what it does not want.
                input.write_all(typed.as_bytes()).ok();
            }
            child.wait_with_output()
        };
        if self.stage.is_none() {
            return run(Command::new(program).args(arguments)).context("running cordon-agent");
        }
        let mut command = Command::new("unshare");
        let named = OsStr::new(self.host_name(name));
        command.args(HOST_NAMED).args([named, program.as_os_str()]).args(arguments);
        self.namespace(name)?.run(|| run(&mut command))?.context("running cordon-agent")
    }

    /// Starts an endpoint's supervisor beside, or in place of, its agent. It writes to the same log.
    pub fn start_hold(&self, name: &str) -> Result<Process> {
        let endpoint = self.endpoint(name)?;
        let hold = self.hold_launch(name)?;
        Ok(hold.start_in(&endpoint.namespace)?)
    }

    /// The same outside every lab, where it must refuse to touch anything.
    pub fn start_hold_outside(&self, name: &str) -> Result<Process> {
        Ok(self.hold_launch(name)?.start_here()?)
    }

    fn hold_launch(&self, name: &str) -> Result<Launch> {
        let program = programs::find("cordon-agent")?;
        let config = self.agent_config(name);
        let launch = Launch::new("cordon-agent hold", "unshare")
            .arguments(HOST_NAMED)
            .arguments([name.as_ref(), program.as_os_str()])
            .arguments(["hold".as_ref(), "--config".as_ref(), config.as_os_str()]);
        Ok(launch.output(self.log(name)?))
    }

    /// Starts an endpoint's agent; its host name is the endpoint's.
    pub fn start_agent(&mut self, name: &str) -> Result<()> {
        let program = programs::find("cordon-agent")?;
        let run = ["run".into(), "--config".into(), self.agent_config(name)];
        if self.stage.is_none() {
            let launch = Launch::new("cordon-agent", program).arguments(run);
            let process = launch.output(self.log(name)?).start_here()?;
            self.agents.insert(name.to_owned(), process);
            return Ok(());
        }
        let endpoint = self.endpoint(name)?;
        let words = self.plan.agents_by.iter().map(OsString::as_os_str);
        let mut words = words.chain(["unshare".as_ref()]).chain(HOST_NAMED.map(OsStr::new));
        let first = words.next().unwrap_or_default();
        let mut launch = Launch::new("cordon-agent", first)
            .arguments(words)
            .arguments([OsStr::new(self.host_name(name)), program.as_os_str()])
            .arguments(run)
            .output(self.log(name)?);
        if let Some(cgroup) = &endpoint.cgroup {
            launch = launch.cgroup(cgroup);
        }
        let process = launch.start_in(&endpoint.namespace)?;
        self.agents.insert(name.to_owned(), process);
        Ok(())
    }

    pub fn agent_pid(&self, name: &str) -> Option<u32> {
        self.agents.get(name).map(Process::id)
    }

    pub fn agent_cgroup(&self, name: &str) -> Option<&Cgroup> {
        self.endpoint(name).ok()?.cgroup.as_ref()
    }

    /// Ends an agent in order.
    pub fn stop_agent(&mut self, name: &str) -> Result<()> {
        let process = self.agents.remove(name).with_context(|| format!("{name} is not running"))?;
        Ok(process.stop().map(drop)?)
    }

    /// Ends an agent with SIGKILL.
    pub fn kill_agent(&mut self, name: &str) -> Result<()> {
        kill(self.agents.remove(name).with_context(|| format!("{name} is not running"))?)
    }

    /// Waits until an endpoint is shown in a state: `online` or `offline`; online only when it has
    /// told its health, before which no command can be made for it.
    pub fn wait_for_state(&self, name: &str, state: &str, limit: Duration) -> Result<Value> {
        let is_there = |shown: &Value| {
            shown["state"] == state && (state != "online" || !shown["nonce"].is_null())
        };
        let look = || Ok::<_, ()>(self.endpoint_json(name).ok().filter(is_there));
        match wait_until(limit, look) {
            Ok(Some(shown)) => Ok(shown),
            Ok(None) | Err(()) => {
                bail!("{name} is not {state}; its log ends:\n{}", self.log_tail(name))
            }
        }
    }

    /// What an endpoint calls itself.
    fn host_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.plan.host_names.get(name).map_or(name, String::as_str)
    }

    /// What `cordon endpoint list --json` says of one endpoint.
    pub fn endpoint_json(&self, name: &str) -> Result<Value> {
        let list = self.cordon_json(&["endpoint", "list"])?;
        let found = list.into_iter().find(|endpoint| endpoint["host_name"] == self.host_name(name));
        found.with_context(|| format!("{name} is not listed"))
    }

    fn log(&self, name: &str) -> Result<File> {
        let path = self.path(&format!("{name}.log"));
        let mut file = File::options().create(true).append(true).open(&path)?;
        writeln!(file, "-- started")?;
        Ok(file)
    }

    /// The last lines that a program wrote.
    pub fn log_tail(&self, name: &str) -> String {
        let text = std::fs::read(self.path(&format!("{name}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

fn kill(mut process: Process) -> Result<()> {
    process.signal(rustix::process::Signal::KILL)?;
    ensure!(process.wait_at_most(UP_MAX)?.is_some(), "{} survived SIGKILL", process.what());
    Ok(())
}

/// A port of loopback that nobody holds at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn folder() -> Result<(PathBuf, Undo)> {
    let name = format!("cordon-{}-{:08x}", std::process::id(), number());
    let path = std::env::temp_dir().join(name);
    let gone = path.clone();
    let undo = move || std::fs::remove_dir_all(&gone).map_err(|error| error.to_string());
    let (_, undo) = undo::make("the fleet's folder", undo, || std::fs::create_dir(&path))?;
    Ok((path, undo))
}

/// Enough to tell the fleets of one process apart.
fn number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
