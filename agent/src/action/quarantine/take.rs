//! Copies a file into the vault, then takes its names away.

use super::subject::{Subject, open_place};
use super::{Before, Stage, Stop, Taking, failed};
use crate::action::deed::NotDone;
use crate::platform::linux::metadata::{self, Metadata};
use crate::platform::linux::place::{Facts, Kind, Node};
use crate::vault::{Content, Copy, End, FREE_BYTES_MIN, Header, Vault, What};

/// Whether the vault has room for a copy.
pub(super) fn room(vault: &Vault, subject: &Subject) -> Result<(), NotDone> {
    let free = vault.bytes_free().map_err(failed)?;
    let needed = subject.facts.bytes_on_disk;
    // Sealing adds less than a thousandth.
    let needed = needed.saturating_add(needed >> 10).saturating_add(FREE_BYTES_MIN);
    if needed <= free {
        return Ok(());
    }
    Err(NotDone::Failed(format!(
        "a copy needs {} MiB free where the agent keeps its state, and there are {} MiB",
        needed >> 20,
        free >> 20
    )))
}

/// Copies it, and takes it away.
pub(super) fn take(
    taking: &Taking<'_>,
    vault: &Vault,
    before: &Before,
    subject: &Subject,
) -> Result<Content, Stop> {
    room(vault, subject)?;
    let copied = copy(taking, vault, before, subject);
    let taken = copied.and_then(|content| away(taking, before, subject).map(|()| content));
    if matches!(taken, Err(Stop::NotDone(_) | Stop::Changed)) {
        // The file is where it was.
        vault.remove(before.copy)?;
    }
    taken
}

fn copy(
    taking: &Taking<'_>,
    vault: &Vault,
    before: &Before,
    subject: &Subject,
) -> Result<Content, Stop> {
    // A crash may have come while its flags were cleared.
    let metadata = Metadata { flags: before.flags, ..subject.metadata.clone() };
    let header = Header {
        directory: subject.directory.as_os_str().as_encoded_bytes().into(),
        names: subject.names.iter().map(|name| name.as_slice().into()).collect(),
        inode: subject.facts.inode,
        what: subject.what.clone(),
        metadata,
    };
    let mut sealer = vault.begin(before.copy, &header)?;
    (taking.at)(Stage::CopyBegun);
    let content = match (&subject.what, &subject.file) {
        (What::File, Some(file)) => Content::read(file, subject.facts.bytes, |offset, data| {
            sealer.data(offset, data).map_err(Stop::from)
        })?,
        (What::File, None) | (What::Link(_), _) => subject.content()?,
    };
    let Content { bytes, bytes_of_data, sha256 } = content;
    sealer.finish(End { chunks: 0, bytes, bytes_of_data, sha256 })?;
    (taking.at)(Stage::CopyFinished);
    let found = subject.node.facts()?;
    if written(&subject.facts, &found) || found.changed != subject.facts.changed {
        return Err(Stop::Changed);
    }
    if let Some(asked) = taking.asked.sha256.filter(|asked| *asked != sha256) {
        let why = format!("{} has the SHA-256 {sha256}, not {asked}", taking.path());
        return Err(NotDone::Refused(why).into());
    }
    let mut copy = vault.unfinished(before.copy)?;
    copy.verify()?;
    if copy.content() != content || copy.header() != &header {
        return Err(NotDone::Failed("the copy was read back otherwise than written".into()).into());
    }
    vault.keep(before.copy)?;
    (taking.at)(Stage::CopyKept);
    Ok(content)
}

/// Takes all names of the file that was looked at, and of no other; where it stops other than by
/// half, the file has them all, and is closed to changes as it was.
pub(super) fn away(taking: &Taking<'_>, before: &Before, subject: &Subject) -> Result<(), Stop> {
    if let Some(file) = &subject.file {
        let opened = metadata::unclose(file).map_err(|error| {
            let why = format!("{} is marked immutable or append-only: {error}", taking.path());
            NotDone::Refused(why)
        })?;
        if opened {
            (taking.at)(Stage::Opened);
        }
    }
    let mut aside = Vec::new();
    if let Err(mut stop) = set_aside(before, subject, &mut aside) {
        if let Err(why) = put_names_back(before, subject, &aside) {
            stop = Stop::Half(why);
        }
        return Err(stop);
    }
    (taking.at)(Stage::SetAside);
    let unlinked = || {
        (0..subject.names.len()).try_for_each(|index| subject.place.unlink(&before.aside(index)))
    };
    unlinked().and_then(|()| subject.place.sync()).map_err(|error| {
        let path = taking.path();
        Stop::Half(format!("{path} was set aside, but not taken to the end: {error}"))
    })?;
    (taking.at)(Stage::TakenAway);
    Ok(())
}

fn set_aside(before: &Before, subject: &Subject, aside: &mut Vec<usize>) -> Result<(), Stop> {
    for (index, name) in subject.names.iter().enumerate() {
        let to = before.aside(index);
        match subject.place.rename(name, &to) {
            Ok(()) => aside.push(index),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Stop::Changed);
            }
            Err(error) => return Err(error.into()),
        }
        let moved = subject.place.hold(&to)?;
        let moved = moved.map(|node| node.facts()).transpose()?;
        if moved.is_none_or(|moved| moved.inode != subject.facts.inode) {
            return Err(Stop::Changed);
        }
    }
    let found = subject.node.facts()?;
    let names = u32::try_from(subject.names.len()).unwrap_or(u32::MAX);
    if written(&subject.facts, &found) || found.links != names {
        Err(Stop::Changed)
    } else {
        Ok(())
    }
}

fn put_names_back(before: &Before, subject: &Subject, aside: &[usize]) -> Result<(), String> {
    for index in aside {
        let (from, name) = (before.aside(*index), subject.names.get(*index));
        let Some(name) = name else { continue };
        subject.place.rename(&from, name).map_err(|error| {
            let (name, from) = (subject.full(name), subject.full(&from));
            format!("{name} could not be given its name back: {error}; it is {from} now")
        })?;
    }
    let closed = subject
        .file
        .as_ref()
        .map(|file| Metadata { flags: before.flags, ..subject.metadata.clone() }.close(file))
        .transpose();
    closed.map(|_done| ()).map_err(|error| format!("it could not be closed again: {error}"))
}

/// Ends what a crash has left between taking the names and unlinking them; what was written to
/// since then gets its names back.
pub(super) fn end_set_aside(before: &Before, copy: &Copy) -> Result<(), NotDone> {
    let header = copy.header();
    let Some(place) = open_place(&header.directory)? else { return Ok(()) };
    let held = |name: &[u8]| place.hold(name).map_err(failed);
    let asides: Vec<_> = (0..header.names.len()).map(|index| before.aside(index)).collect();
    let mut begun = false;
    for aside in &asides {
        begun |= held(aside)?.is_some();
    }
    if !begun {
        return Ok(());
    }
    for (aside, name) in asides.iter().zip(&header.names) {
        let left = held(name.as_bytes())?;
        let left = left.map(|node| is_copied(before, copy, &node)).transpose()?;
        if left == Some(true) && held(aside)?.is_none() {
            place.rename(name.as_bytes(), aside).map_err(failed)?;
        }
    }
    for (aside, name) in asides.iter().zip(&header.names) {
        let Some(node) = held(aside)? else { continue };
        let same = is_copied(before, copy, &node)?;
        let ended = if same { place.unlink(aside) } else { place.rename(aside, name.as_bytes()) };
        ended.map_err(failed)?;
    }
    place.sync().map_err(failed)
}

/// Whether this is the file that was copied, and the copy holds what it holds.
fn is_copied(before: &Before, copy: &Copy, node: &Node) -> Result<bool, NotDone> {
    let (facts, metadata) = (node.facts().map_err(failed)?, &copy.header().metadata);
    let known = before.is_of(&facts) && facts.modified == metadata.modified;
    if !known || facts.bytes != copy.content().bytes {
        return Ok(false);
    }
    let content = match facts.kind {
        Kind::File => node.open().and_then(|file| Content::of(&file, facts.bytes)),
        Kind::Link => node.target().map(|target| Content::of_link(&target)),
        Kind::Other(_) => return Ok(false),
    };
    Ok(content.map_err(failed)?.sha256 == copy.content().sha256)
}

fn written(before: &Facts, now: &Facts) -> bool {
    before.bytes != now.bytes || before.modified != now.modified
}
