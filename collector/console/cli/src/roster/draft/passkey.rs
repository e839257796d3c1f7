//! A passkey in a draft: as text of its own where the signing page shows it, as a table in the file.

use std::str::FromStr;

use cordon_proto::roster::OperatorKey;
use cordon_proto::sign::PasskeyAlgorithm;
use serde::{Deserialize, Serialize};

use crate::hex;

/// A person's passkey.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftPasskey {
    algorithm: String,
    pub(super) public: String,
    rp_id: String,
    origins: Vec<String>,
}

impl DraftPasskey {
    pub(super) fn of(
        algorithm: PasskeyAlgorithm,
        public: &[u8],
        rp_id: &str,
        origins: &[String],
    ) -> Self {
        let algorithm = name(algorithm).to_owned();
        let (public, rp_id, origins) = (hex::encode(public), rp_id.to_owned(), origins.to_vec());
        Self { algorithm, public, rp_id, origins }
    }

    /// The key of a roster; an error is what of it is none.
    pub(super) fn read(&self) -> Result<OperatorKey, &str> {
        let algorithm = [PasskeyAlgorithm::EdDsa, PasskeyAlgorithm::Es256]
            .into_iter()
            .find(|algorithm| name(*algorithm) == self.algorithm)
            .ok_or(self.algorithm.as_str())?;
        let public = hex::decode(&self.public);
        let public = public.filter(|public| public.len() == bytes(algorithm));
        Ok(OperatorKey::Passkey {
            algorithm,
            public: public.ok_or(self.public.as_str())?,
            rp_id: self.rp_id.clone(),
            origins: self.origins.clone(),
        })
    }
}

/// As the signing page shows it: `ALGORITHM:PUBLIC@ORIGIN`.
impl FromStr for DraftPasskey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "a passkey is ALGORITHM:PUBLIC@ORIGIN, as the page of `cordon signer` shows it";
        let (key, origin) = text.split_once('@').ok_or(wrong)?;
        let (algorithm, public) = key.split_once(':').ok_or(wrong)?;
        let rp_id = host(origin).ok_or("the address must be https://HOST or http://localhost")?;
        let passkey = Self {
            algorithm: algorithm.to_owned(),
            public: public.to_owned(),
            rp_id: rp_id.to_owned(),
            origins: vec![origin.to_owned()],
        };
        passkey.read().map_err(|part| format!("'{part}' is no part of a passkey; {wrong}"))?;
        Ok(passkey)
    }
}

/// The host of an origin where browsers let passkeys be.
fn host(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let named =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let numbered = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let safe = scheme == "https" || (scheme == "http" && host == "localhost");
    (named && numbered && safe).then_some(host)
}

fn name(algorithm: PasskeyAlgorithm) -> &'static str {
    match algorithm {
        PasskeyAlgorithm::EdDsa => "eddsa",
        PasskeyAlgorithm::Es256 => "es256",
    }
}

/// How long a public key is: a point, uncompressed, or 32 bytes.
fn bytes(algorithm: PasskeyAlgorithm) -> usize {
    match algorithm {
        PasskeyAlgorithm::EdDsa => 32,
        PasskeyAlgorithm::Es256 => 65,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, says: Result<(&str, &str), &str>) {
        let read = text.parse::<DraftPasskey>();
        match (read, says) {
            (Ok(read), Ok((rp_id, origin))) => {
                assert_eq!((read.rp_id.as_str(), read.origins[0].as_str()), (rp_id, origin));
            }
            (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
            (read, says) => panic!("{read:?} and not {says:?}"),
        }
    }

    #[test]
    fn a_passkey_is_read_as_the_page_shows_it_and_only_where_browsers_allow_it() {
        let (point, key) = ("04".repeat(65), "07".repeat(32));
        let here = format!("es256:{point}@http://localhost:9443");
        check(&here, Ok(("localhost", "http://localhost:9443")));
        let there = format!("eddsa:{key}@https://sign.example");
        check(&there, Ok(("sign.example", "https://sign.example")));
        check(&format!("eddsa:{key}@http://sign.example"), Err("must be https"));
        check(&format!("eddsa:{key}@https://sign.example/x"), Err("must be https"));
        check(&format!("eddsa:{key}@https://sign.example:x"), Err("must be https"));
        check(&format!("eddsa:{point}@https://sign.example"), Err("no part of a passkey"));
        check(&format!("rs256:{key}@https://sign.example"), Err("'rs256' is no part"));
        check("ann", Err("ALGORITHM:PUBLIC@ORIGIN"));
    }
}
