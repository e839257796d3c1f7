//! Fields of a line of `/etc/passwd` or `/etc/shadow`: reading one, and changing one so that every
//! other byte of the file stays as it is.
//!
//! Pure.

/// Where the password stands, in both files.
pub(super) const PASSWORD: usize = 1;
/// Where the day stands from which on the account cannot be used, in `/etc/shadow`.
pub(super) const EXPIRES: usize = 7;
/// The second day of 1970, as `chage` means "expired": 0 is read as "never" by some.
pub(super) const EXPIRED: &[u8] = b"1";

/// A field of the account's first line, which is the one that counts.
pub(super) fn field<'a>(text: &'a [u8], name: &[u8], at: usize) -> Option<&'a [u8]> {
    let (start, end) = place(text, name, at)?;
    text.get(start..end)
}

/// The text with another value in one field; none if there is no such line, or field.
pub(super) fn with_field(text: &[u8], name: &[u8], at: usize, value: &[u8]) -> Option<Vec<u8>> {
    let (start, end) = place(text, name, at)?;
    Some([text.get(..start)?, value, text.get(end..)?].concat())
}

/// Where a field begins and ends.
fn place(text: &[u8], name: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut start = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        if fields.next() == Some(name) && !name.is_empty() {
            let before: usize =
                line.split(|byte| *byte == b':').take(at).map(|f| f.len() + 1).sum();
            let length = line.split(|byte| *byte == b':').nth(at)?.len();
            return Some((start + before, start + before + length));
        }
        start += line.len() + 1;
    }
    None
}

/// Whether no password fits.
pub(super) fn is_locked(password: &[u8]) -> bool {
    matches!(password, [b'!' | b'*', ..])
}

/// The field with our lock, as `passwd -l` makes it.
pub(super) fn lock(password: &[u8]) -> Vec<u8> {
    [b"!", password].concat()
}

/// The field without it; none if it does not begin with one.
pub(super) fn unlock(password: &[u8]) -> Option<&[u8]> {
    password.strip_prefix(b"!")
}

/// Whether the account cannot be used on a day.
pub(super) fn is_expired(expires: &[u8], today: u64) -> bool {
    crate::inventory::number::<u64>(expires).is_some_and(|day| day > 0 && day <= today)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHADOW: &[u8] = b"root:*:19000:0:99999:7:::\nann:$6$a$b:19000:0:99999:7::20500:\n\
                            annie:!:1::::::\nlast:$y$x:::::::";

    #[track_caller]
    fn check(name: &str, at: usize, value: &str, line: Option<&str>) {
        let changed = with_field(SHADOW, name.as_bytes(), at, value.as_bytes());
        let expected = line.map(|line| {
            let text = String::from_utf8(SHADOW.to_vec()).unwrap();
            let old = text.lines().find(|l| l.starts_with(&format!("{name}:"))).unwrap();
            text.replacen(old, line, 1)
        });
        assert_eq!(changed.map(|text| String::from_utf8(text).unwrap()), expected);
    }

    #[test]
    fn one_field_changes_and_nothing_else() {
        check("ann", PASSWORD, "!$6$a$b", Some("ann:!$6$a$b:19000:0:99999:7::20500:"));
        check("ann", EXPIRES, "", Some("ann:$6$a$b:19000:0:99999:7:::"));
        check("last", EXPIRES, "1", Some("last:$y$x::::::1:"));
        check("root", PASSWORD, "", Some("root::19000:0:99999:7:::"));
    }

    #[test]
    fn what_is_not_there_is_not_changed() {
        for name in ["an", "annies", "", "ann:$6$a$b", "nobody"] {
            check(name, PASSWORD, "x", None);
        }
        check("ann", 9, "x", None);
    }

    #[test]
    fn a_lock_is_taken_away_as_it_was_put_on() {
        for password in [&b"$6$a"[..], b"", b"x"] {
            assert!(!is_locked(password) && is_locked(&lock(password)));
            assert_eq!(unlock(&lock(password)), Some(password));
        }
        assert_eq!(unlock(b"*"), None);
        assert!(is_expired(b"1", 20_000) && is_expired(b"20000", 20_000));
        for open in [&b""[..], b"0", b"20001", b"-1", b"x"] {
            assert!(!is_expired(open, 20_000));
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(text: Vec<u8>, name: Vec<u8>, at in 0..12_usize) {
            with_field(&text, &name, at, b"!");
        }

        #[test]
        fn what_is_put_back_gives_the_same_bytes(
            lines in proptest::collection::vec("[a-c]{0,2}(:[a-z!$.]{0,4}){0,8}", 0..6),
            name in "[a-c]{1,2}",
            at in 1..8_usize,
        ) {
            let text = lines.join("\n").into_bytes();
            if let Some(old) = field(&text, name.as_bytes(), at).map(<[u8]>::to_vec) {
                let changed = with_field(&text, name.as_bytes(), at, b"other").unwrap();
                prop_assert_eq!(field(&changed, name.as_bytes(), at), Some(&b"other"[..]));
                prop_assert_eq!(with_field(&changed, name.as_bytes(), at, &old).unwrap(), text);
            }
        }
    }
}
