//! The shape of a preview: what an isolation would cut, as the collector foretells it.
//!
//! Everything in it is the collector's word and the endpoint's: shown, escaped, and never signed.

use cordon_proto::id::EndpointId;
use serde::Deserialize;

/// What an isolation would cut.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Preview {
    /// Which endpoint it is about.
    pub endpoint: Option<EndpointId>,
    /// `online` or `offline`.
    pub state: String,
    /// When the endpoint was last heard.
    pub last_seen: Option<String>,
    /// Events since then were looked at.
    pub since: String,
    /// How many.
    pub events: u64,
    /// When the newest of them was made.
    pub newest: Option<String>,
    /// Only what was received since then is in it, because time was up.
    pub cut_at: Option<String>,
    /// Whether policy calls the endpoint critical.
    pub critical: bool,
    /// The policy judged by, and the one that the endpoint said it holds.
    pub policy_version: u64,
    /// See `policy_version`.
    pub policy_held: Option<u64>,
    /// What it is for others.
    pub roles: Vec<Role>,
    /// Why a second person must sign.
    pub needs_second: Option<String>,
    /// Connections.
    pub flows: Vec<Flow>,
    /// Who waits for others.
    pub listeners: Vec<Listener>,
    /// Who is logged in from elsewhere.
    pub sessions: Vec<Session>,
    /// What is not shown.
    pub left_out: u64,
}

/// What a machine is for others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Which.
    pub role: String,
    /// What it was judged by.
    pub because: Vec<String>,
    /// Since when.
    pub since: String,
    /// Whether it has been one for long enough to count.
    pub settled: bool,
}

/// Connections of one kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// `inbound` or `outbound`.
    pub direction: Option<String>,
    /// `tcp` or `udp`.
    pub transport: String,
    /// The other end.
    pub address: String,
    /// The port that was asked.
    pub port: u16,
    /// Names of the other end.
    pub names: Vec<String>,
    /// The program.
    pub program: Option<String>,
    /// How many.
    pub count: u64,
    /// How many of them stand.
    pub open: u64,
    /// How many tries failed.
    pub failed: u64,
    /// Bytes sent.
    pub bytes_sent: Option<u64>,
    /// Bytes received.
    pub bytes_received: Option<u64>,
    /// When last.
    pub last: String,
    /// `cut`, `kept` or `unknown`.
    pub fate: String,
    /// Why.
    pub why: String,
}

/// Somebody who waits for others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub transport: String,
    /// Where.
    pub address: String,
    /// On which port.
    pub port: u16,
    /// The program.
    pub program: Option<String>,
    /// `cut`, `kept` or `unknown`.
    pub fate: String,
    /// Why.
    pub why: String,
}

/// Somebody who is logged in from elsewhere.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Session {
    /// The account.
    pub user: Option<String>,
    /// From where.
    pub from: String,
    /// Which programs say so.
    pub told_by: Vec<String>,
    /// Since when.
    pub since: String,
}
