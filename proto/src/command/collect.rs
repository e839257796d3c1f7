//! Bringing evidence away: what, from where, and how much at most.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::deny::PATH_BYTES_MAX;
use super::{CommandFormError, range};
use crate::Text;

/// Sources and patterns of files in one command.
const WANTED_MAX: u64 = 64;

/// The most that one command brings away.
const BYTES_MAX: u64 = 4 << 30;

/// What the endpoint knows of itself.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Source {
    /// Every process, with all that is around it.
    #[n(0)]
    Processes,
    /// Every socket and its owner.
    #[n(1)]
    Sockets,
    /// Who is logged in, and who was.
    #[n(2)]
    Sessions,
    /// What starts by itself.
    #[n(3)]
    Autoruns,
    /// What is installed.
    #[n(4)]
    Packages,
    /// The logs of the system.
    #[n(5)]
    Logs,
}

impl Source {
    /// Its name, as it is given in the terminal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Sockets => "sockets",
            Self::Sessions => "sessions",
            Self::Autoruns => "autoruns",
            Self::Packages => "packages",
            Self::Logs => "logs",
        }
    }
}

/// Bring evidence away.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Collect {
    /// What the endpoint knows of itself.
    #[n(0)]
    pub sources: Vec<Source>,
    /// Files, by absolute pattern: `*`, `?`, `[…]` within a name, `**` for any folders.
    #[n(1)]
    pub globs: Vec<Text>,
    /// How much is brought away at most, before compression.
    #[n(2)]
    pub bytes_max: u64,
    /// Whether the archive may leave the endpoint readable for everybody between, where nobody whom
    /// the roster lets collect has a sealing key; without this such a command is refused. Never
    /// asked where somebody has one.
    #[n(3)]
    pub unsealed: Option<bool>,
}

impl Collect {
    pub(super) fn check(&self) -> Result<(), CommandFormError> {
        range("bytes_max", self.bytes_max, BYTES_MAX)?;
        let count = self.sources.len().saturating_add(self.globs.len());
        let (count, count_max) = (u64::try_from(count).unwrap_or(u64::MAX), WANTED_MAX);
        range("count of sources and globs", count, count_max)?;
        for glob in &self.globs {
            let bytes = glob.as_bytes();
            if bytes.first() != Some(&b'/') || bytes.contains(&0) || bytes.len() >= PATH_BYTES_MAX {
                let found = glob.to_lossy().chars().take(256).collect();
                let what = "absolute pattern of files";
                return Err(CommandFormError::Parameter { field: "glob", found, what });
            }
        }
        Ok(())
    }
}
