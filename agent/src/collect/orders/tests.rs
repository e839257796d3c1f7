//! Orders as timelines.

use super::*;

fn id(number: u128) -> CommandId {
    CommandId(uuid::Uuid::from_u128(number))
}

fn order(number: u128) -> Order {
    let collect =
        Collect { sources: vec![], globs: vec!["/x".into()], bytes_max: 1, unsealed: None };
    let command_hash = Hash::of(b"command");
    let command = id(number);
    Order { command, command_hash, collect, since_secs: 0, made: None, before: None }
}

fn archive() -> Archive {
    let sha256 = Hash::of(b"archive");
    let bytes = 300_000;
    Archive {
        bytes,
        sha256,
        entries: 2,
        missing: 1,
        cut: false,
        time_ns: 1,
        took_ms: 1,
        inside: None,
    }
}

/// Plays lines such as `5: have 1 0` and compares what comes of each.
#[track_caller]
fn check(timeline: &str, told: &str) {
    let mut orders = Orders::default();
    let mut said = Vec::new();
    for line in timeline.lines().map(str::trim) {
        let (at, what) = line.split_once(": ").unwrap();
        let at: u64 = at.parse().unwrap();
        let words: Vec<&str> = what.split(' ').collect();
        let number = |word: usize| words[word].parse::<u64>().unwrap();
        match words[0] {
            "order" => drop(orders.handle_order(order(number(1).into()), at)),
            "snapshot" => {
                let before = Some(ActionKind::Kill);
                orders.handle_order(Order { before, ..order(number(1).into()) }, at);
            }
            "waited" => {
                let waited = Waited { us: number(2), in_time: words[3] == "enough" };
                orders.handle_waited(id(number(1).into()), waited);
            }
            "restart" => {
                let entries = std::mem::take(&mut orders.entries);
                let kept = entries.into_iter().map(|entry| entry.order).collect();
                orders = Orders::resume(kept, at);
            }
            "whole" => {
                let archive = Archive { missing: 0, ..archive() };
                orders.handle_made(id(number(1).into()), Ok(archive), 7, at);
            }
            "made" => orders.handle_made(id(number(1).into()), Ok(archive()), 7, at),
            "unmade" => orders.handle_made(id(number(1).into()), Err("full".into()), 7, at),
            "live" => orders.handle_live(),
            "down" => orders.handle_down(),
            "unread" => orders.handle_unread(id(number(1).into()), "gone", at),
            "wait" => orders.handle_timeout(at),
            "have" => {
                let refused = words.get(3).map(|word| NotTaken {
                    sentence: "no room".to_owned(),
                    again: *word == "again",
                });
                let (command, bytes) = (id(number(1).into()), number(2));
                orders.handle_have(&Have { command, bytes, refused }, at);
            }
            other => panic!("{other}"),
        }
        while let Some(step) = orders.poll_step(at) {
            let of = |command: CommandId| command.0.as_u128();
            said.push(match step {
                Step::Make(order) => format!("{at}: make {}", of(order.command)),
                Step::Offer(order, _) => format!("{at}: offer {}", of(order.command)),
                Step::Send(command, offset, bytes) => {
                    format!("{at}: send {} {offset} {bytes}", of(command))
                }
                Step::Forget(command) => format!("{at}: forget {}", of(command)),
                Step::Receipt(receipt) => {
                    let mut why = String::new();
                    if let Outcome::Failed { reason } = &receipt.outcome {
                        why = format!(": {reason}");
                    }
                    if let Outcome::Snapshot { state, waited_us, detail } = &receipt.outcome {
                        assert_eq!(receipt.action, Some(ActionKind::Kill));
                        let first = detail.split(['(', ';', ',']).next().unwrap();
                        why = format!(": {state:?} after {waited_us}: {first}");
                    }
                    let command = of(receipt.command.unwrap());
                    format!("{at}: {} {command}{why}", receipt.outcome.name())
                }
            });
        }
    }
    let told: Vec<&str> = told.lines().map(str::trim).collect();
    assert_eq!(said, told);
}

#[test]
fn an_archive_is_made_offered_and_sent_piece_by_piece() {
    check(
        "0: live\n0: order 1\n5: made 1\n6: have 1 0\n7: have 1 131072\n8: have 1 262144\n\
         9: have 1 300000",
        "0: make 1\n5: applied 1\n5: offer 1\n6: send 1 0 131072\n7: send 1 131072 131072\n\
         8: send 1 262144 37856\n9: observed 1\n9: forget 1",
    );
}

#[test]
fn a_session_that_ends_costs_nothing_that_was_sent() {
    check(
        "0: order 1\n5: made 1\n6: live\n7: have 1 0\n8: down\n9: have 1 131072\n10: live\n\
         11: have 1 131072\n12: have 1 300000",
        "0: make 1\n5: applied 1\n6: offer 1\n7: send 1 0 131072\n10: offer 1\n\
         11: send 1 131072 131072\n12: observed 1\n12: forget 1",
    );
}

#[test]
fn a_collector_without_room_is_asked_again_and_others_go_on() {
    check(
        "0: live\n0: order 1\n0: order 2\n1: made 1\n2: made 2\n3: have 1 0 again\n\
         4: have 2 300000\n302: wait\n303: wait",
        "0: make 1\n1: applied 1\n1: make 2\n1: offer 1\n2: applied 2\n3: offer 2\n\
         4: observed 2\n4: forget 2\n303: offer 1",
    );
}

#[test]
fn what_the_collector_will_not_take_has_failed() {
    check(
        "0: live\n0: order 1\n1: made 1\n2: have 1 0 never",
        "0: make 1\n1: applied 1\n1: offer 1\n\
         2: failed 1: the collector does not take it: no room\n2: forget 1",
    );
}

#[test]
fn what_cannot_be_made_or_read_has_failed() {
    check(
        "0: live\n0: order 1\n1: unmade 1\n2: order 2\n3: made 2\n4: unread 2",
        "0: make 1\n1: failed 1: the archive could not be made: full\n1: forget 1\n\
         2: make 2\n3: applied 2\n3: offer 2\n\
         4: failed 2: the archive cannot be read any more: gone\n4: forget 2",
    );
}

#[test]
fn a_snapshot_waits_for_no_collection_and_is_told_as_no_deed() {
    check(
        "0: live\n0: order 1\n1: snapshot 2\n2: waited 2 900 enough\n2: whole 2\n\
         3: have 2 300000\n4: made 1",
        "0: make 1\n1: make 2\n2: snapshot 2: Whole after 900: 300000 bytes\n2: offer 2\n\
         3: forget 2\n4: applied 1\n4: offer 1",
    );
}

#[test]
fn a_snapshot_that_came_late_or_short_or_not_at_all_says_so() {
    check(
        "0: snapshot 1\n1: waited 1 2000 not\n2: whole 1",
        "0: make 1\n2: snapshot 1: Cut after 2000: the action did not wait for all of it",
    );
    check(
        "0: snapshot 1\n1: waited 1 5 enough\n2: made 1",
        "0: make 1\n2: snapshot 1: Cut after 5: 300000 bytes",
    );
    check(
        "0: snapshot 1\n1: waited 1 5 not\n2: unmade 1",
        "0: make 1\n2: snapshot 1: Failed after 5: the archive could not be made: full\n\
         2: forget 1",
    );
    check(
        "0: snapshot 1\n9: restart",
        "0: make 1\n9: snapshot 1: Failed after 0: the agent ended before it was taken\n\
         9: forget 1",
    );
}

#[test]
fn what_nobody_takes_is_kept_for_a_week() {
    check(
        "0: order 1\n1: made 1\n604799: wait\n604800: wait",
        "0: make 1\n1: applied 1\n604800: failed 1: nobody took it within 7 days\n\
         604800: forget 1",
    );
}

#[test]
fn a_collector_that_loses_it_again_and_again_is_given_up() {
    let mut timeline = "0: live\n0: order 1\n1: made 1".to_owned();
    let mut told = "0: make 1\n1: applied 1\n1: offer 1".to_owned();
    for at in 2..11 {
        timeline += &format!("\n{at}: have 1 0");
        told += &format!("\n{at}: send 1 0 131072");
    }
    timeline += "\n11: have 1 0";
    told += "\n11: failed 1: the collector lost it again and again\n11: forget 1";
    check(&timeline, &told);
}

#[test]
fn only_so_many_wait_and_words_about_others_are_passed_over() {
    let asked: Vec<_> = (1..=9).map(|number| format!("0: order {number}")).collect();
    check(
        &format!("{}\n1: have 1 0\n1: have 77 5", asked.join("\n")),
        "0: make 1\n0: failed 9: 8 collections wait here already; ask again later",
    );
}
