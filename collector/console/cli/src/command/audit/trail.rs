//! The chain of an audit trail, checked from its own bytes. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::{ClientId, Hash};
use minicbor::Decode;
use serde::Deserialize;

/// What of an entry the chain rests on; the rest of it is under its hash.
#[derive(Decode)]
struct Entry {
    #[n(0)]
    number: u64,
    #[n(1)]
    previous: Hash,
    #[n(3)]
    client: ClientId,
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    End { end: Head },
    Entry { entry: String },
}

/// An entry by its number and hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
pub struct Head {
    /// Its number.
    pub(super) number: u64,
    /// Its hash.
    pub(super) hash: Hash,
}

/// A trail that holds.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Read {
    pub(super) client: ClientId,
    pub(super) first: u64,
    pub(super) end: Head,
}

/// Where a trail does not hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Broken {
    /// No entry at all.
    #[error("it has no entry")]
    Empty,
    /// A line that is none.
    #[error("line {0} is not one of a trail")]
    Line(usize),
    /// Another number than comes next, or another client.
    #[error("line {0} is another entry than the one that comes next")]
    Next(usize),
    /// Another entry before it.
    #[error("entry {0} names another entry before it than the one that is there")]
    Chain(u64),
    /// The end is not the last entry.
    #[error("it says that it ends elsewhere than it does, or not at all: something is missing")]
    End,
    /// What was kept from an earlier time is not in it.
    #[error("entry {0} is not the one kept, or is not in it: the trail was made anew")]
    Kept(u64),
}

/// Reads `NUMBER:HASH`.
pub(super) fn kept(text: &str) -> Result<Head, String> {
    let wrong = "it looks like 12:5f0c…, a number and 64 hexadecimal digits";
    let (number, hash) = text.split_once(':').ok_or(wrong)?;
    let number = number.parse().ok().ok_or(wrong)?;
    Ok(Head { number, hash: hash.parse().ok().ok_or(wrong)? })
}

/// Checks a whole file.
pub(super) fn read(text: &str, kept: Option<&Head>) -> Result<Read, Broken> {
    let mut read: Option<Read> = None;
    let mut end = None;
    let mut is_kept = kept.is_none();
    for (number, line) in (1..).zip(text.lines()) {
        let line: Line = serde_json::from_str(line).ok().ok_or(Broken::Line(number))?;
        let text = match line {
            Line::Entry { entry } if end.is_none() => entry,
            Line::End { end: said } if end.is_none() => {
                end = Some(said);
                continue;
            }
            Line::Entry { .. } | Line::End { .. } => return Err(Broken::Line(number)),
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().ok_or(Broken::Line(number))?;
        let entry: Entry = minicbor::decode(&bytes).ok().ok_or(Broken::Line(number))?;
        let head = Head { number: entry.number, hash: Hash::of(&bytes) };
        match &mut read {
            None => {
                if entry.number == 1 && entry.previous != Hash::default() {
                    return Err(Broken::Chain(1));
                }
                read = Some(Read { client: entry.client, first: entry.number, end: head });
            }
            Some(so_far) => {
                if so_far.end.number.checked_add(1) != Some(entry.number)
                    || so_far.client != entry.client
                {
                    return Err(Broken::Next(number));
                }
                if so_far.end.hash != entry.previous {
                    return Err(Broken::Chain(entry.number));
                }
                so_far.end = head;
            }
        }
        is_kept |= kept == Some(&head);
    }
    let read = read.ok_or(Broken::Empty)?;
    if end != Some(read.end) {
        return Err(Broken::End);
    }
    match kept {
        Some(kept) if !is_kept => Err(Broken::Kept(kept.number)),
        Some(_) | None => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use minicbor::Encode;
    use serde_json::json;

    use super::*;

    /// An entry as the collector writes it.
    #[derive(Encode)]
    struct Written {
        #[n(0)]
        number: u64,
        #[n(1)]
        previous: Hash,
        #[n(2)]
        time_ns: u64,
        #[n(3)]
        client: ClientId,
        #[n(4)]
        detail: String,
    }

    fn lines(details: [&str; 3]) -> Vec<String> {
        let mut previous = Hash::default();
        let mut lines = Vec::new();
        for (number, detail) in (1..).zip(details) {
            let client = "acme".parse().unwrap();
            let entry = Written { number, previous, time_ns: 5, client, detail: detail.to_owned() };
            let bytes = minicbor::to_vec(&entry).unwrap();
            previous = Hash::of(&bytes);
            lines.push(json!({ "entry": URL_SAFE_NO_PAD.encode(&bytes), "who": "x" }).to_string());
        }
        lines.push(json!({ "end": { "number": 3, "hash": previous } }).to_string());
        lines
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Vec<String>), says: &str) {
        let mut lines = lines(["a", "b", "c"]);
        change(&mut lines);
        let read = read(&lines.join("\n"), None);
        let said = read.map_or_else(|e| e.to_string(), |read| format!("to {}", read.end.number));
        assert!(said.starts_with(says), "{said}");
    }

    #[test]
    fn a_trail_that_was_not_touched_holds_and_any_change_shows() {
        check(|_| (), "to 3");
        check(|all| all[1] = lines(["a", "B", "c"])[1].clone(), "entry 3 names another entry");
        check(|all| drop(all.remove(1)), "line 2 is another entry");
        check(|all| all.swap(0, 1), "line 2 is another entry");
        check(|all| drop(all.pop()), "it says that it ends elsewhere");
        check(|all| drop(all.remove(2)), "it says that it ends elsewhere");
        check(|all| all.push(all[0].clone()), "line 5 is not one of a trail");
        check(|all| all[0] = "{}".to_owned(), "line 1 is not one of a trail");
        check(Vec::clear, "it has no entry");
    }

    #[test]
    fn a_trail_made_anew_shows_by_what_was_kept() {
        let text = lines(["a", "b", "c"]).join("\n");
        let whole = read(&text, None).unwrap();
        let word = format!("{}:{}", whole.end.number, whole.end.hash);
        let kept = kept(&word).unwrap();
        assert_eq!(read(&text, Some(&kept)), Ok(whole));
        let anew = lines(["a", "B", "c"]).join("\n");
        assert!(read(&anew, None).is_ok());
        assert_eq!(read(&anew, Some(&kept)), Err(Broken::Kept(3)));
        assert!(super::kept("3").is_err() && super::kept("x:y").is_err());
    }
}
