//! The keys that may log in over SSH, known by their fingerprints.
//!
//! Read are the files that sshd's settings name (`AuthorizedKeysFile`, also where they are
//! included from `/etc/ssh/sshd_config.d`; of `Match` blocks all are taken together), or those it
//! reads by default. Keys that a program answers (`AuthorizedKeysCommand`) are not seen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use cordon_proto::Text;
use cordon_proto::id::Hash;

use super::tree::Tree;
use super::users::{self, Home};
use super::{CollectError, Columns, Found, Row, lines};

/// One key in one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SshKey {
    /// Who may log in with it.
    pub owner: Text,
    /// That user's number.
    pub uid: u32,
    /// The file it stands in.
    pub path: Text,
    /// `SHA256:` and the base64 of the key's hash, as ssh-keygen shows it.
    pub fingerprint: Text,
    /// `ssh-ed25519`, for one.
    pub kind: Text,
    /// What stands behind the key.
    pub comment: Text,
    /// What it may do, or must; empty for everything.
    pub options: Text,
}

impl Row for SshKey {
    fn key(&self) -> Text {
        let Self { owner, path, fingerprint, .. } = self;
        super::joined(&[owner.as_bytes(), path.as_bytes(), fingerprint.as_bytes()], b" ")
    }

    fn columns(&self, columns: &mut Columns) {
        columns
            .text("owner", &self.owner)
            .number("uid", u64::from(self.uid))
            .text("path", &self.path)
            .text("fingerprint", &self.fingerprint)
            .text("kind", &self.kind)
            .text("comment", &self.comment)
            .text("options", &self.options);
    }
}

/// What sshd reads where its settings say nothing.
pub(crate) const DEFAULT_FILES: [&[u8]; 2] = [b".ssh/authorized_keys", b".ssh/authorized_keys2"];

/// All keys.
pub fn collect(root: &Path) -> Result<Found<SshKey>, CollectError> {
    let tree = Tree::new(root);
    let patterns = key_files(&tree);
    let mut keys: Vec<SshKey> = Vec::new();
    for home in users::homes(&tree) {
        for pattern in &patterns {
            let path = expand(pattern, &home);
            let text = tree.read(&path).unwrap_or_default();
            let path: Text = path.as_os_str().as_bytes().into();
            for key in parse(&text) {
                let (owner, uid) = (home.owner.clone(), home.uid);
                keys.push(SshKey { owner, uid, path: path.clone(), ..key });
            }
        }
    }
    Ok(tree.found(keys))
}

pub(crate) fn key_files(tree: &Tree<'_>) -> Vec<Vec<u8>> {
    let mut files = vec![PathBuf::from("/etc/ssh/sshd_config")];
    files.extend(tree.files("/etc/ssh/sshd_config.d"));
    let mut patterns: Vec<Vec<u8>> = Vec::new();
    for file in files {
        patterns.extend(settings(&tree.read(file).unwrap_or_default()));
    }
    if patterns.is_empty() {
        patterns = DEFAULT_FILES.map(<[u8]>::to_vec).to_vec();
    }
    patterns.sort();
    patterns.dedup();
    patterns
}

/// What `AuthorizedKeysFile` says in a file of settings.
fn settings(text: &[u8]) -> Vec<Vec<u8>> {
    let mut patterns = Vec::new();
    for line in lines(text) {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'=';
        let mut words = line.split(is_between).filter(|word| !word.is_empty());
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"AuthorizedKeysFile")) {
            let named = words.filter(|word| !word.eq_ignore_ascii_case(b"none"));
            patterns.extend(named.map(|word| word.trim_ascii().to_vec()));
        }
    }
    patterns
}

/// `%h` is the home, `%u` the user, `%U` their number, `%%` a percent sign; what is relative is so
/// to the home.
pub(crate) fn expand(pattern: &[u8], home: &Home) -> PathBuf {
    let mut path = Vec::new();
    let mut rest = pattern.iter();
    while let Some(byte) = rest.next() {
        match (*byte, rest.as_slice().first()) {
            (b'%', Some(which @ (b'h' | b'u' | b'U' | b'%'))) => {
                match which {
                    b'h' => path.extend_from_slice(home.path.as_os_str().as_bytes()),
                    b'u' => path.extend_from_slice(home.owner.as_bytes()),
                    b'U' => path.extend_from_slice(home.uid.to_string().as_bytes()),
                    _ => path.push(b'%'),
                }
                rest.next();
            }
            (byte, _) => path.push(byte),
        }
    }
    home.path.join(OsStr::from_bytes(&path))
}

/// The keys of one file, without an owner yet.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<SshKey> {
    lines(text).filter_map(key).collect()
}

/// `options kind base64 comment`; options may hold spaces within quotes.
fn key(line: &[u8]) -> Option<SshKey> {
    let (first, rest) = word(line);
    let (options, kind, rest) = if is_kind(first) {
        (&b""[..], first, rest)
    } else {
        let (kind, rest) = word(rest);
        (first, kind, rest)
    };
    if !is_kind(kind) {
        return None;
    }
    let (blob, comment) = word(rest);
    let blob = STANDARD.decode(blob).ok().filter(|blob| !blob.is_empty())?;
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(Hash::of(&blob).0));
    Some(SshKey {
        owner: Text::default(),
        uid: 0,
        path: Text::default(),
        fingerprint: fingerprint.into(),
        kind: kind.into(),
        comment: comment.into(),
        options: options.into(),
    })
}

fn is_kind(word: &[u8]) -> bool {
    let begins: [&[u8]; 4] = [b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"];
    begins.iter().any(|begin| word.starts_with(begin)) && !word.contains(&b'"')
}

/// The first word, where spaces within quotes belong to it, and the rest.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii();
    let mut is_quoted = false;
    let mut before = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'"' if before != b'\\' => is_quoted = !is_quoted,
            b' ' | b'\t' if !is_quoted => {
                return (
                    text.get(..at).unwrap_or_default(),
                    text.get(at..).unwrap_or_default().trim_ascii(),
                );
            }
            _ => {}
        }
        before = *byte;
    }
    (text, b"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    /// A key of this project's tests; its fingerprint is what ssh-keygen -l says of it.
    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let keys = parse(line.as_bytes());
        let shown = keys.iter().map(|key| {
            let SshKey { kind, comment, options, .. } = key;
            format!("{}|{}|{}", options.to_lossy(), kind.to_lossy(), comment.to_lossy())
        });
        assert_eq!(shown.collect::<String>(), expected);
    }

    #[test]
    fn a_key_is_read_with_its_options_and_comment() {
        check(&format!("ssh-ed25519 {KEY} ann@laptop at home"), "|ssh-ed25519|ann@laptop at home");
        check(&format!("ssh-ed25519\t{KEY}"), "|ssh-ed25519|");
        check(
            &format!("from=\"10.0.0.*\",command=\"say \\\"a b\\\" ssh-rsa\" ssh-ed25519 {KEY} x"),
            "from=\"10.0.0.*\",command=\"say \\\"a b\\\" ssh-rsa\"|ssh-ed25519|x",
        );
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        for line in ["# ssh-ed25519 AAAA", "", "ssh-ed25519", "ssh-ed25519 !!", "hello world x"] {
            check(line, "");
        }
    }

    #[test]
    fn the_files_that_sshd_reads_are_read() {
        let line = format!("ssh-ed25519 {KEY} k\n");
        let passwd = "root:x:0:0::/root:\nann:x:1000:1000::/home/ann:\n";
        let by_default = testing::tree(&[
            ("etc/passwd", passwd),
            ("root/.ssh/authorized_keys", &line),
            ("home/ann/.ssh/authorized_keys2", &line),
        ]);
        let keys = collect(by_default.path()).unwrap().rows;
        let owners: Vec<_> = keys.iter().map(|key| key.owner.to_lossy()).collect();
        assert_eq!(owners, ["root", "ann"]);
        let named = testing::tree(&[
            ("etc/passwd", passwd),
            ("etc/ssh/sshd_config", "Port 22\n"),
            ("etc/ssh/sshd_config.d/k.conf", "authorizedkeysfile /etc/keys/%u %h/own\n"),
            ("etc/keys/ann", &line),
            ("root/own", &line),
            ("root/.ssh/authorized_keys", &line),
        ]);
        let keys = collect(named.path()).unwrap().rows;
        let paths: Vec<_> = keys.iter().map(|key| key.path.to_lossy()).collect();
        assert_eq!(paths, ["/root/own", "/etc/keys/ann"]);
    }

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_shows() {
        let key = &parse(format!("ssh-ed25519 {KEY}").as_bytes())[0];
        assert_eq!(key.fingerprint, FINGERPRINT.into());
    }

    const FINGERPRINT: &str = "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA";

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(text: Vec<u8>) {
            prop_assert!(parse(&text).len() <= text.len());
            settings(&text);
        }

        #[test]
        fn every_key_written_is_read(comment in "[a-z@ ]{0,12}", blob in proptest::collection::vec(any::<u8>(), 1..99)) {
            let line = format!("ssh-rsa {} {comment}\n", STANDARD.encode(&blob));
            let keys = parse(line.as_bytes());
            prop_assert_eq!(keys.len(), 1);
            prop_assert_eq!(keys[0].comment.as_bytes(), comment.trim().as_bytes());
        }
    }
}
