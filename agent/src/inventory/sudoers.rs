//! Who may act as whom: the rules of sudo, one row a line as it is written.
//!
//! Files are read that stand in `/etc/sudoers`, `/etc/sudoers.d` and `/usr/local/etc/sudoers.d`;
//! what an `@include` names elsewhere is told as that line only. Rules of a directory service
//! are not seen.

use std::path::{Path, PathBuf};

use cordon_proto::Text;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row};

/// One rule, alias or setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The file it stands in.
    pub path: Text,
    /// The line, continued ones in one, spaces between words as one.
    pub line: Text,
}

impl Row for Rule {
    fn key(&self) -> Text {
        super::joined(&[self.path.as_bytes(), self.line.as_bytes()], b": ")
    }

    fn columns(&self, columns: &mut Columns) {
        columns.text("path", &self.path).text("rule", &self.line);
    }
}

/// All rules.
pub fn collect(root: &Path) -> Result<Found<Rule>, CollectError> {
    let tree = Tree::new(root);
    let mut files = vec![PathBuf::from("/etc/sudoers")];
    for directory in ["/etc/sudoers.d", "/usr/local/etc/sudoers.d"] {
        // Sudo passes over names with a dot.
        let read = |path: &PathBuf| !path.to_string_lossy().rsplit('/').next().is_some_and(has_dot);
        files.extend(tree.files(directory).into_iter().filter(read));
    }
    let mut rules = Vec::new();
    for path in files {
        let path_text: Text = path.as_os_str().as_encoded_bytes().into();
        let text = tree.read(&path).unwrap_or_default();
        let found = parse(&text);
        rules.extend(found.into_iter().map(|line| Rule { path: path_text.clone(), line }));
    }
    Ok(tree.found(rules))
}

fn has_dot(name: &str) -> bool {
    name.contains('.')
}

/// The rules of one file. A `#` begins a comment, except before `include` and a user's number.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Text> {
    let mut rules = Vec::new();
    let mut rule: Vec<u8> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        let (part, goes_on) = match line.strip_suffix(b"\\") {
            Some(part) => (part, true),
            None => (line, false),
        };
        rule.extend_from_slice(part);
        rule.push(b' ');
        if goes_on {
            continue;
        }
        let words: Vec<&[u8]> = uncommented(&rule)
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .collect();
        if !words.is_empty() {
            rules.push(super::joined(&words, b" "));
        }
        rule.clear();
    }
    rules
}

fn uncommented(rule: &[u8]) -> &[u8] {
    let begins = |at: usize| {
        let rest = rule.get(at + 1..).unwrap_or_default();
        let is_escaped = at > 0 && rule.get(at - 1) == Some(&b'\\');
        let is_number = rest.first().is_some_and(u8::is_ascii_digit);
        let is_include = rule.get(..at).unwrap_or_default().trim_ascii().is_empty()
            && rest.starts_with(b"include");
        !is_escaped && !is_number && !is_include
    };
    let at = rule.iter().enumerate().position(|(at, byte)| *byte == b'#' && begins(at));
    rule.get(..at.unwrap_or(rule.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let rules = parse(text.as_bytes());
        let shown: Vec<_> = rules.iter().map(|rule| rule.to_lossy()).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_rule_is_one_line_however_it_is_written() {
        check("root\tALL=(ALL:ALL)  ALL\n", &["root ALL=(ALL:ALL) ALL"]);
        check("%ops ALL = \\\n  /bin/a, \\\n  /bin/b\nx", &["%ops ALL = /bin/a, /bin/b", "x"]);
    }

    #[test]
    fn comments_are_no_rules_and_includes_and_numbers_are() {
        check(
            "# a comment\n#includedir /etc/sudoers.d\n#1000 ALL=ALL # why\nDefaults x\\#y\n",
            &["#includedir /etc/sudoers.d", "#1000 ALL=ALL", "Defaults x\\#y"],
        );
    }

    #[test]
    fn files_that_sudo_passes_over_are_passed_over() {
        let root = testing::tree(&[
            ("etc/sudoers", "root ALL=ALL\n"),
            ("etc/sudoers.d/ops", "eve ALL=(ALL) NOPASSWD: ALL\n"),
            ("etc/sudoers.d/old.bak", "x ALL=ALL\n"),
        ]);
        let rows = collect(root.path()).unwrap().rows;
        assert_eq!(
            testing::show_all(&rows),
            [
                "/etc/sudoers.d/ops: eve ALL=(ALL) NOPASSWD: ALL: path=/etc/sudoers.d/ops \
                 rule=eve ALL=(ALL) NOPASSWD: ALL",
                "/etc/sudoers: root ALL=ALL: path=/etc/sudoers rule=root ALL=ALL",
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(text: Vec<u8>) {
            prop_assert!(parse(&text).len() <= text.len());
        }
    }
}
