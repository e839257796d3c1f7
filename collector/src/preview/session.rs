//! Who is logged in from elsewhere, as far as an endpoint's logs tell.
//!
//! Pure. Events come the newest first. A login is open until something that bears its mark says that
//! it ended: the process, the terminal, the session, the address and port it came from. Several logs
//! may tell of one login, so that logins of one user from one place are one line.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cordon_proto::Text;
use cordon_proto::event::Authentication;
use cordon_proto::event::login::{AuthActivity, Origin, Status};
use serde::Serialize;

use crate::time::Time;

/// Marks of ended logins remembered, and lines kept.
const MARKS_MAX: usize = 16_384;
const SESSIONS_MAX: usize = 256;

/// Programs whose sessions are nobody's presence.
const NOBODY: [&[u8]; 7] =
    [b"cron", b"crond", b"CRON", b"sudo", b"su", b"systemd", b"systemd-user"];

/// Somebody who is logged in from elsewhere.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Session {
    /// The account.
    pub user: Option<Text>,
    /// The address or name it came from.
    pub from: Text,
    /// The programs and records that say so.
    pub told_by: BTreeSet<Text>,
    /// The latest login, by the endpoint's clock.
    pub since: Time,
}

/// What tells logins from each other.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Mark {
    Session(String),
    Process(u32),
    Terminal(Text),
    From(Text, u16),
}

/// Everything gathered so far.
#[derive(Debug, Default)]
pub struct Sessions {
    ended: HashSet<Mark>,
    open: BTreeMap<(Text, Option<Text>), Session>,
    left_out: u64,
}

impl Sessions {
    /// Takes the next older event.
    pub fn handle(&mut self, event: &Authentication, at: Time) {
        let marks = marks(event);
        match (event.activity, event.status) {
            (AuthActivity::Logoff, _) => {
                if self.ended.len() < MARKS_MAX {
                    self.ended.extend(marks);
                }
            }
            (AuthActivity::Logon, Status::Success) => {
                let over = marks.iter().any(|mark| self.ended.contains(mark));
                if !over && !NOBODY.contains(&event.service.as_bytes()) {
                    self.stands(event, at);
                }
            }
            (AuthActivity::Logon | AuthActivity::Preauth | AuthActivity::AccountSwitch, _) => {}
        }
    }

    fn stands(&mut self, event: &Authentication, at: Time) {
        let Some(from) = event.from.clone().filter(is_elsewhere) else { return };
        let key = (from.clone(), event.user.clone());
        if self.open.len() >= SESSIONS_MAX && !self.open.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        let new =
            || Session { user: event.user.clone(), from, told_by: BTreeSet::new(), since: at };
        let session = self.open.entry(key).or_insert_with(new);
        session.since = session.since.max(at);
        session.told_by.insert(told_by(event));
    }

    /// Who is logged in, the latest first, and how many lines did not fit; nobody is who came before
    /// the machine started.
    #[must_use]
    pub fn finish(self, machine_started: Time) -> (Vec<Session>, u64) {
        let mut open: Vec<Session> =
            self.open.into_values().filter(|one| one.since >= machine_started).collect();
        open.sort_by_key(|session| std::cmp::Reverse(session.since));
        (open, self.left_out)
    }
}

fn told_by(event: &Authentication) -> Text {
    match &event.origin {
        Origin::Record(record) => match serde_json::to_value(record.source) {
            Ok(serde_json::Value::String(name)) => name.into(),
            Ok(_) | Err(_) => event.service.clone(),
        },
        Origin::File(_) | Origin::Journal(_) => event.service.clone(),
    }
}

fn marks(event: &Authentication) -> Vec<Mark> {
    let session = match &event.origin {
        Origin::Record(record) => record.session.clone().map(Mark::Session),
        Origin::File(_) | Origin::Journal(_) => None,
    };
    // sshd's own word for what is not a terminal.
    let terminal = event.terminal.clone().filter(|terminal| terminal.as_bytes() != b"ssh");
    let terminal = terminal.map(Mark::Terminal);
    let from = event.from.clone().zip(event.from_port).map(|(from, port)| Mark::From(from, port));
    [session, event.pid.map(Mark::Process), terminal, from].into_iter().flatten().collect()
}

/// Whether a place is not the machine itself: its own screens and multiplexers name themselves too.
fn is_elsewhere(from: &Text) -> bool {
    let name = from.to_lossy();
    let ip = name.parse::<std::net::IpAddr>();
    let itself = name.is_empty()
        || name == "localhost"
        || name.starts_with(':')
        || name.starts_with("tmux")
        || name.starts_with("screen");
    match ip {
        Ok(ip) => !ip.to_canonical().is_loopback() && !ip.is_unspecified(),
        Err(_) => !itself,
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::login::{FileOrigin, RecordOrigin, RecordSource};

    use super::*;

    /// `SECOND in|out|fail SERVICE USER FROM PORT PID TERMINAL SESSION`, `-` for what is not told.
    fn event(line: &str) -> (Time, Authentication) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = |at: usize| (words[at] != "-").then(|| Text::from(words[at]));
        let origin = match words[8] {
            "-" => Origin::File(FileOrigin { path: "/l".into(), device: 1, inode: 1, offset: 1 }),
            session => Origin::Record(RecordOrigin {
                path: "/run".into(),
                source: RecordSource::Logind,
                place: 0,
                uid: None,
                session: Some(session.to_owned()),
                lasted_secs: None,
            }),
        };
        let activity = if words[1] == "out" { AuthActivity::Logoff } else { AuthActivity::Logon };
        let status = if words[1] == "fail" { Status::Failure } else { Status::Success };
        let event = Authentication {
            origin,
            activity,
            status,
            service: words[2].into(),
            user: text(3),
            actor: None,
            user_exists: None,
            method: None,
            from: text(4),
            from_port: words[5].parse().ok(),
            terminal: text(7),
            command: None,
            key: None,
            detail: None,
            pid: words[6].parse().ok(),
            tries: None,
            redacted: None,
        };
        (Time(0).plus_secs(words[0].parse().unwrap()), event)
    }

    #[track_caller]
    fn check(lines: &str, started_secs: u64, says: &[&str]) {
        let mut sessions = Sessions::default();
        for line in lines.lines().rev() {
            let (at, event) = event(line);
            sessions.handle(&event, at);
        }
        let (open, _) = sessions.finish(Time(0).plus_secs(started_secs));
        let show = |session: &Session| {
            let user = session.user.as_ref().map_or("?".into(), Text::to_lossy);
            let by: Vec<_> = session.told_by.iter().map(Text::to_lossy).collect();
            let secs = session.since.secs_since(Time(0));
            format!("{user} from {} since {secs} by {}", session.from.to_lossy(), by.join("+"))
        };
        let said: Vec<String> = open.iter().map(show).collect();
        assert_eq!(said, says);
    }

    #[test]
    fn a_login_is_open_until_something_with_its_mark_says_that_it_ended() {
        check(
            "1 in sshd ann 192.0.2.1 50001 812 - -
             2 in sshd bob 192.0.2.2 50002 813 - -
             3 in sshd eve 192.0.2.3 50003 814 - -
             4 out sshd ann 192.0.2.1 50001 - - -
             5 out sshd bob - - 813 - -",
            0,
            &["eve from 192.0.2.3 since 3 by sshd"],
        );
        check(
            "1 in sshd ann 192.0.2.1 - 812 pts/0 7
             2 out - ann - - - - 7
             3 in sshd bob 192.0.2.2 - 900 pts/0 8",
            0,
            &["bob from 192.0.2.2 since 3 by logind"],
        );
    }

    #[test]
    fn a_process_number_that_is_used_again_ends_only_the_login_before() {
        check(
            "1 in sshd ann 192.0.2.1 50001 812 - -
             2 out sshd ann - - 812 - -
             3 in sshd bob 192.0.2.2 50002 812 - -",
            0,
            &["bob from 192.0.2.2 since 3 by sshd"],
        );
    }

    #[test]
    fn several_logs_of_one_login_are_one_line() {
        check(
            "1 in sshd ann 192.0.2.1 50001 812 - -
             2 in sshd ann 192.0.2.1 - 812 pts/0 7",
            0,
            &["ann from 192.0.2.1 since 2 by logind+sshd"],
        );
    }

    #[test]
    fn who_sits_at_the_machine_or_failed_or_came_before_it_started_is_not_there_from_elsewhere() {
        check(
            "1 in sshd old 192.0.2.1 50001 812 - -
             5 in login ann - - 5 tty1 -
             5 in tmux ann tmux(44).%0 - 6 pts/3 -
             5 in sshd ann 127.0.0.1 50001 7 - -
             5 in cron root 192.0.2.1 - 8 - -
             6 fail sshd eve 192.0.2.3 50003 814 - -",
            4,
            &[],
        );
    }
}
