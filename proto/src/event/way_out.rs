//! The way out of an isolation when nothing else is left: a single-use code that the endpoint made
//! beforehand, sealed to the operators who may release it. Nobody between them can open it.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::id::{EndpointId, KeyId, OperatorId};
use crate::roster::RosterRef;
use crate::sign::SealingKey;

/// Bytes of a code: 80 bits, read aloud as sixteen characters.
pub const CODE_BYTES: usize = 10;

/// Operators that a code is sealed to; more would not fit into an event.
pub const BOXES_MAX: usize = 256;

/// Why a code was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum MadeFor {
    /// There was none.
    #[n(0)]
    First,
    /// The roster changed: whoever it revokes must not hold a way out.
    #[n(1)]
    Roster,
    /// The one before was used.
    #[n(2)]
    Used,
    /// The endpoint was rolled back: a used code may have come back with it.
    #[n(3)]
    RolledBack,
}

/// A code for one operator: HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256),
/// HKDF-SHA256 and ChaCha20-Poly1305, the first message under its context, without associated data.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct SealedCode {
    /// Whose.
    #[n(0)]
    pub operator: OperatorId,
    /// The id of the sealing key.
    #[n(1)]
    pub key: KeyId,
    /// The encapsulated key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub encapsulated: [u8; 32],
    /// The code and its tag, sealed.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub text: Vec<u8>,
}

/// A way out was made; every one before is void.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct WayOut {
    /// Counts the codes that this endpoint made.
    #[n(0)]
    pub serial: u64,
    /// The roster that named the operators.
    #[n(1)]
    pub roster: RosterRef,
    /// When it was made, in seconds of endpoint time.
    #[n(2)]
    pub endpoint_secs: u64,
    /// Why.
    #[n(3)]
    pub made_for: MadeFor,
    /// The code, for each operator who may release this endpoint and has a sealing key. None of
    /// them: there is no way out.
    #[n(4)]
    pub boxes: Vec<SealedCode>,
}

impl WayOut {
    /// The code as sealed to this key.
    #[must_use]
    pub fn sealed_to(&self, key: &SealingKey) -> Option<&SealedCode> {
        let id = key.id();
        self.boxes.iter().find(|sealed| sealed.key == id)
    }
}

/// HPKE's `info`: what a box is bound to, so that it opens as nothing else.
#[must_use]
pub fn info(endpoint: EndpointId, serial: u64, roster: RosterRef) -> Vec<u8> {
    codec::encode(&Bound { kind: "cordon/way-out;v=1", endpoint, serial, roster })
}

#[derive(Encode)]
struct Bound<'a> {
    #[n(0)]
    kind: &'a str,
    #[n(1)]
    endpoint: EndpointId,
    #[n(2)]
    serial: u64,
    #[n(3)]
    roster: RosterRef,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_found_by_its_key_and_bound_to_endpoint_number_and_roster() {
        let (mine, other) = (SealingKey([1; 32]), SealingKey([2; 32]));
        let sealed = SealedCode {
            operator: "ann".parse().unwrap(),
            key: mine.id(),
            encapsulated: [3; 32],
            text: vec![4; 26],
        };
        let (serial, roster) = (7, RosterRef::default());
        let made_for = MadeFor::First;
        let way_out =
            WayOut { serial, roster, endpoint_secs: 0, made_for, boxes: vec![sealed.clone()] };
        assert_eq!(way_out.sealed_to(&mine), Some(&sealed));
        assert_eq!(way_out.sealed_to(&other), None);
        let endpoint = EndpointId::of(b"e");
        let bound = info(endpoint, serial, roster);
        let newer = RosterRef { version: 1, ..roster };
        for changed in [
            info(EndpointId::of(b"f"), serial, roster),
            info(endpoint, 8, roster),
            info(endpoint, 7, newer),
        ] {
            assert_ne!(changed, bound);
        }
    }
}
