//! Secrets that people carry: base32 as apps and eyes read it, and the SHA-256 under which they are
//! kept.
//!
//! Only for secrets of 80 random bits and more: what a person thinks up goes through Argon2id.

use cordon_proto::id::Hash;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Bytes of a recovery code.
pub const RECOVERY_BYTES: usize = 10;

/// Recovery codes of one account.
pub const RECOVERY_CODES: usize = 10;

/// Bytes of the code of an invitation.
pub const CODE_BYTES: usize = 20;

/// Longest code that is looked at.
const TYPED_BYTES_MAX: usize = 128;

/// Bytes as base32 (RFC 4648) without padding.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(&mut text, held >> bits);
        }
    }
    if bits > 0 {
        push(&mut text, held << (5 - bits));
    }
    text
}

fn push(text: &mut String, value: u32) {
    let index = usize::try_from(value & 31).unwrap_or_default();
    text.extend(ALPHABET.get(index).map(|letter| char::from(*letter)));
}

/// A secret in groups of four, easier to read out.
#[must_use]
pub fn grouped(bytes: &[u8]) -> String {
    let text = base32(bytes);
    let groups: Vec<&str> = (0..text.len().div_ceil(4))
        .filter_map(|group| text.get(4 * group..text.len().min(4 * group + 4)))
        .collect();
    groups.join("-")
}

/// What a typed code is looked up by: hyphens, spaces and small letters do not matter.
#[must_use]
pub fn hash_typed(code: &str) -> Option<Hash> {
    if code.len() > TYPED_BYTES_MAX {
        return None;
    }
    let separates = |c: &char| *c == '-' || c.is_whitespace();
    let plain: String =
        code.chars().filter(|c| !separates(c)).map(|c| c.to_ascii_uppercase()).collect();
    (!plain.is_empty()).then(|| Hash::of(plain.as_bytes()))
}

/// What the code made of these bytes is looked up by.
#[must_use]
pub fn hash(bytes: &[u8]) -> Hash {
    Hash::of(base32(bytes).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        let shown = grouped(b"foobar!!??");
        assert_eq!(shown, "MZXW-6YTB-OIQS-CPZ7");
        let hash = Some(hash(b"foobar!!??"));
        assert_eq!(hash_typed(&shown), hash);
        assert_eq!(hash_typed("mzxw6ytb oiqscpz7"), hash);
        assert_ne!(hash_typed("mzxw6ytb oiqscpz6"), hash);
        assert_eq!(hash_typed(" - "), None);
        assert_eq!(hash_typed(&"A".repeat(129)), None);
    }
}
