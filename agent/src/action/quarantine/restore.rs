//! Puts a file back where it was, as it was: made aside, its content read back and compared by
//! hash, dressed, and only then given its names, so that it is never there in half.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cordon_proto::event::receipt::Probe;

use super::subject::{open_place, shown};
use super::{Before, Stage, Taking, failed};
use crate::action::deed::{Done, NotDone};
use crate::platform::linux::metadata::Metadata;
use crate::platform::linux::place::{Kind, Node, Place};
use crate::vault::{Content, Copy, FREE_BYTES_MIN, Vault, VaultError, What};

/// A file that was made, or found where it must be.
struct Back {
    node: Node,
    file: Option<File>,
    /// What it must carry.
    wanted: Metadata,
    /// What it could not be given.
    failed: Vec<String>,
    /// How much of it is data.
    bytes_of_data: u64,
}

/// Puts back what a copy holds, and removes the copy.
pub(super) fn restore(
    taking: &Taking<'_>,
    vault: &Vault,
    before: &Before,
    mut copy: Copy,
) -> Result<Done, NotDone> {
    let path = taking.path();
    let Some(place) = open_place(&copy.header().directory)? else {
        let directory = copy.header().directory.to_lossy();
        let why = format!("{directory} is no more; make it again, and then undo this again");
        return Err(NotDone::Failed(why));
    };
    give_names_back(&place, before, &copy)?;
    let header = copy.header().clone();
    let aside = format!(".cordon-{}-back", before.copy).into_bytes();
    let back = match found(&place, &copy)? {
        // It was never gone, or a crash came between naming it and ending this.
        Some(back) => back,
        None => {
            remove(&place, &aside)?;
            let made = make(taking, &place, &aside, &mut copy);
            if made.is_err() {
                remove(&place, &aside)?;
            }
            made.map_err(|why| NotDone::Failed(format!("{path} could not be put back: {why}")))?
        }
    };
    let mut missing = name(&place, &header.names, &back.node);
    remove(&place, &aside)?;
    if missing.len() == header.names.len() {
        // The file is nowhere but in the vault.
        return Err(NotDone::Failed(format!("{path} is not put back: {}", missing.join("; "))));
    }
    (taking.at)(Stage::BackNamed);
    if let Some(file) = &back.file {
        let closed = header.metadata.close(file);
        missing.extend(closed.err().map(|error| format!("{path} is not closed again: {error}")));
    }
    place.sync().map_err(failed)?;
    (taking.at)(Stage::BackClosed);
    let carried = Metadata::read(&back.node, back.file.as_ref()).map_err(failed)?;
    let differ = back.wanted.differences(&carried);
    let probes = vec![
        read_back(&path, copy.content()),
        carries(&path, &back.wanted, &differ),
        holes(&path, copy.content(), back.bytes_of_data),
    ];
    if !differ.is_empty() {
        missing.extend(differ.into_iter().chain(back.failed).map(|why| format!("{path}: {why}")));
    }
    vault.remove(before.copy).map_err(failed)?;
    (taking.at)(Stage::CopyRemoved);
    let done = vec![format!("{path}: content, read back and compared by its hash")];
    Ok(Done { probes, done, missing })
}

/// Gives the file itself its names back, where a crash had come before they were gone.
fn give_names_back(place: &Place, before: &Before, copy: &Copy) -> Result<(), NotDone> {
    let header = copy.header();
    for (index, name) in header.names.iter().enumerate() {
        let aside = before.aside(index);
        let held = place.hold(&aside).map_err(failed)?;
        let held = held.map(|node| node.facts()).transpose().map_err(failed)?;
        if held.is_some_and(|held| before.is_of(&held)) {
            place.rename(&aside, name.as_bytes()).map_err(failed)?;
        }
    }
    Ok(())
}

/// What stands at the file's names: nothing, or the file as it was or was put back; anything else
/// is in the way.
fn found(place: &Place, copy: &Copy) -> Result<Option<Back>, NotDone> {
    let header = copy.header();
    for (index, name) in header.names.iter().enumerate() {
        let Some(node) = place.hold(name.as_bytes()).map_err(failed)? else { continue };
        // With the first name found to be the file, the others are given or compared to it.
        let back = if index == 0 { ours(copy, node).map_err(failed)? } else { None };
        if back.is_some() {
            return Ok(back);
        }
        let (directory, name) = (header.directory.to_lossy(), name.to_lossy());
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        let why = format!("something is at {path}; move it away, and then undo this again");
        return Err(NotDone::Failed(why));
    }
    Ok(None)
}

fn ours(copy: &Copy, node: Node) -> io::Result<Option<Back>> {
    let (header, facts) = (copy.header(), node.facts()?);
    let (file, content) = match (&header.what, facts.kind) {
        (What::File, Kind::File) if facts.bytes == copy.content().bytes => {
            let file = node.open()?;
            let content = Content::of(&file, facts.bytes)?;
            (Some(file), content)
        }
        (What::Link(_), Kind::Link) => (None, Content::of_link(&node.target()?)),
        (What::File | What::Link(_), Kind::File | Kind::Link | Kind::Other(_)) => return Ok(None),
    };
    let carried = Metadata::read(&node, file.as_ref())?;
    // Whoever read it since then has moved its access time.
    let wanted = Metadata { accessed: carried.accessed, ..header.metadata.clone() };
    let dressed = Metadata { flags: carried.flags, ..wanted.clone() };
    let same = content.sha256 == copy.content().sha256 && dressed.differences(&carried).is_empty();
    let bytes_of_data = content.bytes_of_data;
    Ok(same.then_some(Back { node, file, wanted, failed: Vec::new(), bytes_of_data }))
}

fn make(taking: &Taking<'_>, place: &Place, aside: &[u8], copy: &mut Copy) -> Result<Back, String> {
    let header = copy.header().clone();
    let io = |error: io::Error| error.to_string();
    let (node, file, content) = match &header.what {
        What::Link(target) => {
            place.make_link(aside, target.as_bytes()).map_err(io)?;
            let node = place.hold(aside).map_err(io)?.ok_or("it is gone again")?;
            (taking.at)(Stage::BackBegun);
            let content = Content::of_link(&node.target().map_err(io)?);
            (node, None, content)
        }
        What::File => {
            let free = place.bytes_free().map_err(io)?;
            let needed = copy.end().bytes_of_data.saturating_add(FREE_BYTES_MIN / 8);
            if free < needed {
                return Err(format!(
                    "it needs {} MiB free, and there are {}",
                    needed >> 20,
                    free >> 20
                ));
            }
            let file = place.make_file(aside).map_err(io)?;
            let node = Node::of(&file).map_err(io)?;
            (taking.at)(Stage::BackBegun);
            fill(&file, copy).map_err(|error| error.to_string())?;
            let content = Content::of(&file, copy.end().bytes).map_err(io)?;
            (node, Some(file), content)
        }
    };
    (taking.at)(Stage::BackWritten);
    if content.sha256 != copy.content().sha256 {
        return Err("it was read back otherwise than written".to_owned());
    }
    let failed = header.metadata.give(&node, file.as_ref());
    file.as_ref().map(File::sync_all).transpose().map_err(io)?;
    (taking.at)(Stage::BackDressed);
    let (wanted, bytes_of_data) = (header.metadata, content.bytes_of_data);
    Ok(Back { node, file, wanted, failed, bytes_of_data })
}

fn fill(file: &File, copy: &mut Copy) -> Result<(), VaultError> {
    let io = |cause| VaultError::Io { doing: "writing out", cause };
    copy.rewind()?;
    while let Some((offset, data)) = copy.next_chunk()? {
        file.write_all_at(data, offset).map_err(io)?;
    }
    // A hole at the end.
    file.set_len(copy.end().bytes).map_err(io)?;
    file.sync_all().map_err(io)
}

/// Gives it its names; which it could not be given, and why.
fn name(place: &Place, names: &[cordon_proto::Text], node: &Node) -> Vec<String> {
    let mut missing = Vec::new();
    for name in names {
        let Err(error) = place.link(node, name.as_bytes()) else { continue };
        let held = place.hold(name.as_bytes()).ok().flatten();
        let same = held.and_then(|held| Some(held.facts().ok()?.inode == node.facts().ok()?.inode));
        if same != Some(true) {
            missing.push(format!("the name {}: {error}", shown(name.as_bytes())));
        }
    }
    missing
}

fn remove(place: &Place, name: &[u8]) -> Result<(), NotDone> {
    match place.unlink(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read_back(path: &str, content: Content) -> Probe {
    let seen = format!("{} bytes, SHA-256 {}, as it was", content.bytes, content.sha256);
    Probe { what: format!("{path}, read back"), passed: true, seen }
}

fn carries(path: &str, wanted: &Metadata, differ: &[String]) -> Probe {
    let attributes = wanted.xattrs.len();
    let seen = if differ.is_empty() {
        format!("owner, mode, times, {attributes} extended attribute(s) and flags as they were")
    } else {
        differ.join("; ")
    };
    Probe { what: format!("what {path} carries"), passed: differ.is_empty(), seen }
}

fn holes(path: &str, content: Content, bytes_of_data: u64) -> Probe {
    let what = format!("holes of {path}");
    let seen = format!("{bytes_of_data} bytes of data; it had {}", content.bytes_of_data);
    Probe { what, passed: bytes_of_data <= content.bytes_of_data, seen }
}
