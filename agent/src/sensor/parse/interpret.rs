//! Which lines tell of logins and accounts, and what they tell.

use cordon_proto::Text;
use cordon_proto::event::log::{Journal, LogSource};
use cordon_proto::event::login::{
    AccountActivity, AccountChange, AuthActivity, Authentication, FileOrigin, JournalOrigin,
    Origin, Status,
};
use cordon_proto::event::{Body, LogLine, Severity};

use super::head::{Assumed, Head, head};
use super::{account, login, pam, sshd, sudo};

/// A message with its sender's name, before it is known to tell anything.
pub(super) struct Said<'a> {
    /// The program, as it calls itself.
    pub(super) app: &'a [u8],
    /// What it says.
    pub(super) message: &'a [u8],
}

/// What a message tells; the line that it stands in is added later.
pub(super) enum Told {
    Authentication(Box<Authentication>),
    Account(Box<AccountChange>),
}

/// Only where the message begins is of interest here, and that does not depend on the time.
const ANY_TIME: Assumed = Assumed { now_ns: 1_800_000_000_000_000_000, offset_secs: 0 };

/// The typed event that a line tells, if it tells any, and how grave it is.
#[must_use]
pub fn interpret(line: &LogLine) -> Option<(Severity, Body)> {
    let message = line.line.as_bytes();
    let Some(LogSource::Journal(entry)) = &line.source else {
        let (path, device, inode) = (line.path.clone(), line.device, line.inode);
        let origin = || FileOrigin { path, device, inode, offset: line.offset };
        return interpret_below(origin, &head(message, &ANY_TIME)?);
    };
    let app = entry.identifier.as_ref().or(entry.comm.as_ref())?.as_bytes();
    let told = tell(&Said { app, message })?;
    Some(body(told, Origin::Journal(journal_origin(entry, app)), entry.pid))
}

/// The same for a line of a file, of which the head was read.
#[must_use]
pub fn interpret_below(
    origin: impl FnOnce() -> FileOrigin,
    head: &Head<'_>,
) -> Option<(Severity, Body)> {
    let told = tell(&Said { app: head.app.as_deref()?, message: &head.message })?;
    Some(body(told, Origin::File(origin()), head.pid))
}

fn journal_origin(entry: &Journal, app: &[u8]) -> JournalOrigin {
    let attested = entry.comm.as_ref().map(|comm| is_program(app, comm.as_bytes()));
    JournalOrigin { cursor: entry.cursor.clone(), uid: entry.uid, attested }
}

/// Whether a kernel's short name is that of the program that an entry names. Some programs go by
/// another: sshd's sessions, and cron under capitals.
fn is_program(app: &[u8], comm: &[u8]) -> bool {
    const COMM_BYTES_MAX: usize = 15;
    let app = app.to_ascii_lowercase();
    let short = &app[..app.len().min(COMM_BYTES_MAX)];
    comm == short
        || (app == b"sshd" && comm.starts_with(b"sshd-"))
        || (app == b"crond" && comm == b"cron")
        || (app == b"cron" && comm == b"crond")
}

/// Asks whoever knows this program. PAM speaks in the name of many.
fn tell(said: &Said<'_>) -> Option<Told> {
    if said.message.starts_with(b"pam_") || said.message.starts_with(b"PAM ") {
        return pam::tell(said);
    }
    match said.app {
        b"sshd" | b"sshd-session" | b"sshd-auth" => sshd::tell(said),
        b"sudo" => sudo::sudo(said),
        b"su" => sudo::su(said),
        b"login" => login::login(said),
        b"systemd-logind" => login::logind(said),
        b"useradd" | b"userdel" | b"usermod" | b"groupadd" | b"groupdel" | b"groupmod"
        | b"gpasswd" | b"passwd" | b"chage" | b"chpasswd" | b"chsh" | b"chfn" | b"newusers"
        | b"adduser" | b"addgroup" => account::tell(said),
        _ => None,
    }
}

fn body(told: Told, origin: Origin, pid: Option<u32>) -> (Severity, Body) {
    let severity = |status| match status {
        Status::Failure => Severity::Low,
        Status::Success | Status::Unknown => Severity::Informational,
    };
    match told {
        Told::Authentication(event) => {
            let event = Authentication { origin, pid, ..*event };
            (severity(event.status), Body::Authentication(Box::new(event)))
        }
        Told::Account(event) => {
            let event = AccountChange { origin, pid, ..*event };
            (severity(event.status), Body::Account(Box::new(event)))
        }
    }
}

/// An origin to be filled in.
fn unknown() -> Origin {
    Origin::File(FileOrigin { path: Text::default(), device: 0, inode: 0, offset: 0 })
}

/// A login of which nothing is known yet but who says so, what was tried, and how it went.
pub(super) fn login_event(
    service: &[u8],
    activity: AuthActivity,
    status: Status,
) -> Authentication {
    Authentication {
        origin: unknown(),
        activity,
        status,
        service: super::cut::name(service),
        user: None,
        actor: None,
        user_exists: None,
        method: None,
        from: None,
        from_port: None,
        terminal: None,
        command: None,
        key: None,
        detail: None,
        pid: None,
        tries: None,
        redacted: None,
    }
}

/// A change that was made, of which only who says so is known yet.
pub(super) fn change(service: &[u8], activity: AccountActivity) -> AccountChange {
    AccountChange {
        origin: unknown(),
        activity,
        status: Status::Success,
        service: super::cut::name(service),
        user: None,
        group: None,
        actor: None,
        uid: None,
        gid: None,
        home: None,
        shell: None,
        detail: None,
        pid: None,
    }
}

impl From<Authentication> for Told {
    fn from(event: Authentication) -> Self {
        Self::Authentication(Box::new(event))
    }
}

impl From<AccountChange> for Told {
    fn from(event: AccountChange) -> Self {
        Self::Account(Box::new(event))
    }
}
