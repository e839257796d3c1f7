//! Secrets that a name stands before: `--password x`, `PGPASSWORD=x`, `"token": "x"`.

use super::rules::Take;
use super::text::{Search, is_name, is_space};

/// What names of secrets end in.
const ENDS: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "storepass",
    "keypass",
    "token",
    "secret",
    "api_key",
    "api-key",
    "apikey",
    "secret_key",
    "secret-key",
    "access_key",
    "access-key",
    "private_key",
];

/// What such names end in only as words of their own.
const WORDS: [&str; 4] = ["pass", "passin", "passout", "accesskey"];

/// Options that ask for a secret, or speak of one, and are not given it.
const NO_VALUE: [&str; 12] = [
    "no-",
    "ask-",
    "prompt-",
    "show-",
    "print-",
    "generate-",
    "reset-",
    "change-",
    "require-",
    "disable-",
    "enable-",
    "without-",
];

fn ends_with(name: &[u8], end: &str) -> bool {
    let from = name.len().saturating_sub(end.len());
    name[from..].eq_ignore_ascii_case(end.as_bytes())
}

fn is_word_end(name: &[u8], word: &str) -> bool {
    let before = name.len().checked_sub(word.len() + 1).and_then(|at| name.get(at));
    ends_with(name, word) && before.is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Whether a name is that of a secret. `PWD` is where a shell stands; `DB_PWD` is not.
pub(super) fn is_secret(name: &[u8]) -> bool {
    let long_pwd = name.len() > 3 && is_word_end(name, "pwd");
    long_pwd
        || ENDS.iter().any(|end| ends_with(name, end))
        || WORDS.iter().any(|word| is_word_end(name, word))
}

/// `--password x`, `--password=x`, `-storepass x`.
pub(super) fn options(search: &Search<'_>, take: Take<'_>) {
    let text = search.text;
    let mut at = 0;
    while let Some(dash) = text[at..].iter().position(|byte| *byte == b'-') {
        let word = at + dash;
        let name = search.run(word, |byte| byte == b'-');
        let end = search.run(name, is_name);
        at = end.max(word + 1);
        let opens = search.before(word).is_none_or(|byte| !is_name(byte) && byte != b'/');
        let name = &text[name..end];
        if !opens || !is_secret(name) || NO_VALUE.iter().any(|no| name.starts_with(no.as_bytes())) {
            continue;
        }
        match search.at(end) {
            Some(b'=') => take(search.value(word, end + 1)),
            Some(byte) if is_space(byte) => {
                let value = if byte == 0 { end + 1 } else { search.run(end, |b| b == b' ') };
                if search.at(value).is_some_and(|byte| byte != b'-') {
                    take(search.value(value, value));
                }
            }
            Some(_) | None => {}
        }
    }
}

/// `PGPASSWORD=x`, `db.password = x`, `?token=x&…`, `;Pwd=x;…`.
pub(super) fn assignments(search: &Search<'_>, take: Take<'_>) {
    let equals = search.text.iter().enumerate().filter(|(_, byte)| **byte == b'=');
    for (equals, _) in equals {
        let is_spaced = search.before(equals) == Some(b' ');
        let end = equals - usize::from(is_spaced);
        let start = search.name_start(end);
        let value = equals + 1 + usize::from(is_spaced && search.at(equals + 1) == Some(b' '));
        let name = &search.text[start..end];
        let compares = search.at(equals + 1).is_some_and(|byte| matches!(byte, b'=' | b'>' | b'~'));
        let is_path = search.at(value) == Some(b'/');
        let is_pwd = name.eq_ignore_ascii_case(b"pwd") && !is_path;
        // What opens with dashes is an option, and found as one.
        if compares || name.starts_with(b"-") || !(is_secret(name) || is_pwd) {
            continue;
        }
        take(search.value(start, value));
    }
}

/// `"password": "x"`, and the same in quotes once more.
pub(super) fn fields(search: &Search<'_>, take: Take<'_>) {
    let text = search.text;
    let colons = text.iter().enumerate().filter(|(_, byte)| **byte == b':');
    for (colon, _) in colons {
        let end = colon - usize::from(search.before(colon) == Some(b' '));
        let Some(end) = text[..end].strip_suffix(b"\"").or(text[..end].strip_suffix(b"'")) else {
            continue;
        };
        let end = end.len() - end.iter().rev().take_while(|byte| **byte == b'\\').count();
        let start = search.name_start(end);
        if !is_secret(&text[start..end]) {
            continue;
        }
        let value = search.run(colon + 1, |byte| byte == b' ');
        let quoted = search.quoted(value);
        let plain = || value..search.run(value, |b| b.is_ascii_alphanumeric() || b == b'.');
        let value = quoted.unwrap_or_else(plain);
        if !matches!(&text[value.clone()], b"null" | b"true" | b"false") {
            take(value);
        }
    }
}
