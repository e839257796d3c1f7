//! Who can administer this machine and has a way in, so that the last of them is never locked out.
//!
//! Pure. Counted are accounts of the machine's own files that are root's number, or that sudo lets
//! do everything as root, with a shell, and with a password that fits; a key alone counts for root
//! and where sudo asks for no password. Administrators of a directory service are not counted, and
//! neither are other ways to root (doas, polkit): who relies on those alone is refused more often
//! than needed, never less.

use std::collections::BTreeMap;

use cordon_proto::Text;

use crate::inventory::groups::Group;
use crate::inventory::sudoers::Rule;
use crate::inventory::users::{Password, User};

/// Whether the account is an administrator, and whether there is another one with a way in.
pub(super) struct Standing {
    pub(super) is_admin: bool,
    pub(super) others: Vec<String>,
}

/// Judges an account; `has_key` says whether somebody may log in with a key.
pub(super) fn standing(
    name: &str,
    users: &[User],
    groups: &[Group],
    rules: &[Rule],
    has_key: impl Fn(&User) -> bool,
) -> Standing {
    let sudo = Sudo::read(rules);
    let mut standing = Standing { is_admin: false, others: Vec::new() };
    for user in users {
        let may = sudo.lets(user, groups);
        let is_root = user.uid == 0;
        if user.name.as_bytes() == name.as_bytes() {
            standing.is_admin = is_root || may != May::Not;
        } else if is_usable(user) {
            let by_password = user.password == Password::Set && (is_root || may != May::Not);
            let by_key = (is_root || may == May::WithoutPassword) && has_key(user);
            if by_password || by_key {
                standing.others.push(user.name.to_lossy().into_owned());
            }
        }
    }
    standing
}

fn is_usable(user: &User) -> bool {
    let shell = user.shell.to_lossy();
    let program = shell.rsplit('/').next().unwrap_or_default();
    !user.is_expired && !matches!(program, "nologin" | "false" | "sync" | "shutdown" | "halt")
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum May {
    Not,
    WithPassword,
    WithoutPassword,
}

/// Whom sudo lets do everything as root: words as they stand in its rules.
struct Sudo(BTreeMap<String, May>);

impl Sudo {
    fn read(rules: &[Rule]) -> Self {
        let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut lets: BTreeMap<String, May> = BTreeMap::new();
        for rule in rules {
            let line = rule.line.to_lossy();
            if let Some(definitions) = line.strip_prefix("User_Alias ") {
                for definition in definitions.split(':') {
                    if let Some((name, members)) = definition.split_once('=') {
                        let members = members.split(',').map(|member| member.trim().to_owned());
                        aliases.insert(name.trim().to_owned(), members.collect());
                    }
                }
                continue;
            }
            let Some((who, what)) = line.split_once('=') else { continue };
            if who.starts_with("Defaults") || who.contains("_Alias ") {
                continue;
            }
            // The last word before the sign is the host.
            let who = who.trim_end().rsplit_once(' ').map_or("", |(who, _host)| who);
            let may = everything_as_root(what);
            for word in who.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                let known = lets.entry(word.to_owned()).or_insert(may);
                *known = may.max(*known);
            }
        }
        for (name, members) in aliases {
            if let Some(may) = lets.get(&name).copied() {
                for member in members {
                    let known = lets.entry(member).or_insert(may);
                    *known = may.max(*known);
                }
            }
        }
        Self(lets)
    }

    fn lets(&self, user: &User, groups: &[Group]) -> May {
        let name = user.name.to_lossy();
        let mut words = vec![name.to_string(), format!("#{}", user.uid), "ALL".to_owned()];
        for group in groups.iter().filter(|group| is_in(user, group)) {
            words.push(format!("%{}", group.name.to_lossy()));
            words.push(format!("%#{}", group.gid));
        }
        let found = words.iter().filter_map(|word| self.0.get(word).copied());
        found.max().unwrap_or(May::Not)
    }
}

fn is_in(user: &User, group: &Group) -> bool {
    let is_member = |members: &Text| {
        members.as_bytes().split(|byte| *byte == b',').any(|member| member == user.name.as_bytes())
    };
    user.gid == group.gid || is_member(&group.members)
}

/// `(ALL:ALL) NOPASSWD: ALL`: any of the commands is all of them, as root.
fn everything_as_root(what: &str) -> May {
    let mut may = May::Not;
    let mut without_password = false;
    let mut as_root = true;
    for part in split_commands(what) {
        let mut rest = part.trim();
        if let Some((runas, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            let users = runas.split(':').next().unwrap_or_default();
            as_root = users.split(',').any(|user| matches!(user.trim(), "ALL" | "root" | "#0"));
            rest = after.trim();
        }
        while let Some((tag, after)) = rest.split_once(':').filter(|(tag, _)| is_tag(tag)) {
            match tag.trim() {
                "NOPASSWD" => without_password = true,
                "PASSWD" => without_password = false,
                _ => {}
            }
            rest = after.trim();
        }
        if rest == "ALL" && as_root {
            may = may.max(if without_password { May::WithoutPassword } else { May::WithPassword });
        }
    }
    may
}

fn is_tag(word: &str) -> bool {
    let word = word.trim();
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Commas between commands, not those within brackets.
fn split_commands(what: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    what.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{groups, sudoers, users};

    const PASSWD: &str = "root:x:0:0::/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\n\
                          bob:x:1001:1001::/home/bob:/bin/bash\nweb:x:33:33::/:/usr/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:ann,bob\nann:x:1000:\n";

    /// `who` of the accounts in shadow's second fields; who is left, or nothing of an administrator.
    #[track_caller]
    fn check(name: &str, passwords: [&str; 4], sudo: &str, keys: &[&str], expected: &str) {
        let names = ["root", "ann", "bob", "web"];
        let shadow: String = names
            .iter()
            .zip(passwords)
            .map(|(name, word)| format!("{name}:{word}:1::::::\n"))
            .collect();
        let users = users::parse(PASSWD.as_bytes(), Some(shadow.as_bytes()), 20_000);
        let groups = groups::parse(GROUP.as_bytes());
        let path: Text = "/etc/sudoers".into();
        let rules: Vec<_> = sudoers::parse(sudo.as_bytes())
            .into_iter()
            .map(|line| Rule { path: path.clone(), line })
            .collect();
        let has_key = |user: &User| keys.contains(&user.name.to_lossy().as_ref());
        let Standing { is_admin, others } = standing(name, &users, &groups, &rules, has_key);
        let said = if is_admin { others.join(" ") } else { "no administrator".to_owned() };
        assert_eq!(said, expected);
    }

    const USUAL: &str = "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n";

    #[test]
    fn another_one_with_a_password_is_enough() {
        check("ann", ["!", "$y", "$y", "!"], USUAL, &[], "bob");
        check("ann", ["$y", "$y", "!", "!"], USUAL, &[], "root");
    }

    #[test]
    fn the_last_one_has_nobody_beside() {
        check("ann", ["!", "$y", "!", "!"], USUAL, &[], "");
        // A key without a password lets nobody answer what sudo asks.
        check("ann", ["*", "$y", "*", "!"], USUAL, &["bob"], "");
        check("ann", ["*", "$y", "*", "!"], USUAL, &["root"], "root");
        let free = "%sudo ALL=(ALL) NOPASSWD: ALL\n";
        check("ann", ["*", "$y", "*", "!"], free, &["bob"], "bob");
    }

    #[test]
    fn rules_that_let_do_some_things_or_as_others_make_no_administrator() {
        for rule in [
            "%sudo ALL=(ALL) /bin/ls\n",
            "%sudo ALL=(web) ALL\n",
            "Cmnd_Alias ALL2 = /bin/sh\n",
            "%wheel ALL=(ALL) ALL\n",
        ] {
            check("ann", ["$y", "$y", "$y", "!"], rule, &[], "no administrator");
        }
    }

    #[test]
    fn aliases_numbers_and_lists_are_understood() {
        for rule in [
            "User_Alias OPS = ann, bob\nOPS ALL=(ALL) ALL\n",
            "#1000, #1001 ALL=(root) NOEXEC: ALL\n",
            "ann, bob ALL=(ALL, !web : ALL) /bin/a, ALL\n",
            "%#27 ALL=ALL\n",
            "ALL ALL=(ALL) ALL\n",
        ] {
            check("ann", ["!", "$y", "$y", "!"], rule, &[], "bob");
        }
    }

    #[test]
    fn one_who_cannot_log_in_is_nobody_to_rely_on() {
        check("ann", ["!", "$y", "!", "$y"], "web, ann ALL=(ALL) ALL\n", &["web"], "");
    }
}
