//! The life of the way out as timelines: what happens to it, and what it wants done.

use cordon_proto::id::Hash;
use cordon_proto::roster::RosterRef;

use super::kept::Kept;
use super::make::Made;
use super::{Attempt, BreakGlass, Effect, Orderer, Use, Verdict};
use crate::break_glass::make::tests::{check as code_check, sealed};

/// Runs `script` (one `time: event` a line) and compares what came out with `expected`.
///
/// Events: `wait`, `made`, `made for nobody`, `not made`, `not saved` (what comes next), `right`,
/// `wrong`, `wrong N times` (each as soon as it is looked at), `opened`, `isolated by operators`,
/// `isolated by endpoint`, `right and isolated` (by operators, before the code ends anything),
/// `roster N`, `rolled back`, `restart` (from what was saved last). What is typed is looked at within
/// the same second.
#[track_caller]
fn check(script: &str, expected: &str) {
    let mut world = World {
        core: BreakGlass::resume(Kept::default()),
        saved: Kept::default(),
        held: roster(1),
        disk_full: false,
        out: Vec::new(),
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (at, event) = line.split_once(": ").expect(line);
        world.tell(at.parse().expect(line), event);
        world.act(at.parse().expect(line));
    }
    let expected: Vec<_> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(world.out, expected, "\n{}", world.out.join("\n"));
}

struct World {
    core: BreakGlass,
    saved: Kept,
    held: RosterRef,
    disk_full: bool,
    out: Vec<String>,
}

fn roster(version: u64) -> RosterRef {
    RosterRef { version, hash: Hash::of(&version.to_be_bytes()) }
}

impl World {
    fn tell(&mut self, now: u64, event: &str) {
        let nobody = Made { check: None, boxes: vec![] };
        let made = Made { check: Some(code_check()), boxes: vec![sealed()] };
        let words: Vec<_> = event.split(' ').collect();
        match words.as_slice() {
            ["wait"] => {}
            ["made"] => self.core.handle_made(Ok(made), self.held, now),
            ["made", "for", "nobody"] => self.core.handle_made(Ok(nobody), self.held, now),
            ["not", "made"] => self.core.handle_made(Err("no".to_owned()), self.held, now),
            ["not", "saved"] => self.disk_full = true,
            ["right"] => self.typed(true, now),
            ["wrong"] => self.typed(false, now),
            ["wrong", times, "times"] => {
                let mut now = now;
                for _ in 0..times.parse().unwrap() {
                    now += self.core.wait_secs(now);
                    self.typed(false, now);
                    self.act(now);
                }
            }
            ["opened"] => self.core.handle_opened(),
            ["right", "and", "isolated"] => {
                self.typed(true, now);
                assert!(self.core.handle_isolate(Orderer::Operators));
            }
            ["isolated", "by", who] => {
                let operators = *who == "operators";
                let by = if operators { Orderer::Operators } else { Orderer::Endpoint };
                let may = self.core.handle_isolate(by);
                self.out.push(format!("{now}: {who} {}", if may { "may" } else { "may not" }));
            }
            ["roster", version] => self.held = roster(version.parse().unwrap()),
            ["rolled", "back"] => self.core.handle_rolled_back(),
            ["restart"] => self.core = BreakGlass::resume(self.saved.clone()),
            other => panic!("no such event: {other:?}"),
        }
    }

    fn typed(&mut self, right: bool, now: u64) {
        let said = match self.core.attempt(self.held, now) {
            Attempt::Check { serial, .. } => {
                match self.core.handle_checked(serial, right, self.held, now, now) {
                    Verdict::Right => "right".to_owned(),
                    Verdict::Wrong { wait_secs } => format!("wrong, next in {wait_secs}"),
                    Verdict::Void => "void".to_owned(),
                }
            }
            Attempt::NoCode => "no code".to_owned(),
            Attempt::Slowed(wait_secs) => format!("not for {wait_secs}"),
            Attempt::UnderWay => "under way".to_owned(),
        };
        self.out.push(format!("{now}: {said}"));
    }

    fn act(&mut self, now: u64) {
        while let Some(effect) = self.core.poll_effect(self.held, now) {
            let said = match effect {
                Effect::Save(_) if std::mem::take(&mut self.disk_full) => {
                    self.core.handle_saved(&Err("full".to_owned()), now);
                    "not saved".to_owned()
                }
                Effect::Save(kept) => {
                    self.saved = *kept;
                    self.core.handle_saved(&Ok(()), now);
                    continue;
                }
                Effect::Make { serial } => format!("make {serial}"),
                Effect::Tell(told) => {
                    let (serial, version) = (told.serial, told.roster.version);
                    let boxes = told.boxes.len();
                    format!("tell {serial} of roster {version} {:?} to {boxes}", told.made_for)
                }
                Effect::Open => "open".to_owned(),
                Effect::ReportUse(Use { serial, wrong, .. }) => {
                    format!("{serial} was used after {wrong} wrong")
                }
                Effect::ReportWrong { serial, wrong } => format!("{wrong} wrong for {serial}"),
            };
            self.out.push(format!("{now}: {said}"));
        }
    }
}

#[test]
fn a_code_is_made_before_it_is_needed_and_again_after_it_was_used() {
    check(
        "0: wait\n 1: made\n 50: right\n 52: opened\n 53: made\n 60: right",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         50: right
         50: open
         52: 1 was used after 0 wrong
         52: make 2
         53: tell 2 of roster 1 Used to 1
         60: right
         60: open",
    );
}

#[test]
fn a_used_code_is_void_before_the_next_is_made() {
    check(
        "0: wait\n 1: made\n 5: right\n 6: right\n 7: opened\n 8: right",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         5: right
         5: open
         6: under way
         7: 1 was used after 0 wrong
         7: make 2
         8: no code",
    );
}

#[test]
fn a_use_goes_on_after_a_restart_until_nothing_stands() {
    check(
        "0: wait\n 1: made\n 5: right\n 6: restart\n 7: restart\n 8: opened\n 9: restart\n 10: made",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         5: right
         5: open
         6: open
         7: open
         8: 1 was used after 0 wrong
         8: make 2
         9: make 2
         10: tell 2 of roster 1 Used to 1",
    );
}

#[test]
fn wrong_codes_are_slowed_more_and_more_up_to_a_limit_and_never_lock_the_door() {
    check(
        "0: wait\n 0: made\n 0: wrong 12 times\n 2000: right\n 2000: wait",
        "0: make 1
         0: tell 1 of roster 1 First to 1
         0: wrong, next in 0
         0: wrong, next in 0
         0: wrong, next in 5
         0: 3 wrong for 1
         5: wrong, next in 10
         15: wrong, next in 20
         35: wrong, next in 40
         75: wrong, next in 80
         155: wrong, next in 160
         315: wrong, next in 300
         615: wrong, next in 300
         615: 10 wrong for 1
         915: wrong, next in 300
         1215: wrong, next in 300
         2000: right
         2000: open",
    );
}

#[test]
fn what_wrong_codes_cost_outlasts_a_restart_and_a_new_roster() {
    check(
        "0: wait\n 0: made\n 0: wrong 4 times\n 6: restart\n 6: wrong\n 7: roster 2\n 8: made
         9: right\n 16: right",
        "0: make 1
         0: tell 1 of roster 1 First to 1
         0: wrong, next in 0
         0: wrong, next in 0
         0: wrong, next in 5
         0: 3 wrong for 1
         5: wrong, next in 10
         6: tell 1 of roster 1 First to 1
         6: not for 9
         7: make 2
         8: tell 2 of roster 2 Roster to 1
         9: not for 6
         16: right
         16: open",
    );
}

#[test]
fn a_clock_that_went_back_locks_the_door_no_longer_than_a_wrong_code() {
    check(
        "9000: wait\n 9000: made\n 9000: wrong 3 times\n 0: right\n 9005: right",
        "9000: make 1
         9000: tell 1 of roster 1 First to 1
         9000: wrong, next in 0
         9000: wrong, next in 0
         9000: wrong, next in 5
         9000: 3 wrong for 1
         0: not for 300
         9005: right
         9005: open",
    );
}

#[test]
fn a_newer_roster_voids_the_code_at_once() {
    check(
        "0: wait\n 1: made\n 5: roster 2\n 5: right\n 6: made\n 7: right",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         5: make 2
         5: no code
         6: tell 2 of roster 2 Roster to 1
         7: right
         7: open",
    );
}

#[test]
fn a_roster_that_came_while_a_code_was_checked_voids_that_code() {
    let mut core = BreakGlass::resume(Kept::default());
    assert!(matches!(core.poll_effect(roster(1), 0), Some(Effect::Make { serial: 1 })));
    let made = Made { check: Some(code_check()), boxes: vec![sealed()] };
    core.handle_made(Ok(made), roster(1), 0);
    assert_eq!(core.handle_checked(1, true, roster(2), 1, 1), Verdict::Void);
    assert_eq!(core.handle_checked(2, true, roster(1), 1, 1), Verdict::Void, "another number");
    assert_eq!(core.handle_checked(1, true, roster(1), 1, 1), Verdict::Right);
}

#[test]
fn a_roll_back_renews_it_also_over_a_restart() {
    check(
        "0: wait\n 1: made\n 5: rolled back\n 5: right\n 6: restart\n 7: made\n 8: right",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         5: make 2
         5: no code
         6: make 2
         7: tell 2 of roster 1 RolledBack to 1
         8: right
         8: open",
    );
}

#[test]
fn a_roll_back_before_anything_was_made_or_while_a_code_is_used_changes_nothing() {
    check(
        "0: rolled back\n 1: made\n 5: right\n 6: rolled back\n 7: opened",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         5: right
         5: open
         7: 1 was used after 0 wrong
         7: make 2",
    );
}

#[test]
fn the_code_that_holds_is_told_again_after_a_restart() {
    check(
        "0: wait\n 1: made\n 5: restart\n 6: wait",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         5: tell 1 of roster 1 First to 1",
    );
}

#[test]
fn what_could_not_be_made_or_kept_is_tried_again_and_not_told() {
    check(
        "0: wait\n 1: not made\n 60: wait\n 61: wait\n 62: not saved\n 62: made\n 63: right\n 122: wait
         123: made",
        "0: make 1
         61: make 1
         62: not saved
         63: no code
         122: make 2
         123: tell 2 of roster 1 First to 1",
    );
}

#[test]
fn where_nobody_can_be_sealed_to_that_is_told_and_no_code_holds() {
    check(
        "0: wait\n 1: made for nobody\n 2: right\n 3: wait\n 4: roster 2\n 5: made",
        "0: make 1
         1: tell 1 of roster 1 First to 0
         2: no code
         4: make 2
         5: tell 2 of roster 2 Roster to 1",
    );
}

#[test]
fn a_right_code_works_though_the_disk_is_full() {
    check(
        "0: wait\n 1: made\n 4: not saved\n 5: right",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         5: right
         5: not saved
         5: open",
    );
}

#[test]
fn what_an_administrator_opens_is_not_closed_by_the_endpoint_itself_and_not_after_a_restart() {
    check(
        "0: wait\n 1: made\n 10: isolated by endpoint\n 50: right\n 51: isolated by endpoint
         52: restart\n 53: isolated by endpoint\n 54: opened\n 55: isolated by endpoint",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         10: endpoint may
         50: right
         50: open
         51: endpoint may not
         52: open
         53: endpoint may not
         54: 1 was used after 0 wrong
         54: make 2
         55: endpoint may",
    );
}

#[test]
fn what_operators_sign_later_than_a_code_was_typed_counts_more_than_the_code() {
    check(
        "0: wait\n 1: made\n 50: right\n 51: isolated by operators\n 52: isolated by endpoint",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         50: right
         50: open
         51: operators may
         51: 1 was used after 0 wrong
         51: make 2
         52: endpoint may",
    );
}

#[test]
fn a_code_that_has_not_ended_anything_yet_does_not_end_what_operators_order_then() {
    check(
        "0: wait\n 1: made\n 50: right and isolated\n 51: wait",
        "0: make 1
         1: tell 1 of roster 1 First to 1
         50: right
         50: 1 was used after 0 wrong
         50: make 2",
    );
}
