//! Accounts locked for real: this machine's own `su` and its PAM say who gets in, over a copy of
//! `/etc` in a mount namespace made for the test. Needs root; without it the test is skipped by name.
//!
//! The account exists in the copy alone. Its processes are in a control group of the test's, as an
//! agent in a lab is, but for one outside that nobody may touch.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "every line of this program is a test; clippy knows only #[test]"
)]

#[path = "support/platform.rs"]
mod platform;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use cordon_agent::action::deed::{Done, Hand, NotDone, Seen, Tools};
use cordon_agent::identity::StateDir;
use cordon_proto::command::{Action, LockAccount};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const NAME: &str = "cordon-eve";
const UID: u32 = 64_321;
const PAM: &str = "auth sufficient pam_rootok.so\naccount required pam_unix.so\n\
                   session required pam_unix.so\n";
/// Tells a child of this program that it is in its own group already.
const INSIDE: &str = "CORDON_ACCOUNT_INSIDE";

fn main() -> ExitCode {
    if let Some(outside) = std::env::var_os(INSIDE) {
        platform::leave_mount_namespace().unwrap();
        life(&outside.to_string_lossy());
        return ExitCode::SUCCESS;
    }
    let name = "a_locked_account_gets_in_no_way_until_it_is_put_back";
    let trial = Trial::ignorable_test(name, outside);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// Ended when dropped.
struct Running(Child);

impl Running {
    fn start(program: &mut Command) -> Self {
        Self(program.stdin(Stdio::null()).spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A control group of this test's own, removed when dropped.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

fn outside() -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("needs root"));
    }
    if !Path::new("/usr/bin/su").exists() && !Path::new("/bin/su").exists() {
        return Ok(Completion::ignored_with("needs su"));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let Some(tree) = mount.and_then(|line| line.split(' ').nth(4)) else {
        return Ok(Completion::ignored_with("needs control groups of version 2"));
    };
    let name = format!("cordon-account-{}", std::process::id());
    let group = Group(Path::new(tree).join(name));
    fs::create_dir(&group.0)?;
    // Of the account, and outside of the group.
    let mut other = Running::start(Command::new("sleep").arg("1000").uid(UID).gid(UID));
    let script = format!("echo 0 > {}/cgroup.procs && exec \"$0\"", group.0.display());
    let mut inside = Command::new("sh");
    inside.args(["-c", &script]).arg(std::env::current_exe()?);
    let status = inside.env(INSIDE, other.0.id().to_string()).status()?;
    if !status.success() {
        return Err(format!("inside: {status}").into());
    }
    if !other.lives() {
        return Err("a process outside of the agent's own group was ended".into());
    }
    Ok(Completion::Completed)
}

/// A copy of `/etc` in its place, with one account more.
fn with_account(folder: &Path) {
    let (etc, home) = (folder.join("etc"), folder.join("home"));
    let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status().unwrap();
    assert!(copied.success());
    rustix::mount::mount_bind(&etc, "/etc").unwrap();
    // Nothing is written before it is certain whose files these are.
    let inode = |path: &Path| fs::metadata(path).map(|at| (at.dev(), at.ino())).unwrap();
    assert_eq!(inode(Path::new("/etc")), inode(&etc));
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/authorized_keys"), "ssh-ed25519 AAAA eve\n").unwrap();
    for path in [home.clone(), home.join(".ssh"), home.join(".ssh/authorized_keys")] {
        chown(path, Some(UID), Some(UID)).unwrap();
    }
    let add = |name: &str, line: String| {
        let path = Path::new("/etc").join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + &line).unwrap();
    };
    // The least that asks what PAM itself makes of the account, whatever this distribution adds.
    fs::create_dir_all("/etc/pam.d").unwrap();
    for service in ["su", "other"] {
        fs::write(Path::new("/etc/pam.d").join(service), PAM).unwrap();
    }
    add("passwd", format!("{NAME}:x:{UID}:{UID}::{}:/bin/sh\n", home.display()));
    add("group", format!("{NAME}:x:{UID}:\n"));
    add("shadow", format!("{NAME}:$6$abc$def:19000:0:99999:7:::\n"));
}

/// Whether PAM lets the account in: root is asked for no password, so the account alone counts.
fn gets_in() -> bool {
    let su = Command::new("su").args([NAME, "-c", "exit 42"]).stdin(Stdio::null()).output();
    su.unwrap().status.code() == Some(42)
}

fn state() -> Vec<Vec<u8>> {
    let files = ["passwd", "shadow", "group"];
    files.iter().map(|name| fs::read(Path::new("/etc").join(name)).unwrap()).collect()
}

fn life(outside: &str) {
    let folder = tempfile::tempdir().unwrap();
    let of_machine = fs::read("/etc/shadow").unwrap();
    with_account(folder.path());
    let dir = StateDir::open(folder.path().join("state")).unwrap();
    let hand = Hand::new(Tools::new(dir, true));
    let lock = |user: &str| {
        let (user, lease_secs) = (user.to_owned(), None);
        Action::LockAccount(LockAccount { user, end_sessions: true, lease_secs })
    };
    // Whom the machine itself has is not touched, though the files are a copy.
    let daemon = lock("daemon");
    let said = hand.deed(&daemon).unwrap().prepare();
    assert!(matches!(said, Err(NotDone::Refused(why)) if why.contains("machine itself has")));

    let mut session = Running::start(Command::new("sleep").arg("1000").uid(UID).gid(UID));
    let deaf = "trap '' TERM; while :; do sleep 1000; done";
    let mut deaf = Running::start(Command::new("sh").args(["-c", deaf]).uid(UID).gid(UID));
    let before_lock = state();
    assert!(gets_in(), "the account can be used before");
    let eve = lock(NAME);
    let deed = hand.deed(&eve).unwrap();
    let before = deed.prepare().unwrap();
    let Done { probes, missing, .. } = deed.apply(&before).unwrap();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(probes.len(), 4);
    assert!(probes.iter().all(|probe| probe.passed), "{probes:?}");
    assert!(!gets_in(), "PAM lets it in though it is locked");
    assert!(!session.lives() && !deaf.lives());
    assert_eq!(session.0.wait().unwrap().signal(), Some(15));
    assert!(Path::new("/proc").join(outside).exists());
    let keys = folder.path().join("home/.ssh/authorized_keys");
    assert!(!keys.exists());
    let locked = fs::read_to_string("/etc/shadow").unwrap();
    assert!(locked.ends_with(&format!("{NAME}:!$6$abc$def:19000:0:99999:7::1:\n")), "{locked}");
    assert!(matches!(deed.look(&before), Seen::Holds(_)));
    tells_of_what_is_undone_behind_its_back(&*deed, &before);

    let Done { probes, missing, .. } = deed.undo(&before).unwrap();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(probes.iter().all(|probe| probe.passed), "{probes:?}");
    assert!(gets_in(), "the account can be used again");
    assert_eq!(state(), before_lock);
    assert_eq!(fs::read_to_string(keys).unwrap(), "ssh-ed25519 AAAA eve\n");
    rustix::mount::unmount("/etc", rustix::mount::UnmountFlags::DETACH).unwrap();
    let now = fs::read("/etc/shadow").unwrap();
    assert_eq!(now, of_machine, "the machine's own accounts were touched");
}

/// A session that comes back, by whatever way, is drift and ends.
fn tells_of_what_is_undone_behind_its_back(
    deed: &dyn cordon_agent::action::deed::Deed,
    before: &[u8],
) {
    let mut again = Running::start(Command::new("sleep").arg("1000").uid(UID).gid(UID));
    let Seen::Drifted(found) = deed.look(before) else { panic!("not found") };
    assert!(found.contains("nothing runs as it: 1 process"), "{found}");
    deed.apply(before).unwrap();
    assert!(!again.lives());
    assert!(matches!(deed.look(before), Seen::Holds(_)));
}
