//! Following a command to what became of it. Pure: records and proofs come in, questions and lines
//! go out.
//!
//! What the collector says is shown as its words. Applied, proved, refused and ended count only by
//! receipts that verify here: under the key that the endpoint is named by, and about the very bytes
//! that were signed. A release ends an isolation, and its end is told in a receipt about that one.

pub mod receipt;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cordon_proto::command::{ActionKind, Command};
use cordon_proto::event::receipt::{Check, Outcome, SnapshotState};
use cordon_proto::id::{CommandId, EndpointId, Hash};
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
    asked: BTreeMap<ReceiptAt, About>,
    isolation: Option<Isolation>,
    authorised: bool,
    applied: bool,
    proofs: u64,
    settled: Option<Exit>,
}

/// What a receipt that was asked for must be about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum About {
    Command,
    Isolation,
}

/// The isolation that a release is to end.
struct Isolation {
    command: Command,
    copies: BTreeSet<Hash>,
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
            asked: BTreeMap::new(),
            isolation: None,
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

    /// Lets the end of an isolation count as the end that a release asks for.
    pub fn expect_end(&mut self, endpoint: EndpointId, isolation: &SignedCommand) {
        let copies = BTreeSet::from([Hash::of(&isolation.to_bytes())]);
        let command = isolation.command().clone();
        if let Some(track) = self.tracks.iter_mut().find(|track| track.endpoint == endpoint) {
            track.isolation = Some(Isolation { command, copies });
        }
    }

    /// The isolations whose end is waited for; their records are to be handed over too.
    #[must_use]
    pub fn isolations(&self) -> BTreeSet<CommandId> {
        let open = self.tracks.iter().filter(|track| track.settled.is_none() && track.applied);
        open.filter_map(|track| Some(track.isolation.as_ref()?.command.id)).collect()
    }

    /// Takes what the collector says about an isolation whose end is waited for.
    pub fn handle_isolation(&mut self, record: &CommandRecord) {
        for track in &mut self.tracks {
            let Some(isolation) = &mut track.isolation else { continue };
            if isolation.command.id != record.id {
                continue;
            }
            if let Some(hash) = copy_of(&isolation.command, record).ok().flatten() {
                isolation.copies.insert(hash);
            }
            let targets = record.targets.iter().filter(|target| target.endpoint == track.endpoint);
            for receipt in targets.flat_map(|target| &target.receipts) {
                // Which of them tells the end is the collector's hint; whether it does is verified.
                let at = receipt.at;
                if receipt.outcome == "ended"
                    && let Entry::Vacant(free) = track.asked.entry(at)
                {
                    free.insert(About::Isolation);
                    self.effects.push_back(Effect::Fetch(track.endpoint, at));
                }
            }
        }
    }

    /// Takes the proof of a receipt that was asked for.
    pub fn handle_proof(&mut self, endpoint: EndpointId, at: ReceiptAt, proof: &ProofRecord) {
        let kind = self.command.action.kind();
        let Some(track) = self.tracks.iter_mut().find(|track| track.endpoint == endpoint) else {
            return;
        };
        let about = track.asked.get(&at).copied().unwrap_or(About::Command);
        let (command, copies) = match (about, &track.isolation) {
            (About::Isolation, Some(isolation)) => (isolation.command.id, &isolation.copies),
            (About::Isolation, None) | (About::Command, _) => (self.command.id, &self.copies),
        };
        let line = match receipt::verify(proof, endpoint, at, command, copies) {
            Ok(receipt) => match about {
                About::Command => track.take(kind, &receipt),
                About::Isolation => track.take_end(&receipt),
            },
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
        match copy_of(&self.command, record) {
            Ok(hash) => self.copies.extend(hash),
            Err(OtherBytes) if self.warned => {}
            Err(OtherBytes) => {
                self.warned = true;
                for track in &mut self.tracks {
                    let words =
                        "the collector shows other bytes under this command's id".to_owned();
                    let line = track.line("NOT VERIFIED", String::new(), words, false, Tone::Bad);
                    self.effects.push_back(Effect::Say(line));
                }
            }
        }
    }

    fn handle_target(&mut self, target: &TargetRecord) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.endpoint == target.endpoint)
        else {
            return;
        };
        track.tell_facts(&target.facts, &mut self.effects);
        for receipt in &target.receipts {
            let at = receipt.at;
            if let Entry::Vacant(free) = track.asked.entry(at) {
                free.insert(About::Command);
                self.effects.push_back(Effect::Fetch(target.endpoint, at));
            }
        }
    }
}

/// Bytes of something else under a command's id.
struct OtherBytes;

/// The hash of the copy of a command that the collector shows, if it shows one.
fn copy_of(command: &Command, record: &CommandRecord) -> Result<Option<Hash>, OtherBytes> {
    let Some(bytes) = record.bytes() else { return Ok(None) };
    match SignedCommand::read(&bytes) {
        Ok(copy) if copy.command() == command => Ok(Some(Hash::of(&bytes))),
        Ok(_) | Err(_) => Err(OtherBytes),
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
        let mut fact = outcome.name();
        if matches!(outcome, Outcome::Proved(proof) if !proof.holds()) {
            fact = "unproved";
        }
        let at = cordon_proto::time::rfc3339(receipt.time_ns);
        Some(self.line(fact, at, summary::outcome(outcome), true, tone))
    }

    /// Takes a verified receipt about the isolation that a release is to end.
    fn take_end(&mut self, receipt: &VerifiedReceipt) -> Option<Line> {
        let outcome = &receipt.receipt.outcome;
        if !matches!(outcome, Outcome::Ended { .. }) {
            return None;
        }
        let (settles, tone) = self.meaning(ActionKind::Release, outcome);
        if let Some(exit) = settles {
            self.settle(exit);
        }
        let at = cordon_proto::time::rfc3339(receipt.time_ns);
        Some(self.line("ended", at, summary::outcome(outcome), true, tone))
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
                let done = kind == ActionKind::SetPolicy || (kind.undoes() && *stood_already);
                (done.then_some(Exit::Done), Tone::Plain)
            }
            Outcome::Proved(proof) if proof.holds() => (Some(Exit::Done), Tone::Good),
            Outcome::Proved(_) | Outcome::Unproved(_) => (Some(Exit::Unproved), Tone::Bad),
            Outcome::Observed { .. } if outcome.proves() => (Some(Exit::Done), Tone::Good),
            Outcome::Observed { .. } => (Some(Exit::Unproved), Tone::Bad),
            Outcome::Partial { .. } => (Some(Exit::ActionFailed), Tone::Bad),
            Outcome::Snapshot { state: SnapshotState::Whole, .. } => (None, Tone::Plain),
            Outcome::Snapshot { .. } => (None, Tone::Notice),
            Outcome::Drifted { .. } => (None, Tone::Notice),
            Outcome::Failed { .. } | Outcome::Answered { error: Some(_), .. } => {
                (Some(Exit::ActionFailed), Tone::Bad)
            }
            Outcome::Answered { error: None, .. } => (Some(Exit::Done), Tone::Good),
            // Its isolation was one of all that is undone.
            Outcome::Ended { .. } if kind == ActionKind::ReleaseAll => (None, Tone::Plain),
            Outcome::Ended { observed_gone: true, .. } if kind.undoes() => {
                (Some(Exit::Done), Tone::Good)
            }
            Outcome::Ended { .. } => (Some(Exit::Unproved), Tone::Notice),
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
