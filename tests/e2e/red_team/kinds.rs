//! Attacks that are tried with every action there is: whoever may not isolate may not do anything
//! else, and what cannot be is refused before anybody looks who signed it.
//!
//! What they ask for would harm nobody if it were obeyed: it names accounts, units, files and
//! processes that do not exist.

use anyhow::Result;
use cordon_proto::command::{
    Action, ActionKind, Block, BlockStorage, Collect, Command, Deny, Executable, Kill, LockAccount,
    Peer, ProcessTarget, Quarantine, Rule, StopService, Suspend,
};
use cordon_proto::command::{Direction, Isolate};
use cordon_proto::event::receipt::Check;
use cordon_proto::id::{CommandId, EndpointId, Hash};
use cordon_proto::policy::{Exemption, Policy, Redactions, SecretPattern, Transport};
use cordon_proto::query::Query;
use cordon_proto::sign::command::SignedCommand;

use super::attacks::{Attack, Forge, LEASE_SECS_MAX, attack, collect, query};

/// No process has this number: it is the highest that a kernel gives.
const NO_PID: u32 = 4_194_303;

impl Forge {
    pub(super) fn of_every_kind(&self) -> Result<Vec<Attack>> {
        let mut attacks = self.malformed();
        attacks.extend(self.too_long());
        attacks.extend(self.too_much()?);
        attacks.extend(self.protected());
        for kind in ActionKind::ALL {
            let name = kind.name();
            let action = self.harmless(kind);
            let viewed = self.by(&self.viewer, |c| c.action = action.clone());
            attacks.push(attack(format!("a viewer who asks for {name}"), Check::Role, viewed));
            let elsewhere = self.by(&self.ann, |c| {
                (c.targets, c.action) = (vec![self.db.clone()], action.clone());
            });
            attacks.push(attack(format!("{name} for another"), Check::Target, elsewhere));
            // A release and a query are made other things, and others are made these.
            let is_release = kind == ActionKind::Release;
            let honest = if is_release { query() } else { Action::Release };
            let honest = Command { action: honest, ..self.command() };
            let changed = self.swapped(honest.clone(), &Command { action, ..honest })?;
            let what = format!("something else made {name}");
            attacks.push(attack(what, Check::Signature, changed));
        }
        Ok(attacks)
    }

    /// What ann may ask for, were it hers.
    fn harmless(&self, kind: ActionKind) -> Action {
        match kind {
            ActionKind::Isolate => {
                Action::Isolate(Isolate { lease_secs: 600, ..Isolate::default() })
            }
            ActionKind::Release => Action::Release,
            ActionKind::SetPolicy => Action::SetPolicy(self.policy()),
            ActionKind::Query => query(),
            ActionKind::Undo => Action::Undo { of: CommandId(uuid::Uuid::now_v7()) },
            ActionKind::ReleaseAll => Action::ReleaseAll,
            ActionKind::Kill => Action::Kill(Kill { process: process(NO_PID), tree: false }),
            ActionKind::Suspend => suspend(process(NO_PID), None),
            ActionKind::Quarantine => quarantine("/nonexistent/cordon-e2e"),
            ActionKind::Deny => deny("/nonexistent/cordon-e2e", None),
            ActionKind::Block => Action::Block(block(None)),
            ActionKind::LockAccount => lock("cordon-e2e-nobody", None),
            ActionKind::StopService => stop("cordon-e2e-none.service", None),
            ActionKind::BlockStorage => Action::BlockStorage(BlockStorage { lease_secs: None }),
            ActionKind::Collect => collect(),
        }
    }

    pub(super) fn policy(&self) -> Policy {
        Policy::new(self.roster.client.clone(), 1)
    }

    /// Under good signatures, and impossible all the same.
    fn malformed(&self) -> Vec<Attack> {
        let mut relative = block(None);
        relative.rules.clear();
        let nothing = Collect { sources: vec![], globs: vec![], bytes_max: 1 };
        let actions: [(&str, Action); 12] = [
            ("a lease of nothing", deny("/x", Some(0))),
            ("a lease over what any command may have", deny("/x", Some(u64::MAX))),
            ("process 0", Action::Kill(Kill { process: process(0), tree: true })),
            ("a process beyond the last", suspend(process(u32::MAX), None)),
            ("a relative path into the vault", quarantine("etc/passwd")),
            ("a path that climbs", quarantine("/tmp/../etc/passwd")),
            ("a program without a path", deny("", None)),
            ("an account with a field of its own", lock("root:x", None)),
            ("a unit that is an option", stop("--now.service", None)),
            ("a block of nothing", Action::Block(relative)),
            ("evidence of nothing", Action::Collect(nothing)),
            (
                "a question without end",
                Action::Query(Query {
                    sql: "SELECT 1".to_owned(),
                    rows_max: u64::MAX,
                    bytes_max: 1000,
                    time_ms_max: 1000,
                }),
            ),
        ];
        let actions = actions.into_iter().map(|(what, action)| {
            attack(what, Check::Form, self.by(&self.ann, |c| c.action = action))
        });
        let kill = Action::Kill(Kill { process: process(NO_PID), tree: false });
        let both = vec![self.web.clone(), self.db.clone()];
        let twice = vec![self.web.clone(), self.web.clone()];
        let frames = [
            attack("nobody as target", Check::Form, self.by(&self.ann, |c| c.targets.clear())),
            attack("a target twice", Check::Form, self.by(&self.ann, |c| c.targets = twice)),
            attack(
                "a process of two endpoints",
                Check::Form,
                self.by(&self.ann, |c| (c.targets, c.action) = (both, kill)),
            ),
            attack("no reason", Check::Form, self.by(&self.ann, |c| c.reason.clear())),
            attack("no end of age", Check::Form, self.by(&self.ann, |c| c.age_max_secs = u64::MAX)),
        ];
        actions.chain(frames).collect()
    }

    /// Leases over the roster's ceiling.
    fn too_long(&self) -> Vec<Attack> {
        let over = Some(LEASE_SECS_MAX + 1);
        let actions = [
            suspend(process(NO_PID), over),
            deny("/nonexistent/cordon-e2e", over),
            Action::Block(block(over)),
            lock("cordon-e2e-nobody", over),
            stop("cordon-e2e-none.service", over),
            Action::BlockStorage(BlockStorage { lease_secs: over }),
        ];
        let attacks = actions.into_iter().map(|action| {
            let what = format!("{} for longer than the roster lets", action.kind().name());
            attack(what, Check::Parameters, self.by(&self.ann, |c| c.action = action))
        });
        attacks.collect()
    }

    /// Policies that two persons signed and that no endpoint takes, and more endpoints than any
    /// number of signatures allows.
    fn too_much(&self) -> Result<Vec<Attack>> {
        type Change = fn(&mut Policy) -> Result<()>;
        let changes: [(&str, Change); 7] = [
            ("of another client", |p| {
                p.client = "other".parse()?;
                Ok(())
            }),
            ("older than the first", |p| {
                p.version = 0;
                Ok(())
            }),
            ("that exempts too much", |p| {
                p.exemptions = vec![exemption("192.0.2.1", 443)?; 999];
                Ok(())
            }),
            ("that exempts everybody", |p| {
                p.exemptions = vec![exemption("0.0.0.0", 443)?];
                Ok(())
            }),
            ("that exempts every port", |p| {
                p.exemptions = vec![exemption("192.0.2.1", 0)?];
                Ok(())
            }),
            ("that exempts a program", |p| {
                let process = Some("/usr/bin/nc".to_owned());
                p.exemptions = vec![Exemption { process, ..exemption("192.0.2.1", 443)? }];
                Ok(())
            }),
            ("that calls everybody critical", |p| {
                p.critical = vec![EndpointId::default(); Policy::CRITICAL_MAX + 1];
                Ok(())
            }),
        ];
        let mut attacks = Vec::new();
        for (what, change) in changes {
            let mut policy = self.policy();
            change(&mut policy)?;
            let bytes = self.by_two(|c| c.action = Action::SetPolicy(policy));
            attacks.push(attack(format!("a policy {what}"), Check::Parameters, bytes));
        }
        let mut policy = self.policy();
        let (name, regex) = ("open".to_owned(), "(".to_owned());
        let patterns = vec![SecretPattern { name, regex, literal: None }];
        policy.redactions = Some(Redactions { patterns, off: vec![] });
        let bytes = self.by_two(|c| c.action = Action::SetPolicy(policy));
        attacks.push(attack("a policy with a pattern that is none", Check::Parameters, bytes));
        let many = (0..=u8::MAX).map(|number| self.numbered(number)).collect();
        let bytes = self.by_two(|c| c.targets = many);
        attacks.push(attack("more endpoints than two may name", Check::Approvals, bytes));
        Ok(attacks)
    }

    /// What ann may ask for, of what nobody may touch.
    fn protected(&self) -> Vec<Attack> {
        let first = ProcessTarget { pid: 1, start_boot_ns: 0, sha256: None };
        let actions = [
            ("the first process ended", Action::Kill(Kill { process: first, tree: true })),
            ("the first process stopped", suspend(first, None)),
            ("the account of the machine's owner locked", lock("root", None)),
        ];
        let attacks = actions.into_iter().map(|(what, action)| {
            attack(what, Check::Subject, self.by(&self.ann, |c| c.action = action))
        });
        attacks.collect()
    }

    fn by_two(&self, change: impl FnOnce(&mut Command)) -> Vec<u8> {
        let mut command = self.command();
        change(&mut command);
        let mut signed = SignedCommand::sign(command, &self.ann);
        signed.add(&self.carol);
        signed.to_bytes()
    }
}

fn process(pid: u32) -> ProcessTarget {
    ProcessTarget { pid, start_boot_ns: 1, sha256: Some(Hash::of(b"nothing")) }
}

fn suspend(process: ProcessTarget, lease_secs: Option<u64>) -> Action {
    Action::Suspend(Suspend { process, tree: false, lease_secs })
}

fn quarantine(path: &str) -> Action {
    Action::Quarantine(Quarantine { path: path.into(), sha256: None })
}

fn deny(path: &str, lease_secs: Option<u64>) -> Action {
    Action::Deny(Deny { what: Executable::Path(path.into()), lease_secs })
}

fn lock(user: &str, lease_secs: Option<u64>) -> Action {
    Action::LockAccount(LockAccount { user: user.to_owned(), end_sessions: false, lease_secs })
}

fn stop(unit: &str, lease_secs: Option<u64>) -> Action {
    Action::StopService(StopService { unit: unit.to_owned(), disable: false, lease_secs })
}

/// An address of documentation, which nobody has.
fn block(lease_secs: Option<u64>) -> Block {
    let address = std::net::Ipv4Addr::new(192, 0, 2, 1).into();
    let peer = Peer::Network { address, bits: 32 };
    let rule = Rule { peer, direction: Direction::Both, ports: None, at: None };
    Block { rules: vec![rule], lease_secs, except: None, groups: None }
}

fn exemption(address: &str, port: u16) -> Result<Exemption> {
    let (address, transport) = (address.parse()?, Transport::Tcp);
    Ok(Exemption { address, port, transport, process: None, user: None })
}
