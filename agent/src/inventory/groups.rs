//! The groups of this machine and who is in them, from `/etc/group`.

use std::path::Path;

use cordon_proto::Text;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row, number};

/// One group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: Text,
    /// Its number.
    pub gid: u32,
    /// Who is in it beside those whose first group it is, with commas between.
    pub members: Text,
}

impl Row for Group {
    fn key(&self) -> Text {
        self.name.clone()
    }

    fn columns(&self, columns: &mut Columns) {
        columns.number("gid", u64::from(self.gid)).text("members", &self.members);
    }
}

/// All groups.
pub fn collect(root: &Path) -> Result<Found<Group>, CollectError> {
    let tree = Tree::new(root);
    let groups = parse(&tree.need("/etc/group")?);
    Ok(tree.found(groups))
}

/// Reads the file; a line that is none of its is passed over.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Group> {
    text.split(|byte| *byte == b'\n').filter_map(group).collect()
}

fn group(line: &[u8]) -> Option<Group> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(b"#"))?;
    let _password = fields.next()?;
    let gid = number(fields.next()?)?;
    let members = fields.next()?.trim_ascii();
    // Their order says nothing.
    let mut members: Vec<&[u8]> = members.split(|byte| *byte == b',').collect();
    members.sort_unstable();
    members.dedup();
    Some(Group { name: name.into(), gid, members: super::joined(&members, b",") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    #[test]
    fn members_are_told_in_one_order() {
        let groups = parse(b"root:x:0:\nsudo:x:27:eve,ann,eve\n#x:x:1:\nbroken:x\n");
        assert_eq!(testing::show_all(&groups), ["root: gid=0", "sudo: gid=27 members=ann,eve"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(text: Vec<u8>) {
            prop_assert!(parse(&text).len() <= text.len());
        }
    }
}
