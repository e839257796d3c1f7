//! The file systems that are mounted, as the agent's mount namespace has them.

use std::path::Path;

use cordon_proto::Text;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row};

/// One mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// Where.
    pub path: Text,
    /// What: a device, an export, or a name.
    pub source: Text,
    /// The file system's type.
    pub fs_type: Text,
    /// Its options, with commas between.
    pub options: Text,
}

impl Row for Mount {
    fn key(&self) -> Text {
        super::joined(&[self.path.as_bytes(), self.fs_type.as_bytes()], b" ")
    }

    fn columns(&self, columns: &mut Columns) {
        columns
            .text("path", &self.path)
            .text("source", &self.source)
            .text("fs_type", &self.fs_type)
            .text("options", &self.options);
    }
}

/// All mounts.
pub fn collect(root: &Path) -> Result<Found<Mount>, CollectError> {
    let tree = Tree::new(root);
    // The thread's own: a thread may have moved into another namespace alone.
    let table = tree.need("/proc/thread-self/mounts")?;
    Ok(tree.found(parse(&table)))
}

/// Reads the table: `source path type options 0 0`, with what is special as octal numbers.
#[must_use]
pub fn parse(table: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut text = || fields.next().map(unescape);
        let (source, path, fs_type, options) = (text()?, text()?, text()?, text()?);
        Some(Mount { path, source, fs_type, options })
    };
    table.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

fn unescape(field: &[u8]) -> Text {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.first_chunk::<3>().filter(|_digits| *first == b'\\');
        let escaped = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                text.push(byte);
                rest = others.get(3..).unwrap_or_default();
            }
            None => {
                text.push(*first);
                rest = others;
            }
        }
    }
    Text::from(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    #[test]
    fn a_mount_is_read_with_what_is_special_in_its_names() {
        let table =
            b"/dev/sda1 / ext4 rw,relatime 0 0\nhost:/x /mnt/a\\040b\\134 nfs4 ro 0 0\nx y\n";
        assert_eq!(
            testing::show_all(&parse(table)),
            [
                "/ ext4: path=/ source=/dev/sda1 fs_type=ext4 options=rw,relatime",
                "/mnt/a b\\ nfs4: path=/mnt/a b\\ source=host:/x fs_type=nfs4 options=ro",
            ]
        );
    }

    #[test]
    fn the_mounts_of_this_machine_are_found() {
        let rows = collect(Path::new("/")).unwrap().rows;
        assert!(rows.iter().any(|mount| mount.path == "/".into()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(table: Vec<u8>) {
            prop_assert!(parse(&table).len() <= table.len());
        }
    }
}
