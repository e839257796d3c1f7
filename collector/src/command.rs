//! The life of a command on one endpoint: five facts, each with its time, never one status.
//!
//! Pure: uploads, receipts and health reports come in with the time and their place in the
//! endpoint's control lane; what is known comes out. Handing a command to a link is no fact about
//! it: it counts as delivered when the endpoint says that it has it.

mod authority;
mod brake;
mod freshness;

use cordon_proto::command::ActionKind;
use cordon_proto::event::Lane;
use cordon_proto::event::agent::Standing;
use cordon_proto::event::receipt::{Check, EndCause, Outcome};
use cordon_proto::id::{CommandId, OperatorId};
use serde::{Deserialize, Serialize};

pub use authority::{Authority, CommandRefused, authority, check_upload};
pub use brake::Brake;
pub use freshness::has_lapsed;

use crate::time::Time;

/// Receipts remembered by place for one target; the runs between first and last are folded.
pub const RECEIPTS_MAX: usize = 64;

/// Of those, the earliest ones that are never dropped for later ones.
const RECEIPTS_FIRST: usize = 16;

/// Everything known of a command on one endpoint.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// The facts.
    pub facts: Facts,
    /// What the endpoint last observed of it.
    pub observed: Option<Observed>,
    /// Where its receipts stand, so that each can be proved.
    pub receipts: Vec<ReceiptAt>,
    /// What it asks for: an isolation stands until it ends, a release does not.
    action: ActionKind,
    /// The control lane up to where this was told: what comes again is passed over.
    told: Option<(u32, u64)>,
}

/// What happened, and when.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Somebody asked for it.
    pub requested: Requested,
    /// Enough of the right persons have signed.
    pub authorised: Option<Authorised>,
    /// The endpoint has it.
    pub delivered: Option<At>,
    /// The endpoint did it.
    pub applied: Option<Applied>,
    /// The endpoint observed the effect.
    pub proved: Option<At>,
    /// The endpoint refused it.
    pub refused: Option<Refused>,
    /// The endpoint tried and could not; nothing stands.
    pub failed: Option<Failed>,
    /// It was done in part, and stands as far as it was done.
    #[serde(default)]
    pub partial: Option<Partial>,
    /// What stood no longer matched what was asked for.
    pub drifted: Option<Drifted>,
    /// It no longer stands.
    pub ended: Option<Ended>,
    /// It was never delivered, and its nonce is too old to count: sign it again.
    pub lapsed: Option<At>,
}

/// When.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// The time.
    pub at: Time,
}

/// Who asked, and when.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    /// When it was uploaded.
    pub at: Time,
    /// By whom; none where an endpoint did it by itself, as its policy says.
    pub by: Option<OperatorId>,
}

/// Whose signatures counted, and since when.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Authorised {
    /// When the last one needed was there.
    pub at: Time,
    /// Whose they are.
    pub by: Vec<OperatorId>,
}

/// The endpoint did it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// When.
    pub at: Time,
    /// How long the change itself, or the answer, took, in microseconds.
    pub change_us: u64,
    /// When its lease ends, in seconds of endpoint time.
    pub until_secs: Option<u64>,
    /// Whether it stood already, so that nothing changed.
    pub stood_already: bool,
}

/// The endpoint refused it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: Time,
    /// The check it failed.
    pub check: Check,
    /// Why, for a person; the endpoint's words.
    pub reason: String,
}

/// The endpoint could not do it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub at: Time,
    /// Why, for a person; the endpoint's words.
    pub reason: String,
}

/// The endpoint did it in part.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// When.
    pub at: Time,
    /// What was done; the endpoint's words.
    pub done: Vec<String>,
    /// What was not, and why; the endpoint's words.
    pub missing: Vec<String>,
}

/// What stood no longer matched; the latest time, and how often.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Drifted {
    /// When last.
    pub at: Time,
    /// What was found.
    pub found: String,
    /// Whether it was put back.
    pub reapplied: bool,
    /// How often so far.
    pub times: u64,
}

/// It no longer stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// Why; none where health stopped listing it without a receipt that says so.
    pub cause: Option<EndCause>,
    /// Whether our rules were seen to be gone.
    pub observed_gone: bool,
}

/// What the endpoint last observed, and when; how old that is, is for the reader to see.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// What.
    pub state: ObservedState,
    /// When.
    pub at: Time,
}

/// How what was asked for stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservedState {
    /// It was seen to hold.
    Holds,
    /// It stands, but was not seen to hold.
    Unproved,
    /// It was found changed and could not be put back.
    Drifted,
    /// It was seen to be gone.
    Gone,
}

/// A receipt's place: enough to fetch and prove it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ReceiptAt {
    /// The lane.
    pub lane: Lane,
    /// The lane's epoch.
    pub epoch: u32,
    /// Its number, as text because it may pass 2^53.
    #[serde(with = "crate::number")]
    pub seq: u64,
    /// When.
    pub at: Time,
    /// What became of the command, in one word.
    pub outcome: String,
}

/// Where in an endpoint's control lane something was said.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The lane's epoch.
    pub epoch: u32,
    /// The event's number.
    pub seq: u64,
}

impl Life {
    /// A command's life begins when somebody uploads it.
    #[must_use]
    pub fn requested(action: ActionKind, by: OperatorId, at: Time) -> Self {
        Self::begun(action, Some(by), at)
    }

    /// The life of what an endpoint does by itself begins when it tells of it.
    #[must_use]
    pub fn reacted(action: ActionKind, at: Time) -> Self {
        Self::begun(action, None, at)
    }

    fn begun(action: ActionKind, by: Option<OperatorId>, at: Time) -> Self {
        let facts = Facts {
            requested: Requested { at, by },
            authorised: None,
            delivered: None,
            applied: None,
            proved: None,
            refused: None,
            failed: None,
            partial: None,
            drifted: None,
            ended: None,
            lapsed: None,
        };
        Self { facts, observed: None, receipts: Vec::new(), action, told: None }
    }

    /// Enough signatures are there, as far as the collector can tell.
    pub fn handle_authorised(&mut self, by: Vec<OperatorId>, at: Time) {
        self.facts.authorised.get_or_insert(Authorised { at, by });
    }

    /// Its nonce can no longer count and the endpoint never had it.
    pub fn handle_lapsed(&mut self, at: Time) {
        if self.facts.delivered.is_none() {
            self.facts.lapsed.get_or_insert(At { at });
        }
    }

    /// The endpoint says what became of it. Saying it again changes nothing.
    pub fn handle_receipt(&mut self, place: Place, outcome: &Outcome, at: Time) {
        if !self.goes_on(place) {
            return;
        }
        let known = self.facts.delivered.is_some();
        self.remember(place, outcome, at);
        let facts = &mut self.facts;
        facts.delivered.get_or_insert(At { at });
        facts.lapsed = None;
        match outcome {
            Outcome::Refused { check, reason } => {
                // A command that was taken and comes again is refused as a replay; the facts of
                // the first time stand.
                let again = facts.applied.is_some() || (known && *check == Check::Replay);
                if !again {
                    let reason = reason.clone();
                    facts.refused.get_or_insert(Refused { at, check: *check, reason });
                }
            }
            Outcome::Accepted { signers } => {
                facts.authorised.get_or_insert(Authorised { at, by: signers.clone() });
                facts.refused = None;
            }
            Outcome::Applied { change_us, until_secs, stood_already } => {
                let (change_us, until_secs, stood_already) =
                    (*change_us, *until_secs, *stood_already);
                let new = Applied { at, change_us, until_secs, stood_already };
                // Said again when its lease is renewed, or is over and it stays all the same.
                facts.applied.get_or_insert(new).until_secs = until_secs;
                // What failed was tried again.
                facts.failed = None;
            }
            Outcome::Answered { took_ms, .. } => {
                let change_us = took_ms.saturating_mul(1000);
                let applied = Applied { at, change_us, until_secs: None, stood_already: false };
                facts.applied.get_or_insert(applied);
            }
            Outcome::Proved(_) => {
                facts.proved.get_or_insert(At { at });
                self.observe(ObservedState::Holds, at);
            }
            Outcome::Unproved(_) => self.observe(ObservedState::Unproved, at),
            Outcome::Observed { .. } if outcome.proves() => {
                facts.proved.get_or_insert(At { at });
                self.observe(ObservedState::Holds, at);
            }
            Outcome::Observed { .. } => self.observe(ObservedState::Unproved, at),
            Outcome::Partial { done, missing } => {
                let (done, missing) = (done.clone(), missing.clone());
                facts.partial = Some(Partial { at, done, missing });
            }
            // The action does not depend on it.
            Outcome::Snapshot { .. } => {}
            Outcome::Drifted { found, reapplied } => self.handle_drift(found, *reapplied, at),
            Outcome::Failed { reason } => {
                facts.failed.get_or_insert(Failed { at, reason: reason.clone() });
            }
            Outcome::Ended { cause, observed_gone } => {
                let (cause, observed_gone) = (Some(*cause), *observed_gone);
                if facts.ended.is_none_or(|ended| ended.cause.is_none()) {
                    facts.ended = Some(Ended { at, cause, observed_gone });
                }
                // Undoing one thing asks for nothing else: that it is gone is its proof.
                let release = matches!(self.action, ActionKind::Release | ActionKind::Undo);
                if observed_gone && release {
                    facts.proved.get_or_insert(At { at });
                }
                if observed_gone && self.action != ActionKind::ReleaseAll {
                    let holds = if release { ObservedState::Holds } else { ObservedState::Gone };
                    self.observe(holds, at);
                }
            }
        }
    }

    /// The endpoint lists what stands; `command` is this life's own.
    pub fn handle_health(
        &mut self,
        place: Place,
        command: CommandId,
        standing: &[Standing],
        at: Time,
    ) {
        if !self.goes_on(place) {
            return;
        }
        match standing.iter().find(|one| one.command == command) {
            Some(one) => {
                // Listed again: what looked like an end nobody told of was none.
                if self.facts.ended.is_some_and(|ended| ended.cause.is_none()) {
                    self.facts.ended = None;
                }
                let state = if one.proved { ObservedState::Holds } else { ObservedState::Unproved };
                self.observe(state, at);
            }
            None if self.stands() => {
                self.facts.ended = Some(Ended { at, cause: None, observed_gone: false });
            }
            None => {}
        }
    }

    /// Whether the endpoint said that it did it and not that it ended.
    #[must_use]
    pub fn stands(&self) -> bool {
        let Facts { applied, ended, failed, .. } = &self.facts;
        self.action.lasts() && applied.is_some() && ended.is_none() && failed.is_none()
    }

    /// What this release was to end was seen to be gone: the endpoint says so about the isolation.
    pub fn handle_released(&mut self, place: Place, at: Time) {
        if self.awaits_end() && self.goes_on(place) {
            self.facts.proved = Some(At { at });
            self.observe(ObservedState::Holds, at);
        }
    }

    /// Whether it is a release that was carried out and not yet seen to have had its effect.
    #[must_use]
    pub fn awaits_end(&self) -> bool {
        let changed = self.facts.applied.is_some_and(|applied| !applied.stood_already);
        self.action == ActionKind::Release && changed && self.facts.proved.is_none()
    }

    /// Whether the endpoint still waits to be given it.
    #[must_use]
    pub fn undelivered(&self) -> bool {
        self.facts.authorised.is_some()
            && self.facts.delivered.is_none()
            && self.facts.lapsed.is_none()
    }

    /// Whether what is said at this place is news.
    fn goes_on(&mut self, place: Place) -> bool {
        let place = (place.epoch, place.seq);
        let news = self.told.is_none_or(|told| told < place);
        if news {
            self.told = Some(place);
        }
        news
    }

    fn observe(&mut self, state: ObservedState, at: Time) {
        self.observed = Some(Observed { state, at });
    }

    fn handle_drift(&mut self, found: &str, reapplied: bool, at: Time) {
        let times = self.facts.drifted.as_ref().map_or(0, |drifted| drifted.times) + 1;
        self.facts.drifted = Some(Drifted { at, found: found.to_owned(), reapplied, times });
        let state = if reapplied { ObservedState::Unproved } else { ObservedState::Drifted };
        self.observe(state, at);
    }

    /// Keeps the place of a receipt; of a run of equal outcomes the first and the latest.
    fn remember(&mut self, place: Place, outcome: &Outcome, at: Time) {
        let Place { epoch, seq } = place;
        let outcome = outcome.name().to_owned();
        if let [.., before, last] = self.receipts.as_slice()
            && before.outcome == outcome
            && last.outcome == outcome
        {
            self.receipts.pop();
        }
        self.receipts.push(ReceiptAt { lane: Lane::Control, epoch, seq, at, outcome });
        if self.receipts.len() > RECEIPTS_MAX {
            self.receipts.remove(RECEIPTS_FIRST);
        }
    }
}

#[cfg(test)]
mod tests;
