//! Sessions of operators, each under the hash of its token.

use cordon_proto::id::{Hash, KeyId};
use rusqlite::{OptionalExtension, params};

use super::state::{State, StateError, from_sql, to_sql};
use crate::signin::{SESSION_SECS_MAX, Session};
use crate::time::Time;

/// Sessions of one key at once; opening one more ends the oldest.
const SESSIONS_PER_KEY_MAX: i64 = 16;

impl State {
    /// Keeps a new session; ends those that are over, and the key's oldest beyond its limit.
    pub fn add_session(&self, token: Hash, session: &Session) -> Result<(), StateError> {
        self.write("open a session", |change| {
            let over = session.made.minus_secs(SESSION_SECS_MAX);
            change.execute("DELETE FROM session WHERE made_ns <= ?1", [to_sql(over.0)])?;
            let sql = "INSERT INTO session (hash, key, made_ns, used_ns) VALUES (?1, ?2, ?3, ?4)";
            let (made_ns, used_ns) = (to_sql(session.made.0), to_sql(session.used.0));
            change.execute(sql, params![token.0, session.key.0, made_ns, used_ns])?;
            let sql = "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE key = ?1
                       ORDER BY made_ns DESC, hash LIMIT -1 OFFSET ?2)";
            change.execute(sql, params![session.key.0, SESSIONS_PER_KEY_MAX]).map(|_| ())
        })
    }

    /// The session of a token, if it still stands; its use is noted.
    pub fn use_session(&self, token: Hash, now: Time) -> Result<Option<Session>, StateError> {
        let session = self.read("read a session", |connection| {
            let sql = "SELECT key, made_ns, used_ns FROM session WHERE hash = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            statement
                .query_row([token.0], |row| {
                    Ok(Session {
                        key: KeyId(row.get(0)?),
                        made: Time(from_sql(row.get(1)?)),
                        used: Time(from_sql(row.get(2)?)),
                    })
                })
                .optional()
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

    /// Ends a session.
    pub fn end_session(&self, token: Hash) -> Result<(), StateError> {
        self.write("end a session", |change| {
            change.execute("DELETE FROM session WHERE hash = ?1", [token.0]).map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(made_secs: u64) -> Session {
        let made = Time(0).plus_secs(made_secs);
        Session { key: KeyId::default(), made, used: made }
    }

    fn at(secs: u64) -> Time {
        Time(0).plus_secs(secs)
    }

    #[test]
    fn use_keeps_a_session_and_idleness_ends_it() {
        let state = State::in_memory().unwrap();
        let token = Hash::of(b"token");
        state.add_session(token, &session(0)).unwrap();
        assert!(state.use_session(token, at(1700)).unwrap().is_some());
        assert!(state.use_session(token, at(3400)).unwrap().is_some());
        assert!(state.use_session(token, at(5200)).unwrap().is_none());
        assert!(state.use_session(Hash::of(b"other"), at(1)).unwrap().is_none());
    }

    #[test]
    fn a_key_has_a_bounded_number_of_sessions_and_an_ended_one_is_gone() {
        let state = State::in_memory().unwrap();
        let token = |number: u64| Hash::of(&number.to_be_bytes());
        for number in 0..20 {
            state.add_session(token(number), &session(number)).unwrap();
        }
        let stands = |number| state.use_session(token(number), at(30)).unwrap().is_some();
        assert!(!stands(3));
        assert!(stands(4));
        state.end_session(token(4)).unwrap();
        assert!(!stands(4));
    }
}
