//! What was asked to be collected, from the command to its delivery.
//!
//! Pure. One archive is made at a time and one is sent at a time, a piece after the other; a session
//! that ends takes nothing with it, because the next one asks the collector how far it has come.

use std::collections::VecDeque;

use cordon_proto::collection::{Archive, Have, NotTaken};
use cordon_proto::command::{ActionKind, Collect};
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::{Outcome, Probe};
use cordon_proto::id::{CommandId, Hash};
use cordon_proto::limits::PIECE_BYTES_MAX;
use minicbor::{Decode, Encode};

/// Orders that may wait here at once, made or not.
pub const ORDERS_MAX: usize = 8;

/// An archive that nobody took is kept for so long, in endpoint time.
pub const KEEP_SECS: u64 = 7 * 86_400;

/// What a collector had no room for is offered again after so long.
pub const AGAIN_SECS: u64 = 300;

/// An archive is sent so many times at most: a collector that loses what it took, or says so, must
/// not keep a line busy for ever.
const TIMES_MAX: u64 = 4;

/// One order, as it stands on disk, too.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Order {
    /// The command.
    #[n(0)]
    pub command: CommandId,
    /// The hash of its bytes as received.
    #[n(1)]
    pub command_hash: Hash,
    /// What it asks for.
    #[n(2)]
    pub collect: Collect,
    /// When, in endpoint time.
    #[n(3)]
    pub since_secs: u64,
    /// The archive, once it is whole.
    #[n(4)]
    pub made: Option<Archive>,
}

/// What the event loop must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Keep the order and make its archive; answer with [`Orders::handle_made`].
    Make(Order),
    /// Offer an archive to the collector.
    Offer(Order, Archive),
    /// Read so many bytes of an archive at this place and send them; answer with
    /// [`Orders::handle_unread`] if they cannot be read.
    Send(CommandId, u64, usize),
    /// Remove what is on disk of it.
    Forget(CommandId),
    /// Sign this.
    Receipt(Box<Receipt>),
}

#[derive(Debug)]
struct Entry {
    order: Order,
    making: bool,
    /// Bytes sent so far, all times together.
    sent: u64,
    /// Not offered before then.
    again_at_secs: u64,
}

/// All orders.
#[derive(Debug, Default)]
pub struct Orders {
    entries: Vec<Entry>,
    live: bool,
    /// The one that is offered or sent in this session.
    sending: Option<CommandId>,
    steps: VecDeque<Step>,
}

impl Orders {
    /// Takes up what was not delivered when the agent last ran.
    #[must_use]
    pub fn resume(orders: Vec<Order>) -> Self {
        let entry = |order| Entry { order, making: false, sent: 0, again_at_secs: 0 };
        Self { entries: orders.into_iter().map(entry).collect(), ..Self::default() }
    }

    /// A command asks for a collection.
    pub fn handle_order(&mut self, order: Order, now_secs: u64) {
        if self.entries.len() >= ORDERS_MAX {
            let reason = format!("{ORDERS_MAX} collections wait here already; ask again later");
            return self.tell(&order, Outcome::Failed { reason }, now_secs);
        }
        self.entries.push(Entry { order, making: false, sent: 0, again_at_secs: 0 });
    }

    /// What came of [`Step::Make`].
    pub fn handle_made(
        &mut self,
        command: CommandId,
        made: Result<Archive, String>,
        change_us: u64,
        now_secs: u64,
    ) {
        let Some(entry) = self.entries.iter_mut().find(|e| e.order.command == command) else {
            return;
        };
        entry.making = false;
        match made {
            Ok(archive) => {
                entry.order.made = Some(archive);
                let order = entry.order.clone();
                let applied =
                    Outcome::Applied { change_us, until_secs: None, stood_already: false };
                self.tell(&order, applied, now_secs);
            }
            Err(why) => {
                let reason = format!("the archive could not be made: {why}");
                self.end(command, Outcome::Failed { reason }, now_secs);
            }
        }
    }

    /// The collector has let the agent in.
    pub fn handle_live(&mut self) {
        self.live = true;
        self.sending = None;
    }

    /// There is no session any more.
    pub fn handle_down(&mut self) {
        self.live = false;
        self.sending = None;
    }

    /// The collector says how far it has come.
    pub fn handle_have(&mut self, have: &Have, now_secs: u64) {
        if self.sending != Some(have.command) {
            return;
        }
        let Some(entry) = self.entries.iter_mut().find(|e| e.order.command == have.command) else {
            return;
        };
        let Some(archive) = entry.order.made else { return };
        let command = have.command;
        match &have.refused {
            Some(NotTaken { again: true, .. }) => {
                entry.again_at_secs = now_secs.saturating_add(AGAIN_SECS);
                self.sending = None;
            }
            Some(NotTaken { sentence, again: false }) => {
                let reason = format!("the collector does not take it: {sentence}");
                self.end(command, Outcome::Failed { reason }, now_secs);
            }
            None if have.bytes >= archive.bytes => {
                let probes = vec![delivered(&archive)];
                self.end(command, Outcome::Observed { probes }, now_secs);
            }
            None => {
                let left = usize::try_from(archive.bytes - have.bytes).unwrap_or(usize::MAX);
                let bytes = left.min(PIECE_BYTES_MAX);
                entry.sent = entry.sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
                if entry.sent > archive.bytes.saturating_mul(TIMES_MAX) {
                    let reason = "the collector lost it again and again".to_owned();
                    return self.end(command, Outcome::Failed { reason }, now_secs);
                }
                self.steps.push_back(Step::Send(command, have.bytes, bytes));
            }
        }
    }

    /// An archive cannot be read any more.
    pub fn handle_unread(&mut self, command: CommandId, why: &str, now_secs: u64) {
        let reason = format!("the archive cannot be read any more: {why}");
        self.end(command, Outcome::Failed { reason }, now_secs);
    }

    /// Gives up what nobody took.
    pub fn handle_timeout(&mut self, now_secs: u64) {
        let over = |entry: &&Entry| entry.order.since_secs.saturating_add(KEEP_SECS) <= now_secs;
        let over = self.entries.iter().filter(over).filter(|entry| !entry.making);
        let over: Vec<_> = over.map(|entry| entry.order.command).collect();
        for command in over {
            let days = KEEP_SECS / 86_400;
            let reason = format!("nobody took it within {days} days");
            self.end(command, Outcome::Failed { reason }, now_secs);
        }
    }

    /// What to do next.
    pub fn poll_step(&mut self, now_secs: u64) -> Option<Step> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        if !self.entries.iter().any(|entry| entry.making)
            && let Some(entry) = self.entries.iter_mut().find(|entry| entry.order.made.is_none())
        {
            entry.making = true;
            return Some(Step::Make(entry.order.clone()));
        }
        if !self.live || self.sending.is_some() {
            return None;
        }
        let ready = |entry: &&Entry| entry.again_at_secs <= now_secs && entry.order.made.is_some();
        let order = &self.entries.iter().find(ready)?.order;
        let archive = order.made?;
        self.sending = Some(order.command);
        Some(Step::Offer(order.clone(), archive))
    }

    fn end(&mut self, command: CommandId, outcome: Outcome, now_secs: u64) {
        let found = self.entries.iter().position(|entry| entry.order.command == command);
        let Some(found) = found else { return };
        let order = self.entries.remove(found).order;
        if self.sending == Some(command) {
            self.sending = None;
        }
        self.tell(&order, outcome, now_secs);
        self.steps.push_back(Step::Forget(command));
    }

    fn tell(&mut self, order: &Order, outcome: Outcome, endpoint_secs: u64) {
        let receipt = Receipt {
            command: Some(order.command),
            command_hash: order.command_hash,
            action: Some(ActionKind::Collect),
            endpoint_secs,
            outcome,
            repeated: 0,
        };
        self.steps.push_back(Step::Receipt(Box::new(receipt)));
    }
}

/// The digest stands in the signed receipt, so that an archive can be checked by that, too.
fn delivered(archive: &Archive) -> Probe {
    let Archive { bytes, sha256, entries, missing, cut, .. } = archive;
    let cut = if *cut { ", cut short by a limit" } else { "" };
    let seen = format!(
        "{bytes} bytes, SHA-256 {sha256}, {entries} entries, {missing} missing or not whole{cut}"
    );
    Probe { what: "the collector has the whole archive".to_owned(), passed: true, seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> CommandId {
        CommandId(uuid::Uuid::from_u128(number))
    }

    fn order(number: u128) -> Order {
        let collect = Collect { sources: vec![], globs: vec!["/x".into()], bytes_max: 1 };
        let command_hash = Hash::of(b"command");
        Order { command: id(number), command_hash, collect, since_secs: 0, made: None }
    }

    fn archive() -> Archive {
        let sha256 = Hash::of(b"archive");
        let bytes = 300_000;
        Archive { bytes, sha256, entries: 2, missing: 1, cut: false, time_ns: 1, took_ms: 1 }
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
                "order" => orders.handle_order(order(number(1).into()), at),
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
                        let why = if let Outcome::Failed { reason } = &receipt.outcome {
                            format!(": {reason}")
                        } else {
                            String::new()
                        };
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
}
