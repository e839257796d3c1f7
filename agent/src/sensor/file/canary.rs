//! Canary files: made where settings say, known by inode and content, and removed again when they
//! are taken off the list, unless somebody else has put something in their place.
//!
//! A canary belongs to the owner of its directory and is only for them to read, so that a program
//! that runs as that user comes upon it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use cordon_proto::codec::{decode_lenient, encode};
use cordon_proto::id::Hash;
use minicbor::{Decode, Encode};

use crate::sensor::Checkpoint;

use super::look;

const KEY: &str = "file/canary/";

/// What a person who opens it reads.
const CONTENT: &[u8] =
    b"This file was put here by Cordon, which watches this machine. It is never \
used; whoever changes, renames or deletes it is reported at once. Please leave it alone.\n";

/// A canary that was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
struct Made {
    #[n(0)]
    inode: u64,
}

/// What was found of one canary at the start.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// It is as it was made, or has just been made for the first time.
    Fine,
    /// It was touched while nobody watched.
    Touched,
    /// There is something of this name that is not ours, or it could not be made.
    Problem(String),
}

/// Makes what is to be there and is not, removes what is not to be there any more. What is to be
/// kept goes into `checkpoints`.
pub(super) fn settle(
    wanted: &[String],
    restored: &[Checkpoint],
    checkpoints: &mut Vec<Checkpoint>,
) -> Vec<(String, Found)> {
    let made = restored.iter().filter_map(|Checkpoint { key, value }| {
        let path = key.strip_prefix(KEY)?;
        Some((path, decode_lenient::<Made>(value.as_deref()?).ok()?))
    });
    let made: Vec<(&str, Made)> = made.collect();
    for (path, made) in &made {
        if !wanted.iter().any(|wanted| wanted == path) {
            if is_ours(path, *made) {
                // If it stays, nobody watches it any more.
                drop(std::fs::remove_file(path));
            }
            checkpoints.push(Checkpoint { key: format!("{KEY}{path}"), value: None });
        }
    }
    let mut found = Vec::new();
    for path in wanted {
        let before = made.iter().find(|(made, _)| made == path).map(|(_, made)| *made);
        found.push((path.clone(), settle_one(path, before, checkpoints)));
    }
    found
}

fn settle_one(path: &str, before: Option<Made>, checkpoints: &mut Vec<Checkpoint>) -> Found {
    if let Some(before) = before
        && is_ours(path, before)
    {
        return Found::Fine;
    }
    let is_there = Path::new(path).symlink_metadata().is_ok();
    if is_there {
        return match before {
            Some(_) => Found::Touched,
            None => Found::Problem(format!("{path} is there and was not made by the agent")),
        };
    }
    match make(path) {
        Ok(made) => {
            let value = Some(encode(&made));
            checkpoints.push(Checkpoint { key: format!("{KEY}{path}"), value });
            if before.is_some() { Found::Touched } else { Found::Fine }
        }
        Err(error) => Found::Problem(format!("making the canary {path}: {error}")),
    }
}

fn make(path: &str) -> io::Result<Made> {
    let directory = Path::new(path).parent().unwrap_or(Path::new("/"));
    let owner = directory.symlink_metadata()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    file.write_all(CONTENT)?;
    hand_over(&file, owner.uid(), owner.gid())?;
    Ok(Made { inode: file.metadata()?.ino() })
}

fn hand_over(file: &File, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(file, Some(uid), Some(gid))
}

fn is_ours(path: &str, made: Made) -> bool {
    let bytes_max = u64::try_from(CONTENT.len()).unwrap_or(0);
    let found = look::whole(path.as_bytes(), bytes_max);
    found.is_some_and(|found| {
        found.inode == made.inode && found.state.sha256 == Some(Hash::of(CONTENT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_made_once_known_again_and_removed_when_it_is_not_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.odt").to_str().unwrap().to_owned();
        let wanted = [path.clone()];
        let mut kept = Vec::new();
        assert_eq!(settle(&wanted, &[], &mut kept), [(path.clone(), Found::Fine)]);
        assert_eq!(std::fs::read(&path).unwrap(), CONTENT);
        let mut more = Vec::new();
        assert_eq!(settle(&wanted, &kept, &mut more), [(path.clone(), Found::Fine)]);
        assert!(more.is_empty());
        assert!(settle(&[], &kept, &mut more).is_empty());
        assert!(!Path::new(&path).exists() && more[0].value.is_none());
    }

    #[test]
    fn a_canary_that_was_touched_is_told_and_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.odt").to_str().unwrap().to_owned();
        let wanted = [path.clone()];
        let mut kept = Vec::new();
        settle(&wanted, &[], &mut kept);
        std::fs::write(&path, b"scrambled").unwrap();
        assert_eq!(settle(&wanted, &kept, &mut Vec::new())[0].1, Found::Touched);
        settle(&[], &kept, &mut Vec::new());
        assert!(Path::new(&path).exists());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(settle(&wanted, &kept, &mut Vec::new())[0].1, Found::Touched);
        assert_eq!(std::fs::read(&path).unwrap(), CONTENT, "it stands there again");
    }

    #[test]
    fn somebody_elses_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.odt").to_str().unwrap().to_owned();
        std::fs::write(&path, b"mine").unwrap();
        let found = settle(std::slice::from_ref(&path), &[], &mut Vec::new());
        assert!(matches!(&found[0].1, Found::Problem(_)));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
}
