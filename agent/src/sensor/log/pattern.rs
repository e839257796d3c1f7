//! Which files a path with `*` and `?` in it means. Both stand for any byte but `/`; `*` for any
//! number of them, `?` for one. A name that begins with a dot must be asked for with its dot.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path as set, cut at its slashes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    text: String,
    parts: Vec<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let parts = text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Self { text: text.to_owned(), parts }
    }

    /// Whether it may mean this path.
    pub(super) fn means(&self, path: &Path) -> bool {
        let mut parts = self.parts.iter();
        let mut names = path.iter().filter(|name| *name != "/");
        let all = names
            .by_ref()
            .all(|name| parts.next().is_some_and(|part| matches(part.as_bytes(), name)));
        all && parts.next().is_none()
    }

    /// Whether it may mean more than one path.
    pub(super) fn is_wild(&self) -> bool {
        self.text.contains(['*', '?'])
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The paths it may mean: those without wild parts as they stand, there or not; others as
    /// `list` knows the directories. `visit` is told each directory in which files may appear.
    pub(super) fn expand(
        &self,
        list: &mut dyn FnMut(&Path) -> Vec<OsString>,
        visit: &mut dyn FnMut(&Path),
    ) -> Vec<PathBuf> {
        let mut paths = vec![PathBuf::from("/")];
        for (index, part) in self.parts.iter().enumerate() {
            let wild = part.contains(['*', '?']);
            if wild || index + 1 == self.parts.len() {
                paths.iter().for_each(|path| visit(path));
            }
            if !wild {
                paths.iter_mut().for_each(|path| path.push(part));
                continue;
            }
            let mut found = Vec::new();
            for path in &paths {
                let mut names = list(path);
                names.retain(|name| matches(part.as_bytes(), name));
                names.sort();
                found.extend(names.iter().map(|name| path.join(name)));
            }
            paths = found;
        }
        paths
    }
}

/// Whether a name fits one part of a pattern.
pub(in crate::sensor) fn matches(part: &[u8], name: &OsStr) -> bool {
    let name = name.as_bytes();
    (name.first() != Some(&b'.') || part.first() == Some(&b'.')) && glob(part, name, b'?')
}

/// Whether a text fits a pattern in which `#` stands for a digit as well.
pub(super) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    glob(pattern, text, b'#')
}

/// `*` and `?` as above; `digit` for one digit, unless it is `?` itself. Takes time in proportion
/// to both at worst.
fn glob(pattern: &[u8], text: &[u8], digit: u8) -> bool {
    let (mut at_part, mut at_text) = (0, 0);
    // Where the last star stood, and up to where it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        let byte = text[at_text];
        match pattern.get(at_part) {
            Some(b'*') => {
                star = Some((at_part, at_text));
                at_part += 1;
            }
            Some(asked)
                if *asked == b'?'
                    || (*asked == byte && *asked != digit)
                    || (*asked == digit && byte.is_ascii_digit()) =>
            {
                at_part += 1;
                at_text += 1;
            }
            Some(_) | None => {
                let Some((stood, eaten)) = star else { return false };
                star = Some((stood, eaten + 1));
                at_part = stood + 1;
                at_text = eaten + 1;
            }
        }
        // A star at the end takes all the rest.
        if pattern.get(at_part) == Some(&b'*') && at_part + 1 == pattern.len() {
            return true;
        }
    }
    pattern[at_part..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(part: &str, fits: &[&str], fits_not: &[&str]) {
        for name in fits {
            assert!(matches(part.as_bytes(), OsStr::new(name)), "{part} {name}");
        }
        for name in fits_not {
            assert!(!matches(part.as_bytes(), OsStr::new(name)), "{part} {name}");
        }
    }

    #[test]
    fn a_star_is_any_number_and_a_question_mark_is_one() {
        check("*.log", &["a.log", "a.b.log", "a.log.log"], &["a.log.1", "log", ".log", ".a.log"]);
        check("a?c*", &["abc", "abcd"], &["ac", "xabc"]);
        check("*", &["a"], &[".a"]);
        check(".*", &[".a"], &["a"]);
        check("*a*b", &["ab", "xaxb", "abab", "aab"], &["aba", "b"]);
        check("syslog", &["syslog"], &["syslog.1", "syslo"]);
    }

    #[test]
    fn a_pattern_that_could_take_long_does_not() {
        let part = format!("{}b", "*a".repeat(100));
        assert!(!matches(part.as_bytes(), OsStr::new(&"a".repeat(4000))));
    }

    #[test]
    fn a_beginning_may_ask_for_digits() {
        for (pattern, text, expected) in [
            ("##:*", "12:34", true),
            ("##:*", "1a:34", false),
            ("##:*", "#2:34", false),
            ("*", "", true),
            ("a*", "a\n", true),
            ("?#", "x1", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_knows_the_paths_that_it_may_mean() {
        let means = |pattern: &str, path: &str| Pattern::new(pattern).means(Path::new(path));
        assert!(means("/v/*/a.log", "/v/x/a.log") && means("/v/a.log", "/v/a.log"));
        assert!(!means("/v/*", "/v/x/a.log") && !means("/v/*/a.log", "/v/x"));
    }

    #[track_caller]
    fn check_expand(pattern: &str, expected: &[&str], directories: &[&str]) {
        let mut visited = Vec::new();
        let mut list = |path: &Path| -> Vec<OsString> {
            let names: &[&str] = match path.to_str().unwrap() {
                "/v" => &["nginx", "apt", "x.log"],
                "/v/nginx" => &["b.log", "a.log", "a.txt"],
                "/v/apt" => &["term.log"],
                _ => &[],
            };
            names.iter().map(OsString::from).collect()
        };
        let mut visit = |path: &Path| visited.push(path.to_str().unwrap().to_owned());
        let paths = Pattern::new(pattern).expand(&mut list, &mut visit);
        assert_eq!(paths.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), expected);
        assert_eq!(visited, directories);
    }

    #[test]
    fn a_path_without_wild_parts_is_looked_for_whether_it_is_there_or_not() {
        check_expand("/v/none.log", &["/v/none.log"], &["/v"]);
    }

    #[test]
    fn wild_parts_may_stand_anywhere() {
        check_expand("/v/*.log", &["/v/x.log"], &["/v"]);
        check_expand(
            "/v/*/*.log",
            &["/v/apt/term.log", "/v/nginx/a.log", "/v/nginx/b.log"],
            &["/v", "/v/apt", "/v/nginx", "/v/x.log"],
        );
    }
}
