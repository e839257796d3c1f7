//! Secrets that stand where a program expects them: `mysql -px`, `sshpass -p x`, `curl -u a:x`.

use std::ops::Range;

use super::rules::Take;
use super::text::{Search, base_name};

/// Whether a shell begins another command behind this word.
fn ends_command(word: &[u8]) -> bool {
    matches!(word.last(), Some(b';' | b'|' | b'&'))
}

/// `-px` of the programs around MySQL; `-p` alone asks for it.
pub(super) fn mysql(search: &Search<'_>, take: Take<'_>) {
    let mut under = false;
    for at in search.words() {
        let word = &search.text[at.clone()];
        let name = base_name(word);
        if name.starts_with(b"mysql") || name.starts_with(b"mariadb") {
            under = true;
        } else if under && word.starts_with(b"-p") && word.len() > 2 && !is_ports(&word[2..]) {
            take(search.value(at.start, at.start + 2));
        }
        under &= !ends_command(word);
    }
}

/// `3306:3306`, as containers are given.
fn is_ports(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b':');
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    parts.clone().count() == 2 && parts.all(is_number)
}

/// `sshpass -p x` and `sshpass -px`, before the command that it runs.
pub(super) fn sshpass(search: &Search<'_>, take: Take<'_>) {
    let mut words = search.words();
    while let Some(at) = words.next() {
        if base_name(&search.text[at]) != b"sshpass" {
            continue;
        }
        while let Some(at) = words.next() {
            match &search.text[at.clone()] {
                b"-p" => {
                    let next = words.next();
                    next.into_iter()
                        .for_each(|at| take(search.value(begin(search, &at), begin(search, &at))));
                    break;
                }
                [b'-', b'p', ..] => {
                    take(search.value(at.start, at.start + 2));
                    break;
                }
                b"-f" | b"-d" | b"-P" => drop(words.next()),
                [b'-', ..] => {}
                _command => break,
            }
        }
    }
}

/// Where a word begins with the punctuation that opens it.
fn begin(search: &Search<'_>, word: &Range<usize>) -> usize {
    let opening = search.text[..word.start].iter().rev();
    word.start - opening.take_while(|byte| !super::text::is_space(**byte)).count()
}

/// `curl -u ann:x`, `--user=ann:x`, `-su ann:x`, and the same for its proxy.
pub(super) fn curl(search: &Search<'_>, take: Take<'_>) {
    let mut under = false;
    let mut is_user = false;
    for at in search.words() {
        let word = &search.text[at.clone()];
        if base_name(word) == b"curl" {
            under = true;
        } else if under && is_user {
            let start = begin(search, &at);
            password(search, search.value(start, start), take);
        } else if under {
            let attached = [&b"--user="[..], b"--proxy-user=", b"-u", b"-U"];
            let attached = attached.iter().find(|option| word.starts_with(option));
            if let Some(option) = attached.filter(|option| word.len() > option.len()) {
                password(search, search.value(at.start, at.start + option.len()), take);
            }
        }
        is_user = under && takes_user(word);
        under &= !ends_command(word);
    }
}

fn takes_user(word: &[u8]) -> bool {
    let is_cluster = |word: &[u8]| {
        word.len() < 8
            && matches!(word, [b'-', letters @ .., b'u' | b'U'] if letters.iter().all(u8::is_ascii_alphabetic))
    };
    matches!(word, b"--user" | b"--proxy-user") || is_cluster(word)
}

/// The part behind the first colon.
fn password(search: &Search<'_>, at: Range<usize>, take: Take<'_>) {
    if let Some(colon) = search.text[at.clone()].iter().position(|byte| *byte == b':') {
        take(at.start + colon + 1..at.end);
    }
}
