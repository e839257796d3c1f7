//! The numbers of users that policy names, from this endpoint's own list of users; a directory on
//! the network is not asked, because it cannot be while cut off.

use std::fs::File;
use std::io::Read;

const PASSWD: &str = "/etc/passwd";
const PASSWD_BYTES_MAX: u64 = 1 << 20;

/// The names that are known here, with their numbers.
pub fn numbers(names: &[String]) -> Vec<(String, u32)> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut passwd = Vec::new();
    let file = File::open(PASSWD);
    let read = file.and_then(|file| file.take(PASSWD_BYTES_MAX).read_to_end(&mut passwd));
    if let Err(error) = read {
        tracing::warn!(%error, "the list of users cannot be read; what policy opens for users stays closed");
    }
    let known = parse(&passwd, names);
    for name in names.iter().filter(|name| known.iter().all(|(known, _)| known != *name)) {
        tracing::warn!(user = name, "policy opens something for a user who is not known here");
    }
    known
}

fn parse(passwd: &[u8], names: &[String]) -> Vec<(String, u32)> {
    let number = |name: &String| {
        let line = passwd
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
        let uid = line.split(|byte| *byte == b':').nth(1)?;
        std::str::from_utf8(uid).ok()?.parse().ok()
    };
    names.iter().filter_map(|name| Some((name.clone(), number(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name_only() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/sh\nrmm-old:x:7:7::/:\nrmm:x:998:998::/:\nodd:x:many:\n";
        let names = ["rmm", "root", "rm", "odd", "nobody"].map(str::to_owned);
        let expected = [("rmm".to_owned(), 998), ("root".to_owned(), 0)];
        assert_eq!(parse(passwd, &names), expected);
    }
}
