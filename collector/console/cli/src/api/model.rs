//! The shapes of what the collector answers, as far as this program reads them.
//!
//! Fields that a newer collector adds are passed over; `--json` prints answers as they came.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::command::Nonce;
use cordon_proto::event::Lane;
use cordon_proto::id::{ClientId, CommandId, EndpointId};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// A list, or a page of one.
#[derive(Debug, Default, Deserialize)]
pub struct Page {
    /// The items as they came.
    #[serde(default)]
    pub items: Vec<Value>,
    /// Where the next page begins; none after the last one.
    #[serde(default)]
    pub next: Option<String>,
    /// How far a search got.
    #[serde(default)]
    pub scanned_to: Option<String>,
}

/// Reads a page; a bare list is a page without a next one.
pub fn page(value: Value) -> Result<Page, serde_json::Error> {
    match value {
        Value::Array(items) => Ok(Page { items, ..Page::default() }),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            serde_json::from_value(value)
        }
    }
}

/// Why the collector said no (RFC 9457).
#[derive(Debug, Default, Deserialize)]
pub struct Problem {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

impl Problem {
    /// The words to append to our own sentence.
    #[must_use]
    pub fn sentence(self) -> String {
        self.detail.or(self.title).map_or_else(String::new, |words| format!(": {words}"))
    }
}

/// An endpoint as the collector knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoint {
    /// Which.
    pub id: EndpointId,
    /// Whose.
    pub client: ClientId,
    /// The name it gave last.
    pub host_name: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// The kernel.
    #[serde(default)]
    pub kernel: String,
    /// The agent's version.
    #[serde(default)]
    pub agent_version: String,
    /// `online` or `offline`.
    #[serde(default)]
    pub state: String,
    /// Why it is offline, as far as the collector can tell.
    #[serde(default)]
    pub silence: Option<String>,
    /// What is wrong with what it sees or tells.
    #[serde(default)]
    pub conditions: Vec<Value>,
    /// When it was last heard.
    #[serde(default)]
    pub last_seen: Option<String>,
    /// Endpoint time in the health report last received.
    #[serde(default)]
    pub endpoint_secs: Option<u64>,
    /// The nonce published last; none before the first health report.
    #[serde(default)]
    pub nonce: Option<NonceRecord>,
    /// The roster it holds.
    #[serde(default)]
    pub roster_version: Option<u64>,
    /// The policy it holds, 0 for none; none before the first health report.
    #[serde(default)]
    pub policy_version: Option<u64>,
    /// Whether an isolation stands.
    #[serde(default)]
    pub isolated: bool,
    /// What stands on it.
    #[serde(default)]
    pub standing: Vec<Value>,
    /// How many machines answer to its key beside itself.
    #[serde(default)]
    pub clones: u64,
    /// The way out that is stored for it.
    #[serde(default)]
    pub way_out: Option<WayOutRecord>,
    /// Where it stands, as people say.
    #[serde(default)]
    pub site: Option<String>,
    /// Words that people find it by.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What it is for, as people say.
    #[serde(default)]
    pub role: String,
    /// How much hangs on it, as people say.
    #[serde(default)]
    pub criticality: String,
    /// When it joined.
    #[serde(default)]
    pub enrolled_at: Option<String>,
}

/// What the collector says of a way out that it stores.
#[derive(Clone, Debug, Deserialize)]
pub struct WayOutRecord {
    /// The number of the code.
    #[serde(deserialize_with = "number")]
    pub serial: u64,
    /// The roster that named the operators.
    #[serde(default)]
    pub roster_version: u64,
    /// Whether the endpoint has taken a newer roster since.
    #[serde(default)]
    pub is_void: bool,
    /// Who can open it.
    #[serde(default)]
    pub operators: Vec<String>,
}

impl WayOutRecord {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { serial, roster_version, operators, .. } = self;
        let void = if self.is_void { "VOID, a newer roster came: " } else { "" };
        format!(
            "{void}code {serial} of roster {roster_version}, sealed to {}",
            operators.join(", ")
        )
    }
}

/// A nonce in JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct NonceRecord {
    #[serde(deserialize_with = "number")]
    boot_count: u64,
    #[serde(deserialize_with = "number")]
    endpoint_secs: u64,
    mac: String,
}

impl NonceRecord {
    /// The nonce as it is signed into commands; none if its MAC is not 16 bytes.
    #[must_use]
    pub fn nonce(&self) -> Option<Nonce> {
        let mac = URL_SAFE_NO_PAD.decode(&self.mac).ok()?.try_into().ok()?;
        let Self { boot_count, endpoint_secs, .. } = *self;
        Some(Nonce { boot_count, endpoint_secs, mac })
    }
}

/// A command and what became of it.
#[derive(Clone, Debug, Deserialize)]
pub struct CommandRecord {
    /// Which.
    pub id: CommandId,
    /// Whose endpoints.
    pub client: ClientId,
    /// The signed bytes: what is true about the command stands in them.
    #[serde(default)]
    pub command: Option<String>,
    /// The action's name, the collector's words.
    #[serde(default)]
    pub action: Value,
    /// The reason, the collector's words.
    #[serde(default)]
    pub reason: String,
    /// Whose signature is missing, the collector's words.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// Per endpoint.
    #[serde(default)]
    pub targets: Vec<TargetRecord>,
}

impl CommandRecord {
    /// The signed bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.command.as_deref()?).ok()
    }

    /// The action's name.
    #[must_use]
    pub fn action_name(&self) -> &str {
        let named = || self.action.get("action").and_then(Value::as_str);
        self.action.as_str().or_else(named).unwrap_or("?")
    }
}

/// What the collector says about a command on one endpoint.
#[derive(Clone, Debug, Deserialize)]
pub struct TargetRecord {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Its name when the command was signed.
    #[serde(default)]
    pub host_name: String,
    /// The facts.
    #[serde(default)]
    pub facts: Facts,
    /// The last observation.
    #[serde(default)]
    pub observed: Option<Observed>,
    /// Where the endpoint's own words stand.
    #[serde(default)]
    pub receipts: Vec<ReceiptRecord>,
}

/// Five facts and what may come instead of them; each none until it is one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Asked for.
    pub requested: Option<Fact>,
    /// Signed by as many as it takes.
    pub authorised: Option<Fact>,
    /// The endpoint has it.
    pub delivered: Option<Fact>,
    /// Done.
    pub applied: Option<Fact>,
    /// Observed.
    pub proved: Option<Fact>,
    /// The endpoint said no.
    pub refused: Option<Fact>,
    /// It could not be done.
    pub failed: Option<Fact>,
    /// What stood no longer matched.
    pub drifted: Option<Fact>,
    /// No longer in force.
    pub ended: Option<Fact>,
    /// Never delivered, and now too old.
    pub lapsed: Option<Fact>,
}

/// One fact with whatever the collector adds to it.
#[derive(Clone, Debug, Deserialize)]
pub struct Fact {
    /// When.
    pub at: String,
    /// Everything else.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

/// What was last observed, and when.
#[derive(Clone, Debug, Deserialize)]
pub struct Observed {
    /// The state.
    pub state: String,
    /// When.
    pub at: String,
}

/// A receipt as the collector lists it.
#[derive(Clone, Debug, Deserialize)]
pub struct ReceiptRecord {
    /// Where it stands.
    #[serde(flatten)]
    pub at: ReceiptAt,
    /// What it says, in the collector's word.
    #[serde(default)]
    pub outcome: String,
}

/// Where a receipt stands in its endpoint's lane.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReceiptAt {
    /// The lane.
    pub lane: Lane,
    /// The lane's epoch.
    pub epoch: u32,
    /// The event's number.
    #[serde(deserialize_with = "number")]
    pub seq: u64,
}

/// An event's proof in JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct ProofRecord {
    /// CBOR of the proof.
    pub proof: String,
    /// The endpoint's public key.
    pub key: String,
}

/// A client's roster in JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct RosterRecord {
    /// The document as the authority signed it.
    pub document: String,
    /// Endpoints that hold an older one.
    #[serde(default)]
    pub laggards: Vec<Value>,
}

/// A number that is a string in JSON because it may pass 2^53; a plain one is understood too.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(from)?;
    let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| D::Error::custom("expected a number, plain or in a string"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn large_numbers_come_as_strings_and_small_ones_either_way() {
        let at = |seq: Value| {
            serde_json::from_value::<ReceiptAt>(
                json!({ "lane": "control", "epoch": 1, "seq": seq }),
            )
            .map(|at| at.seq)
            .ok()
        };
        assert_eq!(at(json!("18446744073709551615")), Some(u64::MAX));
        assert_eq!(at(json!(7)), Some(7));
        assert_eq!(at(json!("x")), None);
        assert_eq!(at(json!(-1)), None);
    }

    #[test]
    fn a_bare_list_is_a_page_without_a_next_one() {
        assert_eq!(page(json!([1, 2])).unwrap().items.len(), 2);
        let read = page(json!({ "items": [1], "next": "c" })).unwrap();
        assert_eq!((read.items.len(), read.next.as_deref()), (1, Some("c")));
        assert!(page(json!("x")).is_err());
    }
}
