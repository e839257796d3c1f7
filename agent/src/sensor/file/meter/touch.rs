//! What one change of a file means to the meter. Pure.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use cordon_proto::event::Actor;

use crate::sensor::file::change::{Acts, split};
use crate::sensor::file::content::{Content, Promise, promise};

/// Endings are shorter; what is longer is a name with a dot in it.
const ENDING_BYTES_MAX: usize = 16;

/// Words in the names of notes that tell people how to pay.
const NOTE_WORDS: [&[u8]; 9] = [
    b"decrypt", b"ransom", b"recover", b"restore", b"unlock", b"how_to", b"howto", b"read_me",
    b"readme",
];

/// Names that come with every other program.
const NO_NOTES: [&[u8]; 4] = [b"readme", b"readme.md", b"readme.txt", b"readme.html"];

/// A change of a file (not of a directory).
#[derive(Clone, Copy, Debug)]
pub(in crate::sensor::file) struct Touch<'a> {
    pub(in crate::sensor::file) acts: Acts,
    pub(in crate::sensor::file) path: &'a [u8],
    pub(in crate::sensor::file) from: Option<&'a [u8]>,
    pub(in crate::sensor::file) actor: Option<&'a Actor>,
}

/// Whether a file has to be looked at, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sensor::file) enum Want {
    Nothing,
    Look(How, Promise),
}

/// What a change did to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sensor::file) enum How {
    /// It was written over.
    Rewritten,
    /// It was given an ending that promises nothing.
    Renamed,
    /// A file written beside its place was put there.
    Put,
    /// A new file with an ending that promises nothing.
    Copy,
}

/// What a change adds to an account.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    /// A victim, by its first name.
    Victim { how: How, weight: Weight, file: u64 },
    /// A scrambled copy; a victim once what it is a copy of is gone.
    Copy { of: u64, directory: u64 },
    /// A file that people keep is gone.
    Gone { file: u64, directory: u64 },
    /// A name like that of a note, in one more directory.
    Note { name: u64, directory: u64 },
}

/// How sure it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weight {
    Certain,
    Likely,
    Weak,
}

impl Weight {
    pub(super) fn points(self) -> f64 {
        match self {
            Self::Certain => 1.0,
            Self::Likely => 0.5,
            Self::Weak => 0.1,
        }
    }
}

impl Touch<'_> {
    /// Whether the file has to be looked at. `is_new`: this process has made it lately.
    pub(super) fn want(&self, is_new: bool) -> Want {
        let now = ending(self.path);
        let now_promise = promise(&now);
        if let Some(from) = self.from {
            let before = ending(from);
            let before_promise = promise(&before);
            let loses = now.is_empty() && is_kept(before_promise);
            return match (is_new, now_promise) {
                (true, Promise::Nothing) => Want::Look(How::Copy, inner_promise(self.path)),
                (true, _) => Want::Look(How::Put, now_promise),
                (false, Promise::Nothing) if now != before => {
                    Want::Look(How::Renamed, before_promise)
                }
                (false, _) if loses => Want::Look(How::Renamed, before_promise),
                (false, _) => Want::Nothing,
            };
        }
        match (self.acts.written, is_new && !self.acts.deleted, now_promise) {
            (false, ..) => Want::Nothing,
            (true, true, Promise::Nothing) => Want::Look(How::Copy, inner_promise(self.path)),
            (true, true, _) => Want::Nothing,
            (true, false, _) => Want::Look(How::Rewritten, now_promise),
        }
    }

    /// What it adds. `before`: whether the file was scrambled when it was looked at before.
    pub(super) fn marks(&self, want: Want, content: Content, before: Option<bool>) -> Vec<Mark> {
        let mut marks = Vec::new();
        let (directory, name) = split(self.path);
        let directory = hash(directory);
        if self.acts.created && is_note(name) {
            marks.push(Mark::Note { name: hash(name), directory });
        }
        match want {
            Want::Nothing => {
                let Acts { deleted, created, written, .. } = self.acts;
                let is_gone = deleted && !created && !written && self.from.is_none();
                if is_gone && is_kept(promise(&ending(self.path))) {
                    marks.push(Mark::Gone { file: hash(self.path), directory });
                }
            }
            Want::Look(How::Copy, _) if content == Content::Scrambled => {
                marks.push(Mark::Copy { of: hash(inner(self.path)), directory });
            }
            Want::Look(how, promise) => {
                let file = hash(self.from.unwrap_or(self.path));
                let weight = weight(how, promise, content, before);
                marks.extend(weight.map(|weight| Mark::Victim { how, weight, file }));
            }
        }
        marks
    }
}

fn weight(how: How, promise: Promise, content: Content, before: Option<bool>) -> Option<Weight> {
    let was_fine = before == Some(false);
    match (how, content) {
        (How::Copy, _) | (_, Content::Fits) => None,
        // It was no better before.
        (How::Rewritten, _) if before == Some(true) => None,
        (How::Rewritten, Content::Scrambled) if is_kept(promise) || was_fine => {
            Some(Weight::Certain)
        }
        (How::Rewritten, Content::Scrambled) => Some(Weight::Weak),
        (How::Rewritten, Content::Foreign) => Some(Weight::Likely),
        (How::Rewritten, Content::Unknown) => None,
        (How::Renamed, Content::Scrambled) if is_kept(promise) => Some(Weight::Certain),
        (How::Renamed, Content::Scrambled | Content::Foreign) => Some(Weight::Likely),
        (How::Renamed, Content::Unknown) => Some(Weight::Weak),
        (How::Put, Content::Scrambled) if is_kept(promise) => Some(Weight::Certain),
        (How::Put, Content::Foreign) => Some(Weight::Weak),
        (How::Put, Content::Scrambled | Content::Unknown) => None,
    }
}

/// Whether an ending promises what people keep.
fn is_kept(promise: Promise) -> bool {
    matches!(promise, Promise::Text | Promise::Format)
}

/// A path's ending in lower case, without its dot; empty for none.
pub(super) fn ending(path: &[u8]) -> Vec<u8> {
    let (_, name) = split(path);
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0);
    let ending = dot.and_then(|dot| name.get(dot + 1..)).unwrap_or_default();
    if ending.len() > ENDING_BYTES_MAX { Vec::new() } else { ending.to_ascii_lowercase() }
}

/// The path without its ending.
fn inner(path: &[u8]) -> &[u8] {
    let (_, name) = split(path);
    match name.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if dot > 0 => &path[..path.len() - (name.len() - dot)],
        Some(_) | None => path,
    }
}

fn inner_promise(path: &[u8]) -> Promise {
    promise(&ending(inner(path)))
}

fn is_note(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let ending = ending(&name);
    let fits = matches!(&*ending, b"txt" | b"html" | b"htm" | b"hta" | b"md" | b"" | b"rtf");
    let says = NOTE_WORDS.iter().any(|word| name.windows(word.len()).any(|part| part == *word));
    fits && says && !NO_NOTES.contains(&&*name)
}

/// Tells names apart without keeping them. Fixed, so that a table of tests gives one answer.
pub(super) fn hash(value: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_cut_at_the_last_dot_of_the_name() {
        for (path, expected, rest) in [
            ("/a/b.TXT", "txt", "/a/b"),
            ("/a.d/b", "", "/a.d/b"),
            ("/a/.profile", "", "/a/.profile"),
            ("/a/b.docx.locked", "locked", "/a/b.docx"),
            ("/a/b.", "", "/a/b"),
        ] {
            assert_eq!(ending(path.as_bytes()), expected.as_bytes(), "{path}");
            assert_eq!(inner(path.as_bytes()), rest.as_bytes(), "{path}");
        }
    }

    #[test]
    fn notes_are_known_by_their_words() {
        for (name, expected) in [
            ("HOW_TO_DECRYPT.txt", true),
            ("!!!READ_ME!!!.html", true),
            ("Recovery-Instructions.txt", true),
            ("README.md", false),
            ("README_build.md", true),
            ("recover.c", false),
            ("letter.txt", false),
        ] {
            assert_eq!(is_note(name.as_bytes()), expected, "{name}");
        }
    }
}
