//! apk's list of packages, `/lib/apk/db/installed`: Alpine.

use std::cell::RefCell;
use std::io::{self, BufRead};

use cordon_proto::Text;

use super::{Package, stanzas};

/// Reads the list: stanzas of `P:name`, `V:version`, `A:arch`, `o:origin` among others.
pub(super) fn read(text: impl BufRead, packages: &mut Vec<Package>) -> io::Result<()> {
    let stanza: RefCell<[Text; 4]> = RefCell::default();
    let take = |line: &[u8]| {
        let Some((tag, value)) = line.split_first_chunk::<2>() else { return };
        let at = match tag {
            b"P:" => 0,
            b"V:" => 1,
            b"A:" => 2,
            b"o:" => 3,
            _ => return,
        };
        if let Some(part) = stanza.borrow_mut().get_mut(at) {
            *part = value.into();
        }
    };
    stanzas(text, take, || {
        let [name, version, arch, origin] = stanza.take();
        let source = if origin == name { Text::default() } else { origin };
        if !name.is_empty() {
            let state = Text::default();
            packages.push(Package { kind: "apk", name, version, arch, source, state });
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing;
    use super::*;

    #[test]
    fn what_is_installed_is_told() {
        let text = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\nF:lib\nR:ld-musl.so\n\n\
                    P:ssl_client\nV:1.36.1-r2\nA:x86_64\no:busybox\n";
        let mut packages = Vec::new();
        read(text.as_bytes(), &mut packages).unwrap();
        assert_eq!(
            testing::show_all(&packages),
            [
                "apk musl x86_64: name=musl version=1.2.5-r0 arch=x86_64",
                "apk ssl_client x86_64: name=ssl_client version=1.36.1-r2 arch=x86_64 \
                 source=busybox",
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(text: Vec<u8>) {
            read(&text[..], &mut Vec::new()).unwrap();
        }
    }
}
