//! The accounts of this machine, from `/etc/passwd` and `/etc/shadow`, and their homes.
//!
//! Accounts of a directory service are not in these files; of those only homes are found. The hash
//! of a password is looked at and never kept.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cordon_proto::Text;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row, number};

/// One account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Its name.
    pub name: Text,
    /// Its number.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// The person's name and what else stands there.
    pub full_name: Text,
    /// Its home.
    pub home: Text,
    /// The program that it logs in to.
    pub shell: Text,
    /// What there is of a password.
    pub password: Password,
    /// The day it was last changed, since 1970; 0: it must be changed at the next login.
    pub changed_day: Option<u64>,
    /// How many days a password counts.
    pub days_max: Option<u64>,
    /// The day from which on the account cannot be used, since 1970.
    pub expires_day: Option<u64>,
    /// Whether that day has come.
    pub is_expired: bool,
}

/// What there is of a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Password {
    /// There is one.
    Set,
    /// None is asked for.
    None,
    /// There is one, and it is locked.
    Locked,
    /// No password fits.
    Impossible,
    /// It stands where this cannot be read.
    Unknown,
}

impl Password {
    fn of(field: &[u8]) -> Self {
        match field {
            b"" => Self::None,
            [b'!'] | [b'!', b'!'] | [b'*', ..] | [b'!', b'*', ..] => Self::Impossible,
            [b'!', ..] => Self::Locked,
            [..] => Self::Set,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::None => "none",
            Self::Locked => "locked",
            Self::Impossible => "impossible",
            Self::Unknown => "unknown",
        }
    }
}

impl Row for User {
    fn key(&self) -> Text {
        self.name.clone()
    }

    fn columns(&self, columns: &mut Columns) {
        columns
            .number("uid", u64::from(self.uid))
            .number("gid", u64::from(self.gid))
            .text("full_name", &self.full_name)
            .text("home", &self.home)
            .text("shell", &self.shell)
            .word("password", self.password.name())
            .number("password_changed_day", self.changed_day)
            .number("password_days_max", self.days_max)
            .number("expires_day", self.expires_day)
            .flag("is_expired", self.is_expired);
    }
}

/// All accounts.
pub fn collect(root: &Path) -> Result<Found<User>, CollectError> {
    let tree = Tree::new(root);
    let passwd = tree.need("/etc/passwd")?;
    let shadow = tree.read("/etc/shadow");
    Ok(tree.found(parse(&passwd, shadow.as_deref(), today())))
}

/// The day since 1970.
pub(crate) fn today() -> u64 {
    crate::clock::stamp().time_ns / DAY_NS
}

const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Reads both files; a line that is none of theirs is passed over.
#[must_use]
pub fn parse(passwd: &[u8], shadow: Option<&[u8]>, today: u64) -> Vec<User> {
    let shadow: Vec<_> = shadow.unwrap_or_default().split(|byte| *byte == b'\n').collect();
    let mut users = passwd.split(|byte| *byte == b'\n').filter_map(account).collect::<Vec<_>>();
    for user in users.iter_mut().filter(|user| user.password == Password::Unknown) {
        let name = user.name.as_bytes();
        let entry =
            |line: &&&[u8]| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b":"));
        if let Some(line) = shadow.iter().find(entry) {
            user.take_shadow(line, today);
        }
    }
    users
}

fn account(line: &[u8]) -> Option<User> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(b"#"))?;
    let password = match fields.next()? {
        b"x" => Password::Unknown,
        field => Password::of(field),
    };
    let (uid, gid) = (number(fields.next()?)?, number(fields.next()?)?);
    let mut text = || fields.next().map(|field| Text::from(field.trim_ascii_end()));
    let (full_name, home, shell) = (text()?, text()?, text()?);
    Some(User {
        name: name.into(),
        uid,
        gid,
        full_name,
        home,
        shell,
        password,
        changed_day: None,
        days_max: None,
        expires_day: None,
        is_expired: false,
    })
}

impl User {
    /// `name:password:changed:min:max:warn:inactive:expires:`.
    fn take_shadow(&mut self, line: &[u8], today: u64) {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let day = |at: usize| fields.get(at).and_then(|field| number(field));
        self.password = Password::of(fields.get(1).copied().unwrap_or_default());
        self.changed_day = day(2);
        // As good as for ever, and how distributions write that.
        self.days_max = day(4).filter(|days| *days < 10_000);
        self.expires_day = day(7);
        self.is_expired = self.expires_day.is_some_and(|day| day <= today);
    }
}

/// A directory of somebody, where things may stand that run when they log in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home {
    /// Whose: a name, or the number where the account is in none of the machine's files.
    pub owner: Text,
    /// Its user's number.
    pub uid: u32,
    /// Where.
    pub path: PathBuf,
}

/// Homes that are looked at.
const HOMES_MAX: usize = 4096;

/// The homes of all accounts, and those below `/home` of accounts that stand elsewhere. Each once.
#[must_use]
pub fn homes(tree: &Tree<'_>) -> Vec<Home> {
    let passwd = tree.read("/etc/passwd").unwrap_or_default();
    let mut homes: Vec<Home> = Vec::new();
    for User { name: owner, uid, home, .. } in parse(&passwd, None, 0) {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(home.as_bytes()));
        let is_home = path.is_absolute() && path != Path::new("/");
        if is_home && !homes.iter().any(|known| known.path == path) {
            homes.push(Home { owner, uid, path });
        }
    }
    for name in tree.names("/home") {
        let path = Path::new("/home").join(name);
        let Some(metadata) = tree.metadata(&path).filter(std::fs::Metadata::is_dir) else {
            continue;
        };
        if !homes.iter().any(|known| known.path == path) {
            let uid = metadata.uid();
            homes.push(Home { owner: format!("uid {uid}").into(), uid, path });
        }
    }
    if homes.len() > HOMES_MAX {
        tree.problem(format!("only {HOMES_MAX} of {} homes are looked at", homes.len()));
        homes.truncate(HOMES_MAX);
    }
    homes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    #[track_caller]
    fn check(passwd: &str, shadow: Option<&str>, expected: &[&str]) {
        let users = parse(passwd.as_bytes(), shadow.map(str::as_bytes), 20_000);
        assert_eq!(testing::show_all(&users), expected);
    }

    #[test]
    fn an_account_is_told_with_what_there_is_of_a_password_and_never_the_hash() {
        check(
            "root:x:0:0:root:/root:/bin/bash\nann:x:1000:100:Ann,,,:/home/ann:/bin/zsh\n",
            Some("ann:$y$j9T$abc:19000:0:90:7:::\nroot:!:19000:0:99999:7:::\n"),
            &[
                "ann: uid=1000 gid=100 full_name=Ann,,, home=/home/ann shell=/bin/zsh \
                 password=set password_changed_day=19000 password_days_max=90",
                "root: uid=0 gid=0 full_name=root home=/root shell=/bin/bash \
                 password=impossible password_changed_day=19000",
            ],
        );
    }

    #[test]
    fn an_account_without_a_password_a_locked_one_and_an_expired_one_are_told_apart() {
        let passwd = "a:x:1:1::/a:/bin/sh\nb:x:2:2::/b:/bin/sh\nc:x:3:3::/c:/bin/sh\n\
                      d::4:4::/d:/bin/sh\ne:x:5:5::/e:/bin/sh\n";
        let shadow = "a::::::::\nb:!$6$x:::::::\nc:$6$x::::::19999:\nab:$6$x:::::::\n";
        check(
            passwd,
            Some(shadow),
            &[
                "a: uid=1 gid=1 home=/a shell=/bin/sh password=none",
                "b: uid=2 gid=2 home=/b shell=/bin/sh password=locked",
                "c: uid=3 gid=3 home=/c shell=/bin/sh password=set expires_day=19999 \
                 is_expired=true",
                "d: uid=4 gid=4 home=/d shell=/bin/sh password=none",
                "e: uid=5 gid=5 home=/e shell=/bin/sh password=unknown",
            ],
        );
    }

    #[test]
    fn what_is_no_account_is_passed_over() {
        check("# x:x:1:1:::\n\n+::::::\nx\nb:x:-1:1::/b:/bin/sh\n", None, &[]);
    }

    #[test]
    fn homes_are_told_once_also_those_of_accounts_that_stand_elsewhere() {
        let root = testing::tree(&[
            (
                "etc/passwd",
                "root:x:0:0::/root:\nann:x:9:9::/home/ann:\nb:x:8:8::/home/ann:\nd:x:1:1::/:\n",
            ),
            ("home/ann/x", ""),
            ("home/far/x", ""),
        ]);
        let homes = homes(&Tree::new(root.path()));
        let shown: Vec<_> = homes.iter().map(|home| (home.owner.to_lossy(), &*home.path)).collect();
        let own = std::fs::metadata(root.path()).unwrap().uid();
        assert_eq!(shown[0], ("root".into(), Path::new("/root")));
        assert_eq!(shown[1], ("ann".into(), Path::new("/home/ann")));
        assert_eq!(shown[2], (format!("uid {own}").into(), Path::new("/home/far")));
        assert_eq!(shown.len(), 3);
    }

    #[test]
    fn without_a_list_of_accounts_there_is_no_inventory() {
        assert!(collect(testing::tree(&[]).path()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(passwd: Vec<u8>, shadow: Vec<u8>) {
            prop_assert!(parse(&passwd, Some(&shadow), 0).len() <= passwd.len());
        }

        #[test]
        fn every_account_written_is_read(names in proptest::collection::btree_set("[a-z_][a-z0-9_-]{0,8}", 0..9)) {
            let passwd: String = names.iter().map(|name| format!("{name}:x:7:8:g:/h:/s\n")).collect();
            let shadow: String = names.iter().map(|name| format!("{name}:!:::::::\n")).collect();
            let users = parse(passwd.as_bytes(), Some(shadow.as_bytes()), 0);
            prop_assert_eq!(users.len(), names.len());
            prop_assert!(users.iter().all(|user| user.password == Password::Impossible));
        }
    }
}
