//! rpm's list of packages: Red Hat, SUSE and what comes of them. Its database has three formats,
//! so rpm itself is asked, and only on the machine itself.

use std::time::Duration;

use cordon_proto::Text;

use super::super::child::{self, ChildError};
use super::super::tree::Tree;
use super::Package;
use crate::clock;

/// Where the database stands, by age of the distribution.
const DATABASES: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
const PROGRAMS: [&str; 2] = ["/usr/bin/rpm", "/bin/rpm"];

/// A slow disk with a cold cache needs some seconds.
const WITHIN: Duration = Duration::from_secs(60);
/// What 20,000 packages need twice.
const BYTES_MAX: usize = 4 << 20;

const FORMAT: &str =
    "%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\n";

pub(super) fn collect(tree: &Tree<'_>, packages: &mut Vec<Package>) -> Result<(), ChildError> {
    let has_database = DATABASES.iter().any(|directory| !tree.files(directory).is_empty());
    let program = PROGRAMS.iter().find(|program| tree.metadata(program).is_some());
    let Some(program) = program.filter(|_program| has_database) else { return Ok(()) };
    if !tree.is_machine() {
        tree.problem("rpm is asked on the machine itself only".to_owned());
        return Ok(());
    }
    let now = || Duration::from_nanos(clock::boot_ns());
    let answer = child::ask(program, &["-qa", "--qf", FORMAT], WITHIN, BYTES_MAX, now)?;
    packages.extend(parse(&answer));
    Ok(())
}

/// Lines as [`FORMAT`] asks for them. Keys that were imported are listed as packages and are none.
fn parse(answer: &[u8]) -> impl Iterator<Item = Package> {
    answer.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b'\t');
        let mut text = || fields.next().map(Text::from);
        let (name, version, arch, source) = (text()?, text()?, text()?, text()?);
        if name.is_empty() || name.as_bytes() == b"gpg-pubkey" {
            return None;
        }
        Some(Package { kind: "rpm", name, version, arch, source, state: Text::default() })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing;
    use super::*;

    #[test]
    fn what_rpm_answers_is_read() {
        let answer = b"bash\t5.1.8-9.el9\tx86_64\tbash-5.1.8-9.el9.src.rpm\n\
                       openssl-libs\t1:3.0.7-27.el9\tx86_64\topenssl-3.0.7-27.el9.src.rpm\n\
                       gpg-pubkey\td36cb86cb86b3716-61e69f29\t(none)\t(none)\nx\n";
        let packages: Vec<_> = parse(answer).collect();
        assert_eq!(
            testing::show_all(&packages),
            [
                "rpm bash 5.1.8-9.el9 x86_64: name=bash version=5.1.8-9.el9 arch=x86_64 \
                 source=bash-5.1.8-9.el9.src.rpm",
                "rpm openssl-libs 1:3.0.7-27.el9 x86_64: name=openssl-libs \
                 version=1:3.0.7-27.el9 arch=x86_64 source=openssl-3.0.7-27.el9.src.rpm",
            ]
        );
    }

    #[test]
    fn in_a_tree_that_is_not_the_machine_rpm_is_not_asked_and_that_is_told() {
        let root = testing::tree(&[("usr/bin/rpm", ""), ("var/lib/rpm/rpmdb.sqlite", "")]);
        let found = super::super::collect(root.path()).unwrap();
        assert_eq!(found.problems.len(), 1);
        let without = testing::tree(&[("usr/bin/rpm", ""), ("var/lib/rpm/.rpm.lock", "")]);
        assert!(super::super::collect(without.path()).unwrap().problems.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(answer: Vec<u8>) {
            parse(&answer).count();
        }
    }
}
