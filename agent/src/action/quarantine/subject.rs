//! The file that a command names, held by handle, or why it must not be touched.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cordon_proto::Text;

use super::{BYTES_MAX, NAMES_MAX, failed, protected};
use crate::action::deed::{NotDone, Tools};
use crate::platform::linux::metadata::{self, Metadata};
use crate::platform::linux::place::{Facts, Kind, Node, Place};
use crate::vault::{Content, What};

/// Names looked at to find all that a file has in its directory.
const DIRECTORY_NAMES_MAX: usize = 200_000;

/// A file that may be taken.
pub(super) struct Subject {
    pub(super) directory: PathBuf,
    pub(super) place: Place,
    /// All names that it has, the one that was asked for first.
    pub(super) names: Vec<Vec<u8>>,
    pub(super) node: Node,
    /// Open, where it is a regular file.
    pub(super) file: Option<File>,
    pub(super) what: What,
    pub(super) facts: Facts,
    pub(super) metadata: Metadata,
}

impl Subject {
    /// Finds it; none where there is nothing.
    pub(super) fn find(tools: &Tools, path: &[u8]) -> Result<Option<Self>, NotDone> {
        let (directory, name) = split(path)?;
        lab(tools, path)?;
        let Some(place) = open_place(&directory.as_os_str().as_bytes().into())? else {
            return Ok(None);
        };
        let Some(node) = place.hold(name).map_err(failed)? else { return Ok(None) };
        let facts = node.facts().map_err(failed)?;
        let refused = |why: &str| Err(NotDone::Refused(format!("{} {why}", shown(path))));
        let file = match facts.kind {
            Kind::Other(kind) => {
                return refused(&format!("is {kind}; only files and symbolic links are taken"));
            }
            Kind::File | Kind::Link if facts.is_mount => return refused("is mounted there"),
            Kind::File if place.is_of_kernel().map_err(failed)? => {
                return refused("is made up by the kernel; there is nothing to take");
            }
            Kind::File if facts.is_verity => {
                return refused("is sealed by fs-verity, which could not be put back");
            }
            Kind::File if facts.bytes > BYTES_MAX => {
                let gib = BYTES_MAX >> 30;
                return refused(&format!("is {} bytes long, over {gib} GiB", facts.bytes));
            }
            Kind::File => Some(node.open().map_err(failed)?),
            Kind::Link if place.is_of_kernel().map_err(failed)? => {
                return refused("is made up by the kernel; there is nothing to take");
            }
            Kind::Link => None,
        };
        if let Some(why) = protected::why(tools, &place, facts.inode) {
            return refused(&format!("is protected: {why}"));
        }
        if place.is_read_only().map_err(failed)? {
            return refused("is on a file system that is read-only");
        }
        if metadata::is_closed(&place).map_err(failed)? {
            return refused("is in a directory that is marked immutable or append-only");
        }
        let names = names(&place, name, &facts, path)?;
        let what = match facts.kind {
            Kind::Link => What::Link(node.target().map_err(failed)?.into()),
            Kind::File | Kind::Other(_) => What::File,
        };
        let metadata = Metadata::read(&node, file.as_ref()).map_err(failed)?;
        let directory = directory.to_owned();
        Ok(Some(Self { directory, place, names, node, file, what, facts, metadata }))
    }

    /// Reads it; a link's content is where it leads.
    pub(super) fn content(&self) -> io::Result<Content> {
        match (&self.what, &self.file) {
            (What::Link(target), _) => Ok(Content::of_link(target.as_bytes())),
            (What::File, Some(file)) => Content::of(file, self.facts.bytes),
            (What::File, None) => Err(io::Error::other("it is not open")),
        }
    }

    /// One of its names in full.
    pub(super) fn full(&self, name: &[u8]) -> String {
        shown(self.directory.join(OsStr::from_bytes(name)).as_os_str().as_bytes())
    }
}

/// A path for people.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Opens a directory; none where it is not there, refused where a link leads to it.
pub(super) fn open_place(directory: &Text) -> Result<Option<Place>, NotDone> {
    let path = Path::new(OsStr::from_bytes(directory.as_bytes()));
    match Place::open(path) {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            let real = std::fs::canonicalize(path).ok();
            let hint = real.map(|real| format!("; it leads to {}", real.display()));
            let hint = hint.unwrap_or_default();
            let why = format!(
                "a symbolic link is part of {}, and may lead elsewhere by the time it is \
                 followed{hint}",
                path.display()
            );
            Err(NotDone::Refused(why))
        }
        Err(error) => Err(failed(format!("opening {} failed: {error}", path.display()))),
    }
}

fn split(path: &[u8]) -> Result<(&Path, &[u8]), NotDone> {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let parts = slash.and_then(|slash| Some((path.get(..slash)?, path.get(slash + 1..)?)));
    match parts {
        Some(([], name)) if !name.is_empty() => Ok((Path::new("/"), name)),
        Some((directory, name)) if !name.is_empty() => {
            Ok((Path::new(OsStr::from_bytes(directory)), name))
        }
        Some(_) | None => Err(NotDone::Refused(format!("{} is no path of a file", shown(path)))),
    }
}

/// An agent that is only tried out takes nothing from the machine that it is tried out on.
fn lab(tools: &Tools, path: &[u8]) -> Result<(), NotDone> {
    let state = tools.dir.path("");
    let own = state.parent();
    let inside = own.is_some_and(|own| Path::new(OsStr::from_bytes(path)).starts_with(own));
    if !tools.lab || inside {
        return Ok(());
    }
    let why = format!("{} is not the lab's, and this agent is only tried out", shown(path));
    Err(NotDone::Refused(why))
}

/// All names of the file; where some are in other directories, it is refused: what is taken under
/// one name would be in reach under another.
fn names(place: &Place, name: &[u8], facts: &Facts, path: &[u8]) -> Result<Vec<Vec<u8>>, NotDone> {
    let mut names = vec![name.to_vec()];
    let links = usize::try_from(facts.links).unwrap_or(usize::MAX);
    if links <= 1 {
        return Ok(names);
    }
    let found = place.names_of(facts.inode.number, DIRECTORY_NAMES_MAX).map_err(failed)?;
    for other in found.into_iter().filter(|other| other != name).take(NAMES_MAX) {
        let same = place.hold(&other).map_err(failed)?;
        let same = same.and_then(|node| node.facts().ok());
        if same.is_some_and(|same| same.inode == facts.inode) {
            names.push(other);
        }
    }
    if names.len() == links && links <= NAMES_MAX {
        return Ok(names);
    }
    let (number, found) = (facts.inode.number, names.len());
    Err(NotDone::Refused(format!(
        "{} is one of {links} names of its file (hard links), and only {found} of them were found \
         in its directory (of {NAMES_MAX} at most): under the others it would stay in reach. Find \
         them with `find -xdev -inum {number}` from where its file system is mounted, and remove \
         them first",
        shown(path)
    )))
}
