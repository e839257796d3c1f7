//! The packages that are installed: dpkg's and apk's from their files, rpm's from rpm itself.
//!
//! What came without a package manager of the system (pip, npm, snap, containers) is not seen.

mod apk;
mod dpkg;
mod rpm;

use std::io::BufReader;
use std::path::Path;

use cordon_proto::Text;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row};

/// One installed package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Package {
    /// Who installed it: `dpkg`, `rpm` or `apk`.
    pub kind: &'static str,
    /// Its name.
    pub name: Text,
    /// Its version, with epoch and release as its package manager writes them.
    pub version: Text,
    /// For which processors.
    pub arch: Text,
    /// What it was made from, where that has another name.
    pub source: Text,
    /// What is not in order with it; empty if all is.
    pub state: Text,
}

impl Row for Package {
    fn key(&self) -> Text {
        let Self { kind, name, arch, version, .. } = self;
        // Several kernels are installed beside each other under one name.
        match *kind {
            "rpm" => super::joined(
                &[kind.as_bytes(), name.as_bytes(), version.as_bytes(), arch.as_bytes()],
                b" ",
            ),
            _ => super::joined(&[kind.as_bytes(), name.as_bytes(), arch.as_bytes()], b" "),
        }
    }

    fn columns(&self, columns: &mut Columns) {
        columns
            .text("name", &self.name)
            .text("version", &self.version)
            .text("arch", &self.arch)
            .text("source", &self.source)
            .text("state", &self.state);
    }
}

/// All packages.
pub fn collect(root: &Path) -> Result<Found<Package>, CollectError> {
    let tree = Tree::new(root);
    let mut packages = Vec::new();
    if let Some(status) = tree.open("/var/lib/dpkg/status") {
        let read = dpkg::read(BufReader::new(status), &mut packages);
        said(&tree, "/var/lib/dpkg/status", read);
    }
    if let Some(installed) = tree.open("/lib/apk/db/installed") {
        let read = apk::read(BufReader::new(installed), &mut packages);
        said(&tree, "/lib/apk/db/installed", read);
    }
    rpm::collect(&tree, &mut packages)?;
    Ok(tree.found(packages))
}

fn said(tree: &Tree<'_>, path: &str, read: std::io::Result<()>) {
    if let Err(error) = read {
        tree.problem(format!("{path}: {error}"));
    }
}

/// Reads stanzas of `name: value` lines, which an empty line ends, one line at a time: the list of
/// packages is many megabytes and most of it of no interest.
fn stanzas(
    mut text: impl std::io::BufRead,
    mut line: impl FnMut(&[u8]),
    mut end: impl FnMut(),
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let is_over = take_line(&mut text, &mut buffer)?;
        match buffer.trim_ascii_end() {
            b"" => end(),
            content => line(content),
        }
        if is_over {
            end();
            return Ok(());
        }
    }
}

/// What of one line is looked at.
const LINE_BYTES_MAX: usize = 4 << 10;

/// Reads a line, of a long one only its beginning; answers whether the text is over.
fn take_line(text: &mut impl std::io::BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let available = text.fill_buf()?;
        if available.is_empty() {
            return Ok(true);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        let room = LINE_BYTES_MAX.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(part.get(..room).unwrap_or_default());
        let used = end.map_or(available.len(), |end| end + 1);
        text.consume(used);
        if end.is_some() {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_machine_without_a_package_manager_has_no_packages() {
        let found = collect(testing::tree(&[]).path()).unwrap();
        assert!(found.rows.is_empty() && found.problems.is_empty());
    }

    #[test]
    fn a_line_that_never_ends_takes_no_memory() {
        let long = "x".repeat(LINE_BYTES_MAX * 5) + "\nab\n";
        let mut lines = Vec::new();
        stanzas(long.as_bytes(), |line| lines.push(line.len()), || ()).unwrap();
        assert_eq!(lines, [LINE_BYTES_MAX, 2]);
    }
}
