//! The ledger as timelines: what comes in, a line each, and what is signed.

use cordon_proto::command::{Action, Block, BlockStorage, Command, Kill, ProcessTarget};
use cordon_proto::event::receipt::{Outcome, Probe};
use cordon_proto::id::{CommandId, Hash};
use cordon_proto::roster::RosterRef;

use super::*;

fn id(number: u128) -> CommandId {
    CommandId(uuid::Uuid::from_u128(number))
}

fn authorised(number: u128, action: Action) -> Authorised {
    let command = Command {
        id: id(number),
        client: "acme".parse().unwrap(),
        targets: vec![],
        action,
        age_max_secs: 1,
        queued: false,
        roster_min: RosterRef::default(),
        reason: String::new(),
        incident: None,
        snapshot: None,
    };
    Authorised { command, hash: Hash::default(), signed: vec![], signers: vec![], forget_secs: 0 }
}

/// `kill`, `storage` (stands, for as long as a number says) or `block` (stands until undone).
fn action(word: &str) -> Action {
    let process = ProcessTarget { pid: 7, start_boot_ns: 1, sha256: None };
    match word.split_once(' ') {
        Some(("storage", lease)) => {
            Action::BlockStorage(BlockStorage { lease_secs: Some(lease.parse().unwrap()) })
        }
        _ if word == "kill" => Action::Kill(Kill { process, tree: true }),
        _ if word == "block" => {
            Action::Block(Block { rules: vec![], lease_secs: None, except: None, groups: None })
        }
        _ => panic!("{word}"),
    }
}

fn done(word: &str) -> Result<Done, NotDone> {
    let probe = |passed| Probe { what: "it".to_owned(), passed, seen: word.to_owned() };
    let (done, missing) = (Vec::new(), Vec::new());
    match word {
        "done" => Ok(Done { probes: vec![probe(true)], done, missing }),
        "half" => {
            let (done, missing) = (vec!["one".to_owned()], vec!["two".to_owned()]);
            Ok(Done { probes: vec![probe(false)], done, missing })
        }
        "failed" => Err(NotDone::Failed("no".to_owned())),
        "refused" => Err(NotDone::Refused("protected".to_owned())),
        _ => panic!("{word}"),
    }
}

/// A ledger and what is under way in it; writing always succeeds at once, unless it is said that
/// the disk is full.
#[derive(Default)]
struct Scene {
    ledger: Ledger,
    disk: Kept,
    full: bool,
    signed: Vec<String>,
    steps: Vec<String>,
}

impl Scene {
    fn play(&mut self, now: u64, event: &str) {
        let (word, rest) = event.split_once(' ').unwrap_or((event, ""));
        let (number, what) = rest.split_once(' ').unwrap_or((rest, ""));
        let of = || id(number.parse().unwrap());
        match word {
            "ask" => {
                let may = authorised(number.parse().unwrap(), action(what));
                self.ledger.handle_command(&may, now);
            }
            "undo" => {
                let of = id(what.parse().unwrap());
                let may = authorised(number.parse().unwrap(), Action::Undo { of });
                self.ledger.handle_undo(&may, of, now);
            }
            "clear" => {
                let may = authorised(number.parse().unwrap(), Action::ReleaseAll);
                let isolated = what.strip_prefix("isolated ");
                let isolated = isolated.map(|secs| (id(99), secs.parse().unwrap()));
                self.ledger.handle_release_all(&may, isolated, now);
            }
            "prepared" => {
                let outcome = done(what).map(|_| vec![1]);
                self.ledger.handle_prepared(of(), outcome, now);
            }
            "applied" => self.ledger.handle_applied(of(), done(what), 9, now),
            "undone" => self.ledger.handle_undone(of(), done(what), 9, now),
            "back" => self.ledger.handle_let_back(Ok(())),
            "seen" => {
                let seen = match what {
                    "holds" => Seen::Holds(done("done").unwrap().probes),
                    "drifted" => Seen::Drifted("it is gone".to_owned()),
                    "blind" => Seen::CannotLook("no".to_owned()),
                    "gone" => Seen::Gone("the end".to_owned()),
                    _ => panic!("{what}"),
                };
                self.ledger.handle_seen(of(), seen, now);
            }
            "wait" => self.ledger.handle_timeout(now),
            "crash" => self.ledger = Ledger::resume(self.disk.clone(), now),
            "full" => self.full = true,
            _ => panic!("{event}"),
        }
        self.carry_out(now);
    }

    fn carry_out(&mut self, now: u64) {
        while let Some(step) = self.ledger.poll_step(true, now) {
            let number = |id: CommandId| id.0.as_u128();
            let step = match step {
                Step::Save { version, kept } => {
                    let outcome = if self.full { Err("full".to_owned()) } else { Ok(()) };
                    if outcome.is_ok() {
                        self.disk = kept;
                    }
                    self.ledger.handle_saved(version, outcome, now);
                    continue;
                }
                Step::Receipt(receipt) => {
                    let id = number(receipt.command.unwrap());
                    self.signed.push(format!("{now}: {id} {}", told(&receipt.outcome)));
                    continue;
                }
                Step::Prepare(id, _) => format!("prepare {}", number(id)),
                Step::Apply(id, _, before) => {
                    assert_eq!(before, [1]);
                    let written = self.disk.deeds.iter().any(|deed| deed.command == id);
                    assert!(written, "nothing is done before it is on disk");
                    format!("apply {}", number(id))
                }
                Step::Look(id, _, _) => format!("look {}", number(id)),
                Step::Undo(id, _, _) => format!("undo {}", number(id)),
                Step::LetBack(..) => "let back".to_owned(),
            };
            self.steps.push(format!("{now}: {step}"));
        }
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied { until_secs, stood_already: false, .. } => {
            format!("applied {until_secs:?}")
        }
        Outcome::Applied { until_secs, stood_already: true, .. } => {
            format!("stood already {until_secs:?}")
        }
        Outcome::Observed { probes } => {
            let passed = probes.iter().filter(|probe| probe.passed).count();
            format!("observed {passed} of {}", probes.len())
        }
        Outcome::Partial { missing, .. } => format!("partial, without {}", missing.join(" ")),
        Outcome::Failed { reason } => format!("failed: {reason}"),
        Outcome::Refused { check, reason } => format!("refused by {check:?}: {reason}"),
        Outcome::Drifted { found, reapplied } => format!("drifted: {found}, {reapplied}"),
        Outcome::Ended { cause, observed_gone } => format!("ended: {cause:?}, {observed_gone}"),
        Outcome::Accepted { .. }
        | Outcome::Proved(_)
        | Outcome::Unproved(_)
        | Outcome::Answered { .. }
        | Outcome::Snapshot { .. } => panic!("{outcome:?}"),
    }
}

#[track_caller]
fn check(timeline: &str, steps: &str, signed: &str) {
    let mut scene = Scene::default();
    for line in timeline.lines() {
        let (at, event) = line.trim().split_once(": ").unwrap();
        scene.play(at.parse().unwrap(), event);
    }
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(scene.steps, lines(steps), "steps");
    assert_eq!(scene.signed, lines(signed), "signed");
}

#[test]
fn what_does_not_last_is_done_seen_and_forgotten() {
    check(
        "0: ask 1 kill\n 0: prepared 1 done\n 1: applied 1 done\n 99: wait",
        "0: prepare 1\n 0: apply 1",
        "1: 1 applied None\n 1: 1 observed 1 of 1",
    );
}

#[test]
fn what_must_not_be_touched_is_refused_and_what_fails_says_so() {
    check(
        "0: ask 1 kill\n 0: prepared 1 refused",
        "0: prepare 1",
        "0: 1 refused by Subject: protected",
    );
    check(
        "0: ask 1 kill\n 0: prepared 1 done\n 0: applied 1 failed",
        "0: prepare 1\n 0: apply 1",
        "0: 1 failed: no",
    );
}

#[test]
fn a_lease_ends_by_itself_and_is_tried_until_it_has() {
    check(
        "0: ask 1 storage 60\n 0: prepared 1 done\n 0: applied 1 done\n 60: wait
         60: undone 1 failed\n 61: wait\n 75: wait\n 75: undone 1 failed\n 90: wait\n 90: undone 1 done",
        "0: prepare 1\n 0: apply 1\n 60: undo 1\n 75: undo 1\n 90: undo 1",
        "0: 1 applied Some(60)\n 0: 1 observed 1 of 1
         60: 1 drifted: its lease is over and it could not be undone: no, false
         90: 1 ended: LeaseEnded, true",
    );
}

#[test]
fn what_stands_is_looked_at_and_put_back() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 done\n 60: wait\n 60: seen 1 holds
         120: wait\n 120: seen 1 drifted\n 120: applied 1 failed\n 121: wait\n 135: wait
         135: applied 1 done",
        "0: prepare 1\n 0: apply 1\n 60: look 1\n 120: look 1\n 120: apply 1\n 135: apply 1",
        "0: 1 applied None\n 0: 1 observed 1 of 1
         120: 1 drifted: it is gone; no; it will be tried again, false
         135: 1 drifted: it is gone, true\n 135: 1 observed 1 of 1",
    );
}

#[test]
fn blindness_is_no_drift() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 done\n 60: wait\n 60: seen 1 blind
         120: wait\n 120: seen 1 holds",
        "0: prepare 1\n 0: apply 1\n 60: look 1\n 120: look 1",
        "0: 1 applied None\n 0: 1 observed 1 of 1\n 120: 1 observed 1 of 1",
    );
}

#[test]
fn an_undo_is_answered_for_itself_and_ends_what_it_undoes() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 done\n 5: undo 2 1\n 5: undone 1 done
         6: undo 3 1",
        "0: prepare 1\n 0: apply 1\n 5: undo 1",
        "0: 1 applied None\n 0: 1 observed 1 of 1
         5: 2 applied None\n 5: 2 observed 1 of 1\n 5: 1 ended: Released, true
         6: 3 stood already None",
    );
}

#[test]
fn an_undo_that_fails_leaves_it_standing() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 done\n 5: undo 2 1\n 5: undone 1 failed
         60: wait",
        "0: prepare 1\n 0: apply 1\n 5: undo 1\n 60: look 1",
        "0: 1 applied None\n 0: 1 observed 1 of 1\n 5: 2 failed: no; it still stands",
    );
}

#[test]
fn an_undo_that_comes_too_early_waits_its_turn_and_one_for_nothing_is_told_so() {
    check(
        "0: ask 1 block\n 0: undo 2 1\n 0: prepared 1 done\n 1: applied 1 done\n 1: undone 1 done",
        "0: prepare 1\n 0: apply 1\n 1: undo 1",
        "1: 1 applied None\n 1: 1 observed 1 of 1
         1: 2 applied None\n 1: 2 observed 1 of 1\n 1: 1 ended: Released, true",
    );
    check(
        "0: ask 1 block\n 0: undo 2 1\n 0: prepared 1 failed",
        "0: prepare 1",
        "0: 1 failed: no\n 0: 2 stood already None",
    );
}

#[test]
fn what_is_asked_for_again_is_taken_over_with_the_new_lease() {
    check(
        "0: ask 1 storage 60\n 0: prepared 1 done\n 0: applied 1 done\n 30: ask 2 storage 60
         30: seen 2 holds\n 60: wait\n 90: wait\n 90: undone 2 done",
        "0: prepare 1\n 0: apply 1\n 30: look 2\n 90: undo 2",
        "0: 1 applied Some(60)\n 0: 1 observed 1 of 1
         30: 1 ended: Replaced, false\n 30: 2 stood already Some(90)\n 30: 2 observed 1 of 1
         90: 2 ended: LeaseEnded, true",
    );
}

#[test]
fn what_was_done_in_part_says_what_is_missing() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 half\n 5: undo 2 1\n 5: undone 1 half",
        "0: prepare 1\n 0: apply 1\n 5: undo 1",
        "0: 1 applied None\n 0: 1 partial, without two\n 0: 1 observed 0 of 1
         5: 2 applied None\n 5: 2 partial, without two\n 5: 2 observed 0 of 1\n 5: 1 ended: Released, false",
    );
}

#[test]
fn a_crash_loses_neither_what_stands_nor_what_was_about_to_be_done() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 done\n 0: ask 2 kill\n 0: prepared 2 done
         9: crash\n 9: seen 1 holds\n 9: applied 2 done",
        "0: prepare 1\n 0: apply 1\n 0: prepare 2\n 0: apply 2\n 9: look 1\n 9: apply 2",
        "0: 1 applied None\n 0: 1 observed 1 of 1\n 9: 1 observed 1 of 1
         9: 2 applied None\n 9: 2 observed 1 of 1",
    );
}

#[test]
fn what_a_crash_left_half_done_stands_until_it_is_whole_or_undone() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 9: crash\n 9: applied 1 failed\n 24: wait
         24: applied 1 done",
        "0: prepare 1\n 0: apply 1\n 9: apply 1\n 24: apply 1",
        "9: 1 drifted: it may be half done since the agent last ran; no; it will be tried again, false
         24: 1 applied None\n 24: 1 drifted: it may be half done since the agent last ran, true
         24: 1 observed 1 of 1",
    );
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    check(
        "0: full\n 0: ask 1 block\n 0: prepared 1 done\n 9: wait",
        "0: prepare 1",
        "0: 1 failed: it could not be recorded: full",
    );
}

#[test]
fn what_it_was_done_to_may_be_gone() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 done\n 60: wait\n 60: seen 1 gone",
        "0: prepare 1\n 0: apply 1\n 60: look 1",
        "0: 1 applied None\n 0: 1 observed 1 of 1\n 60: 1 ended: Gone, true",
    );
}

#[test]
fn everything_is_undone_in_reverse_the_isolation_at_its_place() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 0: applied 1 done
         9: ask 2 storage 99\n 9: prepared 2 done\n 9: applied 2 done
         20: clear 3 isolated 5\n 20: undone 2 done\n 21: back\n 22: undone 1 failed\n 23: clear 4",
        "0: prepare 1\n 0: apply 1\n 9: prepare 2\n 9: apply 2
         20: undo 2\n 20: let back\n 21: undo 1\n 23: undo 1",
        "0: 1 applied None\n 0: 1 observed 1 of 1\n 9: 2 applied Some(108)\n 9: 2 observed 1 of 1
         20: 3 applied None\n 20: 2 ended: Released, true\n 22: 3 observed 2 of 3
         23: 4 applied None",
    );
}

#[test]
fn nothing_to_undo_is_done_at_once() {
    check("0: clear 1", "", "0: 1 stood already None");
}

#[test]
fn what_is_taken_over_while_it_is_looked_at_still_ends() {
    check(
        "0: ask 1 storage 600\n 0: prepared 1 done\n 0: applied 1 done\n 60: wait
         61: ask 2 storage 60\n 62: seen 1 holds\n 121: wait\n 121: undone 2 done",
        "0: prepare 1\n 0: apply 1\n 60: look 1\n 121: undo 2",
        "0: 1 applied Some(600)\n 0: 1 observed 1 of 1\n 61: 1 ended: Replaced, false
         61: 2 stood already Some(121)\n 62: 2 observed 1 of 1\n 121: 2 ended: LeaseEnded, true",
    );
}

#[test]
fn the_same_asked_for_twice_at_once_is_done_once() {
    check(
        "0: ask 1 block\n 0: ask 2 block\n 0: prepared 1 done\n 1: applied 1 done
         2: seen 2 holds\n 3: undo 3 2\n 4: undone 2 done",
        "0: prepare 1\n 0: apply 1\n 1: look 2\n 3: undo 2",
        "1: 1 applied None\n 1: 1 observed 1 of 1\n 1: 1 ended: Replaced, false
         1: 2 stood already None\n 2: 2 observed 1 of 1
         4: 3 applied None\n 4: 3 observed 1 of 1\n 4: 2 ended: Released, true",
    );
}

#[test]
fn what_was_being_undone_when_the_agent_was_killed_is_undone() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 1: applied 1 done\n 2: undo 3 1\n 3: crash
         3: undone 1 done",
        "0: prepare 1\n 0: apply 1\n 2: undo 1\n 3: undo 1",
        "1: 1 applied None\n 1: 1 observed 1 of 1\n 3: 1 ended: Released, true",
    );
}

#[test]
fn a_full_disk_keeps_nothing_from_being_undone() {
    check(
        "0: ask 1 block\n 0: prepared 1 done\n 1: applied 1 done\n 2: full\n 3: undo 3 1
         4: wait\n 4: undone 1 done",
        "0: prepare 1\n 0: apply 1\n 3: undo 1",
        "1: 1 applied None\n 1: 1 observed 1 of 1
         4: 3 applied None\n 4: 3 observed 1 of 1\n 4: 1 ended: Released, true",
    );
}

#[test]
fn what_a_crash_left_half_done_is_not_dropped_when_another_cannot_be_recorded() {
    let deed = KeptDeed {
        command: id(1),
        command_hash: Hash::default(),
        action: action("block"),
        before: vec![1],
        since_secs: 0,
        until_secs: None,
        applied: false,
        undoing: None,
    };
    let kept = Kept { deeds: vec![deed], ..Kept::default() };
    let mut ledger = Ledger::resume(kept, 0);
    ledger.handle_saved(1, Err("full".to_owned()), 0);
    assert!(matches!(ledger.poll_step(true, 0), Some(Step::Apply(..))));
}

#[test]
fn everything_is_undone_though_one_of_it_could_not_be_recorded() {
    check(
        "0: ask 1 block\n 0: full\n 0: clear 2\n 0: prepared 1 done\n 1: wait\n 2: clear 3",
        "0: prepare 1",
        "0: 2 applied None\n 1: 2 observed 1 of 1
         1: 1 failed: it could not be recorded: full\n 2: 3 stood already None",
    );
}

#[test]
fn a_lease_is_counted_from_now_where_endpoint_time_was_begun_anew() {
    check(
        "500: ask 1 storage 60\n 500: prepared 1 done\n 500: applied 1 done\n 10: crash
         10: seen 1 holds\n 69: wait\n 70: wait\n 70: undone 1 done",
        "500: prepare 1\n 500: apply 1\n 10: look 1\n 70: undo 1",
        "500: 1 applied Some(560)\n 500: 1 observed 1 of 1\n 10: 1 observed 1 of 1
         70: 1 ended: LeaseEnded, true",
    );
}
