//! What is printed now, held against what was printed when it was last read.

use std::path::Path;

/// Compares with a file beside this one; writes it anew where `CORDON_WRITE_PAGES` asks for that.
#[track_caller]
pub(crate) fn check(name: &str, now: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door").join(name);
    if std::env::var_os("CORDON_WRITE_PAGES").is_some() {
        std::fs::write(&file, now).unwrap();
        return;
    }
    let read = std::fs::read_to_string(&file).unwrap();
    let mut lines = (1..).zip(read.lines().zip(now.lines()));
    if let Some((number, (read, now))) = lines.find(|(_, (read, now))| read != now) {
        assert_eq!(read, now, "line {number} of {}", file.display());
    }
    assert_eq!(read.lines().count(), now.lines().count(), "a part of {name} came or went");
}
