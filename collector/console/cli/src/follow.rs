//! Following a command to what became of it. Pure: records and proofs come in, questions and lines
//! go out.
//!
//! What the collector says is shown as its words. Applied, proved, refused and ended count only by
//! receipts that verify here: under the key that the endpoint is named by, and about the very bytes
//! that were signed.

pub mod receipt;

use std::collections::{BTreeSet, VecDeque};

use cordon_proto::command::{ActionKind, Command};
use cordon_proto::event::receipt::{Check, Outcome};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::sign::command::SignedCommand;

use crate::api::model::{CommandRecord, Facts, ProofRecord, ReceiptAt, TargetRecord};
use crate::exit::Exit;
use crate::moment;
use crate::output::table::Tone;
use crate::output::text::plain;
use crate::summary;
use receipt::VerifiedReceipt;

/// What the follower needs or has to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Fetch the proof of a receipt, and hand it over.
    Fetch(EndpointId, ReceiptAt),
    /// Tell the person.
    Say(Line),
}

/// One fact about one endpoint.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Line {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Its host name, escaped.
    pub host_name: String,
    /// The fact in a word.
    pub fact: &'static str,
    /// When, as told by whoever states it.
    pub at: String,
    /// More about it, escaped.
    pub words: String,
    /// Whether this program verified it; otherwise it is the collector's word.
    pub verified: bool,
    /// How it is meant.
    #[serde(skip)]
    pub tone: Tone,
}

struct Track {
    endpoint: EndpointId,
    host_name: String,
    said: BTreeSet<&'static str>,
    asked: BTreeSet<ReceiptAt>,
    authorised: bool,
    applied: bool,
    proofs: u64,
    settled: Option<Exit>,
}

/// Follows one command on all its endpoints.
pub struct Follow {
    command: Command,
    copies: BTreeSet<Hash>,
    tracks: Vec<Track>,
    effects: VecDeque<Effect>,
    warned: bool,
}

impl Follow {
    /// Begins to follow a command as it was signed here, or as its bytes say.
    #[must_use]
    pub fn new(signed: &SignedCommand) -> Self {
        let command = signed.command().clone();
        let track = |target: &cordon_proto::command::Target| Track {
            endpoint: target.endpoint,
            host_name: plain(&target.host_name).into_owned(),
            said: BTreeSet::new(),
            asked: BTreeSet::new(),
            authorised: false,
            applied: false,
            proofs: 0,
            settled: None,
        };
        let tracks = command.targets.iter().map(track).collect();
        let copies = BTreeSet::from([Hash::of(&signed.to_bytes())]);
        Self { command, copies, tracks, effects: VecDeque::new(), warned: false }
    }

    /// Takes what the collector says about the command.
    pub fn handle_record(&mut self, record: &CommandRecord) {
        self.learn_copy(record);
        for target in &record.targets {
            self.handle_target(target);
        }
    }

    /// Takes the proof of a receipt that was asked for.
    pub fn handle_proof(&mut self, endpoint: EndpointId, at: ReceiptAt, proof: &ProofRecord) {
        let verified = receipt::verify(proof, endpoint, at, self.command.id, &self.copies);
        let kind = self.command.action.kind();
        let Some(track) = self.tracks.iter_mut().find(|track| track.endpoint == endpoint) else {
            return;
        };
        let line = match verified {
            Ok(receipt) => track.take(kind, &receipt),
            Err(error) => {
                track.settle(Exit::DoesNotHold);
                let words = format!("a receipt does not count: {}", plain(&error.to_string()));
                Some(track.line("NOT VERIFIED", String::new(), words, false, Tone::Bad))
            }
        };
        self.effects.extend(line.map(Effect::Say));
    }

    /// Says that a receipt could not be fetched; it will be asked for again.
    pub fn handle_no_proof(&mut self, endpoint: EndpointId, at: ReceiptAt) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.endpoint == endpoint) {
            track.asked.remove(&at);
        }
    }

    /// What to do next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How it ended, once it has ended on every endpoint.
    #[must_use]
    pub fn settled(&self) -> Option<Exit> {
        let each: Option<Vec<Exit>> = self.tracks.iter().map(|track| track.settled).collect();
        each?.into_iter().max()
    }

    /// How it stands now: what has not settled is not proved, or not authorised.
    #[must_use]
    pub fn standing(&self) -> Exit {
        let each = self.tracks.iter().map(|track| match (track.settled, track.authorised) {
            (Some(exit), _) => exit,
            (None, true) => Exit::Unproved,
            (None, false) => Exit::NotAuthorised,
        });
        each.max().unwrap_or(Exit::Unproved)
    }

    /// A copy with more signatures is the same command; endpoints name the copy that they got.
    fn learn_copy(&mut self, record: &CommandRecord) {
        let Some(bytes) = record.bytes() else { return };
        match SignedCommand::read(&bytes) {
            Ok(copy) if *copy.command() == self.command => {
                self.copies.insert(Hash::of(&bytes));
            }
            Ok(_) | Err(_) if !self.warned => {
                self.warned = true;
                for track in &mut self.tracks {
                    let words =
                        "the collector shows other bytes under this command's id".to_owned();
                    let line = track.line("NOT VERIFIED", String::new(), words, false, Tone::Bad);
                    self.effects.push_back(Effect::Say(line));
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn handle_target(&mut self, target: &TargetRecord) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.endpoint == target.endpoint)
        else {
            return;
        };
        track.tell_facts(&target.facts, &mut self.effects);
        for at in &target.receipts {
            if track.asked.insert(*at) {
                self.effects.push_back(Effect::Fetch(target.endpoint, *at));
            }
        }
    }
}

impl Track {
    /// Passes on the facts that only the collector can know.
    fn tell_facts(&mut self, facts: &Facts, effects: &mut VecDeque<Effect>) {
        self.authorised |= facts.authorised.is_some();
        let told = [
            ("requested", &facts.requested, Tone::Plain),
            ("authorised", &facts.authorised, Tone::Plain),
            ("delivered", &facts.delivered, Tone::Plain),
            ("lapsed", &facts.lapsed, Tone::Bad),
        ];
        for (name, fact, tone) in told {
            if let Some(fact) = fact
                && self.said.insert(name)
            {
                let by = match fact.more.get("by") {
                    Some(serde_json::Value::String(one)) => format!("by {}", plain(one)),
                    Some(serde_json::Value::Array(several)) => {
                        let names = several.iter().filter_map(serde_json::Value::as_str);
                        format!("by {}", plain(&names.collect::<Vec<_>>().join(", ")))
                    }
                    _ => String::new(),
                };
                let words = if name == "lapsed" {
                    "it was never delivered and is too old to count; sign it again".to_owned()
                } else {
                    by
                };
                let at = plain(&fact.at).into_owned();
                effects.push_back(Effect::Say(self.line(name, at, words, false, tone)));
            }
        }
        if facts.lapsed.is_some() {
            self.settle(Exit::Unproved);
        }
    }

    /// Takes a verified receipt; answers what to say, unless it only says the same again.
    fn take(&mut self, kind: ActionKind, receipt: &VerifiedReceipt) -> Option<Line> {
        let outcome = &receipt.receipt.outcome;
        let (settles, tone) = self.meaning(kind, outcome);
        self.authorised = true;
        if let Outcome::Proved(_) = outcome {
            self.proofs += 1;
        }
        if let Some(exit) = settles {
            self.settle(exit);
        }
        if matches!(outcome, Outcome::Proved(_)) && self.proofs > 1 {
            return None;
        }
        let mut fact = summary::fact(outcome);
        if matches!(outcome, Outcome::Proved(proof) if !proof.holds()) {
            fact = "unproved";
        }
        let at = cordon_proto::time::rfc3339(receipt.time_ns);
        Some(self.line(fact, at, summary::outcome(outcome), true, tone))
    }

    /// How an outcome ends the wait, if it does.
    fn meaning(&mut self, kind: ActionKind, outcome: &Outcome) -> (Option<Exit>, Tone) {
        match outcome {
            Outcome::Refused { check: Check::Replay, .. } if self.applied => (None, Tone::Notice),
            Outcome::Refused { .. } => (Some(Exit::Refused), Tone::Bad),
            Outcome::Accepted { .. } => (None, Tone::Plain),
            Outcome::Applied { stood_already, .. } => {
                self.applied = true;
                // A policy is in force once it is taken; where nothing was to be released, nothing
                // will end.
                let done = match kind {
                    ActionKind::SetPolicy => true,
                    ActionKind::Release => *stood_already,
                    ActionKind::Isolate => false,
                };
                (done.then_some(Exit::Done), Tone::Plain)
            }
            Outcome::Proved(proof) if proof.holds() => (Some(Exit::Done), Tone::Good),
            Outcome::Proved(_) | Outcome::Unproved(_) => (Some(Exit::Unproved), Tone::Bad),
            Outcome::Drifted { .. } => (None, Tone::Notice),
            Outcome::Failed { .. } => (Some(Exit::ActionFailed), Tone::Bad),
            Outcome::Ended { observed_gone, .. } => match (kind, observed_gone) {
                (ActionKind::Release, true) => (Some(Exit::Done), Tone::Good),
                (ActionKind::Release | ActionKind::Isolate | ActionKind::SetPolicy, _) => {
                    (Some(Exit::Unproved), Tone::Notice)
                }
            },
        }
    }

    /// The first ending counts, but for a doubt about the evidence: that outweighs every other.
    fn settle(&mut self, exit: Exit) {
        if self.settled.is_none() || exit == Exit::DoesNotHold {
            self.settled = Some(exit);
        }
    }

    fn line(
        &self,
        fact: &'static str,
        at: String,
        words: String,
        verified: bool,
        tone: Tone,
    ) -> Line {
        let (endpoint, host_name) = (self.endpoint, self.host_name.clone());
        let at = match cordon_proto::time::from_rfc3339(&at) {
            Some(ns) => moment::table_time(ns),
            None => at,
        };
        Line { endpoint, host_name, fact, at, words, verified, tone }
    }
}

#[cfg(test)]
mod tests;
