//! Makes a code: random, sealed to those who may release, kept only as what it takes to check it.
//!
//! The check is PBKDF2-HMAC-SHA256 by ring. Of 80 random bits nothing can be guessed that is not
//! tried one by one; 600,000 rounds put that out of everybody's reach even for whoever has the
//! file. A hash that needs memory, such as Argon2id, would take more of it than the whole agent may
//! have. It takes some tenths of a second of one core, so it runs on a helper thread.

use std::num::NonZeroU32;

use cordon_proto::code::Code;
use cordon_proto::command::ActionKind;
use cordon_proto::event::way_out::{self, BOXES_MAX, CODE_BYTES, SealedCode};
use cordon_proto::id::EndpointId;
use cordon_proto::roster::Roster;
use minicbor::{Decode, Encode};
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::roster_keeper::Held;
use crate::seal::{Sealed, seal};

/// Rounds of a new check.
pub const ROUNDS: u32 = 600_000;

const SALT_BYTES: usize = 16;
const ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;

/// What it takes to check a code.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct CodeCheck {
    #[n(0)]
    rounds: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    salt: [u8; SALT_BYTES],
    #[cbor(n(2), with = "minicbor::bytes")]
    hash: [u8; 32],
}

/// Why no code was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MakeError {
    /// The operating system.
    #[error("the operating system gives no random numbers")]
    Random,
}

/// A new code, as it is kept and as it is told. Without boxes there is nothing to check either.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Made {
    /// What is kept.
    pub check: Option<CodeCheck>,
    /// What is told.
    pub boxes: Vec<SealedCode>,
}

impl CodeCheck {
    fn of(code: &Code, rounds: u32) -> Result<Self, MakeError> {
        let mut salt = [0; SALT_BYTES];
        random(&mut salt)?;
        let mut hash = [0; 32];
        pbkdf2::derive(ALGORITHM, at_least_one(rounds), &salt, code.bytes(), &mut hash);
        Ok(Self { rounds, salt, hash })
    }

    /// Whether this is the code; takes as long for any other.
    #[must_use]
    pub fn holds(&self, code: &Code) -> bool {
        let Self { rounds, salt, hash } = self;
        pbkdf2::verify(ALGORITHM, at_least_one(*rounds), salt, code.bytes(), hash).is_ok()
    }
}

/// Makes the code with this number for whom the roster allows to release.
pub fn make(
    endpoint: EndpointId,
    serial: u64,
    held: &Held,
    rounds: u32,
) -> Result<Made, MakeError> {
    let mut bytes = Zeroizing::new([0; CODE_BYTES]);
    random(bytes.as_mut())?;
    let code = Code::new(bytes);
    let info = way_out::info(endpoint, serial, held.reference);
    let boxes = boxes(&held.roster, &info, &code);
    let check = if boxes.is_empty() { None } else { Some(CodeCheck::of(&code, rounds)?) };
    Ok(Made { check, boxes })
}

/// A key that cannot be sealed to costs its owner the way out, and nobody else.
fn boxes(roster: &Roster, info: &[u8], code: &Code) -> Vec<SealedCode> {
    let who = roster.may(ActionKind::Release);
    let who = who.filter_map(|operator| Some((&operator.id, operator.sealing.as_ref()?)));
    let sealed = who.filter_map(|(operator, key)| {
        let Ok(Sealed { encapsulated, text }) = seal(key, info, code.bytes()) else {
            tracing::error!(%operator, "the break-glass code could not be sealed to an operator");
            return None;
        };
        Some(SealedCode { operator: operator.clone(), key: key.id(), encapsulated, text })
    });
    sealed.take(BOXES_MAX).collect()
}

fn at_least_one(rounds: u32) -> NonZeroU32 {
    NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN)
}

fn random(bytes: &mut [u8]) -> Result<(), MakeError> {
    SystemRandom::new().fill(bytes).ok().ok_or(MakeError::Random)
}

#[cfg(test)]
pub(super) mod tests {
    use cordon_proto::roster::Role;
    use cordon_proto::sign::SealingKey;
    use hpke::aead::ChaCha20Poly1305;
    use hpke::kdf::HkdfSha256;
    use hpke::kem::{Kem, X25519HkdfSha256};
    use hpke::{Deserializable, OpModeR, Serializable, single_shot_open};

    use super::*;
    use crate::roster_keeper;

    type Private = <X25519HkdfSha256 as Kem>::PrivateKey;

    /// Something that holds some code.
    pub(in super::super) fn check() -> CodeCheck {
        CodeCheck { rounds: 1, salt: [0; SALT_BYTES], hash: [0; 32] }
    }

    /// A box of somebody.
    pub(in super::super) fn sealed() -> SealedCode {
        let operator = "ann".parse().unwrap();
        let (key, encapsulated) = (sealing(1).id(), [0; 32]);
        SealedCode { operator, key, encapsulated, text: vec![0; CODE_BYTES + 16] }
    }

    fn private(seed: u8) -> Private {
        Private::from_bytes(&[seed; 32]).unwrap()
    }

    fn sealing(seed: u8) -> SealingKey {
        SealingKey(X25519HkdfSha256::sk_to_pk(&private(seed)).to_bytes().into())
    }

    fn held(people: &[(&str, Role, Option<SealingKey>)]) -> Held {
        roster_keeper::tests::held(people, ActionKind::Release, 2)
    }

    fn open(sealed: &SealedCode, seed: u8, info: &[u8]) -> Option<Code> {
        let encapsulated = Deserializable::from_bytes(&sealed.encapsulated).unwrap();
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private(seed),
            &encapsulated,
            info,
            &sealed.text,
            b"",
        );
        Some(Code::new(Zeroizing::new(opened.ok()?.try_into().unwrap())))
    }

    #[test]
    fn who_may_release_and_has_a_key_can_open_it_and_it_is_the_code_that_holds() {
        let responder = Role::Responder;
        let held = held(&[
            ("ann", responder, Some(sealing(1))),
            ("bob", responder, None),
            ("eve", Role::Viewer, Some(sealing(2))),
            ("cy", responder, Some(sealing(3))),
            ("mallory", responder, Some(SealingKey([0; 32]))),
        ]);
        let endpoint = EndpointId::of(b"e");
        let made = make(endpoint, 4, &held, 10).unwrap();
        let names: Vec<_> = made.boxes.iter().map(|sealed| sealed.operator.as_str()).collect();
        assert_eq!(names, ["ann", "cy"]);
        let info = way_out::info(endpoint, 4, held.reference);
        let code = open(&made.boxes[0], 1, &info).unwrap();
        assert_eq!(open(&made.boxes[1], 3, &info), Some(code.clone()));
        assert_eq!(open(&made.boxes[0], 3, &info), None, "somebody else's box");
        let other = way_out::info(endpoint, 5, held.reference);
        assert_eq!(open(&made.boxes[0], 1, &other), None, "as another code");
        let check = made.check.unwrap();
        assert!(check.holds(&code));
        assert!(!check.holds(&Code::new(Zeroizing::new([0; CODE_BYTES]))));
        let again = make(endpoint, 4, &held, 10).unwrap();
        assert!(!again.check.unwrap().holds(&code), "every code is another one");
    }

    #[test]
    fn without_anybody_to_seal_to_there_is_no_code_at_all() {
        let made = make(EndpointId::of(b"e"), 1, &held(&[("bob", Role::Responder, None)]), 10);
        assert_eq!(made, Ok(Made { check: None, boxes: vec![] }));
    }
}
