//! What the isolation reports, as the receipts that the collector understands.

use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::{EndCause, Outcome, Probe, Proof};
use cordon_proto::id::Hash;

use super::drifts::Drifts;
use super::{Cause, Containment};
use crate::action::isolate::proof::{self, Attempt};
use crate::action::isolate::{What, Why};
use crate::platform::linux::socket::Reach;

impl Containment {
    /// The receipts that a report becomes: for the command it is about, and for the isolation that a
    /// release ended.
    pub(super) fn receipts(
        &mut self,
        cause: Cause,
        what: What,
        endpoint_secs: u64,
    ) -> Vec<Receipt> {
        let told = |outcome: Option<Outcome>| -> Vec<Receipt> {
            outcome.into_iter().map(|outcome| receipt(cause, outcome, endpoint_secs)).collect()
        };
        let applied = |change_us, until_secs, stood_already| Outcome::Applied {
            change_us,
            until_secs,
            stood_already,
        };
        let outcome = match what {
            What::Applied { .. } if self.drifts.is_open() => {
                let mended = self.drifts.mended(endpoint_secs);
                return told(mended);
            }
            What::Applied { until_secs } => applied(self.change_us, Some(until_secs), false),
            What::Renewed { until_secs } | What::AlreadyIsolated { until_secs, .. } => {
                applied(0, Some(until_secs), true)
            }
            // The lease is over and the command said to stay: it stands without an end.
            What::LeaseOver | What::AlreadyOpen => applied(0, None, true),
            What::Refused(reason) => Outcome::Failed { reason },
            What::Failed(reason) if self.drifts.is_open() => {
                let failed = self.drifts.failed(&reason, endpoint_secs);
                return told(failed);
            }
            What::Failed(reason) => {
                Outcome::Failed { reason: format!("{reason}; it will be tried again") }
            }
            What::Proved => Outcome::Proved(self.last_proof("")),
            What::Unproved(why) => Outcome::Unproved(self.last_proof(&why)),
            // Told once it is known whether it could be put back.
            What::Drifted(found) => {
                self.drifts.found(found);
                return Vec::new();
            }
            What::Beside(holders) => {
                self.drifts.found(holders);
                let mended = self.drifts.mended(endpoint_secs);
                return told(mended);
            }
            What::PlanRefused(reason) => Outcome::Drifted {
                found: format!("what must stay open has changed, and cannot be had: {reason}"),
                reapplied: false,
            },
            What::ReleaseFailed(reason) => {
                let reason =
                    format!("{reason}; the endpoint stays cut off until it can be let back");
                Outcome::Failed { reason }
            }
            What::Released(why) => return self.released(cause, why, endpoint_secs),
        };
        vec![receipt(cause, outcome, endpoint_secs)]
    }

    fn released(&mut self, cause: Cause, why: Why, endpoint_secs: u64) -> Vec<Receipt> {
        self.drifts = Drifts::default();
        let ended = match why {
            Why::Command => EndCause::Released,
            Why::LeaseOver => EndCause::LeaseEnded,
            Why::Unproved => EndCause::Unproved,
            Why::BreakGlass => EndCause::BreakGlass,
            Why::NotApplied => return Vec::new(),
        };
        let ended = Outcome::Ended { cause: ended, observed_gone: true };
        let isolation = self.ending.take().filter(|ending| ending.id != cause.id);
        match (why, isolation) {
            // The release is answered for itself, and ends the isolation under its own command.
            (Why::Command, Some(isolation)) => {
                let change_us = self.change_us;
                let done = Outcome::Applied { change_us, until_secs: None, stood_already: false };
                vec![
                    receipt(cause, done, endpoint_secs),
                    receipt(cause, ended.clone(), endpoint_secs),
                    receipt(isolation, ended, endpoint_secs),
                ]
            }
            (
                Why::Command | Why::LeaseOver | Why::Unproved | Why::BreakGlass | Why::NotApplied,
                _,
            ) => {
                vec![receipt(cause, ended, endpoint_secs)]
            }
        }
    }

    /// The last look; where nobody could look, what kept them from it.
    fn last_proof(&self, why: &str) -> Proof {
        self.proof.clone().unwrap_or_else(|| Proof {
            ruleset: Hash::default(),
            ruleset_equal: false,
            probes: vec![Probe {
                what: "looking at the rules".to_owned(),
                passed: false,
                seen: why.to_owned(),
            }],
            sockets_residual: 0,
            packets_dropped: 0,
        })
    }
}

pub(super) fn receipt(cause: Cause, outcome: Outcome, endpoint_secs: u64) -> Receipt {
    let Cause { id, hash, action } = cause;
    Receipt {
        command: Some(id),
        command_hash: hash,
        action: Some(action),
        endpoint_secs,
        outcome,
        repeated: 0,
    }
}

/// A look at the wall as it travels.
#[must_use]
pub(crate) fn proof(look: &proof::Proof) -> Proof {
    let own = look.collectors.iter().map(|(to, reach)| Probe {
        what: format!("TCP to the collector at {to}, from the agent"),
        passed: *reach == Reach::Reached,
        seen: seen(*reach).to_owned(),
    });
    let foreign = look.closed.iter().map(|closed| Probe {
        what: match closed.what {
            Attempt::Ipv4 => format!("TCP over IPv4 to {}, without the agent's mark", closed.to),
            Attempt::Ipv6 => format!("TCP over IPv6 to {}, without the agent's mark", closed.to),
            Attempt::Dns => format!("DNS to {}, without the agent's mark", closed.to),
        },
        passed: closed.reach != Reach::Reached,
        seen: match closed.reach {
            Reach::Silent if look.stopped_here() => "it was dropped on its way out".to_owned(),
            reach @ (Reach::Reached | Reach::Refused | Reach::Silent | Reach::NoRoute) => {
                seen(reach).to_owned()
            }
        },
    });
    // One collector that answers is enough; that others did not is no failure of the wall.
    let answered = look.collectors.iter().any(|(_, reach)| *reach == Reach::Reached);
    let own = own.filter(|probe| probe.passed || !answered);
    Proof {
        ruleset: Hash(look.read_back),
        ruleset_equal: look.expected == look.read_back,
        probes: own.chain(foreign).collect(),
        sockets_residual: u64::try_from(look.residual_sockets).unwrap_or(u64::MAX),
        packets_dropped: look.dropped_packets,
    }
}

fn seen(reach: Reach) -> &'static str {
    match reach {
        Reach::Reached => "it answered",
        Reach::Refused => "this endpoint's firewall refused it",
        Reach::Silent => "nothing came back",
        Reach::NoRoute => "there is no way there",
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::command::{ActionKind, AtEnd, Isolate};
    use cordon_proto::id::CommandId;

    use crate::action::isolate::{CutOutcome, Seen};
    use crate::containment::tests::{authorised, ways};
    use crate::containment::{Containment, Step};

    use super::*;

    /// Runs a timeline (`time: event` a line) and answers what was signed, one receipt a line.
    #[track_caller]
    fn check(timeline: &str, signed: &str) {
        let mut containment = Containment::default();
        let mut found = Vec::new();
        let (mut cut, mut look, mut back) = (0, 0, 0);
        for line in timeline.lines() {
            let (at, event) = line.trim().split_once(": ").unwrap();
            let now: u64 = at.parse().unwrap();
            let words: Vec<_> = event.split(' ').collect();
            match words[..] {
                ["isolate" | "stay", id] => {
                    let at_end = if words[0] == "stay" { AtEnd::Stay } else { AtEnd::LetBack };
                    let isolate = Isolate { lease_secs: 60, at_end, ..Isolate::default() };
                    let may = authorised(id.parse().unwrap(), ActionKind::Isolate);
                    containment.handle_isolate(&may, &isolate, None, ways(), now);
                }
                ["release", id] => {
                    let may = authorised(id.parse().unwrap(), ActionKind::Release);
                    containment.handle_release(&may);
                }
                ["cut", "done"] => containment.handle_cut(cut, CutOutcome::Done, 300, now),
                ["cut", _] => {
                    let refused = CutOutcome::Failed("netlink".to_owned());
                    containment.handle_cut(cut, refused, 0, now);
                }
                ["seen", "proved"] => containment.handle_seen(look, Seen::Proved, None, now),
                ["seen", _] => {
                    let blind = Seen::CannotLook("no netlink".to_owned());
                    containment.handle_seen(look, blind, None, now);
                }
                ["drift"] => containment.handle_drift("a rule is gone".to_owned()),
                ["back"] => containment.handle_let_back(back, Ok(()), 200, now),
                ["wait"] => containment.handle_timeout(now),
                _ => panic!("{event}"),
            }
            while let Some(step) = containment.poll_step(now) {
                match step {
                    Step::CutOff { turn, .. } => cut = turn,
                    Step::Prove { turn, .. } => look = turn,
                    Step::LetBack { turn } => back = turn,
                    Step::Receipt(receipt) => found.push(told(now, &receipt)),
                    Step::Save(kept) => {
                        let id = CommandId(uuid::Uuid::from_bytes(kept.record.command));
                        assert_eq!(kept.command_hash, Hash::of(id.to_string().as_bytes()));
                    }
                    Step::Forget => {}
                }
            }
        }
        let signed: Vec<_> = signed.lines().map(str::trim).collect();
        assert_eq!(found, signed);
    }

    fn told(now: u64, receipt: &Receipt) -> String {
        let id = receipt.command.unwrap();
        assert_eq!(receipt.command_hash, Hash::of(id.to_string().as_bytes()));
        assert_eq!(receipt.endpoint_secs, now);
        let outcome = match &receipt.outcome {
            Outcome::Applied { change_us, until_secs, stood_already } => {
                format!("applied {change_us} {until_secs:?} {stood_already}")
            }
            Outcome::Proved(_) => "proved".to_owned(),
            Outcome::Unproved(proof) => format!("unproved: {}", proof.probes[0].seen),
            Outcome::Drifted { found, reapplied } => format!("drifted: {found}, {reapplied}"),
            Outcome::Failed { reason } => format!("failed: {reason}"),
            Outcome::Ended { cause, .. } => format!("ended: {cause:?}"),
            Outcome::Refused { .. }
            | Outcome::Accepted { .. }
            | Outcome::Answered { .. }
            | Outcome::Observed { .. }
            | Outcome::Partial { .. }
            | Outcome::Snapshot { .. } => {
                panic!("{receipt:?}")
            }
        };
        format!("{now}: {} {outcome}", id.0.as_u128())
    }

    #[test]
    fn an_isolation_is_applied_proved_and_ended_by_its_lease_under_its_own_command() {
        check(
            "0: isolate 1\n 0: cut done\n 1: seen proved\n 60: wait\n 60: back",
            "0: 1 applied 300 Some(60) false\n 1: 1 proved\n 60: 1 ended: LeaseEnded",
        );
    }

    #[test]
    fn a_release_is_answered_and_ends_the_isolation_it_releases() {
        check(
            "0: isolate 1\n 0: cut done\n 1: seen proved\n 9: release 2\n 9: back\n 10: release 3",
            "0: 1 applied 300 Some(60) false\n 1: 1 proved
             9: 2 applied 200 None false\n 9: 2 ended: Released\n 9: 1 ended: Released\n 10: 3 applied 0 None true",
        );
    }

    #[test]
    fn what_another_command_overtakes_is_answered_and_what_stays_in_its_place_is_applied() {
        let overtaken = "failed: overtaken by command 00000000-0000-0000-0000-000000000002 before \
                         it was done";
        check(
            "0: isolate 1\n 0: isolate 2\n 0: cut done",
            &format!("0: 2 applied 300 Some(60) false\n 0: 1 {overtaken}"),
        );
        check(
            "0: isolate 1\n 0: release 2\n 0: release 3\n 0: back",
            "0: 3 applied 200 None false\n 0: 3 ended: Released\n 0: 1 ended: Released
             0: 2 applied 0 None true",
        );
    }

    #[test]
    fn a_drift_is_told_with_whether_it_was_put_back() {
        check(
            "0: isolate 1\n 0: cut done\n 1: seen proved\n 5: drift\n 5: cut failed\n 10: wait
             10: cut done",
            "0: 1 applied 300 Some(60) false\n 1: 1 proved
             5: 1 drifted: a rule is gone; netlink, false\n 10: 1 drifted: a rule is gone, true",
        );
    }

    #[test]
    fn where_nobody_can_look_the_receipt_says_why() {
        check(
            "0: isolate 1\n 0: cut done\n 1: seen blind",
            "0: 1 applied 300 Some(60) false\n 1: 1 unproved: no netlink",
        );
    }

    #[test]
    fn a_renewal_and_a_repetition_say_that_it_stood_already() {
        check(
            "0: isolate 1\n 0: cut done\n 1: seen proved\n 9: isolate 2\n 10: isolate 2",
            "0: 1 applied 300 Some(60) false\n 1: 1 proved
             9: 2 applied 0 Some(69) true\n 10: 2 applied 0 Some(69) true",
        );
    }

    #[test]
    fn an_isolation_that_is_to_stay_says_so_when_its_lease_is_over() {
        check(
            "0: stay 1\n 0: cut done\n 1: seen proved\n 60: wait",
            "0: 1 applied 300 Some(60) false\n 1: 1 proved\n 60: 1 applied 0 None true",
        );
    }

    #[test]
    fn what_could_not_be_put_up_at_first_has_failed_for_good() {
        check("0: isolate 1\n 0: cut failed\n 9: wait", "0: 1 failed: netlink");
    }
}
