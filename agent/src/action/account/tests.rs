//! An account's files in a folder of their own: locked, found otherwise, and put back.

use super::*;
use crate::inventory::testing;

const PASSWD: &str = "root:x:0:0::/root:/bin/bash\nann:x:64001:64001::/home/ann:/bin/bash\n\
                      eve:x:64002:64002::/home/eve:/bin/bash\nold:x:64003:64003::/home/old:/bin/sh\n\
                      bare:$6$b:64004:64004::/home/bare:/bin/sh\ntwo:x:0:0::/root:/bin/sh\n";
const SHADOW: &str = "root:*:19000:0:99999:7:::\nann:$y$ann:19000:0:99999:7:::\n\
                      eve:$y$eve:19000:0:99999:7::99999:\nold:!$y$old:19000:0:99999:7::100:\n\
                      two:$y$two:19000::::::\n";
const SUDOERS: &str = "root ALL=(ALL) ALL\n%sudo ALL=(ALL) ALL\n";

fn machine() -> tempfile::TempDir {
    testing::tree(&[
        ("etc/passwd", PASSWD),
        ("etc/shadow", SHADOW),
        ("etc/group", "sudo:x:27:ann\n"),
        ("etc/sudoers", SUDOERS),
        ("home/eve/.ssh/authorized_keys", "ssh-ed25519 AAAA eve\n"),
        ("home/ann/x", ""),
    ])
}

fn lock(user: &str) -> LockAccount {
    LockAccount { user: user.to_owned(), end_sessions: false, lease_secs: None }
}

fn account<'a>(root: &'a Path, wanted: &'a LockAccount) -> Account<'a> {
    Account { root, wanted, lab: false }
}

fn shadow(root: &Path) -> String {
    std::fs::read_to_string(root.join("etc/shadow")).unwrap()
}

/// Another edit of the file, as `passwd` or `chage` would make it.
fn replace(root: &Path, old: &str, new: &str) {
    let text = shadow(root);
    assert!(text.contains(old), "{text}");
    std::fs::write(root.join("etc/shadow"), text.replacen(old, new, 1)).unwrap();
}

/// Locks, lets something happen, and undoes it: the line after each, and what was told as missing.
#[track_caller]
fn check(user: &str, meanwhile: &[(&str, &str)], locked: &str, after: &str, missing: &[&str]) {
    let root = machine();
    let wanted = lock(user);
    let deed = account(root.path(), &wanted);
    let line = |root: &Path| {
        let text = shadow(root);
        text.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap().to_owned()
    };
    let before = deed.prepare().unwrap();
    let done = deed.apply(&before).unwrap();
    assert!(done.missing.is_empty() && done.probes.iter().all(|probe| probe.passed), "{done:?}");
    assert_eq!(line(root.path()), locked);
    assert_eq!(deed.apply(&before).unwrap(), done, "again changes nothing");
    assert!(matches!(deed.look(&before), Seen::Holds(_)));
    for (old, new) in meanwhile {
        replace(root.path(), old, new);
    }
    let done = deed.undo(&before).unwrap();
    assert_eq!(line(root.path()), after);
    assert_eq!(done.missing, missing);
    if meanwhile.is_empty() {
        assert_eq!(shadow(root.path()), SHADOW);
        assert!(done.probes.iter().all(|probe| probe.passed), "{done:?}");
        let keys = std::fs::read_to_string(root.path().join("home/eve/.ssh/authorized_keys"));
        assert_eq!(keys.unwrap(), "ssh-ed25519 AAAA eve\n");
    }
}

#[test]
fn an_account_is_locked_and_put_back_to_the_byte() {
    let locked = "eve:!$y$eve:19000:0:99999:7::1:";
    check("eve", &[], locked, "eve:$y$eve:19000:0:99999:7::99999:", &[]);
}

#[test]
fn one_that_was_locked_and_expired_before_stays_so() {
    let before = "old:!$y$old:19000:0:99999:7::100:";
    check("old", &[], before, before, &[]);
}

#[test]
fn what_was_changed_meanwhile_stays_without_our_lock() {
    let locked = "eve:!$y$eve:19000:0:99999:7::1:";
    check(
        "eve",
        &[("!$y$eve", "!$y$new"), ("7::1:", "7::20000:")],
        locked,
        "eve:$y$new:19000:0:99999:7::20000:",
        &[
            "its password was changed meanwhile and stays as it is",
            "its day of expiry was changed meanwhile and stays",
        ],
    );
}

#[test]
fn whoever_unlocks_it_is_found_and_locked_again() {
    let root = machine();
    let wanted = lock("eve");
    let deed = account(root.path(), &wanted);
    let before = deed.prepare().unwrap();
    deed.apply(&before).unwrap();
    replace(root.path(), "!$y$eve", "$y$eve");
    std::fs::write(root.path().join("home/eve/.ssh/authorized_keys"), "new").unwrap();
    let Seen::Drifted(found) = deed.look(&before) else { panic!("not found") };
    assert!(found.contains("no password fits") && found.contains("keys"), "{found}");
    deed.apply(&before).unwrap();
    assert!(matches!(deed.look(&before), Seen::Holds(_)));
    deed.undo(&before).unwrap();
    assert_eq!(shadow(root.path()), SHADOW);
}

#[track_caller]
fn refused(root: &Path, user: &str, why: &str) {
    let wanted = lock(user);
    match account(root, &wanted).prepare() {
        Err(NotDone::Refused(said)) => assert!(said.contains(why), "{said}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(shadow(root), SHADOW);
}

#[test]
fn root_the_last_administrator_and_strangers_are_refused() {
    let root = machine();
    refused(root.path(), "root", "root is never locked");
    refused(root.path(), "nobody-here", "there is no account");
    refused(root.path(), "ev", "there is no account");
    // Another root with a password is a way in.
    assert!(account(root.path(), &lock("ann")).prepare().is_ok());
    let passwd = PASSWD.replace("two:x:0:0::/root:/bin/sh\n", "");
    std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
    refused(root.path(), "ann", "last administrator");
}

#[test]
fn a_second_root_can_be_locked_and_shares_what_is_roots() {
    let root = machine();
    std::fs::create_dir_all(root.path().join("root/.ssh")).unwrap();
    let keys = root.path().join("root/.ssh/authorized_keys");
    std::fs::write(&keys, "k").unwrap();
    let wanted = LockAccount { end_sessions: true, ..lock("two") };
    let deed = account(root.path(), &wanted);
    let before = deed.prepare().unwrap();
    let done = deed.apply(&before).unwrap();
    assert!(shadow(root.path()).contains("two:!$y$two:19000:::::1:\n"));
    assert_eq!(done.missing.len(), 2, "{done:?}");
    assert!(done.missing[1].contains("cannot be told from those of root"), "{done:?}");
    assert!(keys.exists());
    deed.undo(&before).unwrap();
    assert_eq!(shadow(root.path()), SHADOW);
}

#[test]
fn a_password_in_the_list_of_accounts_is_locked_there() {
    let root = machine();
    let wanted = lock("bare");
    let deed = account(root.path(), &wanted);
    let passwd = || std::fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let before = deed.prepare().unwrap();
    let done = deed.apply(&before).unwrap();
    assert_eq!(passwd(), PASSWD.replace("bare:$6$b", "bare:!$6$b"));
    assert_eq!(done.missing.len(), 1);
    assert!(matches!(deed.look(&before), Seen::Holds(_)));
    deed.undo(&before).unwrap();
    assert_eq!((passwd(), shadow(root.path())), (PASSWD.to_owned(), SHADOW.to_owned()));
}

#[test]
fn an_account_that_is_gone_is_nothing_that_stands() {
    let root = machine();
    let wanted = lock("eve");
    let deed = account(root.path(), &wanted);
    let before = deed.prepare().unwrap();
    deed.apply(&before).unwrap();
    std::fs::write(root.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    assert!(matches!(deed.look(&before), Seen::Gone(_)));
}

#[test]
fn no_password_is_kept() {
    let root = machine();
    let before = account(root.path(), &lock("eve")).prepare().unwrap();
    assert!(!before.windows(6).any(|window| window == b"$y$eve"));
}
