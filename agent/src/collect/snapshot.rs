//! What a snapshot holds: only what passes, and what an action would end or frighten away.
//!
//! Shell histories, files and logs are left to a collection: they stay. Of a program that was
//! deleted while it runs its digest is taken, not its content.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use cordon_proto::id::Hash;
use ring::digest::{Context, SHA256};
use serde_json::json;

use super::archive::Archive;
use super::source;
use super::worker::Early;
use crate::clock::Clock;
use crate::platform::linux::{neighbour, sock_diag};
use crate::query::frame::Facts;

/// Tables of live queries, what passes soonest first.
const TABLES: [&str; 5] = ["sockets", "listeners", "processes", "sessions", "mounts"];

/// Lines of sockets held by the agent itself: some thousands.
const SOCKETS_BYTES_MAX: usize = 1 << 20;

/// Deleted programs looked at, and how much of each is read for its digest.
const DELETED_MAX: usize = 64;
const DELETED_BYTES_MAX: u64 = 64 << 20;

/// Neighbours told.
const NEIGHBOURS_MAX: usize = 16_384;

/// The sockets of this moment, read by the agent itself: a few milliseconds.
#[must_use]
pub fn sockets() -> Early {
    let listed = sock_diag::Sockets::open().and_then(|mut sockets| sockets.every());
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => return Early { sockets: None, missing: Some(error.to_string()) },
    };
    let (mut lines, mut missing) = (Vec::new(), None);
    for socket in &listed {
        let line = json!({
            "protocol": socket.transport,
            "local_address": socket.local.ip(),
            "local_port": socket.local.port(),
            "remote_address": socket.remote.ip(),
            "remote_port": socket.remote.port(),
            "state": socket.state_name(),
            "uid": socket.uid,
            "inode": socket.inode,
        });
        let line = line.to_string();
        if lines.len() + line.len() >= SOCKETS_BYTES_MAX {
            missing = Some(format!("of {} sockets only the first are here", listed.len()));
            break;
        }
        lines.extend(line.into_bytes());
        lines.push(b'\n');
    }
    Early { sockets: Some(lines), missing }
}

/// Writes everything into an archive.
pub fn write<W: Write>(
    archive: &mut Archive<W>,
    early: &Early,
    facts: &Facts,
    clock: &Clock,
) -> io::Result<()> {
    let Early { sockets, missing } = early;
    if sockets.is_some() || missing.is_some() {
        archive.source("sockets-before", sockets.as_deref().unwrap_or(&[]), missing.clone())?;
    }
    for table in TABLES {
        let (lines, missing) = source::lines(table, facts, clock);
        archive.source(table, &lines, missing)?;
    }
    let (lines, missing) = neighbours();
    archive.source("neighbours", &lines, missing)?;
    let (lines, missing) = deleted();
    archive.source("deleted-programs", &lines, missing)
}

fn neighbours() -> (Vec<u8>, Option<String>) {
    let found = match neighbour::neighbours() {
        Ok(found) => found,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let missing = found.len().checked_sub(NEIGHBOURS_MAX).filter(|more| *more > 0);
    let line = |one: &neighbour::Neighbour| {
        let link: Vec<String> = one.address.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "ip": one.ip, "link_address": link.join(":"), "device": one.link,
            "state": one.state_name() })
    };
    let lines = found.iter().take(NEIGHBOURS_MAX).map(|one| format!("{}\n", line(one)));
    (lines.collect::<String>().into_bytes(), missing.map(|more| format!("{more} more")))
}

/// Programs that run and whose file is gone, or never was one.
fn deleted() -> (Vec<u8>, Option<String>) {
    let entries = match std::fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let (mut lines, mut found) = (String::new(), 0_usize);
    for pid in pids {
        let exe = PathBuf::from(format!("/proc/{pid}/exe"));
        // Kernel threads have none, and what ended meanwhile has none any more.
        let Ok(path) = std::fs::read_link(&exe) else { continue };
        if !path.as_os_str().as_bytes().ends_with(b" (deleted)") {
            continue;
        }
        found += 1;
        if found > DELETED_MAX {
            continue;
        }
        let read = File::open(&exe).and_then(digest);
        let (bytes, sha256, problem) = match read {
            Ok((bytes, sha256)) => (Some(bytes), sha256, None),
            Err(error) => (None, None, Some(error.to_string())),
        };
        let path = path.to_string_lossy();
        let line = json!({ "pid": pid, "path": path, "bytes": bytes, "sha256": sha256,
            "problem": problem });
        lines.push_str(&format!("{line}\n"));
    }
    let more = found.saturating_sub(DELETED_MAX);
    (lines.into_bytes(), (more > 0).then(|| format!("{more} more")))
}

/// A file's length and, unless it is too long, its digest.
fn digest(mut file: File) -> io::Result<(u64, Option<Hash>)> {
    let bytes = file.metadata()?.len();
    if bytes > DELETED_BYTES_MAX {
        return Ok((bytes, None));
    }
    let (mut hash, mut chunk) = (Context::new(&SHA256), vec![0; 64 << 10]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            count => hash.update(&chunk[..count]),
        }
    }
    let mut sha256 = Hash::default();
    sha256.0.copy_from_slice(hash.finish().as_ref());
    Ok((bytes, Some(sha256)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_of_this_moment_is_in_the_list() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let early = sockets();
        let lines = String::from_utf8(early.sockets.unwrap()).unwrap();
        let found = lines.lines().map(serde_json::from_str::<serde_json::Value>);
        let found = found.map(Result::unwrap).find(|line| line["local_port"] == port).unwrap();
        assert_eq!((&found["state"], &found["protocol"]), (&json!("listen"), &json!("Tcp")));
    }

    #[test]
    fn a_program_that_runs_without_its_file_is_told_with_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone");
        std::fs::copy("/bin/sleep", &path).unwrap();
        let sha256 = Hash::of(&std::fs::read(&path).unwrap()).to_string();
        let mut child = std::process::Command::new(&path).arg("60").spawn().unwrap();
        std::fs::remove_file(&path).unwrap();
        let (lines, _) = deleted();
        child.kill().unwrap();
        child.wait().unwrap();
        let lines = String::from_utf8(lines).unwrap();
        let own = lines.lines().find(|line| line.contains(&format!("\"pid\":{}", child.id())));
        assert!(own.is_some_and(|line| line.contains(&sha256)), "{lines}");
    }

    #[test]
    fn neighbours_can_be_listed_whatever_there_are() {
        assert_eq!(neighbours().1, None);
    }
}
