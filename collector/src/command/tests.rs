//! Timelines of commands: what comes in, and which facts then stand.

use cordon_proto::event::receipt::Proof;
use cordon_proto::id::Hash;

use super::*;

fn command() -> CommandId {
    CommandId(uuid::Uuid::from_u128(7))
}

fn proof() -> Proof {
    Proof {
        ruleset: Hash::default(),
        ruleset_equal: true,
        probes: vec![],
        sockets_residual: 0,
        packets_dropped: 0,
    }
}

fn outcome(word: &str) -> Outcome {
    match word {
        "accepted" => Outcome::Accepted { signers: vec!["ann".parse().unwrap()] },
        "applied" => Outcome::Applied { change_us: 9, until_secs: None, stood_already: false },
        "proved" => Outcome::Proved(proof()),
        "unproved" => Outcome::Unproved(proof()),
        "drifted" => Outcome::Drifted { found: "flushed".to_owned(), reapplied: true },
        "lost" => Outcome::Drifted { found: "flushed".to_owned(), reapplied: false },
        "failed" => Outcome::Failed { reason: "no nftables".to_owned() },
        "stale" => Outcome::Refused { check: Check::Freshness, reason: "an hour old".to_owned() },
        "replay" => Outcome::Refused { check: Check::Replay, reason: "again".to_owned() },
        "ended" => Outcome::Ended { cause: EndCause::Released, observed_gone: true },
        "let go" => Outcome::Ended { cause: EndCause::LeaseEnded, observed_gone: false },
        other => panic!("{other}"),
    }
}

fn standing(proved: bool) -> Vec<Standing> {
    let (command, action) = (command(), ActionKind::Isolate);
    vec![Standing { command, action, until_secs: Some(0), proved }]
}

/// Lines of `SECOND: word`, each said at the place of its second; `SECOND@PLACE: word` is said
/// at another. What is known afterwards is told as `fact SECOND` in the order of a life.
#[track_caller]
fn check(timeline: &str, says: &str) {
    let mut life = Life::requested(ActionKind::Isolate, "ann".parse().unwrap(), Time(0));
    for line in timeline.lines() {
        let (when, word) = line.trim().split_once(": ").unwrap();
        let (second, seq) = when.split_once('@').unwrap_or((when, when));
        let at = Time::default().plus_secs(second.parse().unwrap());
        let place = Place { epoch: 1, seq: seq.parse().unwrap() };
        match word {
            "authorised" => life.handle_authorised(vec!["ann".parse().unwrap()], at),
            "lapses" => life.handle_lapsed(at),
            "health proved" => life.handle_health(place, command(), &standing(true), at),
            "health unproved" => life.handle_health(place, command(), &standing(false), at),
            "health nothing" => life.handle_health(place, command(), &[], at),
            word => life.handle_receipt(place, &outcome(word), at),
        }
    }
    assert_eq!(told(&life), says);
}

fn told(life: &Life) -> String {
    let facts = &life.facts;
    let gone = |ended: &Ended| if ended.observed_gone { "ended" } else { "ended unseen" };
    let state = |state| match state {
        ObservedState::Holds => "holds",
        ObservedState::Unproved => "unproved",
        ObservedState::Drifted => "drifted!",
        ObservedState::Gone => "gone",
    };
    let all = [
        facts.authorised.as_ref().map(|fact| ("authorised", fact.at)),
        facts.delivered.map(|fact| ("delivered", fact.at)),
        facts.applied.map(|fact| ("applied", fact.at)),
        facts.proved.map(|fact| ("proved", fact.at)),
        facts.refused.as_ref().map(|fact| ("refused", fact.at)),
        facts.failed.as_ref().map(|fact| ("failed", fact.at)),
        facts.drifted.as_ref().map(|fact| ("drifted", fact.at)),
        facts.ended.as_ref().map(|fact| (gone(fact), fact.at)),
        facts.lapsed.map(|fact| ("lapsed", fact.at)),
        life.observed.map(|seen| (state(seen.state), seen.at)),
    ];
    let word = |(word, at): (&str, Time)| format!("{word} {}", at.secs_since(Time(0)));
    all.into_iter().flatten().map(word).collect::<Vec<_>>().join(", ")
}

#[test]
fn an_isolation_goes_through_its_five_facts_one_at_a_time() {
    check("", "");
    check("1: authorised", "authorised 1");
    check("1: authorised\n 2: accepted", "authorised 1, delivered 2");
    check("1: authorised\n 2: accepted\n 3: applied", "authorised 1, delivered 2, applied 3");
    check(
        "1: authorised\n 2: accepted\n 3: applied\n 4: proved\n 64: proved",
        "authorised 1, delivered 2, applied 3, proved 4, holds 64",
    );
}

#[test]
fn applied_is_not_proved() {
    check("3: applied\n 4: unproved", "delivered 3, applied 3, unproved 4");
}

#[test]
fn what_was_said_before_changes_nothing_when_it_comes_again() {
    check(
        "3: applied\n 4: proved\n 5: drifted\n 6@3: applied\n 6@4: proved\n 6@5: drifted",
        "delivered 3, applied 3, proved 4, drifted 5, unproved 5",
    );
}

#[test]
fn a_drift_that_was_put_back_is_unproved_until_it_is_proved_again() {
    let until = "3: applied\n 4: proved\n 70: drifted";
    check(until, "delivered 3, applied 3, proved 4, drifted 70, unproved 70");
    check(
        &format!("{until}\n 71: proved"),
        "delivered 3, applied 3, proved 4, drifted 70, holds 71",
    );
    check("3: applied\n 9: lost", "delivered 3, applied 3, drifted 9, drifted! 9");
}

#[test]
fn a_refusal_is_delivered_and_not_applied() {
    check("1: authorised\n 2: stale", "authorised 1, delivered 2, refused 2");
}

#[test]
fn what_failed_and_was_tried_again_stands() {
    check("2: accepted\n 3: failed", "authorised 2, delivered 2, failed 3");
    check(
        "2: accepted\n 3: failed\n 63: applied\n 64: proved",
        "authorised 2, delivered 2, applied 63, proved 64, holds 64",
    );
}

#[test]
fn a_lease_that_is_renewed_or_over_moves_its_end_and_not_its_beginning() {
    let by = "ann".parse().unwrap();
    let mut life = Life::requested(ActionKind::Isolate, by, Time(0));
    for (seq, until_secs) in [(1, Some(100)), (2, Some(200)), (3, None)] {
        let applied = Outcome::Applied { change_us: 9, until_secs, stood_already: seq > 1 };
        life.handle_receipt(Place { epoch: 1, seq }, &applied, Time(seq));
        let known = life.facts.applied.unwrap();
        assert_eq!((known.at, known.until_secs), (Time(1), until_secs));
    }
}

#[test]
fn a_replay_refused_takes_nothing_back() {
    check("2: accepted\n 3: applied\n 9: replay", "authorised 2, delivered 2, applied 3");
    check("2: accepted\n 3: replay", "authorised 2, delivered 2");
}

#[test]
fn an_end_that_nobody_saw_is_told_apart_from_one_that_was_seen() {
    check("3: applied\n 4: proved\n 9: ended", "delivered 3, applied 3, proved 4, ended 9, gone 9");
    check(
        "3: applied\n 4: proved\n 9: let go",
        "delivered 3, applied 3, proved 4, ended unseen 9, holds 4",
    );
}

#[test]
fn a_release_is_proved_when_the_rules_are_seen_to_be_gone_and_never_stands() {
    let by = "ann".parse().unwrap();
    let mut life = Life::requested(ActionKind::Release, by, Time(0));
    let at = |secs| Time(0).plus_secs(secs);
    life.handle_receipt(Place { epoch: 1, seq: 3 }, &outcome("applied"), at(3));
    assert!(!life.stands());
    life.handle_receipt(Place { epoch: 1, seq: 4 }, &outcome("ended"), at(4));
    assert_eq!(told(&life), "delivered 3, applied 3, proved 4, ended 4, holds 4");
}

#[test]
fn a_release_is_proved_by_the_end_of_the_isolation_it_was_for() {
    let mut life = Life::requested(ActionKind::Release, "ann".parse().unwrap(), Time(0));
    let at = |secs| Time(0).plus_secs(secs);
    life.handle_released(Place { epoch: 1, seq: 2 }, at(2));
    assert_eq!(told(&life), "", "it was not carried out yet");
    life.handle_receipt(Place { epoch: 1, seq: 3 }, &outcome("applied"), at(3));
    life.handle_released(Place { epoch: 1, seq: 4 }, at(4));
    life.handle_released(Place { epoch: 1, seq: 9 }, at(9));
    assert_eq!(told(&life), "delivered 3, applied 3, proved 4, holds 4");
}

#[test]
fn health_tells_what_stands_between_receipts() {
    check("3: applied\n 33: health proved", "delivered 3, applied 3, holds 33");
    check("3: applied\n 33: health unproved", "delivered 3, applied 3, unproved 33");
    check("3: applied\n 33: health nothing", "delivered 3, applied 3, ended unseen 33");
    check(
        "3: applied\n 33: health nothing\n 34: ended",
        "delivered 3, applied 3, ended 34, gone 34",
    );
    check(
        "3: applied\n 33: health nothing\n 63: health proved",
        "delivered 3, applied 3, holds 63",
    );
    check("2: accepted\n 33: health nothing", "authorised 2, delivered 2");
}

#[test]
fn a_command_that_nobody_took_lapses_and_one_that_was_taken_does_not() {
    check("1: authorised\n 900: lapses", "authorised 1, lapsed 900");
    check("1: authorised\n 2: accepted\n 900: lapses", "authorised 1, delivered 2");
    check("1: authorised\n 900: lapses\n 901@2: accepted", "authorised 1, delivered 901");
}

#[test]
fn a_day_of_proofs_keeps_the_first_and_the_latest() {
    let mut life = Life::requested(ActionKind::Isolate, "ann".parse().unwrap(), Time(0));
    for seq in 1..=1440 {
        life.handle_receipt(Place { epoch: 1, seq }, &outcome("proved"), Time(seq));
    }
    assert_eq!(life.receipts.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 1440]);
    for seq in 1441..3000 {
        let word = if seq % 2 == 0 { "proved" } else { "drifted" };
        life.handle_receipt(Place { epoch: 1, seq }, &outcome(word), Time(seq));
    }
    assert_eq!(life.receipts.len(), RECEIPTS_MAX);
    assert_eq!(life.receipts[0].seq, 1);
    assert_eq!(life.receipts[RECEIPTS_MAX - 1].seq, 2999);
}
