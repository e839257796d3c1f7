//! Whether a way out is what it must be before its code is read out, and how it is read out. Pure.

use cordon_proto::code::Code;
use cordon_proto::event::way_out::{self, WayOut};
use cordon_proto::event::{Body, Lane};
use cordon_proto::id::EndpointId;
use serde::Deserialize;

use crate::api::model::{ProofRecord, ReceiptAt};
use crate::follow::receipt::{self, ReceiptError};
use crate::sealing::{OpenError, OpeningKey};

/// The collector's answer.
#[derive(Debug, Deserialize)]
pub struct Given {
    /// In which epoch of the control lane it was told.
    pub epoch: u32,
    /// Its number there.
    #[serde(deserialize_with = "crate::api::model::number")]
    pub seq: u64,
    /// The event with what proves it.
    #[serde(flatten)]
    pub proof: ProofRecord,
}

/// Why no code is shown.
#[derive(Debug, thiserror::Error)]
pub enum WayOutError {
    /// The endpoint did not sign it.
    #[error("what the collector gives is not this endpoint's own word: {0}")]
    Proof(#[from] ReceiptError),
    /// The endpoint signed something else.
    #[error("what the collector gives is something else that the endpoint said")]
    Other,
    /// Sealed to others.
    #[error("it is sealed to {0}, and not to your key")]
    NotMine(String),
    /// Sealed, and not to be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Reads a way out that this endpoint signed.
pub fn verify(given: &Given, endpoint: EndpointId) -> Result<WayOut, WayOutError> {
    let at = ReceiptAt { lane: Lane::Control, epoch: given.epoch, seq: given.seq };
    let event = receipt::event_at(&given.proof, endpoint, at)?;
    let Body::WayOut(way_out) = event.body else { return Err(WayOutError::Other) };
    Ok(*way_out)
}

/// Opens the code that is sealed to this key.
pub fn open(way_out: &WayOut, endpoint: EndpointId, key: &OpeningKey) -> Result<Code, WayOutError> {
    let names = || way_out.boxes.iter().map(|one| one.operator.as_str()).collect::<Vec<_>>();
    let sealed = way_out.sealed_to(&key.sealing());
    let sealed = sealed.ok_or_else(|| WayOutError::NotMine(names().join(", ")))?;
    let info = way_out::info(endpoint, way_out.serial, way_out.roster);
    Ok(Code::new(key.open(sealed, &info)?))
}

/// A group of a code as it is said on the telephone: `seven, Kilo, two, Mike`.
#[must_use]
pub fn spoken(group: &str) -> String {
    group.chars().map(word).collect::<Vec<_>>().join(", ")
}

#[rustfmt::skip]
fn word(character: char) -> &'static str {
    match character {
        '0' => "zero", '1' => "one", '2' => "two", '3' => "three", '4' => "four",
        '5' => "five", '6' => "six", '7' => "seven", '8' => "eight", '9' => "nine",
        'A' => "Alfa", 'B' => "Bravo", 'C' => "Charlie", 'D' => "Delta", 'E' => "Echo",
        'F' => "Foxtrot", 'G' => "Golf", 'H' => "Hotel", 'J' => "Juliett", 'K' => "Kilo",
        'M' => "Mike", 'N' => "November", 'P' => "Papa", 'Q' => "Quebec", 'R' => "Romeo",
        'S' => "Sierra", 'T' => "Tango", 'V' => "Victor", 'W' => "Whiskey", 'X' => "X-ray",
        'Y' => "Yankee", 'Z' => "Zulu",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use cordon_proto::codec;
    use cordon_proto::event::way_out::{MadeFor, SealedCode};
    use cordon_proto::event::{Event, Notice, Severity};
    use cordon_proto::id::Hash;
    use cordon_proto::roster::RosterRef;
    use cordon_proto::sign::SigningKey;
    use cordon_proto::sign::batch::{self, EventProof, Place};

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    fn endpoint(seed: u8) -> EndpointId {
        EndpointId(key(seed).id().0)
    }

    fn way_out() -> WayOut {
        let sealing = OpeningKey::of(&key(5)).unwrap().sealing();
        let sealed = SealedCode {
            operator: "ann".parse().unwrap(),
            key: sealing.id(),
            encapsulated: [1; 32],
            text: vec![2; 26],
        };
        let roster = RosterRef { version: 3, hash: Hash::of(b"roster") };
        let made_for = MadeFor::First;
        WayOut { serial: 7, roster, endpoint_secs: 60, made_for, boxes: vec![sealed] }
    }

    /// An event of an endpoint, as its collector would give it.
    fn given(seed: u8, body: Body) -> Given {
        let (time_ns, boot_ns, severity) = (1, 2, Severity::Informational);
        let events = [codec::encode(&Event { seq: 9, time_ns, boot_ns, severity, body })];
        let (lane, epoch) = (Lane::Control, 2);
        let (endpoint, previous) = (endpoint(seed), Hash::default());
        let place = Place { endpoint, lane, epoch, first: 9, previous, cause: None };
        let (sealed, _) = batch::seal(place, &events, 1, &key(seed)).unwrap();
        let proof = EventProof::of(&sealed.header, &events, 0).unwrap();
        let proof = URL_SAFE_NO_PAD.encode(codec::encode(&proof));
        let key = URL_SAFE_NO_PAD.encode(key(seed).verifying().0);
        Given { epoch: 2, seq: 9, proof: ProofRecord { proof, key } }
    }

    #[test]
    fn only_what_the_endpoint_signed_there_as_a_way_out_counts() {
        #[track_caller]
        fn check(given: Given, says: &str) {
            let said = verify(&given, endpoint(1));
            let said = said.map_or_else(|error| error.to_string(), |read| read.serial.to_string());
            assert!(said.contains(says), "{said}");
        }
        let body = || Body::WayOut(Box::new(way_out()));
        check(given(1, body()), "7");
        check(given(2, body()), "under the key of another endpoint");
        check(Given { seq: 8, ..given(1, body()) }, "another place");
        check(Given { epoch: 1, ..given(1, body()) }, "another place");
        check(given(1, Body::Notice(Notice::Sleeping)), "something else that the endpoint said");
        let forged = Given {
            proof: ProofRecord { key: given(1, body()).proof.key, ..given(2, body()).proof },
            ..given(1, body())
        };
        check(forged, "does not verify");
    }

    #[test]
    fn who_it_is_not_sealed_to_is_told_who_can_open_it() {
        let error = open(&way_out(), endpoint(1), &OpeningKey::of(&key(6)).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "it is sealed to ann, and not to your key");
        let error = open(&way_out(), endpoint(1), &OpeningKey::of(&key(5)).unwrap()).unwrap_err();
        assert!(matches!(error, WayOutError::Open(OpenError::Sealed)), "{error}");
    }

    #[test]
    fn every_character_of_a_code_has_a_word() {
        assert_eq!(spoken("7K2M"), "seven, Kilo, two, Mike");
        for character in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars() {
            assert_ne!(word(character), "?", "{character}");
        }
    }
}
