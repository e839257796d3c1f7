//! Executables that may not be started (D3FEND D3-EDL).

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::CommandFormError;
use crate::Text;
use crate::id::Hash;

/// The longest path that Linux takes.
pub(super) const PATH_BYTES_MAX: usize = 4096;

/// Which executable.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Executable {
    /// Whatever has this content, wherever it is.
    #[n(0)]
    Sha256(#[n(0)] Hash),
    /// Whatever is at this place, whatever its content.
    #[n(1)]
    Path(#[n(0)] Text),
}

/// Let an executable not be started.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Deny {
    /// Which.
    #[n(0)]
    pub what: Executable,
    /// How long it stands, in seconds of endpoint time; none until it is undone.
    #[n(1)]
    pub lease_secs: Option<u64>,
}

impl Deny {
    pub(super) fn check(&self) -> Result<(), CommandFormError> {
        match &self.what {
            Executable::Sha256(_) => Ok(()),
            Executable::Path(path) => check_path(path),
        }
    }
}

/// A path must mean the same to the operator who reads it and to the kernel.
pub(super) fn check_path(path: &Text) -> Result<(), CommandFormError> {
    let bytes = path.as_bytes();
    let plain = bytes.split(|byte| *byte == b'/').skip(1);
    let clear = plain.clone().count() > 0
        && plain.clone().all(|name| !name.is_empty() && name != b"." && name != b"..");
    if bytes.first() == Some(&b'/') && clear && !bytes.contains(&0) && bytes.len() < PATH_BYTES_MAX
    {
        return Ok(());
    }
    Err(CommandFormError::Parameter {
        field: "path",
        found: path.to_lossy().chars().take(256).collect(),
        what: "absolute path without empty names, '.' and '..'",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_one_place() {
        for path in ["/usr/bin/nc", "/a b/\u{fc}", "/x"] {
            assert_eq!(check_path(&path.into()), Ok(()), "{path}");
        }
        for path in ["", "/", "nc", "/usr/../bin/nc", "/usr//nc", "/usr/./nc", "/usr/", "/a\0b"] {
            assert!(check_path(&path.into()).is_err(), "{path}");
        }
    }
}
