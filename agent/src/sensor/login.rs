//! Logins, failed logins and logouts, as the machine's own records tell of them.
//!
//! Read are wtmp and btmp, the database of pam_wtmpdb where a distribution has that instead
//! (Debian 13), and the sessions that logind keeps. One login may be told by several of them; each
//! event says by which. Not seen: logins that no record is made of (`ssh host command` leaves none
//! in wtmp), failed ones where there is no btmp, and sessions that logind began and ended while
//! the agent did not run. Records can be written by whoever is root.

mod file;
mod logind;
mod read;
pub mod record;
mod sessions;
mod wtmpdb;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::login::{
    AuthActivity, Authentication, Origin, RecordOrigin, RecordSource, Status,
};
use cordon_proto::event::{Body, Observation, SensorState, Severity};
use serde::{Deserialize, Serialize};

use self::logind::Change;
use self::read::{Reader, Round};
use self::record::Record;
use self::wtmpdb::Row;
use super::{Checkpoint, Outlet, Stopping};
use crate::clock::Stamp;
use crate::platform::linux::inotify::Inotify;

pub use read::{Sources, sources};

/// The sensor's name in health.
pub const NAME: &str = "logins";

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginSettings {
    /// Whether logins are watched at all.
    pub enabled: bool,
}

impl Default for LoginSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// How often it is looked whether a file is there that was not, or is another.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The same, shortly after one was rotated away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Logon,
    Failed,
    Logoff { lasted_secs: Option<u64>, why: Option<&'static str> },
}

/// One login, failed login or logout.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Login {
    what: What,
    time_ns: u64,
    user: Text,
    uid: Option<u32>,
    terminal: Text,
    /// From where: an address where one is known, else a name.
    from: Text,
    service: Text,
    pid: Option<u32>,
    session: Option<String>,
    /// Where in its source it stands.
    place: u64,
}

impl Login {
    fn of(what: What, record: &Record) -> Self {
        let Record { kind: _, pid, line, user, host, address, time_ns } = record.clone();
        Self {
            what,
            time_ns,
            user,
            uid: None,
            terminal: line,
            from: address.map_or(host, |address| address.to_string().into()),
            service: Text::default(),
            pid,
            session: None,
            place: 0,
        }
    }

    /// A row of the database: a beginning, an end, or both.
    fn of_row(row: Row) -> Vec<Self> {
        let Row { id, user, login_ns, logout_ns, terminal, host: from, service, was_open } = row;
        let lasted = |until: u64| until.checked_sub(login_ns).map(|ns| ns / 1_000_000_000);
        let logon = Self {
            what: What::Logon,
            time_ns: login_ns,
            user,
            uid: None,
            terminal,
            from,
            service,
            pid: None,
            session: None,
            place: u64::try_from(id).unwrap_or(0),
        };
        let off = logout_ns.map(|time_ns| {
            let what = What::Logoff { lasted_secs: lasted(time_ns), why: None };
            Self { what, time_ns, ..logon.clone() }
        });
        let begun = (!was_open).then_some(logon);
        begun.into_iter().chain(off).collect()
    }

    /// `is_seen` says whether the end was seen when it came.
    fn of_session(change: Change, is_seen: bool, now: Stamp) -> Self {
        let (id, session, what, time_ns) = match change {
            Change::Begun(id, session) => {
                let time_ns = session.begun_ns;
                (id, session, What::Logon, time_ns)
            }
            Change::Ended(id, session) => {
                let lasted = now.time_ns.checked_sub(session.begun_ns).filter(|_ns| is_seen);
                let lasted_secs = lasted.map(|ns| ns / 1_000_000_000);
                let why = (!is_seen).then_some("it ended while nobody looked");
                (id, session, What::Logoff { lasted_secs, why }, now.time_ns)
            }
        };
        Self {
            what,
            time_ns,
            user: session.user,
            uid: session.uid,
            terminal: session.terminal,
            from: session.host,
            service: session.service,
            pid: session.leader,
            session: Some(id),
            place: 0,
        }
    }

    fn observation(&self, source: RecordSource, path: Text, now: Stamp) -> Observation {
        let (activity, status, lasted_secs, why) = match self.what {
            What::Logon => (AuthActivity::Logon, Status::Success, None, None),
            What::Failed => (AuthActivity::Logon, Status::Failure, None, None),
            What::Logoff { lasted_secs, why } => {
                (AuthActivity::Logoff, Status::Success, lasted_secs, why)
            }
        };
        let severity =
            if self.what == What::Failed { Severity::Low } else { Severity::Informational };
        let known = |text: &Text| Some(text.clone()).filter(|text| !text.is_empty());
        let origin = Origin::Record(RecordOrigin {
            path,
            source,
            place: self.place,
            uid: self.uid,
            session: self.session.clone(),
            lasted_secs,
        });
        let authentication = Authentication {
            origin,
            activity,
            status,
            service: self.service.clone(),
            user: known(&self.user),
            actor: None,
            // A name that is not known may be of a directory service.
            user_exists: self.uid.map(|_uid| true),
            method: None,
            from: known(&self.from),
            from_port: None,
            terminal: known(&self.terminal),
            command: None,
            key: None,
            detail: why.map(Text::from),
            pid: self.pid,
            tries: None,
            redacted: None,
        };
        let body = Body::Authentication(Box::new(authentication));
        // A record from before is told with its own time, one from the future with the present.
        let time_ns = if self.time_ns == 0 { now.time_ns } else { self.time_ns.min(now.time_ns) };
        Observation { time_ns, boot_ns: now.boot_ns, severity, body }
    }
}

/// Runs until the agent stops. `restored` are the checkpoints kept last whose keys begin with
/// [`prefix`]; the machine's files begin at `root`.
pub async fn run(
    settings: LoginSettings,
    root: PathBuf,
    clock: fn() -> Stamp,
    outlet: Outlet,
    restored: Vec<Checkpoint>,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    let mut watched = Watched::new(&root);
    let mut reader = Reader::new(root, restored);
    let mut condition = None;
    loop {
        watched.look();
        let read;
        (reader, read) = round(reader, clock).await;
        let Round { samples, has_more, problems } = read;
        for sample in samples {
            outlet.sample(sample).await?;
        }
        let problems: Vec<String> = problems.into_iter().chain(watched.problem.clone()).collect();
        let now = match problems.is_empty() {
            true => (SensorState::Running, None),
            false => (SensorState::Degraded, Some(problems.join("; "))),
        };
        if condition.as_ref() != Some(&now) {
            outlet.condition(now.0, now.1.clone(), None).await?;
            condition = Some(now);
        }
        outlet.proved().await?;
        if !has_more {
            watched.wait().await;
        }
    }
}

/// The beginning of this sensor's keys.
#[must_use]
pub fn prefix() -> &'static str {
    read::PREFIX
}

/// Reads on a thread that may be held up.
async fn round(mut reader: Reader, clock: fn() -> Stamp) -> (Reader, Round) {
    let reading = tokio::task::spawn_blocking(move || {
        let round = reader.round(clock());
        (reader, round)
    });
    match reading.await {
        Ok(read) => read,
        // The run loop restarts a sensor that failed; this one failed on another thread.
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

/// Files and directories under watch.
struct Watched {
    inotify: Option<Inotify>,
    places: [PathBuf; 4],
    numbers: HashMap<i32, usize>,
    was_gone: bool,
    problem: Option<String>,
}

impl Watched {
    fn new(root: &std::path::Path) -> Self {
        let (inotify, problem) = match Inotify::new() {
            Ok(inotify) => (Some(inotify), None),
            Err(error) => (None, Some(unwatched(&error))),
        };
        let (places, numbers) = (read::places(root), HashMap::new());
        Self { inotify, places, numbers, was_gone: false, problem }
    }

    /// Watches what is there and not watched yet. Watching it twice is the same as once.
    fn look(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        self.problem = None;
        for (index, place) in self.places.iter().enumerate() {
            match inotify.watch(place) {
                Ok(number) => {
                    self.numbers.insert(number, index);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.problem = Some(unwatched(&error)),
            }
        }
    }

    /// Waits until something that matters has happened, or it is time to look.
    async fn wait(&mut self) {
        let wait = if self.was_gone { LOOK_AGAIN } else { LOOK_EVERY };
        self.was_gone = false;
        // Looked at after a while whatever comes: not everything wakes.
        tokio::time::timeout(wait, self.matters()).await.ok();
    }

    async fn matters(&mut self) {
        loop {
            let seen = match &self.inotify {
                Some(inotify) => inotify.seen().await,
                None => std::future::pending().await,
            };
            let seen = match seen {
                Ok(seen) => seen,
                Err(error) => {
                    self.inotify = None;
                    self.problem = Some(unwatched(&error));
                    return;
                }
            };
            self.was_gone |= seen.iter().any(|seen| seen.is_gone);
            // Reading a database may make files of its own beside it, which must not wake.
            let is_own = |name: &[u8]| name.ends_with(b"-shm") || name.ends_with(b"-wal");
            if seen.iter().any(|seen| !seen.name.as_deref().is_some_and(is_own)) {
                return;
            }
        }
    }
}

fn unwatched(error: &std::io::Error) -> String {
    format!("logins are only looked for every minute: {error}")
}
