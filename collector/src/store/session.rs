//! Sessions of operators, each under the hash of its token.

use cordon_proto::id::{ClientId, Hash, KeyId};
use rusqlite::{OptionalExtension, Row, params};

use super::state::{State, StateError, from_sql, parsed, to_sql};
use crate::signin::name::{AccountId, SessionId};
use crate::signin::session::{SESSION_SECS_MAX, Session, Way};
use crate::time::Time;

/// Sessions of one key at once; opening one more ends the oldest.
const SESSIONS_PER_KEY_MAX: i64 = 16;

const COLUMNS: &str =
    "SELECT session.id, session.key, session.account, account.clients, way, cookie,
    address, agent, session.made_ns, used_ns, proved_ns
    FROM session LEFT JOIN account ON account.id = session.account";

impl State {
    /// Keeps a new session; ends those that are over, and the key's oldest beyond its limit.
    pub fn add_session(&self, token: Hash, session: &Session) -> Result<(), StateError> {
        self.write("open a session", |change| {
            let over = session.made.minus_secs(SESSION_SECS_MAX);
            change.execute("DELETE FROM session WHERE made_ns <= ?1", [to_sql(over.0)])?;
            let sql = "INSERT INTO session (hash, id, key, account, way, cookie, address, agent,
                       made_ns, used_ns, proved_ns)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
            let values = params![
                token.0,
                session.id.0,
                session.key.0,
                session.account.map(|account| account.0),
                session.way.name(),
                session.cookie,
                session.address,
                session.agent,
                to_sql(session.made.0),
                to_sql(session.used.0),
                to_sql(session.proved.0)
            ];
            change.execute(sql, values)?;
            let sql = "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE key = ?1
                       ORDER BY made_ns DESC, hash LIMIT -1 OFFSET ?2)";
            change.execute(sql, params![session.key.0, SESSIONS_PER_KEY_MAX]).map(|_| ())
        })
    }

    /// The session of a token, if it still stands; its use is noted.
    pub fn use_session(&self, token: Hash, now: Time) -> Result<Option<Session>, StateError> {
        let session = self.read("read a session", |connection| {
            let sql = format!("{COLUMNS} WHERE hash = ?1");
            connection.prepare_cached(&sql)?.query_row([token.0], read).optional()
        })?;
        let Some(session) = session.filter(|session| session.stands(now)) else {
            return Ok(None);
        };
        if session.to_note(now) {
            self.write_soon("note a session's use", |change| {
                let sql = "UPDATE session SET used_ns = max(used_ns, ?2) WHERE hash = ?1";
                change.execute(sql, params![token.0, to_sql(now.0)])
            })?;
        }
        Ok(Some(session))
    }

    /// The sessions of these keys that stand, newest first.
    pub fn sessions(&self, keys: &[KeyId], now: Time) -> Result<Vec<Session>, StateError> {
        self.read("list sessions", |connection| {
            let sql = format!("{COLUMNS} WHERE session.key = ?1 ORDER BY session.made_ns DESC");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut sessions = Vec::new();
            for key in keys {
                let rows = statement.query_map([key.0], read)?;
                for session in rows {
                    sessions.extend(Some(session?).filter(|session| session.stands(now)));
                }
            }
            Ok(sessions)
        })
    }

    /// Notes that the person behind a session proved to be it once more.
    pub fn note_proof(&self, id: SessionId, now: Time) -> Result<(), StateError> {
        self.write("note a proof", |change| {
            let sql = "UPDATE session SET proved_ns = ?2 WHERE id = ?1";
            change.execute(sql, params![id.0, to_sql(now.0)]).map(|_| ())
        })
    }

    /// Ends a session; answers whether there was one.
    pub fn end_session(&self, id: SessionId) -> Result<bool, StateError> {
        self.write("end a session", |change| {
            Ok(change.execute("DELETE FROM session WHERE id = ?1", [id.0])? == 1)
        })
    }

    /// Ends all sessions of a key but one; answers how many.
    pub fn end_sessions(&self, key: KeyId, but: Option<SessionId>) -> Result<usize, StateError> {
        self.write("end sessions", |change| {
            let but = but.map_or([0; 16], |id| id.0);
            change.execute("DELETE FROM session WHERE key = ?1 AND id <> ?2", params![key.0, but])
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Session> {
    let way: String = row.get(4)?;
    let unknown =
        || rusqlite::Error::InvalidColumnType(4, way.clone(), rusqlite::types::Type::Text);
    Ok(Session {
        id: SessionId(row.get(0)?),
        key: KeyId(row.get(1)?),
        account: row.get::<_, Option<[u8; 16]>>(2)?.map(AccountId),
        clients: clients_from_sql(row.get(3)?, 3)?,
        way: Way::of_name(&way).ok_or_else(unknown)?,
        cookie: row.get(5)?,
        address: row.get(6)?,
        agent: row.get(7)?,
        made: Time(from_sql(row.get(8)?)),
        used: Time(from_sql(row.get(9)?)),
        proved: Time(from_sql(row.get(10)?)),
    })
}

/// Names of clients, which have no comma in them, as one text.
pub(super) fn clients_to_sql(clients: Option<&[ClientId]>) -> Option<String> {
    let names =
        |clients: &[ClientId]| clients.iter().map(ClientId::as_str).collect::<Vec<_>>().join(",");
    clients.map(names)
}

/// The names in such a text.
pub(super) fn clients_from_sql(
    text: Option<String>,
    column: usize,
) -> rusqlite::Result<Option<Vec<ClientId>>> {
    let Some(text) = text else { return Ok(None) };
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(|name| parsed(name.parse(), column)).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signin::session::tests::session;

    fn at(secs: u64) -> Time {
        Time(0).plus_secs(secs)
    }

    fn numbered(number: u8) -> Session {
        Session { id: SessionId([number; 16]), ..session(number.into(), number.into()) }
    }

    #[test]
    fn use_keeps_a_session_and_idleness_ends_it() {
        let state = State::in_memory().unwrap();
        let token = Hash::of(b"token");
        let made = session(0, 0);
        state.add_session(token, &made).unwrap();
        assert_eq!(state.use_session(token, at(1700)).unwrap(), Some(made));
        assert!(state.use_session(token, at(3400)).unwrap().is_some());
        assert!(state.use_session(token, at(5200)).unwrap().is_none());
        assert!(state.use_session(Hash::of(b"other"), at(1)).unwrap().is_none());
    }

    #[test]
    fn a_key_has_a_bounded_number_of_sessions_and_an_ended_one_is_gone() {
        let state = State::in_memory().unwrap();
        let token = |number: u8| Hash::of(&[number]);
        for number in 1..=20 {
            state.add_session(token(number), &numbered(number)).unwrap();
        }
        let stands = |number| state.use_session(token(number), at(30)).unwrap().is_some();
        assert!(!stands(4));
        assert!(stands(5));
        assert!(state.end_session(SessionId([5; 16])).unwrap());
        assert!(!state.end_session(SessionId([5; 16])).unwrap());
        assert!(!stands(5));
        let listed = state.sessions(&[KeyId::default()], at(30)).unwrap();
        assert_eq!((listed.len(), listed[0].id), (15, SessionId([20; 16])));
        state.end_sessions(KeyId::of(b"other"), None).unwrap();
        assert_eq!(state.end_sessions(KeyId::default(), Some(SessionId([9; 16]))).unwrap(), 14);
        assert!(stands(9) && !stands(10));
    }
}
