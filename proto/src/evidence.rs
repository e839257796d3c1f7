//! Evidence bundles: events with everything that proves them, to be checked anywhere, offline.
//!
//! A bundle holds whole batches as the endpoints signed them, in chain order, with the endpoints'
//! public keys. The verifier trusts nothing in it: an endpoint's id is the hash of its key, every
//! batch is under that key's signature, and every batch names the one before it.

use minicbor::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::event::Lane;
use crate::event::gap::SealedRange;
use crate::id::{ClientId, EndpointId, Hash};
use crate::message::{LanePosition, Signed};
use crate::roster::Roster;
use crate::sign::VerifyingKey;
use crate::sign::batch::{self, Batch, Header, Opened};
use crate::sign::chain::{self, Verdict};
use crate::sign::document::{self, Kind};

/// What a bundle's file begins with, so that it is not taken for something else.
pub const MAGIC: &str = "cordon-evidence-1";

/// One endpoint's part of a bundle.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct EndpointEvidence {
    /// The endpoint.
    #[n(0)]
    pub endpoint: EndpointId,
    /// Its first signing key, whose hash is its id.
    #[n(1)]
    pub key: VerifyingKey,
    /// The host name it gave last; not proved by itself.
    #[n(2)]
    pub host_name: String,
    /// Batches of both lanes, each lane in the order of its chain.
    #[n(3)]
    pub batches: Vec<Batch>,
}

/// A bundle.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Bundle {
    /// [`MAGIC`].
    #[n(0)]
    pub magic: String,
    /// Whose endpoints.
    #[n(1)]
    pub client: ClientId,
    /// When it was made, nanoseconds since 1970 UTC; not proved.
    #[n(2)]
    pub made_ns: u64,
    /// The client's rosters, as the authority signed them.
    #[n(3)]
    pub rosters: Vec<Signed>,
    /// The endpoints.
    #[n(4)]
    pub endpoints: Vec<EndpointEvidence>,
}

/// Why a file is not a bundle at all.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The bytes.
    #[error("the file {0}")]
    Codec(#[from] CodecError),
    /// Something else, or of another version.
    #[error("the file is not an evidence bundle of a known version")]
    Magic,
}

/// One thing that was checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// Whether it holds.
    pub holds: bool,
    /// What it is, in words.
    pub sentence: String,
}

/// What a bundle proves, and what it does not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Everything that was checked, in order.
    pub statements: Vec<Statement>,
    /// Events whose signature and place were verified.
    pub events: u64,
}

impl Report {
    /// Whether everything that was checked holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.statements.iter().all(|statement| statement.holds)
    }

    fn say(&mut self, holds: bool, sentence: String) {
        self.statements.push(Statement { holds, sentence });
    }
}

impl Bundle {
    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a file's bytes; nothing is verified here.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let bundle: Self = codec::decode_strict(bytes)?;
        if bundle.magic != MAGIC { Err(EvidenceError::Magic) } else { Ok(bundle) }
    }
}

/// Checks a bundle. `authority` are the authority's public keys, where the reader has them: without
/// them the rosters in the bundle are not vouched for.
pub fn verify(bytes: &[u8], authority: Option<&[VerifyingKey]>) -> Result<Report, EvidenceError> {
    let bundle = Bundle::decode(bytes)?;
    let mut report = Report::default();
    for roster in &bundle.rosters {
        check_roster(&bundle, roster, authority, &mut report);
    }
    for endpoint in &bundle.endpoints {
        check_endpoint(endpoint, &mut report);
    }
    if bundle.endpoints.is_empty() {
        report.say(false, "the bundle holds no endpoint, so it proves nothing".to_owned());
    }
    Ok(report)
}

fn check_roster(
    bundle: &Bundle,
    roster: &Signed,
    authority: Option<&[VerifyingKey]>,
    report: &mut Report,
) {
    let Some(authority) = authority else {
        let sentence = "roster: not checked, because no authority key was given";
        return report.say(true, sentence.to_owned());
    };
    let verify =
        |key: &VerifyingKey| document::verify::<Roster>(Kind::Roster, &roster.bytes, b"", key).ok();
    match authority.iter().find_map(verify) {
        Some(read) if read.client == bundle.client => report.say(
            true,
            format!("roster {} of client {}: signed by the authority", read.version, read.client),
        ),
        Some(read) => {
            report.say(false, format!("a roster in the bundle is client {}'s", read.client));
        }
        None => report.say(false, "a roster is not signed by the authority given".to_owned()),
    }
}

fn check_endpoint(evidence: &EndpointEvidence, report: &mut Report) {
    let name = evidence.endpoint.short();
    if EndpointId(evidence.key.id().0) != evidence.endpoint {
        return report
            .say(false, format!("endpoint {name}: the key is not the one it is named by"));
    }
    report.say(true, format!("endpoint {name}: its id is the hash of the key in the bundle"));
    let mut opened = Vec::new();
    for (index, sealed) in evidence.batches.iter().enumerate() {
        match batch::open(sealed, &evidence.key) {
            Ok(batch) if batch.header.endpoint == evidence.endpoint => opened.push(batch),
            Ok(batch) => {
                let whose = batch.header.endpoint.short();
                return report
                    .say(false, format!("endpoint {name}: batch {index} is endpoint {whose}'s"));
            }
            Err(error) => {
                return report.say(false, format!("endpoint {name}: batch {index}: {error}"));
            }
        }
    }
    let gaps = signed_gaps(&opened);
    for lane in Lane::ALL {
        check_lane(&name, lane, &opened, &gaps, report);
    }
}

fn check_lane(
    name: &str,
    lane: Lane,
    opened: &[Opened],
    gaps: &[SealedRange],
    report: &mut Report,
) {
    let mut batches = opened.iter().filter(|batch| batch.header.lane == lane);
    let lane = lane.name();
    let Some(first) = batches.next() else {
        return report.say(true, format!("endpoint {name}, {lane}: no batch in the bundle"));
    };
    let mut position: LanePosition = chain::position(&first.header, first.hash);
    let mut events = u64::from(first.header.count);
    let mut jumps = 0_u64;
    for batch in batches {
        match chain::judge(Some(&position), &batch.header, gaps) {
            Verdict::Next | Verdict::NewEpoch => {}
            Verdict::NextAfterGap => jumps = jumps.saturating_add(1),
            Verdict::Stored => {
                return report.say(false, broken(name, lane, batch, "it stands twice"));
            }
            Verdict::Broken(why) => return report.say(false, broken(name, lane, batch, why)),
        }
        position = chain::position(&batch.header, batch.hash);
        events = events.saturating_add(u64::from(batch.header.count));
    }
    report.events = report.events.saturating_add(events);
    let begin = match (first.header.first, first.header.previous == Hash::default()) {
        (1, true) => "from the beginning of its epoch".to_owned(),
        (from, _) => format!("from event {from} of epoch {}", first.header.epoch),
    };
    let jumps = if jumps == 0 { String::new() } else { format!(", {jumps} signed gap(s)") };
    report.say(
        true,
        format!(
            "endpoint {name}, {lane}: {events} events signed and in one chain {begin}{jumps}; \
             complete to header {} (event {} of epoch {}); unknown after",
            position.head.short(),
            position.last,
            position.epoch
        ),
    );
}

fn broken(name: &str, lane: &str, batch: &Opened, why: &str) -> String {
    let Header { epoch, first, .. } = batch.header;
    format!("endpoint {name}, {lane}: the chain breaks at event {first} of epoch {epoch}: {why}")
}

fn signed_gaps(opened: &[Opened]) -> Vec<SealedRange> {
    let control = opened.iter().filter(|batch| batch.header.lane == Lane::Control);
    let events = control.flat_map(|batch| &batch.events);
    events.filter_map(|bytes| batch::read_event(bytes).ok()?.body.gap()?.sealed).collect()
}
