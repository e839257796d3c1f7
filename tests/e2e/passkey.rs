//! A passkey in software: what an authenticator and a browser would hand over, honest and other.

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::command::Command;
use cordon_proto::id::{Hash, KeyId};
use cordon_proto::roster::OperatorKey;
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::{PasskeyAlgorithm, SigningKey};
use coset::{CborSerializable, CoseSign};

pub(crate) const USER_PRESENT: u8 = 1;
pub(crate) const USER_VERIFIED: u8 = 4;

/// A person's passkey at one page.
pub(crate) struct Passkey {
    key: SigningKey,
    host: &'static str,
    origin: String,
}

/// What an assertion claims beside the command.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) kind: &'static str,
    pub(crate) host: &'static str,
    pub(crate) origin: String,
    pub(crate) cross_origin: bool,
    pub(crate) flags: u8,
}

impl Passkey {
    /// A new one of the signing page on this machine.
    pub(crate) fn at(port: u16) -> Result<Self> {
        let origin = format!("http://localhost:{port}");
        Ok(Self { key: SigningKey::generate()?, host: "localhost", origin })
    }

    pub(crate) fn id(&self) -> KeyId {
        self.key.id()
    }

    /// As the roster has it.
    pub(crate) fn rostered(&self) -> OperatorKey {
        OperatorKey::Passkey {
            algorithm: PasskeyAlgorithm::EdDsa,
            public: self.key.verifying().0.to_vec(),
            rp_id: self.host.to_owned(),
            origins: vec![self.origin.clone()],
        }
    }

    /// As the signing page shows it.
    pub(crate) fn shown(&self) -> String {
        let digits = Hash(self.key.verifying().0).to_string();
        format!("eddsa:{digits}@{}", self.origin)
    }

    /// What the browser of an honest person claims.
    pub(crate) fn honest(&self) -> Claim {
        Claim {
            kind: "webauthn.get",
            host: self.host,
            origin: self.origin.clone(),
            cross_origin: false,
            flags: USER_PRESENT | USER_VERIFIED,
        }
    }

    /// The value of a signature over a command.
    pub(crate) fn assert(&self, command: &Command, claim: &Claim) -> Result<Vec<u8>> {
        let challenge = Hash::of(&self.to_be_signed(command)?);
        let client = serde_json::json!({
            "type": claim.kind,
            "challenge": URL_SAFE_NO_PAD.encode(challenge.0),
            "origin": claim.origin,
            "crossOrigin": claim.cross_origin,
        });
        let client = serde_json::to_vec(&client)?;
        let party = Hash::of(claim.host.as_bytes());
        let authenticator = [&party.0[..], &[claim.flags, 0, 0, 0, 0]].concat();
        let signature = self.key.sign(&[&authenticator[..], &Hash::of(&client).0].concat());
        let mut value = Vec::new();
        let mut encoder = minicbor::Encoder::new(&mut value);
        encoder.array(3)?.bytes(&authenticator)?.bytes(&client)?.bytes(&signature)?;
        Ok(value)
    }

    /// A command under this passkey's signature.
    pub(crate) fn sign(&self, command: Command, claim: &Claim) -> Result<Vec<u8>> {
        let value = self.assert(&command, claim)?;
        Ok(self.under(command, value))
    }

    /// A command under whatever is said to be this passkey's signature.
    pub(crate) fn under(&self, command: Command, value: Vec<u8>) -> Vec<u8> {
        let mut signed = SignedCommand::unsigned(command);
        signed.add_passkey(self.id(), value);
        signed.to_bytes()
    }

    fn to_be_signed(&self, command: &Command) -> Result<Vec<u8>> {
        let bytes = self.under(command.clone(), vec![0]);
        let message = CoseSign::from_slice(&bytes).map_err(|error| anyhow!("{error}"))?;
        let signature = message.signatures.first().ok_or_else(|| anyhow!("no signature"))?;
        Ok(message.tbs_data(&[], signature))
    }
}
