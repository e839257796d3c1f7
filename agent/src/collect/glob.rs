//! Which paths an absolute pattern names: `*`, `?` and `[…]` within a name, `**` for any folders.
//! Pure; paths are bytes.

/// A pattern, taken apart at its slashes.
#[derive(Clone, Debug)]
pub struct Glob {
    parts: Vec<Vec<u8>>,
}

/// Folders below one another that are gone into.
pub const DEPTH_MAX: usize = 32;

impl Glob {
    /// Takes a pattern apart. Empty names (`//`) and `.` say nothing.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let parts = pattern.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
        Self { parts: parts.map(<[u8]>::to_vec).collect() }
    }

    /// The names at its beginning that stand for themselves.
    #[must_use]
    pub fn fixed(&self) -> &[Vec<u8>] {
        let is_fixed = |part: &Vec<u8>| !part.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        let count = self.parts.iter().take_while(|part| is_fixed(part)).count();
        &self.parts[..count]
    }

    /// Whether it has nothing but names that stand for themselves.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.fixed().len() == self.parts.len()
    }

    /// Whether it names this path.
    #[must_use]
    pub fn names(&self, path: &[&[u8]]) -> bool {
        fits(&self.parts, path, false)
    }

    /// Whether it may name something below this folder.
    #[must_use]
    pub fn leads_through(&self, folder: &[&[u8]]) -> bool {
        folder.len() < DEPTH_MAX && fits(&self.parts, folder, true)
    }
}

/// Whether the parts fit the whole path; with `below`, whether some path below it could.
///
/// Each `**` is tried at every length, but only the last one met has to be: what fits with an
/// earlier one longer fits with the last one longer, too.
fn fits(parts: &[Vec<u8>], path: &[&[u8]], below: bool) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    loop {
        let here = parts.get(part).map(Vec::as_slice);
        if at == path.len() && below {
            return here.is_some();
        }
        match (here, path.get(at)) {
            // Whatever is left of the folder's path, it takes; so it would take more.
            (Some(b"**"), _) if below => return true,
            (Some(b"**"), _) => {
                again = Some((part, at));
                part += 1;
                continue;
            }
            (None, None) => return true,
            (Some(pattern), Some(name)) if is_name(pattern, name) => {
                part += 1;
                at += 1;
                continue;
            }
            (Some(_) | None, _) => {}
        }
        match again {
            Some((stars, from)) if from < path.len() => {
                again = Some((stars, from + 1));
                part = stars + 1;
                at = from + 1;
            }
            Some(_) | None => return false,
        }
    }
}

/// Whether a pattern without slashes fits a name.
fn is_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                again = Some((p, n));
                p += 1;
                continue;
            }
            (Some(b'['), Some(byte)) => {
                if let Some((holds, length)) = set(&pattern[p..], *byte) {
                    if holds {
                        p += length;
                        n += 1;
                        continue;
                    }
                } else if *byte == b'[' {
                    p += 1;
                    n += 1;
                    continue;
                }
            }
            (Some(b'?'), Some(_)) => {
                p += 1;
                n += 1;
                continue;
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                p += 1;
                n += 1;
                continue;
            }
            (Some(_) | None, _) => {}
        }
        match again {
            Some((star, from)) if from < name.len() => {
                again = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
            Some(_) | None => return false,
        }
    }
}

/// Whether the set at the beginning holds a byte, and how long it is; none if it is no whole set.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let mut at = 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    let mut holds = false;
    loop {
        let from = *pattern.get(at)?;
        if from == b']' && at > first {
            return Some((holds != negated, at + 1));
        }
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(to)) if *to != b']' => {
                holds |= (from..=*to).contains(&byte);
                at += 3;
            }
            _ => {
                holds |= from == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(path: &str) -> Vec<&[u8]> {
        path.split('/').filter(|part| !part.is_empty()).map(str::as_bytes).collect()
    }

    #[track_caller]
    fn check(pattern: &str, names: &[&str], not: &[&str]) {
        let glob = Glob::new(pattern.as_bytes());
        for path in names {
            let path = parts(path);
            assert!(glob.names(&path), "{pattern} {path:?}");
            for length in 0..path.len() {
                assert!(glob.leads_through(&path[..length]), "{pattern} on the way to {path:?}");
            }
        }
        for path in not {
            assert!(!glob.names(&parts(path)), "{pattern} not {path}");
        }
    }

    #[test]
    fn a_pattern_names_what_a_shell_would() {
        check("/etc/passwd", &["/etc/passwd"], &["/etc", "/etc/passwd/x", "/etc/passwd-"]);
        check("/var/log/*.log", &["/var/log/a.log", "/var/log/.log"], &["/var/log/a/b.log"]);
        check("/home/*/.ssh/*", &["/home/ann/.ssh/id"], &["/home/.ssh/id", "/home/a/b/.ssh/id"]);
        check("/a/?[0-9x]", &["/a/b7", "/a/bx"], &["/a/7", "/a/by"]);
        check("/a/[!a-c]]", &["/a/d]"], &["/a/a]", "/a/d"]);
        check("/a/[", &["/a/["], &["/a/x"]);
        check("/a*b*c", &["/abc", "/axbxbc"], &["/ac", "/abcd"]);
    }

    #[test]
    fn two_stars_stand_for_any_folders_and_for_none() {
        check("/var/log/**", &["/var/log/a", "/var/log/a/b/c"], &["/var/lib/a"]);
        check("/**/*.php", &["/x.php", "/a/b/x.php"], &["/a/b/x.txt"]);
        check("/a/**/b/**/c", &["/a/b/c", "/a/x/b/y/z/c", "/a/b/b/c"], &["/a/c", "/a/b"]);
    }

    #[test]
    fn a_walk_goes_only_where_something_may_be_named() {
        let leads =
            |pattern: &str, folder| Glob::new(pattern.as_bytes()).leads_through(&parts(folder));
        assert!(leads("/home/*/.ssh/*", "/home/ann"));
        assert!(!leads("/home/*/.ssh/*", "/home/ann/src"));
        assert!(!leads("/etc/*", "/etc/ssh"));
        assert!(leads("/a/**", "/a/b/c"));
        let deep = "/a".repeat(DEPTH_MAX);
        assert!(!leads("/**", &deep));
    }

    proptest! {
        /// No pattern takes longer than its length times that of the name: this would not end.
        #[test]
        fn any_pattern_is_decided(pattern in "[a*?\\[\\]/!-]{0,40}", path in "[a/\\]]{0,60}") {
            let glob = Glob::new(pattern.as_bytes());
            let path = parts(&path);
            if glob.names(&path) && !path.is_empty() {
                prop_assert!(glob.leads_through(&path[..path.len() - 1]) || path.len() > DEPTH_MAX);
            }
        }
    }
}
