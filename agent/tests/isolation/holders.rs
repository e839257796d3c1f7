//! Somebody with root took our table over: the wall stands beside theirs, and they are ended where
//! that is allowed.
//!
//! Holder and agent are processes of their own, so that they can be put into control groups; this
//! program plays both when the environment says so.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use cordon_agent::action::isolate::Check;
use cordon_agent::action::isolate::proof;
use cordon_agent::platform::linux::nft::Nftables;
use cordon_agent::platform::linux::nft::wall::Wall;

use crate::lab::{ATTACKER, Lab, peer4, plan, shell};
use crate::{Needs, Test};

pub(crate) const TESTS: &[Test] = &[
    ("a_holder_in_the_agents_own_group_is_ended", ended, Needs::Root),
    ("a_holder_elsewhere_is_named_and_left_alone", left_alone, Needs::Root),
];

const ROLE: &str = "CORDON_TEST_ROLE";

/// Plays a part if this process was started for one.
pub(crate) fn play() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let mut out = std::io::stdout();
    if role == "holder" {
        // A wall that lets everything pass but what goes to nobody, under our name.
        let mut nft = Nftables::open(true).unwrap();
        let links = Vec::new();
        let nobody = Wall {
            mark: 1,
            collectors: Vec::new(),
            exemptions: Vec::new(),
            dhcp_servers: Vec::new(),
        };
        let raised = nft.raise(&nobody, &links).unwrap();
        writeln!(out, "owned {}", raised.owned).unwrap();
        std::io::stdin().read_line(&mut line).unwrap();
        return Some(ExitCode::SUCCESS);
    }
    let (mut shell, plan) = (shell(), plan());
    let cut = shell.cut_off(&plan, Check::Again, &[]).unwrap();
    let seen = proof::prove(|| shell.look(&plan), &plan, &[]).unwrap().seen();
    writeln!(out, "{} / {seen:?}", cut.held.unwrap_or_default()).unwrap();
    Some(ExitCode::SUCCESS)
}

/// A control group below the one this test runs in; removed when dropped.
struct Group(PathBuf);

impl Group {
    /// Nothing where no second version of control groups is mounted.
    fn make(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"))?;
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
        let path = PathBuf::from(mount.get(1)?).join(own);
        let path = path.join(format!("cdn-test-{}-{name}", std::process::id()));
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn take(&self, process: &Child) {
        fs::write(self.0.join("cgroup.procs"), process.id().to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that is left behind harms nothing; a second panic here would hide the first.
        drop(fs::remove_dir(&self.0));
    }
}

struct Player {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Player {
    fn start(lab: &Lab, role: &str, group: Option<&Group>) -> Self {
        let mut process = lab.endpoint.run(|| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let command = command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().unwrap()
        });
        if let Some(group) = group {
            group.take(&process);
        }
        let says = BufReader::new(process.stdout.take().unwrap());
        Self { process, says }
    }

    /// What it says once it was told to go on.
    fn say(&mut self) -> String {
        self.process.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn is_gone(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn ended(lab: &Lab) {
    let Some(group) = Group::make("own") else { return };
    let mut holder = Player::start(lab, "holder", Some(&group));
    if holder.say() != "owned true" {
        return; // Older kernels know no owners: nobody can take a table over.
    }
    let said = Player::start(lab, "agent", Some(&group)).say();
    let named = format!("(process {}, ", holder.process.id());
    assert!(said.contains(&named) && said.contains("it was ended"), "{said}");
    assert!(said.ends_with("/ Proved"), "{said}");
    assert!(holder.is_gone());
    // What it held is gone with it: the wall stands under the first name.
    let tables = lab.endpoint.run(|| {
        let mut nft = Nftables::open(true).unwrap();
        [b"cordon".as_slice(), b"cordon-2"].map(|name| nft.read(name).unwrap().ruleset.tables.len())
    });
    assert_eq!(tables, [2, 0]);
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
}

fn left_alone(lab: &Lab) {
    let (Some(own), Some(other)) = (Group::make("agent"), Group::make("holder")) else { return };
    let mut holder = Player::start(lab, "holder", Some(&other));
    if holder.say() != "owned true" {
        return;
    }
    let said = Player::start(lab, "agent", Some(&own)).say();
    assert!(said.contains("it is not in the agent's own control group"), "{said}");
    // Drops add up: what the holder's table closes is closed to the agent too, and that is told.
    assert!(said.ends_with("/ CollectorSilent"), "{said}");
    assert!(!holder.is_gone(), "a process outside the agent's group was ended");
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
}
