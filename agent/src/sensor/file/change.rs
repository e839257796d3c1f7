//! A change of a name, whichever means has told of it. Pure.

use crate::platform::linux::fanotify as kernel;

/// What happened to a name, added up: in which order is not known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Acts {
    pub(super) created: bool,
    pub(super) written: bool,
    pub(super) attributes: bool,
    pub(super) deleted: bool,
}

impl Acts {
    pub(super) const CREATED: Self = Self { created: true, ..Self::NONE };
    pub(super) const WRITTEN: Self = Self { written: true, ..Self::NONE };
    pub(super) const ATTRIBUTES: Self = Self { attributes: true, ..Self::NONE };
    pub(super) const DELETED: Self = Self { deleted: true, ..Self::NONE };
    pub(super) const NONE: Self =
        Self { created: false, written: false, attributes: false, deleted: false };

    /// What a message's mask says. One half of a rename whose other half is elsewhere counts as
    /// coming or going.
    pub(super) fn of_mask(mask: u64) -> Self {
        let any = |bits: u64| mask & bits != 0;
        Self {
            created: any(kernel::CREATE | kernel::MOVED_TO),
            written: any(kernel::CLOSE_WRITE),
            attributes: any(kernel::ATTRIB),
            deleted: any(kernel::DELETE | kernel::MOVED_FROM),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            created: self.created || other.created,
            written: self.written || other.written,
            attributes: self.attributes || other.attributes,
            deleted: self.deleted || other.deleted,
        }
    }
}

/// A change of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// Who made it; none where the means cannot tell.
    pub(super) pid: Option<u32>,
    pub(super) acts: Acts,
    pub(super) path: Vec<u8>,
    /// The name before, if it was renamed.
    pub(super) from: Option<Vec<u8>>,
    pub(super) is_directory: bool,
    /// Whether the name, and the one before, is on the list of watched files.
    pub(super) watched: (bool, bool),
    /// Whether the name counts in the meter of mass changes.
    pub(super) metered: bool,
}

/// The path of a name in a directory; a dot stands for the directory itself.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if name == b"." || name.is_empty() {
        return directory.to_vec();
    }
    let mut path = Vec::with_capacity(directory.len() + name.len() + 1);
    path.extend_from_slice(directory);
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The directory that a path stands in, and its last part.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
