//! What a browser hands over when a passkey is made (WebAuthn level 3, section 7.1), with attestation
//! "none": the key is trusted because of who brings it, not because of who built the authenticator.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

use super::{
    ClientData, PasskeyAlgorithm, PasskeyError, USER_PRESENT, USER_VERIFIED, check_client,
};
use crate::sign::sha256;

/// Longest id of a credential, as WebAuthn has it.
pub const CREDENTIAL_BYTES_MAX: usize = 1023;

/// Longest attestation object that is read.
const ATTESTATION_BYTES_MAX: usize = 8 << 10;

/// Set where the authenticator data holds a credential.
const HAS_CREDENTIAL: u8 = 0x40;

/// Set where extensions follow.
const HAS_EXTENSIONS: u8 = 0x80;

/// A passkey just made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registered {
    /// The credential's id.
    pub credential: Vec<u8>,
    /// Its algorithm.
    pub algorithm: PasskeyAlgorithm,
    /// Its public key: 32 bytes for Ed25519, 65 (uncompressed point) for P-256.
    pub public: Vec<u8>,
    /// How often it says it was used.
    pub counter: u32,
}

/// Where a passkey is made, and for which challenge.
#[derive(Clone, Copy, Debug)]
pub struct Ceremony<'a> {
    /// The relying party.
    pub rp_id: &'a str,
    /// Where the page may have stood.
    pub origins: &'a [String],
    /// What the page was given.
    pub challenge: &'a [u8],
}

/// Reads a new passkey, made here, for this challenge, with its user verified.
pub fn verify_registration(
    ceremony: Ceremony<'_>,
    client: &[u8],
    attestation: &[u8],
) -> Result<Registered, PasskeyError> {
    let data = ClientData::read(client)?;
    check_client(&data, "webauthn.create", ceremony.challenge, ceremony.origins)?;
    if attestation.len() > ATTESTATION_BYTES_MAX {
        return Err(PasskeyError::Form("the attestation is too long"));
    }
    let authenticator = read_attestation(attestation);
    let unreadable = PasskeyError::Form("the attestation is not one of format \"none\"");
    let authenticator = authenticator.ok().flatten().ok_or(unreadable)?;
    read_authenticator(authenticator, ceremony.rp_id)
}

/// The authenticator data of an attestation object of format "none".
fn read_attestation(bytes: &[u8]) -> Result<Option<&[u8]>, Error> {
    let mut decoder = Decoder::new(bytes);
    let Some(3) = decoder.map()? else { return Ok(None) };
    let (mut format, mut statement, mut data) = (None, None, None);
    for _ in 0..3 {
        match decoder.str()? {
            "fmt" => format = Some(decoder.str()?),
            "attStmt" => statement = Some(decoder.map()?),
            "authData" => data = Some(decoder.bytes()?),
            _ => return Ok(None),
        }
        // Anything inside the statement would be read as the next key, and refused as such.
    }
    let whole = decoder.position() == bytes.len();
    let none = format == Some("none") && statement == Some(Some(0));
    Ok(data.filter(|_| whole && none))
}

fn read_authenticator(bytes: &[u8], rp_id: &str) -> Result<Registered, PasskeyError> {
    let short = || PasskeyError::Form("the authenticator data is too short");
    let (rp_hash, rest) = bytes.split_first_chunk::<32>().ok_or_else(short)?;
    let (flags, rest) = rest.split_first().ok_or_else(short)?;
    let (counter, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    if *rp_hash != sha256(rp_id.as_bytes()) {
        return Err(PasskeyError::Mismatch("relying party"));
    }
    if flags & USER_PRESENT == 0 || flags & USER_VERIFIED == 0 {
        return Err(PasskeyError::User);
    }
    if flags & HAS_CREDENTIAL == 0 {
        return Err(PasskeyError::Form("the authenticator data holds no credential"));
    }
    let (_model, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 || length > CREDENTIAL_BYTES_MAX {
        return Err(PasskeyError::Form("the credential's id has a length that none has"));
    }
    let (credential, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let mut decoder = Decoder::new(rest);
    let key = read_key(&mut decoder).ok().flatten();
    let (algorithm, public) =
        key.ok_or(PasskeyError::Form("the key is neither ES256 nor Ed25519"))?;
    if flags & HAS_EXTENSIONS != 0 {
        let unreadable = PasskeyError::Form("the extensions cannot be read");
        decoder.skip().ok().ok_or(unreadable)?;
    }
    if decoder.position() != rest.len() {
        return Err(PasskeyError::Form("something follows the authenticator data"));
    }
    let (credential, counter) = (credential.to_vec(), u32::from_be_bytes(*counter));
    Ok(Registered { credential, algorithm, public, counter })
}

/// A COSE key (RFC 9053): EC2 on P-256, or OKP on Ed25519.
fn read_key(decoder: &mut Decoder<'_>) -> Result<Option<(PasskeyAlgorithm, Vec<u8>)>, Error> {
    let Some(members @ 4..=5) = decoder.map()? else { return Ok(None) };
    let (mut kind, mut algorithm, mut curve) = (None, None, None);
    let (mut x, mut y) = (None, None);
    for _ in 0..members {
        match decoder.i64()? {
            1 => kind = Some(decoder.i64()?),
            3 => algorithm = Some(decoder.i64()?),
            -1 => curve = Some(decoder.i64()?),
            -2 => x = Some(decoder.bytes()?),
            -3 if decoder.datatype()? == Type::Bytes => y = Some(decoder.bytes()?),
            _ => return Ok(None),
        }
    }
    let sized = |part: Option<&[u8]>| part.is_some_and(|part| part.len() == 32);
    Ok(match (kind, algorithm, curve, x, y) {
        (Some(2), Some(-7), Some(1), Some(x), Some(y)) if sized(Some(x)) && sized(Some(y)) => {
            Some((PasskeyAlgorithm::Es256, [&[4], x, y].concat()))
        }
        (Some(1), Some(-8), Some(6), Some(x), None) if sized(Some(x)) => {
            Some((PasskeyAlgorithm::EdDsa, x.to_vec()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use minicbor::Encoder;
    use proptest::prelude::*;

    use super::*;

    const CHALLENGE: &[u8] = &[9; 32];

    fn client(kind: &str) -> Vec<u8> {
        let challenge = URL_SAFE_NO_PAD.encode(CHALLENGE);
        let client = serde_json::json!({
            "type": kind, "challenge": challenge, "origin": "https://collector.example:8443",
        });
        serde_json::to_vec(&client).unwrap()
    }

    fn key(algorithm: PasskeyAlgorithm) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        match algorithm {
            PasskeyAlgorithm::Es256 => {
                e.map(5).unwrap().i8(1).unwrap().i8(2).unwrap().i8(3).unwrap().i8(-7).unwrap();
                e.i8(-1).unwrap().i8(1).unwrap().i8(-2).unwrap().bytes(&[1; 32]).unwrap();
                e.i8(-3).unwrap().bytes(&[2; 32]).unwrap();
            }
            PasskeyAlgorithm::EdDsa => {
                e.map(4).unwrap().i8(1).unwrap().i8(1).unwrap().i8(3).unwrap().i8(-8).unwrap();
                e.i8(-1).unwrap().i8(6).unwrap().i8(-2).unwrap().bytes(&[3; 32]).unwrap();
            }
        }
        bytes
    }

    fn authenticator(rp_id: &str, flags: u8, key: &[u8]) -> Vec<u8> {
        let mut bytes = sha256(rp_id.as_bytes()).to_vec();
        bytes.push(flags);
        bytes.extend_from_slice(&[0, 0, 0, 5]);
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&[0, 4]);
        bytes.extend_from_slice(b"cred");
        bytes.extend_from_slice(key);
        bytes
    }

    fn attestation(format: &str, authenticator: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes);
        e.map(3).unwrap().str("fmt").unwrap().str(format).unwrap();
        e.str("attStmt").unwrap().map(0).unwrap();
        e.str("authData").unwrap().bytes(authenticator).unwrap();
        bytes
    }

    fn verify(client: &[u8], attestation: &[u8]) -> Result<Registered, PasskeyError> {
        let origins = ["https://collector.example:8443".to_owned()];
        let ceremony =
            Ceremony { rp_id: "collector.example", origins: &origins, challenge: CHALLENGE };
        verify_registration(ceremony, client, attestation)
    }

    const GOOD: u8 = USER_PRESENT | USER_VERIFIED | HAS_CREDENTIAL;

    #[test]
    fn a_passkey_of_either_kind_is_read() {
        for (algorithm, bytes) in [(PasskeyAlgorithm::Es256, 65), (PasskeyAlgorithm::EdDsa, 32)] {
            let data = authenticator("collector.example", GOOD, &key(algorithm));
            let read = verify(&client("webauthn.create"), &attestation("none", &data)).unwrap();
            assert_eq!((read.algorithm, read.public.len()), (algorithm, bytes));
            assert_eq!((read.credential.as_slice(), read.counter), (&b"cred"[..], 5));
        }
    }

    #[test]
    fn what_was_made_otherwise_or_elsewhere_is_refused() {
        let ed = key(PasskeyAlgorithm::EdDsa);
        let good = authenticator("collector.example", GOOD, &ed);
        let refused = |kind: &str, format: &str, data: &[u8]| {
            verify(&client(kind), &attestation(format, data)).unwrap_err().to_string()
        };
        assert!(refused("webauthn.get", "none", &good).contains("type"));
        assert!(refused("webauthn.create", "packed", &good).contains("none"));
        let elsewhere = authenticator("evil.example", GOOD, &ed);
        assert!(refused("webauthn.create", "none", &elsewhere).contains("relying party"));
        let unseen = authenticator("collector.example", GOOD & !USER_VERIFIED, &ed);
        assert!(refused("webauthn.create", "none", &unseen).contains("verify its user"));
        let without = authenticator("collector.example", GOOD & !HAS_CREDENTIAL, &ed);
        assert!(refused("webauthn.create", "none", &without).contains("no credential"));
        let more = [&good[..], &[0]].concat();
        assert!(refused("webauthn.create", "none", &more).contains("follows"));
        let other = authenticator("collector.example", GOOD, &[0xa0]);
        assert!(refused("webauthn.create", "none", &other).contains("neither"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise_than_with_a_reason(
            mut data in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0..200_usize,
            place in 0..200_usize,
            byte in any::<u8>(),
        ) {
            assert!(verify(&client("webauthn.create"), &data).is_err());
            let good = authenticator("collector.example", GOOD, &key(PasskeyAlgorithm::Es256));
            let mut bytes = attestation("none", &good);
            let length = bytes.len();
            bytes[place % length] = byte;
            verify(&client("webauthn.create"), &bytes).ok();
            bytes.truncate(cut % length);
            assert!(verify(&client("webauthn.create"), &bytes).is_err());
            data.truncate(cut);
            assert!(verify(&data, &attestation("none", &good)).is_err());
        }
    }
}
