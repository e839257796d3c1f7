//! dpkg's list of packages, `/var/lib/dpkg/status`: Debian, Ubuntu and what comes of them.

use std::cell::RefCell;
use std::io::{self, BufRead};

use cordon_proto::Text;

use super::{Package, stanzas};

#[derive(Default)]
struct Stanza {
    name: Text,
    version: Text,
    arch: Text,
    source: Text,
    status: Text,
}

/// Reads the list; packages of which only settings are left are not installed.
pub(super) fn read(text: impl BufRead, packages: &mut Vec<Package>) -> io::Result<()> {
    let stanza = RefCell::new(Stanza::default());
    stanzas(
        text,
        |line| stanza.borrow_mut().take(line),
        || packages.extend(stanza.take().package()),
    )
}

impl Stanza {
    fn take(&mut self, line: &[u8]) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = line.split_at(at);
        let value = || Text::from(value.get(1..).unwrap_or_default().trim_ascii());
        match name {
            b"Package" => self.name = value(),
            b"Version" => self.version = value(),
            b"Architecture" => self.arch = value(),
            b"Source" => self.source = value(),
            b"Status" => self.status = value(),
            _ => {}
        }
    }

    /// The status is `want flag state`.
    fn package(self) -> Option<Package> {
        let Self { name, version, arch, source, status } = self;
        let state = status.as_bytes().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        if name.is_empty() || matches!(state, b"not-installed" | b"config-files" | b"") {
            return None;
        }
        let is_in_order =
            matches!(status.as_bytes(), b"install ok installed" | b"hold ok installed");
        let state = if is_in_order { Text::default() } else { status };
        Some(Package { kind: "dpkg", name, version, arch, source, state })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut packages = Vec::new();
        read(text.as_bytes(), &mut packages).unwrap();
        assert_eq!(testing::show_all(&packages), expected);
    }

    #[test]
    fn what_is_installed_is_told_and_what_is_left_of_others_is_not() {
        check(
            "Package: bash\nStatus: install ok installed\nMulti-Arch: foreign\n\
             Architecture: amd64\nVersion: 5.2.15-2+b7\nDescription: shell\n more\n .\n\n\
             Package: libc6\nStatus: install ok half-configured\nArchitecture: i386\n\
             Source: glibc\nVersion: 2.36-9\n\n\
             Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
            &[
                "dpkg bash amd64: name=bash version=5.2.15-2+b7 arch=amd64",
                "dpkg libc6 i386: name=libc6 version=2.36-9 arch=i386 source=glibc \
                 state=install ok half-configured",
            ],
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(text: Vec<u8>) {
            read(&text[..], &mut Vec::new()).unwrap();
        }

        #[test]
        fn every_package_written_is_read(names in proptest::collection::btree_set("[a-z0-9][a-z0-9+.-]{0,9}", 0..20)) {
            let text: String = names.iter().map(|name| format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1:2-3\n\n"
            )).collect();
            let mut packages = Vec::new();
            read(text.as_bytes(), &mut packages).unwrap();
            let read: Vec<_> = packages.iter().map(|package| package.name.to_lossy().into_owned()).collect();
            prop_assert_eq!(read, names.into_iter().collect::<Vec<_>>());
        }
    }
}
