//! Tries whether denying works: a program that is denied must not start, and one that differs from
//! it in a few bytes must.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use cordon_proto::event::receipt::Probe;
use cordon_proto::id::Hash;

/// Files of another length are not hashed for the canary's sake.
pub(super) const CANARY_BYTES: usize = 4099;

/// Another thread may just have had the file open for writing when it started a process.
const TRIES_MAX: usize = 20;

/// Two programs that do nothing.
#[derive(Debug)]
pub(super) struct Canary {
    denied: Vec<u8>,
    allowed: Vec<u8>,
    /// One try at a time: each has the same names.
    trying: Mutex<()>,
}

impl Canary {
    pub(super) fn new() -> Self {
        let [denied, allowed] = ["no", "yes"].map(content);
        Self { denied, allowed, trying: Mutex::default() }
    }

    pub(super) fn hash(&self) -> Hash {
        Hash::of(&self.denied)
    }

    /// An error where nothing can be started here at all.
    pub(super) fn probes(&self, folder: &Path) -> Result<Vec<Probe>, String> {
        let _trying = self.trying.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = start(&folder.join("deny-canary-yes"), &self.allowed);
        if let Err(error) = &allowed
            && error.raw_os_error() != Some(libc::EPERM)
        {
            let folder = folder.display();
            return Err(format!("a program in {folder} cannot be tried: {error}"));
        }
        let denied = start(&folder.join("deny-canary-no"), &self.denied);
        let is_denied = matches!(&denied, Err(error) if error.raw_os_error() == Some(libc::EPERM));
        Ok(vec![
            probe("a denied program is started", is_denied, &denied),
            probe("another program is started", allowed.is_ok(), &allowed),
        ])
    }
}

fn content(word: &str) -> Vec<u8> {
    let mut content = format!("#!/bin/true\n# {word} {}\n", uuid::Uuid::new_v4()).into_bytes();
    content.resize(CANARY_BYTES, b'#');
    content
}

fn probe(what: &str, passed: bool, outcome: &io::Result<()>) -> Probe {
    let seen = match outcome {
        Ok(()) => "it ran".to_owned(),
        Err(error) => error.to_string(),
    };
    Probe { what: what.to_owned(), passed, seen }
}

fn start(path: &PathBuf, content: &[u8]) -> io::Result<()> {
    write(path, content)?;
    let mut outcome = run(path);
    for _ in 0..TRIES_MAX {
        match &outcome {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => outcome = run(path),
            Err(_) | Ok(()) => break,
        }
    }
    std::fs::remove_file(path)?;
    outcome
}

fn write(path: &PathBuf, content: &[u8]) -> io::Result<()> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o700).open(path)?;
    file.write_all(content)
}

fn run(path: &PathBuf) -> io::Result<()> {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(drop)
}
