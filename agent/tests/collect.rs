//! The process that makes an archive: what it brings, what it refuses, and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};

use cordon_agent::clock::Clock;
use cordon_agent::collect::child;
use cordon_agent::collect::worker::{Early, Request};
use cordon_agent::query::frame::Facts;
use cordon_proto::Text;
use cordon_proto::collection::{Archive, Item, MANIFEST, read_manifest};
use cordon_proto::command::{Collect, Source};
use cordon_proto::id::{EndpointId, Hash};

fn facts() -> Facts {
    Facts::bare(EndpointId::of(b"own"), "acme".parse().unwrap())
}

/// Makes an archive; answers it with its manifest.
fn make(
    sources: Vec<Source>,
    globs: &[String],
    own: &Path,
    bytes_max: u64,
) -> (Archive, Vec<Item>, Vec<u8>) {
    let globs = globs.iter().map(|glob| Text::from(glob.as_str())).collect();
    let collect = Collect { sources, globs, bytes_max, unsealed: None };
    let own_dir = own.as_os_str().as_encoded_bytes().to_vec();
    made(&Request { collect, facts: facts(), own_dir, snapshot: None })
}

fn made(request: &Request) -> (Archive, Vec<Item>, Vec<u8>) {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("archive");
    let program = Path::new(env!("CARGO_BIN_EXE_cordon-agent"));
    let archive = child::make(program, request, &file, None, Clock::start()).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(archive.sha256, Hash::of(&bytes));
    assert_eq!(archive.bytes, u64::try_from(bytes.len()).unwrap());
    let tar = zstd::stream::decode_all(bytes.as_slice()).unwrap();
    let name = tar.windows(MANIFEST.len()).rposition(|part| part == MANIFEST.as_bytes());
    let manifest = &tar[name.unwrap() + 512..];
    let end = manifest.iter().position(|byte| *byte == 0).unwrap();
    let items = read_manifest(&manifest[..end]).unwrap();
    (archive, items, tar)
}

fn item<'a>(items: &'a [Item], path: &str) -> &'a Item {
    items.iter().find(|item| item.path == path).unwrap_or_else(|| panic!("{path} in {items:?}"))
}

#[test]
fn an_archive_holds_what_was_asked_for_and_says_what_it_does_not() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    let own = root.join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("identity.cbor"), "the-signing-key").unwrap();
    std::fs::write(root.join("note.txt"), "a note").unwrap();
    let pipe = root.join("pipe.txt");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let glob = format!("{}/**", root.display());
    let (archive, items, tar) = make(vec![], &[glob], &own, 1 << 20);
    let note = item(&items, &root.join("note.txt").display().to_string());
    assert_eq!(note.sha256, Some(Hash::of(b"a note")));
    assert_eq!(note.missing, None);
    let pipe = item(&items, &pipe.display().to_string());
    assert_eq!(pipe.missing.as_deref(), Some("no regular file"));
    let told = item(&items, &own.display().to_string());
    assert!(told.missing.as_ref().unwrap().contains("do not leave the endpoint"));
    let key = b"the-signing-key";
    assert!(!tar.windows(key.len()).any(|part| part == key), "a key left the endpoint");
    assert_eq!((archive.entries, archive.missing, archive.cut), (1, 2, false));
}

#[test]
fn sources_come_as_lines_without_the_secrets_that_queries_hide() {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read line", "name", "--password", "hunter2-of-the-test"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (archive, items, tar) = make(vec![Source::Processes], &[], Path::new("/none"), 64 << 20);
    drop(child.stdin.take());
    child.wait().unwrap();
    let processes = item(&items, "processes");
    assert!(processes.bytes > 100 && processes.missing.is_none(), "{processes:?}");
    let text = String::from_utf8_lossy(&tar);
    assert!(text.contains(&format!("\"pid\":{}", std::process::id())), "this process is there");
    assert!(!text.contains("hunter2-of-the-test"));
    assert_eq!((archive.entries, archive.cut), (1, false));
}

#[test]
fn a_snapshot_holds_what_passes_and_the_sockets_that_were_there_before() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let early = cordon_agent::collect::snapshot::sockets();
    // What was there before is not there any more, as behind a wall.
    drop(listener);
    let collect = Collect { sources: vec![], globs: vec![], bytes_max: 64 << 20, unsealed: None };
    let request = |early: Early| Request {
        collect: collect.clone(),
        facts: facts(),
        own_dir: vec![],
        snapshot: Some(early),
    };
    let (archive, items, tar) = made(&request(early));
    let text = String::from_utf8_lossy(&tar);
    assert!(text.contains(&format!("\"local_port\":{port},")), "the socket is not in it");
    for name in ["processes", "mounts"] {
        assert!(item(&items, name).bytes > 0, "{items:?}");
    }
    let deleted = item(&items, "deleted-programs");
    assert!(deleted.entry.is_some() && item(&items, "neighbours").entry.is_some());
    assert_eq!((archive.entries, archive.cut), (8, false));

    let late = Early { sockets: None, missing: Some("they were not read in time".to_owned()) };
    let (archive, items, _) = made(&request(late));
    let before = item(&items, "sockets-before");
    assert_eq!(before.missing.as_deref(), Some("they were not read in time"));
    assert!(archive.missing > 0);
}

#[test]
fn bytes_beyond_what_is_allowed_stay_and_that_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    for name in ["a", "b", "c"] {
        std::fs::write(root.join(name), [name.as_bytes()[0]; 100]).unwrap();
    }
    let glob = format!("{}/?", root.display());
    let (archive, items, _) = make(vec![], &[glob], Path::new("/none"), 150);
    assert!(archive.cut);
    assert_eq!((archive.entries, archive.missing), (2, 2));
    assert_eq!(item(&items, &root.join("b").display().to_string()).bytes, 50);
    assert!(item(&items, &root.join("c").display().to_string()).entry.is_none());
}

#[test]
fn a_program_that_is_no_agent_makes_no_archive() {
    let collect =
        Collect { sources: vec![], globs: vec!["/x".into()], bytes_max: 1, unsealed: None };
    let request = Request { collect, facts: facts(), own_dir: vec![], snapshot: None };
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("archive");
    for program in ["/bin/true", "/bin/echo"] {
        let made = child::make(Path::new(program), &request, &file, None, Clock::start());
        assert!(made.is_err(), "{program}");
        std::fs::remove_file(&file).unwrap();
    }
}
