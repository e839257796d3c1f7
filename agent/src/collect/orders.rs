//! What was asked to be collected, from the command to its delivery.
//!
//! Pure. One archive is made at a time and one is sent at a time, a piece after the other; a session
//! that ends takes nothing with it, because the next one asks the collector how far it has come.

use std::collections::VecDeque;

use cordon_proto::collection::{Archive, Have, Inside, NotTaken};
use cordon_proto::command::{ActionKind, Collect};
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::{Outcome, Probe, SnapshotState};
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
    /// The action that it is a snapshot before; none where the collection itself was asked for.
    #[n(5)]
    pub before: Option<ActionKind>,
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
    waited: Waited,
}

/// How an action waited for its snapshot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Waited {
    /// How long, in microseconds.
    pub us: u64,
    /// Whether what it would end was taken by then.
    pub in_time: bool,
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
    pub fn resume(orders: Vec<Order>, now_secs: u64) -> Self {
        // What was to be seen before an action is not to be seen any more.
        let late = |order: &Order| order.before.is_some() && order.made.is_none();
        let late_ones: Vec<_> = orders.iter().filter(|o| late(o)).map(|o| o.command).collect();
        let mut resumed =
            Self { entries: orders.into_iter().map(Entry::new).collect(), ..Self::default() };
        for command in late_ones {
            let reason = "the agent ended before it was taken".to_owned();
            resumed.end(command, Outcome::Failed { reason }, now_secs);
        }
        resumed
    }

    /// A command asks for a collection; answers whether there is room for it.
    pub fn handle_order(&mut self, order: Order, now_secs: u64) -> bool {
        if self.entries.len() >= ORDERS_MAX {
            let reason = format!("{ORDERS_MAX} collections wait here already; ask again later");
            self.tell(&order, Waited::default(), Outcome::Failed { reason }, now_secs);
            return false;
        }
        self.entries.push(Entry::new(order));
        true
    }

    /// Whether what this command collects is on its way.
    #[must_use]
    pub fn knows(&self, command: CommandId) -> bool {
        let asked = |entry: &Entry| entry.order.command == command && entry.order.before.is_none();
        self.entries.iter().any(asked)
    }

    /// An action waited for its snapshot, and goes on.
    pub fn handle_waited(&mut self, command: CommandId, waited: Waited) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.order.command == command) {
            entry.waited = waited;
        }
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
                let (order, waited) = (entry.order.clone(), entry.waited);
                let applied =
                    Outcome::Applied { change_us, until_secs: None, stood_already: false };
                self.tell(&order, waited, applied, now_secs);
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
        let busy = self.entries.iter().any(|entry| entry.making);
        // An action waits for a snapshot, and a snapshot for nobody.
        let next = |entry: &&mut Entry| {
            let is_due = entry.order.made.is_none() && !entry.making;
            is_due && (!busy || entry.order.before.is_some())
        };
        if let Some(entry) = self.entries.iter_mut().find(next) {
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
        let Entry { order, waited, .. } = self.entries.remove(found);
        if self.sending == Some(command) {
            self.sending = None;
        }
        self.tell(&order, waited, outcome, now_secs);
        self.steps.push_back(Step::Forget(command));
    }

    fn tell(&mut self, order: &Order, waited: Waited, outcome: Outcome, endpoint_secs: u64) {
        let outcome = match order.before {
            None => outcome,
            Some(_) => match of_snapshot(order, waited, outcome) {
                Some(outcome) => outcome,
                None => return,
            },
        };
        let receipt = Receipt {
            command: Some(order.command),
            command_hash: order.command_hash,
            action: Some(order.before.unwrap_or(ActionKind::Collect)),
            endpoint_secs,
            outcome,
            repeated: 0,
        };
        self.steps.push_back(Step::Receipt(Box::new(receipt)));
    }
}

impl Entry {
    fn new(order: Order) -> Self {
        Self { order, making: false, sent: 0, again_at_secs: 0, waited: Waited::default() }
    }
}

/// What is told of a snapshot under its action's command; that it was delivered is the collector's
/// to tell, and must not look as if the action had been observed.
fn of_snapshot(order: &Order, waited: Waited, outcome: Outcome) -> Option<Outcome> {
    let waited_us = waited.us;
    let (state, detail) = match (outcome, order.made) {
        (Outcome::Applied { .. }, Some(archive)) => {
            let whole = waited.in_time && archive.missing == 0 && !archive.cut;
            let state = if whole { SnapshotState::Whole } else { SnapshotState::Cut };
            let late = if waited.in_time { "" } else { "the action did not wait for all of it; " };
            (state, format!("{late}{}", delivered(&archive).seen))
        }
        (Outcome::Failed { reason }, _) => (SnapshotState::Failed, reason),
        (_, _) => return None,
    };
    Some(Outcome::Snapshot { state, waited_us, detail })
}

/// The digest stands in the signed receipt, so that an archive can be checked by that, too.
fn delivered(archive: &Archive) -> Probe {
    let Archive { bytes, sha256, entries, missing, cut, .. } = archive;
    let cut = if *cut { ", cut short by a limit" } else { "" };
    let inside = match archive.inside {
        Some(Inside { bytes, sha256 }) => {
            format!(" (sealed; inside {bytes} bytes, SHA-256 {sha256})")
        }
        None => " (not sealed)".to_owned(),
    };
    let seen = format!(
        "{bytes} bytes, SHA-256 {sha256}{inside}, {entries} entries, {missing} missing or not \
         whole{cut}"
    );
    Probe { what: "the collector has the whole archive".to_owned(), passed: true, seen }
}

#[cfg(test)]
mod tests;
