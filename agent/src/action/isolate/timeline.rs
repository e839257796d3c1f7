//! The isolation's life as timelines: what is told to it, and what it wants done.

mod code;

use super::record::{AtEnd, Order, Plan, Record, Terms, Unproved};
use super::{Check, CutOutcome, Effect, Isolation, Report, Seen, What, Why};

/// Runs `script` (one `time: event` a line) and compares what came out with `expected`.
///
/// Events: `isolate NAME LEASE [release-if-unproved] [stay] [accept-loss] [other-plan]`,
/// `release NAME`, `cut done|beside|refused|failed`, `seen proved|silent|open|drifted|devices|blind`,
/// `let-back done|failed`, `code`, `drift`, `devices`, `plan MARK`, `wait`, `restart`. Outcomes are of the
/// latest turn.
#[track_caller]
fn check(script: &str, expected: &str) {
    let mut isolation = Isolation::default();
    let mut out = Vec::new();
    let mut saved = None;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (at, event) = line.split_once(": ").expect(line);
        let now: u64 = at.parse().expect(line);
        let words: Vec<_> = event.split(' ').collect();
        if words == ["restart"] {
            isolation = match saved.clone() {
                Some(record) => Isolation::resume(record, now),
                None => Isolation::default(),
            };
        } else {
            tell(&mut isolation, &words, now);
        }
        while let Some(effect) = isolation.poll_effect() {
            match &effect {
                Effect::Save(record) => saved = Some(record.clone()),
                Effect::Forget => saved = None,
                Effect::CutOff { .. }
                | Effect::Prove { .. }
                | Effect::LetBack { .. }
                | Effect::Report(_) => {}
            }
            out.push(format!("{at}: {}", describe(&effect)));
        }
    }
    let expected: Vec<_> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(out, expected, "\n{}", out.join("\n"));
}

fn tell(isolation: &mut Isolation, words: &[&str], now: u64) {
    let turn = isolation.turn;
    match words {
        ["isolate", name, lease, terms @ ..] => {
            isolation.handle_order(order(name, lease.parse().unwrap(), terms), now);
        }
        ["release", name] => isolation.handle_release(command(name)),
        ["cut", "done"] => isolation.handle_cut(turn, CutOutcome::Done, now),
        ["cut", "beside"] => isolation.handle_cut(turn, CutOutcome::Beside("held".into()), now),
        ["cut", "refused"] => isolation.handle_cut(turn, CutOutcome::Refused("no".into()), now),
        ["cut", "failed"] => isolation.handle_cut(turn, CutOutcome::Failed("bad".into()), now),
        ["late", "cut", "done"] => isolation.handle_cut(turn - 1, CutOutcome::Done, now),
        ["late", "seen", "proved"] => isolation.handle_seen(turn - 1, Seen::Proved, now),
        ["seen", seen] => isolation.handle_seen(turn, look(seen), now),
        ["let-back", "done"] => isolation.handle_let_back(turn, Ok(()), now),
        ["let-back", "failed"] => isolation.handle_let_back(turn, Err("held".into()), now),
        ["code"] => assert!(isolation.handle_break_glass(), "nothing to let back"),
        ["drift"] => isolation.handle_drift("gone".into()),
        ["devices"] => isolation.handle_devices(),
        ["plan", mark] => isolation.handle_plan(plan(mark.parse().unwrap())),
        ["wait"] => isolation.handle_timeout(now),
        other => panic!("no such event: {other:?}"),
    }
}

fn look(seen: &str) -> Seen {
    match seen {
        "proved" => Seen::Proved,
        "silent" => Seen::CollectorSilent,
        "open" => Seen::Open("leak".into()),
        "drifted" => Seen::Drifted("changed".into()),
        "devices" => Seen::Devices,
        "blind" => Seen::CannotLook("blind".into()),
        other => panic!("no such sight: {other}"),
    }
}

fn order(name: &str, lease_secs: u64, terms: &[&str]) -> Order {
    let signed = |term| terms.contains(&term);
    let if_unproved =
        if signed("release-if-unproved") { Unproved::Release } else { Unproved::Hold };
    let at_end = if signed("stay") { AtEnd::Stay } else { AtEnd::LetBack };
    let plan = plan(if signed("other-plan") { 2 } else { 1 });
    let terms = Terms::new(if_unproved, at_end, signed("accept-loss"));
    Order { command: command(name), lease_secs, terms, plan }
}

fn plan(mark: u32) -> Plan {
    Plan {
        mark,
        collectors: vec!["192.0.2.7:7443".parse().unwrap()],
        exemptions: Vec::new(),
        dhcp_servers: Vec::new(),
    }
}

fn command(name: &str) -> [u8; 16] {
    [name.as_bytes()[0]; 16]
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Save(Record { command, until_secs, .. }) => {
            format!("save {} until {until_secs}", char::from(command[0]))
        }
        Effect::CutOff { plan, check, .. } => {
            let check = match check {
                Check::Full => "",
                Check::AcceptLoss => " accepting loss",
                Check::Again => " again",
            };
            format!("cut off{} with mark {}", check, plan.mark)
        }
        Effect::Prove { .. } => "prove".into(),
        Effect::LetBack { .. } => "let back".into(),
        Effect::Forget => "forget".into(),
        Effect::Report(Report { command, what }) => {
            format!("{} {}", char::from(command[0]), told(what))
        }
    }
}

fn told(what: &What) -> String {
    match what {
        What::Applied { until_secs } => format!("applied until {until_secs}"),
        What::Renewed { until_secs } => format!("renewed until {until_secs}"),
        What::Refused(why) => format!("refused: {why}"),
        What::Failed(why) => format!("failed: {why}"),
        What::Proved => "proved".into(),
        What::Unproved(why) => format!("unproved: {why}"),
        What::Drifted(how) => format!("drifted: {how}"),
        What::Beside(who) => format!("beside: {who}"),
        What::PlanRefused(why) => format!("plan refused: {why}"),
        What::LeaseOver => "lease over, stays".into(),
        What::Released(Why::Command) => "released".into(),
        What::Released(Why::NotApplied) => "released, not applied".into(),
        What::Released(Why::LeaseOver) => "released, lease over".into(),
        What::Released(Why::Unproved) => "released, unproved".into(),
        What::Released(Why::BreakGlass) => "released, code typed".into(),
        What::ReleaseFailed(why) => format!("release failed: {why}"),
        What::AlreadyIsolated { until_secs, proved } => {
            format!("already until {until_secs}, {}", if *proved { "proved" } else { "unproved" })
        }
        What::AlreadyOpen => "already open".into(),
    }
}

#[test]
fn is_saved_before_it_is_applied_and_proved_at_once() {
    check(
        "0: isolate A 100\n 0: cut done\n 1: seen proved",
        "0: save A until 100\n 0: cut off with mark 1
         0: A applied until 100\n 0: prove\n 1: A proved",
    );
}

#[test]
fn lets_the_endpoint_back_when_the_lease_runs_out() {
    check(
        "0: isolate A 60\n 0: cut done\n 1: seen proved\n 59: wait\n 60: wait\n 60: let-back done",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove
         1: A proved\n 60: let back\n 60: forget\n 60: A released, lease over",
    );
}

#[test]
fn is_proved_every_minute_and_never_twice_at_once() {
    check(
        "0: isolate A 900\n 0: cut done\n 2: seen proved\n 61: wait\n 62: wait\n 70: wait
         71: seen proved\n 130: wait\n 131: wait",
        "0: save A until 900\n 0: cut off with mark 1\n 0: A applied until 900\n 0: prove
         2: A proved\n 62: prove\n 71: A proved\n 131: prove",
    );
}

#[test]
fn a_renewal_extends_the_lease_without_touching_the_network() {
    check(
        "0: isolate A 60\n 0: cut done\n 0: seen proved\n 50: isolate B 60\n 100: isolate B 60",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove\n 0: A proved
         50: save B until 110\n 50: B renewed until 110\n 100: B already until 110, proved",
    );
}

#[test]
fn the_same_command_again_answers_with_how_things_stand() {
    check(
        "0: isolate A 60\n 1: isolate A 60\n 2: cut done\n 3: isolate A 60",
        "0: save A until 60\n 0: cut off with mark 1\n 1: A already until 60, unproved
         2: A applied until 60\n 2: prove\n 3: A already until 60, unproved",
    );
}

#[test]
fn no_lease_is_longer_than_the_ceiling() {
    check("0: isolate A 99999999", "0: save A until 604800\n 0: cut off with mark 1");
}

#[test]
fn a_first_isolation_that_is_refused_leaves_nothing_behind() {
    check(
        "0: isolate A 60\n 0: cut refused\n 1: release B\n 90: wait",
        "0: save A until 60\n 0: cut off with mark 1\n 0: forget\n 0: A refused: no
         1: B already open",
    );
}

#[test]
fn an_order_may_accept_what_will_be_lost() {
    check(
        "0: isolate A 60 accept-loss",
        "0: save A until 60\n 0: cut off accepting loss with mark 1",
    );
}

#[test]
fn a_change_that_is_refused_leaves_the_old_isolation_standing() {
    check(
        "0: isolate A 60\n 0: cut done\n 0: seen proved\n 9: isolate B 90 other-plan
         9: cut refused\n 60: wait",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove\n 0: A proved
         9: save B until 99\n 9: cut off with mark 2\n 9: save A until 60\n 9: B refused: no\n 9: prove
         60: let back",
    );
}

#[test]
fn a_wall_that_cannot_be_put_up_again_is_tried_until_it_can() {
    check(
        "0: isolate A 60\n 0: cut done\n 1: drift\n 1: cut failed\n 5: wait\n 6: wait\n 6: cut done",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove
         1: A drifted: gone\n 1: cut off again with mark 1\n 1: A failed: bad
         6: cut off again with mark 1\n 6: A applied until 60\n 6: prove",
    );
}

#[test]
fn drift_seen_by_a_proof_is_mended_too() {
    check(
        "0: isolate A 60\n 0: cut done\n 1: seen drifted\n 1: cut done",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove
         1: A drifted: changed\n 1: cut off again with mark 1\n 1: A applied until 60",
    );
}

#[test]
fn a_silent_collector_opens_nothing_by_default() {
    check(
        "0: isolate A 9000\n 0: cut done\n 0: seen silent\n 60: wait\n 60: seen silent
         4000: wait\n 4000: seen silent",
        "0: save A until 9000\n 0: cut off with mark 1\n 0: A applied until 9000\n 0: prove
         0: A unproved: no collector's address answers\n 60: prove
         60: A unproved: no collector's address answers\n 4000: prove
         4000: A unproved: no collector's address answers",
    );
}

#[test]
fn a_silent_collector_opens_after_a_while_where_that_was_signed() {
    check(
        "0: isolate A 9000 release-if-unproved\n 0: cut done\n 0: seen silent\n 200: wait
         200: seen silent\n 300: wait\n 300: seen silent\n 300: let-back done",
        "0: save A until 9000\n 0: cut off with mark 1\n 0: A applied until 9000\n 0: prove
         0: A unproved: no collector's address answers\n 200: prove
         200: A unproved: no collector's address answers\n 300: prove
         300: A unproved: no collector's address answers\n 300: let back\n 300: forget
         300: A released, unproved",
    );
}

#[test]
fn a_collector_that_answers_in_between_starts_the_wait_anew() {
    check(
        "0: isolate A 9000 release-if-unproved\n 0: cut done\n 0: seen silent\n 200: wait
         200: seen proved\n 300: wait\n 300: seen silent",
        "0: save A until 9000\n 0: cut off with mark 1\n 0: A applied until 9000\n 0: prove
         0: A unproved: no collector's address answers\n 200: prove\n 200: A proved\n 300: prove
         300: A unproved: no collector's address answers",
    );
}

#[test]
fn a_check_that_cannot_run_never_opens_anything() {
    check(
        "0: isolate A 9000 release-if-unproved\n 0: cut done\n 0: seen blind\n 400: wait
         400: seen blind\n 800: wait\n 800: seen open",
        "0: save A until 9000\n 0: cut off with mark 1\n 0: A applied until 9000\n 0: prove
         0: A unproved: blind\n 400: prove\n 400: A unproved: blind\n 800: prove
         800: A unproved: leak",
    );
}

#[test]
fn an_order_to_stay_outlives_its_lease_and_says_so_once() {
    check(
        "0: isolate A 60 stay\n 0: cut done\n 1: seen proved\n 60: wait\n 90: wait\n 91: release B
         91: let-back done",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove\n 1: A proved
         60: save A until 60\n 60: A lease over, stays\n 90: prove\n 91: save A until 60\n 91: let back\n 91: forget
         91: B released",
    );
}

#[test]
fn a_restart_puts_the_wall_up_again_and_keeps_the_lease() {
    check(
        "0: isolate A 60\n 0: cut done\n 30: restart\n 30: cut done\n 60: wait",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove
         30: cut off again with mark 1\n 30: A applied until 60\n 30: prove\n 60: let back",
    );
}

#[test]
fn a_restart_after_the_lease_lets_back() {
    check(
        "0: isolate A 60\n 0: cut done\n 61: restart\n 61: let-back done",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove
         61: let back\n 61: forget\n 61: A released, lease over",
    );
}

#[test]
fn a_release_that_fails_is_tried_again() {
    check(
        "0: isolate A 60\n 0: cut done\n 5: release B\n 5: let-back failed\n 10: wait
         10: let-back done\n 11: release C",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove
         5: save A until 60\n 5: let back\n 5: B release failed: held\n 10: let back\n 10: forget\n 10: B released
         11: C already open",
    );
}

#[test]
fn an_order_during_a_release_wins() {
    check(
        "0: isolate A 60\n 0: cut done\n 5: release B\n 5: isolate C 60\n 6: cut done",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove
         5: save A until 60\n 5: let back\n 5: save C until 65\n 5: cut off again with mark 1
         6: C applied until 65\n 6: prove",
    );
}

#[test]
fn outcomes_of_an_earlier_turn_are_not_listened_to() {
    check(
        "0: isolate A 60\n 0: isolate B 60 other-plan\n 0: late cut done\n 1: cut done
         1: drift\n 1: late seen proved",
        "0: save A until 60\n 0: cut off with mark 1\n 0: save B until 60\n 0: cut off with mark 2
         1: B applied until 60\n 1: prove\n 1: B drifted: gone\n 1: cut off again with mark 2",
    );
}

#[test]
fn in_a_fight_the_wall_is_put_up_each_time_and_proved_now_and_then() {
    check(
        "0: isolate A 60\n 0: cut done\n 1: seen proved\n 3: drift\n 3: cut done\n 3: drift\n 3: cut done
         5: wait\n 5: drift\n 5: cut done\n 9: wait\n 10: wait",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove\n 1: A proved
         3: A drifted: gone\n 3: cut off again with mark 1\n 3: A applied until 60
         3: A drifted: gone\n 3: cut off again with mark 1\n 3: A applied until 60\n 5: prove
         5: A drifted: gone\n 5: cut off again with mark 1\n 5: A applied until 60\n 10: prove",
    );
}

#[test]
fn devices_that_come_and_go_are_covered_without_a_word() {
    check(
        "0: isolate A 900\n 0: cut done\n 1: seen proved\n 3: devices\n 3: cut done\n 4: isolate A 900
         59: wait\n 60: wait\n 61: seen devices\n 61: cut done",
        "0: save A until 900\n 0: cut off with mark 1\n 0: A applied until 900\n 0: prove\n 1: A proved
         3: cut off again with mark 1\n 4: A already until 900, proved\n 60: prove
         61: cut off again with mark 1\n 61: prove",
    );
}

#[test]
fn a_change_of_what_stays_open_keeps_the_lease() {
    check(
        "0: isolate A 60\n 0: cut done\n 1: seen proved\n 9: plan 1\n 9: plan 3\n 9: cut done\n 60: wait",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove\n 1: A proved
         9: save A until 60\n 9: cut off with mark 3\n 9: A renewed until 60\n 9: prove\n 60: let back",
    );
}

#[test]
fn a_change_of_what_stays_open_that_cannot_be_had_leaves_what_stood() {
    check(
        "0: isolate A 60\n 0: cut done\n 1: seen proved\n 9: plan 3\n 9: cut refused\n 9: seen proved
         10: plan 3\n 60: wait",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: prove\n 1: A proved
         9: save A until 60\n 9: cut off with mark 3\n 9: save A until 60\n 9: A plan refused: no
         9: prove\n 9: A proved\n 10: save A until 60\n 10: cut off with mark 3\n 60: let back",
    );
}

#[test]
fn an_endpoint_that_is_open_has_no_plan_to_change() {
    check("0: plan 3\n 0: devices\n 0: drift", "");
}

#[test]
fn who_held_our_table_is_told() {
    check(
        "0: isolate A 60\n 0: cut beside\n 1: seen proved",
        "0: save A until 60\n 0: cut off with mark 1\n 0: A applied until 60\n 0: A beside: held
         0: prove\n 1: A proved",
    );
}

#[test]
fn what_stays_open_though_it_should_not_is_looked_at_sooner_only_while_it_is_news() {
    check(
        "0: isolate A 900\n 0: cut done\n 0: seen open\n 5: wait\n 5: seen open\n 10: wait\n 65: wait",
        "0: save A until 900\n 0: cut off with mark 1\n 0: A applied until 900\n 0: prove
         0: A unproved: leak\n 5: prove\n 5: A unproved: leak\n 65: prove",
    );
}

#[test]
fn a_wall_that_may_stand_though_it_was_told_as_failed_is_taken_down() {
    check(
        "0: isolate a 60\n 0: cut failed\n 1: restart\n 1: let-back done",
        "0: save a until 60\n 0: cut off with mark 1
         0: save a until 60\n 0: a refused: bad\n 0: let back
         1: let back\n 1: forget\n 1: a released",
    );
}

#[test]
fn an_order_that_is_refused_leaves_the_wall_that_was_put_up_meanwhile() {
    check(
        "0: isolate a 60\n 1: isolate b 60 other-plan\n 1: late cut done\n 1: cut refused",
        "0: save a until 60\n 0: cut off with mark 1\n 1: save b until 61\n 1: cut off with mark 2
         1: save a until 60\n 1: b refused: no\n 1: prove",
    );
}

#[test]
fn a_release_is_carried_out_though_whoever_took_it_was_killed() {
    check(
        "0: isolate a 60 stay\n 0: cut done\n 5: release r\n 6: restart\n 6: let-back done",
        "0: save a until 60\n 0: cut off with mark 1\n 0: a applied until 60\n 0: prove
         5: save a until 60\n 5: let back\n 6: let back\n 6: forget\n 6: a released",
    );
}

#[test]
fn a_change_of_the_plan_that_is_refused_does_not_take_back_what_was_put_up_meanwhile() {
    check(
        "0: isolate a 60\n 1: plan 2\n 1: late cut done\n 1: cut refused",
        "0: save a until 60\n 0: cut off with mark 1\n 1: save a until 60\n 1: cut off with mark 2
         1: save a until 60\n 1: a applied until 60\n 1: a plan refused: no\n 1: prove",
    );
}
