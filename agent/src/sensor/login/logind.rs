//! The sessions that logind keeps, from its files in `/run/systemd/sessions`.
//!
//! Pure: what is there now is compared with what was there. logind's files are for itself; names
//! that it should once give up are simply not known then.

use std::collections::BTreeMap;

use cordon_proto::Text;
use minicbor::{Decode, Encode};

/// Sessions that are kept; a machine with more has a service that makes them.
pub(super) const SESSIONS_MAX: usize = 1024;

/// One session.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub(super) struct Session {
    #[n(0)]
    pub(super) uid: Option<u32>,
    #[n(1)]
    pub(super) user: Text,
    #[n(2)]
    pub(super) terminal: Text,
    #[n(3)]
    pub(super) host: Text,
    /// The program that began it: `sshd`, `login`, `gdm-password` …
    #[n(4)]
    pub(super) service: Text,
    #[n(5)]
    pub(super) leader: Option<u32>,
    /// When it began, nanoseconds since 1970 UTC: with the id, its identity over a restart.
    #[n(6)]
    pub(super) begun_ns: u64,
}

/// Reads one file. None for a session in which nobody works: a user's own systemd, the screen that
/// asks for a name; and for one that has ended and of which only processes are left.
pub(super) fn read(text: &[u8]) -> Option<Session> {
    let mut session = Session::default();
    let (mut class, mut state) = (Text::default(), Text::default());
    for line in text.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = line.split_at(at);
        let value = unquoted(value.get(1..).unwrap_or_default());
        match name {
            b"UID" => session.uid = number(&value),
            b"USER" => session.user = value,
            b"TTY" => session.terminal = value,
            b"REMOTE_HOST" => session.host = value,
            b"SERVICE" => session.service = value,
            b"LEADER" => session.leader = number(&value),
            b"REALTIME" => {
                session.begun_ns = number::<u64>(&value).unwrap_or(0).saturating_mul(1000);
            }
            b"CLASS" => class = value,
            b"STATE" => state = value,
            _ => {}
        }
    }
    let is_of_nobody = class.as_bytes().starts_with(b"manager")
        || matches!(class.as_bytes(), b"greeter" | b"lock-screen" | b"none");
    let is_over = state.as_bytes() == b"closing";
    (session.uid.is_some() && !is_of_nobody && !is_over).then_some(session)
}

fn number<T: std::str::FromStr>(value: &Text) -> Option<T> {
    value.as_str()?.parse().ok()
}

/// A value as a shell would read it: in quotes where it holds what is special.
fn unquoted(value: &[u8]) -> Text {
    let inner = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    let Some(inner) = inner(b"\"").or_else(|| inner(b"'")) else { return value.into() };
    let mut text = Vec::with_capacity(inner.len());
    let mut is_escaped = false;
    for byte in inner {
        if *byte == b'\\' && !is_escaped {
            is_escaped = true;
            continue;
        }
        is_escaped = false;
        text.push(*byte);
    }
    Text::from(text)
}

/// What has changed about the sessions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Begun(String, Session),
    Ended(String, Session),
}

/// Compares two lists, by id. An id that another session has now is an end and a beginning.
pub(super) fn changes(
    before: &BTreeMap<String, Session>,
    now: &BTreeMap<String, Session>,
) -> Vec<Change> {
    let is_same = |a: &Session, b: &Session| (a.begun_ns, a.uid) == (b.begun_ns, b.uid);
    let mut all = Vec::new();
    for (id, session) in before {
        if !now.get(id).is_some_and(|other| is_same(other, session)) {
            all.push(Change::Ended(id.clone(), session.clone()));
        }
    }
    for (id, session) in now {
        if !before.get(id).is_some_and(|other| is_same(other, session)) {
            all.push(Change::Begun(id.clone(), session.clone()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SSH: &[u8] = b"# This is private data. Do not parse.\nUID=1000\nUSER=ann\nACTIVE=1\n\
        IS_DISPLAY=1\nSTATE=active\nREMOTE=1\nTYPE=tty\nCLASS=user\nTTY=pts/0\n\
        REMOTE_HOST=192.0.2.7\nSERVICE=sshd\nLEADER=4242\nAUDIT=3\n\
        REALTIME=1700000000250000\nMONOTONIC=9\n";

    fn with(line: &str) -> Vec<u8> {
        [SSH, line.as_bytes()].concat()
    }

    #[test]
    fn a_session_is_read_with_who_where_and_from_where() {
        let session = read(SSH).unwrap();
        assert_eq!((session.uid, session.leader), (Some(1000), Some(4242)));
        assert_eq!(session.begun_ns, 1_700_000_000_250_000_000);
        let texts = [&session.user, &session.terminal, &session.host, &session.service];
        assert_eq!(texts.map(|text| text.to_lossy()), ["ann", "pts/0", "192.0.2.7", "sshd"]);
        let quoted = read(&with("REMOTE_HOST=\"a \\\"b\\\"\"\n")).unwrap();
        assert_eq!(quoted.host.to_lossy(), "a \"b\"");
    }

    #[test]
    fn sessions_in_which_nobody_works_are_none() {
        for line in ["CLASS=manager\n", "CLASS=greeter\n", "STATE=closing\n", "UID=x\n"] {
            assert_eq!(read(&with(line)), None, "{line}");
        }
        assert_eq!(read(b""), None);
    }

    #[test]
    fn what_began_and_ended_is_told_also_where_an_id_was_given_again() {
        let session = |begun_ns| Session { begun_ns, ..read(SSH).unwrap() };
        let list = |sessions: &[(&str, u64)]| {
            let list = sessions.iter().map(|(id, begun)| ((*id).to_owned(), session(*begun)));
            list.collect::<BTreeMap<_, _>>()
        };
        let before = list(&[("1", 5), ("2", 6)]);
        let now = list(&[("1", 7), ("2", 6), ("3", 8)]);
        let begun = |id: &str, at| Change::Begun(id.to_owned(), session(at));
        let ended = |id: &str, at| Change::Ended(id.to_owned(), session(at));
        assert_eq!(changes(&before, &now), [ended("1", 5), begun("1", 7), begun("3", 8)]);
        assert_eq!(changes(&now, &now), []);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(text: Vec<u8>) {
            let session = read(&text).unwrap_or_default();
            prop_assert!(session.user.len() <= text.len());
        }
    }
}
