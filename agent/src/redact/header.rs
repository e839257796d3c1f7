//! Secrets in headers of HTTP: `Authorization: Bearer x`, `X-Api-Key: x`.

use super::rules::Take;
use super::text::{Search, is_space};

/// Schemes whose name is no secret and goes before it.
const SCHEMES: [&str; 9] =
    ["basic", "bearer", "token", "digest", "negotiate", "ntlm", "apikey", "key", "oauth"];

fn is_value(byte: u8) -> bool {
    !is_space(byte) && !matches!(byte, b'"' | b'\'' | b'`' | b'\\')
}

/// The credentials behind `Authorization`, written as a header or as a field.
pub(super) fn authorization(search: &Search<'_>, take: Take<'_>) {
    for found in search.all(b"authorization") {
        let punctuation = |byte| matches!(byte, b'"' | b'\'' | b'\\' | b' ');
        let colon = search.run(found + b"authorization".len(), punctuation);
        if !matches!(search.at(colon), Some(b':' | b'=')) {
            continue;
        }
        let first = search.run(colon + 1, punctuation);
        let end = search.run(first, is_value);
        let word = &search.text[first..end];
        if !SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes())) {
            take(first..end);
            continue;
        }
        let secret = search.run(end, |byte| byte == b' ');
        if secret > end {
            take(secret..search.run(secret, is_value));
        }
    }
}

/// The value of a header whose name says that it is a token or a key.
pub(super) fn secret(search: &Search<'_>, take: Take<'_>) {
    let colons = search.text.iter().enumerate().filter(|(_, byte)| **byte == b':');
    for (colon, _) in colons {
        let name = search.text[search.name_start(colon)..colon].to_ascii_lowercase();
        let is_secret = name.ends_with(b"-token") || name.ends_with(b"api-key");
        let value = search.run(colon + 1, |byte| byte == b' ');
        if is_secret {
            take(value..search.run(value, is_value));
        }
    }
}
