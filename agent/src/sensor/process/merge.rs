//! Brings together what the process connector and the audit records tell of the same start. Pure.
//!
//! The connector's message comes at once and knows what /proc still shows; the records come a
//! little later, know the path and the arguments for certain, and cover what the administrator's
//! rules cover. So starts are held for a moment, and an end is held with its start.

use std::collections::VecDeque;

use cordon_proto::event::process::{Exec, Exit, Tier};
use cordon_proto::event::{Observation, ProcessEvent};

use crate::clock::Stamp;

use super::observation;

/// How long a start is held: the kernel's audit thread needs a few milliseconds.
pub(super) const HOLD_NS: u64 = 250_000_000;

/// Starts that may be held; beyond it the oldest is told as it is.
const HELD_MAX: usize = 4096;

/// Starts that wait for their other half, oldest first.
#[derive(Debug, Default)]
pub(super) struct Merge {
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    exec: Box<Exec>,
    at: Stamp,
    exit: Option<(Exit, Stamp)>,
    /// Which halves are here.
    connector: bool,
    audit: bool,
}

/// A start that may be told.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) exec: Box<Exec>,
    pub(super) at: Stamp,
    /// Whether the connector told of it, too.
    pub(super) connector: bool,
    /// Its end, if that has come already.
    pub(super) exit: Option<Observation>,
}

impl Merge {
    /// What the connector told.
    pub(super) fn connector(&mut self, exec: Box<Exec>, now: Stamp) {
        let pid = exec.pid;
        match self.held.iter_mut().find(|held| held.exec.pid == pid && !held.connector) {
            Some(held) => {
                let audit = std::mem::replace(&mut held.exec, exec);
                join(&mut held.exec, *audit);
                held.connector = true;
            }
            None => self.hold(exec, now, (true, false)),
        }
    }

    /// What audit records told.
    pub(super) fn audit(&mut self, exec: Exec, now: Stamp) {
        let pid = exec.pid;
        match self.held.iter_mut().find(|held| held.exec.pid == pid && !held.audit) {
            Some(held) => {
                join(&mut held.exec, exec);
                held.audit = true;
            }
            None => self.hold(Box::new(exec), now, (false, true)),
        }
    }

    /// An end; it comes back if its start is not held.
    pub(super) fn exit(&mut self, exit: Exit, now: Stamp) -> Option<Exit> {
        let mut held = self.held.iter_mut().rev();
        match held.find(|held| held.exec.pid == exit.pid && held.exit.is_none()) {
            Some(held) => {
                held.exit = Some((exit, now));
                None
            }
            None => Some(exit),
        }
    }

    /// The next start that is whole or was held long enough. None overtakes another, so that one
    /// process's starts stay in order.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<Due> {
        let first = self.held.front()?;
        let is_whole = first.connector && first.audit;
        let is_late = first.at.boot_ns.saturating_add(HOLD_NS) <= now_ns;
        if !is_whole && !is_late && self.held.len() <= HELD_MAX {
            return None;
        }
        let Held { exec, at, exit, connector, .. } = self.held.pop_front()?;
        let exit = exit.map(|(exit, at)| observation(at, ProcessEvent::Exit(exit)));
        Some(Due { exec, at, connector, exit })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn hold(&mut self, exec: Box<Exec>, at: Stamp, (connector, audit): (bool, bool)) {
        self.held.push_back(Held { exec, at, exit: None, connector, audit });
    }
}

/// What the records know counts; the rest is as /proc showed it.
fn join(exec: &mut Exec, audit: Exec) {
    let Exec { parent_pid, uid, euid, image, image_resolved, args, args_bytes, .. } = audit;
    let Exec { cwd, tty, login_uid, audit_session, .. } = audit;
    exec.tier = Tier::Audit;
    exec.parent_pid = exec.parent_pid.or(parent_pid);
    exec.uid = uid.or(exec.uid);
    exec.euid = euid.or(exec.euid);
    exec.image = image.or(exec.image.take());
    exec.image_resolved = image_resolved.or(exec.image_resolved.take());
    exec.args = args.or(exec.args.take());
    exec.args_bytes = args_bytes.or(exec.args_bytes);
    exec.cwd = cwd.or(exec.cwd.take());
    exec.tty = tty.or(exec.tty.take());
    exec.login_uid = login_uid.or(exec.login_uid);
    exec.audit_session = audit_session.or(exec.audit_session);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(pid: u32) -> Exec {
        Exec { start_boot_ns: Some(5), uid: Some(1), ..Exec::new(Tier::ProcConnector, pid) }
    }

    fn audit(pid: u32) -> Exec {
        Exec { image: Some("/a".into()), args: Some("a\0".into()), ..Exec::new(Tier::Audit, pid) }
    }

    /// Lines of `time: what pid`, milliseconds; and what comes out when, after each line.
    #[track_caller]
    fn check(timeline: &str, expected: &str) {
        let (mut merge, mut told) = (Merge::default(), Vec::new());
        for line in timeline.lines().map(str::trim) {
            let (time, what) = line.split_once(": ").unwrap();
            let (what, pid) = what.split_once(' ').unwrap_or((what, "0"));
            let (time, pid) = (time.parse::<u64>().unwrap(), pid.parse::<u32>().unwrap());
            let now = Stamp { time_ns: 0, boot_ns: time * 1_000_000 };
            match what {
                "connector" => merge.connector(Box::new(connector(pid)), now),
                "audit" => merge.audit(audit(pid), now),
                "exit" => {
                    let (tier, parent_pid, uid) = (Tier::ProcConnector, None, None);
                    let (start_boot_ns, wait_status) = (None, None);
                    let exit = Exit { tier, pid, start_boot_ns, parent_pid, uid, wait_status };
                    told.extend(
                        merge.exit(exit, now).map(|exit| format!("{time}: exit {}", exit.pid)),
                    );
                }
                _wait => {}
            }
            while let Some(Due { exec, exit, .. }) = merge.due(now.boot_ns) {
                let has = |is: bool, what| if is { what } else { "" };
                let start = has(exec.start_boot_ns.is_some(), " start");
                let args = has(exec.args.is_some(), " args");
                let tier = exec.tier;
                told.push(format!("{time}: {tier:?} {}{start}{args}", exec.pid));
                told.extend(exit.map(|_| format!("{time}: exit {}", exec.pid)));
            }
        }
        assert_eq!(told.join("\n"), expected.lines().map(str::trim).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn two_halves_in_any_order_are_one_start() {
        check("0: connector 7\n 3: audit 7", "3: Audit 7 start args");
        check("0: audit 7\n 3: connector 7", "3: Audit 7 start args");
    }

    #[test]
    fn what_only_one_of_them_knows_is_told_after_a_moment() {
        check("0: connector 7\n 249: wait\n 250: wait", "250: ProcConnector 7 start");
        check("0: audit 7\n 250: wait", "250: Audit 7 args");
    }

    #[test]
    fn an_end_waits_for_its_start_and_for_no_other() {
        let timeline = "0: connector 7\n 1: exit 7\n 1: exit 8\n 2: audit 7";
        check(timeline, "1: exit 8\n 2: Audit 7 start args\n 2: exit 7");
    }

    #[test]
    fn starts_of_one_process_stay_in_order() {
        let timeline = "0: connector 7\n 0: connector 7\n 1: audit 7\n 2: audit 7";
        check(timeline, "1: Audit 7 start args\n 2: Audit 7 start args");
        let timeline = "0: connector 7\n 1: connector 8\n 2: audit 8\n 250: wait";
        check(timeline, "250: ProcConnector 7 start\n 250: Audit 8 start args");
    }

    #[test]
    fn no_more_are_held_than_there_is_room_for() {
        let mut merge = Merge::default();
        for pid in 0..u32::try_from(HELD_MAX).unwrap() + 5 {
            merge.connector(Box::new(connector(pid)), Stamp::default());
            while merge.due(0).is_some() {}
        }
        assert_eq!(merge.held.len(), HELD_MAX);
    }
}
