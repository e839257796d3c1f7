//! What endpoints answer to a query: put together, verified, judged. Pure.
//!
//! The collector hands the parts on and is not believed: an answer counts only whole, under the
//! signature of the key that its endpoint is named by, about the command that was signed here.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::codec;
use cordon_proto::id::EndpointId;
use cordon_proto::query::{Answer, Gather, Limit, Query, Rows};
use cordon_proto::sign::command::SignedCommand;
use serde::Deserialize;

use crate::api::sse::Frame;
use crate::exit::Exit;

/// What came of one endpoint.
#[derive(Debug)]
pub struct Track {
    /// The host name that was asked.
    pub host_name: String,
    gather: Gather,
    ended: Option<Ended>,
}

/// How it ended with one endpoint.
#[derive(Debug)]
pub enum Ended {
    /// It answered, and its signature was verified.
    Answered(Box<Answer>),
    /// There is no answer that counts; why, and what that means.
    Without(String, Exit),
}

impl Ended {
    /// What it means for the program's end.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Answered(answer) if answer.summary.error.is_some() => Exit::ActionFailed,
            Self::Answered(answer) => match answer.summary.cut {
                // As many rows as were wanted.
                None | Some(Limit::Rows) => Exit::Done,
                Some(Limit::Bytes | Limit::Time | Limit::Memory) => Exit::ActionFailed,
            },
            Self::Without(_, exit) => *exit,
        }
    }
}

/// One query, asked of some endpoints.
#[derive(Debug)]
pub struct Asked {
    tracks: BTreeMap<EndpointId, Track>,
}

/// An event of the stream.
#[derive(Deserialize)]
struct Told {
    endpoint: EndpointId,
    part: Option<String>,
    why: Option<String>,
}

const UNREADABLE: &str = "what the collector handed on cannot be read";

impl Asked {
    /// Waits for the answers to a command as it was signed here.
    #[must_use]
    pub fn new(signed: &SignedCommand, query: &Query) -> Self {
        let command = signed.command();
        let track = |target: &cordon_proto::command::Target| {
            let gather = Gather::new(target.endpoint, command, query);
            let host_name = target.host_name.clone();
            (target.endpoint, Track { host_name, gather, ended: None })
        };
        Self { tracks: command.targets.iter().map(track).collect() }
    }

    /// Takes an event of the collector's stream.
    pub fn handle_frame(&mut self, frame: &Frame) {
        // What is about nobody that was asked is nobody's answer.
        let Ok(told) = serde_json::from_str::<Told>(&frame.data) else { return };
        match (frame.event.as_str(), told.part, told.why) {
            ("rows", Some(part), _) => self.part(told.endpoint, &part),
            ("ended", _, Some(why)) => self.end(told.endpoint, why, Exit::Unproved),
            _ => {}
        }
    }

    fn part(&mut self, endpoint: EndpointId, part: &str) {
        let Some(track) = self.tracks.get_mut(&endpoint) else { return };
        if track.ended.is_some() {
            return;
        }
        let bytes = URL_SAFE_NO_PAD.decode(part).ok();
        let rows = bytes.and_then(|bytes| codec::decode_strict::<Rows>(&bytes).ok());
        let taken = match rows {
            Some(rows) => track.gather.handle_rows(rows).map_err(|error| error.to_string()),
            None => Err(UNREADABLE.to_owned()),
        };
        track.ended = match taken {
            Ok(None) => None,
            Ok(Some(answer)) => Some(Ended::Answered(Box::new(answer))),
            Err(why) => {
                let why = format!("NOT VERIFIED, nothing of it is shown: {why}");
                Some(Ended::Without(why, Exit::DoesNotHold))
            }
        };
    }

    /// There will be no answer of an endpoint. The first ending counts.
    pub fn end(&mut self, endpoint: EndpointId, why: String, exit: Exit) {
        if let Some(track) = self.tracks.get_mut(&endpoint) {
            track.ended.get_or_insert(Ended::Without(why, exit));
        }
    }

    /// Nothing more will come: whoever has not answered has not.
    pub fn end_all(&mut self, why: &str) {
        for track in self.tracks.values_mut() {
            track.ended.get_or_insert_with(|| Ended::Without(why.to_owned(), Exit::Unproved));
        }
    }

    /// Whether every endpoint has answered or will not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.tracks.values().all(|track| track.ended.is_some())
    }

    /// How it ended with every endpoint.
    pub fn into_ended(self) -> impl Iterator<Item = Ended> {
        self.tracks.into_values().filter_map(|track| track.ended)
    }

    /// Every endpoint with its host name and how it ended.
    pub fn ended(&self) -> impl Iterator<Item = (&str, &Ended)> {
        let tracks = self.tracks.values();
        tracks.filter_map(|track| Some((track.host_name.as_str(), track.ended.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::command::{Action, Command, Nonce, Target};
    use cordon_proto::id::{CommandId, Hash};
    use cordon_proto::query::{QueryError, Summary, Value, write_chunk};
    use cordon_proto::roster::RosterRef;
    use cordon_proto::sign::{SigningKey, merkle};
    use serde_json::json;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    fn endpoint() -> EndpointId {
        EndpointId(key(1).id().0)
    }

    fn query() -> Query {
        let sql = "SELECT name FROM processes".to_owned();
        Query { sql, rows_max: 10, bytes_max: 1000, time_ms_max: 1000 }
    }

    fn signed() -> SignedCommand {
        let nonce = Nonce { boot_count: 1, endpoint_secs: 60, mac: [0; 16] };
        let command = Command {
            id: CommandId(uuid::Uuid::from_u128(7)),
            client: "acme".parse().unwrap(),
            targets: vec![Target { endpoint: endpoint(), host_name: "web-01".to_owned(), nonce }],
            action: Action::Query(query()),
            age_max_secs: 300,
            queued: false,
            roster_min: RosterRef::default(),
            reason: "live query".to_owned(),
            incident: None,
            snapshot: None,
        };
        SignedCommand::sign(command, &key(2))
    }

    fn frame(rows: &Rows) -> Frame {
        let part = URL_SAFE_NO_PAD.encode(codec::encode(rows));
        let data = json!({ "endpoint": endpoint(), "part": part }).to_string();
        Frame { id: None, event: "rows".to_owned(), data }
    }

    /// An answer of one row and its summary, which a test may spoil before it is signed.
    fn frames(change: impl FnOnce(&mut Rows, &mut Summary)) -> [Frame; 2] {
        let content = write_chunk(&[vec![Value::Text("sshd".to_owned())]]);
        let mut summary = Summary {
            endpoint: endpoint(),
            key: key(1).verifying(),
            command: signed().command().id,
            command_hash: Hash::of(&signed().to_bytes()),
            sql_hash: Hash::of(query().sql.as_bytes()),
            columns: vec!["name".to_owned()],
            rows: 1,
            parts: 1,
            root: merkle::root(&[merkle::leaf(&content)]),
            cut: None,
            error: None,
            time_ns: 1,
            took_ms: 1,
        };
        let command = summary.command;
        let mut first = Rows { command, index: 0, content, last: None };
        change(&mut first, &mut summary);
        let last = Some(summary.sign(&key(1)));
        [frame(&first), frame(&Rows { command, index: 1, content: Vec::new(), last })]
    }

    #[track_caller]
    fn check(frames: &[Frame], exit: Exit, says: &str) {
        let mut asked = Asked::new(&signed(), &query());
        frames.iter().for_each(|frame| asked.handle_frame(frame));
        asked.end_all("nothing came");
        let (host_name, ended) = asked.ended().next().unwrap();
        let said = match ended {
            Ended::Answered(answer) => format!("{host_name}: {} row(s)", answer.rows.len()),
            Ended::Without(why, _) => format!("{host_name}: {why}"),
        };
        assert_eq!((said.as_str(), ended.exit()), (says, exit));
    }

    #[test]
    fn an_answer_counts_once_its_signature_was_verified() {
        check(&frames(|_, _| ()), Exit::Done, "web-01: 1 row(s)");
        check(&frames(|_, _| ())[..1], Exit::Unproved, "web-01: nothing came");
        let limit = frames(|_, summary| summary.cut = Some(Limit::Rows));
        check(&limit, Exit::Done, "web-01: 1 row(s)");
        let time = frames(|_, summary| summary.cut = Some(Limit::Time));
        check(&time, Exit::ActionFailed, "web-01: 1 row(s)");
        let error = QueryError { sentence: "no".to_owned(), offset: None };
        let failed = frames(|_, summary| summary.error = Some(error));
        check(&failed, Exit::ActionFailed, "web-01: 1 row(s)");
    }

    #[test]
    fn a_row_that_the_collector_changed_shows_nothing_and_says_so() {
        let other = write_chunk(&[vec![Value::Text("calm".to_owned())]]);
        check(
            &frames(|first, _| first.content = other),
            Exit::DoesNotHold,
            "web-01: NOT VERIFIED, nothing of it is shown: the rows are not those that the \
             endpoint signed",
        );
        let replayed = frames(|_, summary| summary.command = CommandId(uuid::Uuid::nil()));
        check(
            &replayed,
            Exit::DoesNotHold,
            "web-01: NOT VERIFIED, nothing of it is shown: the signed summary is about another \
             command",
        );
        let garbage = Frame {
            data: frames(|_, _| ())[0].data.replace("part\":\"", "part\":\"!"),
            ..frames(|_, _| ())[0].clone()
        };
        check(
            &[garbage],
            Exit::DoesNotHold,
            "web-01: NOT VERIFIED, nothing of it is shown: what the collector handed on cannot be \
             read",
        );
    }

    #[test]
    fn what_is_about_nobody_that_was_asked_changes_nothing() {
        let data = json!({ "endpoint": EndpointId::of(b"other"), "why": "gone" }).to_string();
        let other = Frame { id: None, event: "ended".to_owned(), data };
        let nonsense = Frame { data: "{".to_owned(), ..other.clone() };
        check(&[other, nonsense], Exit::Unproved, "web-01: nothing came");
        let data = json!({ "endpoint": endpoint(), "why": "it is offline" }).to_string();
        let own = Frame { id: None, event: "ended".to_owned(), data };
        check(&[own], Exit::Unproved, "web-01: it is offline");
    }
}
