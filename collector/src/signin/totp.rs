//! Codes of an authenticator app (TOTP, RFC 6238: HMAC-SHA-1, six digits, thirty seconds).
//!
//! Pure. Which steps were used is remembered by the store, so that a code counts once; they are
//! remembered one by one and not as "none before this", so that a clock that jumped ahead and back
//! locks nobody out.

use std::fmt;

use ring::hmac;

use super::secret::base32;

/// How long a code is shown.
pub const STEP_SECS: u64 = 30;

/// Codes of so many steps before and after this one count, too: phones' clocks differ.
const STEPS_AROUND: u64 = 1;

/// Bytes of the secret: those of SHA-1, as RFC 4226 recommends.
pub const SECRET_BYTES: usize = 20;

const DIGITS: usize = 6;

/// What the app and the collector share.
#[derive(Clone, Eq, PartialEq)]
pub struct TotpSecret(pub [u8; SECRET_BYTES]);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret")
    }
}

impl TotpSecret {
    /// The code of a step.
    #[must_use]
    pub fn code(&self, step: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().map_or(0, |byte| byte & 15));
        let word = tag.get(offset..).and_then(|rest| rest.first_chunk::<4>());
        let word = word.map_or(0, |word| u32::from_be_bytes(*word) & 0x7fff_ffff);
        format!("{:0DIGITS$}", word % 1_000_000)
    }

    /// The step that a code belongs to, of those that count now.
    #[must_use]
    pub fn step_of(&self, code: &str, now_secs: u64) -> Option<u64> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).take(DIGITS + 1).collect();
        let now = now_secs / STEP_SECS;
        let steps = now.saturating_sub(STEPS_AROUND)..=now.saturating_add(STEPS_AROUND);
        // Every step is compared, so that the time taken says nothing of which one it was.
        steps.fold(None, |found, step| if self.code(step) == code { Some(step) } else { found })
    }

    /// What an authenticator app reads from a QR code.
    #[must_use]
    pub fn uri(&self, collector: &str, account: &str) -> String {
        let (collector, account) = (escaped(collector), escaped(account));
        let secret = base32(&self.0);
        format!("otpauth://totp/{collector}:{account}?secret={secret}&issuer={collector}")
    }

    /// The secret for those who type it.
    #[must_use]
    pub fn text(&self) -> String {
        base32(&self.0)
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret(*b"12345678901234567890")
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (secs, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code(secs / STEP_SECS), code);
        }
    }

    #[test]
    fn a_code_counts_in_its_own_half_minute_and_the_two_beside_it() {
        let code = secret().code(100);
        let at = |step: u64| secret().step_of(&code, step * STEP_SECS);
        assert_eq!([98, 99, 100, 101, 102].map(at), [None, Some(100), Some(100), Some(100), None]);
        assert_eq!(secret().step_of(&format!("{} {}", &code[..3], &code[3..]), 3000), Some(100));
        for wrong in ["", "0", &format!("{code}0"), &format!("0{code}"), "٠٠٠٠٠٠"] {
            assert_eq!(secret().step_of(wrong, 3000), None, "{wrong}");
        }
    }

    #[test]
    fn the_app_is_told_the_secret_and_whose_it_is() {
        let uri = secret().uri("collector.example", "ann@msp");
        let says = "otpauth://totp/collector.example:ann%40msp\
                    ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=collector.example";
        assert_eq!(uri, says);
        assert_eq!(format!("{:?}", secret()), "TotpSecret");
    }
}
