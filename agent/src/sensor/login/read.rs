//! Reads everything that tells of logins, and makes events of it.
//!
//! Blocks: it reads files and a database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cordon_proto::Text;
use cordon_proto::codec::{decode_lenient, encode};
use cordon_proto::event::login::RecordSource;
use cordon_proto::event::{Class, ClassCount, GapReason};

use super::file::Tail;
use super::logind::{self, Session};
use super::record::{self, Kind, LAYOUT_IS_KNOWN};
use super::sessions::Sessions;
use super::wtmpdb::Wtmpdb;
use super::{Login, What};
use crate::clock::Stamp;
use crate::inventory::users;
use crate::sensor::{Checkpoint, Loss, Sample};

const WTMP: &str = "var/log/wtmp";
const BTMP: &str = "var/log/btmp";
const WTMPDB: &str = "var/lib/wtmpdb/wtmp.db";
const LOGIND: &str = "run/systemd/sessions";

/// The beginning of every key.
pub(super) const PREFIX: &str = "login/";
const WTMP_KEY: &str = "login/wtmp";
const BTMP_KEY: &str = "login/btmp";
const WTMPDB_KEY: &str = "login/wtmpdb";
const LOGIND_KEY: &str = "login/logind";

/// A file of logind; it writes some hundred bytes.
const SESSION_BYTES_MAX: usize = 64 << 10;

/// All sources with where reading stands.
#[derive(Debug)]
pub(super) struct Reader {
    root: PathBuf,
    wtmp: Tail,
    btmp: Tail,
    wtmpdb: Wtmpdb,
    sessions: Sessions,
    logind: BTreeMap<String, Session>,
    /// Whether wtmp was looked at for who is logged in.
    is_seeded: bool,
    /// Whether logind's sessions were looked at in this run.
    has_looked: bool,
}

/// What one round came to.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) samples: Vec<Sample>,
    pub(super) has_more: bool,
    pub(super) problems: Vec<String>,
}

/// Which of the records of logins are there, and which is missing that only this one tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sources {
    /// Those that are there, by their names.
    pub found: Vec<&'static str>,
    /// Whether failed logins are recorded.
    pub has_failed: bool,
}

/// Looks for records of logins below a root.
#[must_use]
pub fn sources(root: &Path) -> Sources {
    let files = if LAYOUT_IS_KNOWN { [("wtmp", WTMP), ("btmp", BTMP)].as_slice() } else { &[] };
    let all = files.iter().chain(&[("wtmpdb", WTMPDB), ("logind", LOGIND)]);
    let is_there = |(_, path): &&(&str, &str)| root.join(path).exists();
    let found: Vec<_> = all.filter(is_there).map(|(name, _)| *name).collect();
    let has_failed = found.contains(&"btmp");
    Sources { found, has_failed }
}

/// The files and directories to watch.
pub(super) fn places(root: &Path) -> [PathBuf; 4] {
    let wtmpdb = root.join(WTMPDB);
    let folder = wtmpdb.parent().map_or_else(|| root.to_owned(), Path::to_owned);
    [root.join(WTMP), root.join(BTMP), folder, root.join(LOGIND)]
}

impl Reader {
    pub(super) fn new(root: PathBuf, kept: Vec<Checkpoint>) -> Self {
        let value = |key: &str| {
            let found = kept.iter().find(|checkpoint| checkpoint.key == key)?;
            found.value.as_deref()
        };
        let place = |key| decode_lenient(value(key)?).ok();
        let wtmpdb = value(WTMPDB_KEY).and_then(|value| decode_lenient(value).ok());
        let logind = value(LOGIND_KEY).and_then(|value| decode_lenient(value).ok());
        Self {
            wtmp: Tail::new(root.join(WTMP), place(WTMP_KEY)),
            btmp: Tail::new(root.join(BTMP), place(BTMP_KEY)),
            wtmpdb: Wtmpdb::new(root.join(WTMPDB), wtmpdb),
            sessions: Sessions::default(),
            logind: logind.unwrap_or_default(),
            is_seeded: false,
            has_looked: false,
            root,
        }
    }

    /// Reads what has come.
    pub(super) fn round(&mut self, now: Stamp) -> Round {
        let mut round = Round::default();
        if LAYOUT_IS_KNOWN {
            self.read_wtmp(now, &mut round);
            self.read_btmp(now, &mut round);
        } else {
            round.problems.push("wtmp has another layout on this kind of processor".to_owned());
        }
        self.read_wtmpdb(now, &mut round);
        self.read_logind(now, &mut round);
        let has_any = self.wtmp.is_open() || self.wtmpdb.is_there() || self.has_logind();
        if !has_any && round.problems.is_empty() {
            round.problems.push("nothing on this machine records logins".to_owned());
        }
        round
    }

    fn has_logind(&self) -> bool {
        self.root.join(LOGIND).is_dir()
    }

    fn read_wtmp(&mut self, now: Stamp, round: &mut Round) {
        if let Err(error) = self.seed() {
            round.problems.push(format!("{WTMP}: {error}"));
        }
        match self.wtmp.round() {
            Err(error) => round.problems.push(format!("{WTMP}: {error}")),
            Ok(read) => {
                let mut logins = Vec::new();
                for (offset, bytes) in &read.records {
                    let told = self.sessions.handle_record(record::read(bytes));
                    logins.extend(told.into_iter().map(|login| Login { place: *offset, ..login }));
                }
                let place = self.wtmp.place().map(|place| encode(&place));
                let names = (RecordSource::Wtmp, WTMP, WTMP_KEY);
                self.hand(names, logins, (place, read.lost), now, round);
                round.has_more |= read.has_more;
            }
        }
    }

    /// Who was logged in where reading goes on.
    fn seed(&mut self) -> std::io::Result<()> {
        if std::mem::replace(&mut self.is_seeded, true) {
            return Ok(());
        }
        let mut opened = super::file::Round::default();
        self.wtmp.open(&mut opened)?;
        let sessions = &mut self.sessions;
        self.wtmp.before(|bytes| drop(sessions.handle_record(record::read(bytes))))
    }

    fn read_btmp(&mut self, now: Stamp, round: &mut Round) {
        match self.btmp.round() {
            Err(error) => round.problems.push(format!("{BTMP}: {error}")),
            Ok(read) => {
                let failed = |(offset, bytes): &(u64, _)| {
                    let record = record::read(bytes);
                    let is_one = matches!(record.kind, Kind::Asked | Kind::User);
                    is_one.then(|| Login { place: *offset, ..Login::of(What::Failed, &record) })
                };
                let logins = read.records.iter().filter_map(failed).collect();
                let place = self.btmp.place().map(|place| encode(&place));
                let names = (RecordSource::Btmp, BTMP, BTMP_KEY);
                self.hand(names, logins, (place, read.lost), now, round);
                round.has_more |= read.has_more;
            }
        }
    }

    fn read_wtmpdb(&mut self, now: Stamp, round: &mut Round) {
        match self.wtmpdb.round() {
            Err(error) => round.problems.push(format!("{WTMPDB}: {error}")),
            Ok((rows, has_more)) => {
                let logins = rows.into_iter().flat_map(Login::of_row).collect();
                let place = self.wtmpdb.place().map(encode);
                let names = (RecordSource::Wtmpdb, WTMPDB, WTMPDB_KEY);
                self.hand(names, logins, (place, None), now, round);
                round.has_more |= has_more;
            }
        }
    }

    fn read_logind(&mut self, now: Stamp, round: &mut Round) {
        if !self.has_logind() {
            return;
        }
        let sessions = match self.logind_sessions() {
            Ok(sessions) => sessions,
            Err(error) => return round.problems.push(format!("{LOGIND}: {error}")),
        };
        let changes = logind::changes(&self.logind, &sessions);
        let is_seen = std::mem::replace(&mut self.has_looked, true);
        let login = |change| Login::of_session(change, is_seen, now);
        let logins = changes.into_iter().map(login).collect();
        self.logind = sessions;
        let place = Some(encode(&self.logind));
        let names = (RecordSource::Logind, LOGIND, LOGIND_KEY);
        self.hand(names, logins, (place, None), now, round);
    }

    fn logind_sessions(&self) -> std::io::Result<BTreeMap<String, Session>> {
        let mut sessions = BTreeMap::new();
        for entry in std::fs::read_dir(self.root.join(LOGIND))? {
            // Only sessions have such names; beside them are pipes, and files being written.
            let Ok(id) = entry?.file_name().into_string() else { continue };
            if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                continue;
            }
            let Ok(text) = std::fs::read(self.root.join(LOGIND).join(&id)) else { continue };
            let text = text.get(..text.len().min(SESSION_BYTES_MAX)).unwrap_or_default();
            if let Some(session) = logind::read(text)
                && sessions.len() < logind::SESSIONS_MAX
            {
                sessions.insert(id, session);
            }
        }
        Ok(sessions)
    }

    /// Makes a sample of what was read, with the place behind it.
    fn hand(
        &self,
        (source, path, key): (RecordSource, &str, &str),
        mut logins: Vec<Login>,
        (place, lost): (Option<Vec<u8>>, Option<String>),
        now: Stamp,
        round: &mut Round,
    ) {
        if logins.is_empty() && lost.is_none() {
            return;
        }
        self.name_users(&mut logins);
        let path: Text = format!("/{path}").into();
        let observe = |login: &Login| login.observation(source, path.clone(), now);
        let losses = lost.map(|detail| Loss {
            reason: GapReason::SourceGone,
            counts: vec![ClassCount { class: Class::Authentication, count: 0 }],
            from_ns: now.time_ns,
            to_ns: now.time_ns,
            detail: Some(detail),
        });
        round.samples.push(Sample {
            observations: logins.iter().map(observe).collect(),
            checkpoints: vec![Checkpoint { key: key.to_owned(), value: place }],
            losses: losses.into_iter().collect(),
            ..Sample::default()
        });
    }

    /// Adds the numbers of users that this machine knows.
    fn name_users(&self, logins: &mut [Login]) {
        let Ok(passwd) = std::fs::read(self.root.join("etc/passwd")) else { return };
        let users = users::parse(&passwd, None, 0);
        for login in logins.iter_mut().filter(|login| login.uid.is_none()) {
            let user = users.iter().find(|user| user.name == login.user);
            login.uid = user.map(|user| user.uid);
        }
    }
}
