//! Secrets that are known by their own form: keys of services, passwords in URLs, private keys.

use super::rules::Take;
use super::text::{Search, is_space};

/// `scheme://user:x@host`.
pub(super) fn url_passwords(search: &Search<'_>, take: Take<'_>) {
    for found in search.all(b"://") {
        let start = found + 3;
        let ends =
            |byte| is_space(byte) || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<');
        let authority = &search.text[start..search.run(start, |byte| !ends(byte))];
        let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else { continue };
        let Some(colon) = authority[..at].iter().position(|byte| *byte == b':') else { continue };
        take(start + colon + 1..start + at);
    }
}

/// A run of a token's bytes behind a prefix that begins a word, if it is long enough.
fn prefixed(
    search: &Search<'_>,
    found: usize,
    prefix: usize,
    length_min: usize,
    of: impl Fn(u8) -> bool,
    take: Take<'_>,
) {
    let end = search.run(found + prefix, of);
    let begins = search.before(found).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    if begins && end - found - prefix >= length_min {
        take(found..end);
    }
}

/// AWS access keys: `AKIA` or `ASIA` and 16 more.
pub(super) fn aws_keys(search: &Search<'_>, take: Take<'_>) {
    for found in search.all(b"AKIA").chain(search.all(b"ASIA")) {
        let end = search.run(found, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let begins = search.before(found).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let ends = search.at(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if begins && ends && end - found == 20 {
            take(found..end);
        }
    }
}

/// `aws configure set aws_secret_access_key x`; with `=` or `:` it is an assignment.
pub(super) fn aws_secrets(search: &Search<'_>, take: Take<'_>) {
    for found in search.all(b"secret_access_key") {
        let end = found + b"secret_access_key".len();
        let value = search.run(end, is_space);
        if value > end && search.at(value).is_some_and(|byte| !matches!(byte, b'=' | b'-')) {
            take(search.value(value, value));
        }
    }
}

/// `ghp_…` and its sisters, `github_pat_…`.
pub(super) fn github(search: &Search<'_>, take: Take<'_>) {
    let of = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    for found in search.all(b"gh") {
        let kind = search.at(found + 2).is_some_and(|byte| b"pousr".contains(&byte));
        if kind && search.at(found + 3) == Some(b'_') {
            prefixed(search, found, 4, 20, of, take);
        }
    }
    for found in search.all(b"github_pat_") {
        prefixed(search, found, 11, 20, of, take);
    }
}

/// `xoxb-…` and its sisters.
pub(super) fn slack(search: &Search<'_>, take: Take<'_>) {
    for found in search.all(b"xox") {
        let kind = search.at(found + 3).is_some_and(|byte| byte.is_ascii_lowercase());
        if kind && search.at(found + 4) == Some(b'-') {
            let of = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            prefixed(search, found, 5, 10, of, take);
        }
    }
}

/// What stands between the lines that open and close a private key, or until the end.
pub(super) fn private_keys(search: &Search<'_>, take: Take<'_>) {
    const OPENS: &[u8] = b"PRIVATE KEY-----";
    for found in search.all(b"-----BEGIN") {
        let name = found + b"-----BEGIN".len();
        let of = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
        let dashes = search.run(name, of);
        let start = dashes + 5;
        if !search.text[..start.min(search.text.len())].ends_with(OPENS) {
            continue;
        }
        let rest = &search.text[start..];
        let closes = rest.windows(8).position(|window| window == b"-----END");
        take(start..closes.map_or(search.text.len(), |closes| start + closes));
    }
}

/// JSON web tokens: two parts that begin as encoded JSON does, and a signature.
pub(super) fn jwts(search: &Search<'_>, take: Take<'_>) {
    let of = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut reached = 0;
    for found in search.all(b"eyJ") {
        if found < reached || search.before(found).is_some_and(of) {
            continue;
        }
        let head = search.run(found, of);
        let opens =
            search.text[head..].starts_with(b".eyJ") && search.text[found..].starts_with(b"eyJ");
        if !opens || head - found < 10 {
            continue;
        }
        let claims = search.run(head + 1, of);
        if search.at(claims) == Some(b'.') {
            reached = search.run(claims + 1, of);
            take(found..reached);
        }
    }
}
