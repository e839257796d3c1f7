//! What challenges are given for, and where this collector's passkeys live. Pure.

use std::net::IpAddr;

use cordon_proto::id::KeyId;

use super::name::{AccountId, SessionId};

/// The port that browsers leave out.
const HTTPS_PORT: u16 = 443;

/// What a challenge is given for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Signing in with this key.
    Key(KeyId),
    /// Signing in with a passkey, whoever it is.
    SignIn,
    /// A new passkey of an account, in this session.
    Register(AccountId, SessionId),
    /// Proving in this session to be still the same person.
    Prove(SessionId),
}

impl Purpose {
    /// Bytes that no other purpose has.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Key(key) => [&b"key"[..], &key.0].concat(),
            Self::SignIn => b"sign in".to_vec(),
            Self::Register(account, session) => [&b"register"[..], &account.0, &session.0].concat(),
            Self::Prove(session) => [&b"prove"[..], &session.0].concat(),
        }
    }
}

/// Whose passkeys they are, for a browser: the collector's first host name, since browsers take no
/// address. Passkeys of a collector that is known by addresses alone do not work.
#[must_use]
pub fn rp_id(names: &[String]) -> Option<&str> {
    let mut names = names.iter().map(String::as_str);
    names.find(|name| name.parse::<IpAddr>().is_err())
}

/// The origins that the console is served at.
#[must_use]
pub fn origins(rp_id: &str, port: u16) -> Vec<String> {
    let plain = format!("https://{rp_id}");
    if port == HTTPS_PORT { vec![plain] } else { vec![format!("{plain}:{port}"), plain] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_live_under_a_host_name_at_the_doors_own_origins() {
        let names = ["192.0.2.1", "collector.example", "other"].map(str::to_owned);
        assert_eq!(rp_id(&names), Some("collector.example"));
        assert_eq!(rp_id(&names[..1]), None);
        assert_eq!(origins("a", 8443), ["https://a:8443", "https://a"]);
        assert_eq!(origins("a", 443), ["https://a"]);
    }
}
