//! Requests with an idempotency key, as the state keeps them: for a day, and only so many.

use rusqlite::{OptionalExtension, params};

use super::state::{State, StateError, from_sql, to_sql};
use crate::repeat::{ALL_MAX, KEPT_SECS, Repeat, SCOPE_MAX};
use crate::time::Time;

/// What is known of a request when it comes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Before {
    /// Nothing: it is noted as being under way.
    New,
    /// It came before, and is under way, or nobody knows what became of it.
    UnderWay,
    /// Under its key another request came before.
    Other,
    /// It came before and was answered so; the answer is sealed.
    Answered(u16, Vec<u8>),
    /// Too many are remembered already.
    Full,
}

impl State {
    /// Takes a request in, unless it came before.
    pub fn begin_once(&self, asked: &Repeat, now: Time) -> Result<Before, StateError> {
        self.write("note a request", |change| {
            let old = to_sql(now.minus_secs(KEPT_SECS).0);
            change.execute("DELETE FROM repeat WHERE made_ns < ?1", [old])?;
            let sql = "SELECT request, status, answer FROM repeat WHERE scope = ?1 AND key = ?2";
            let found = change.query_row(sql, params![asked.scope.0, asked.key.0], |row| {
                let answer = row.get::<_, Option<Vec<u8>>>(2)?;
                Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Option<u16>>(1)?, answer))
            });
            match found.optional()? {
                Some((request, _, _)) if request != asked.request.0 => return Ok(Before::Other),
                Some((_, Some(status), Some(answer))) => {
                    return Ok(Before::Answered(status, answer));
                }
                Some(_) => return Ok(Before::UnderWay),
                None => {}
            }
            let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
                change.query_row(sql, values, |row| row.get(0)).map(from_sql)
            };
            let own = count("SELECT count(*) FROM repeat WHERE scope = ?1", &[&asked.scope.0])?;
            if own >= SCOPE_MAX || count("SELECT count(*) FROM repeat", &[])? >= ALL_MAX {
                return Ok(Before::Full);
            }
            let sql = "INSERT INTO repeat (scope, key, request, made_ns) VALUES (?1, ?2, ?3, ?4)";
            let made_ns = to_sql(now.0);
            change.execute(sql, params![asked.scope.0, asked.key.0, asked.request.0, made_ns])?;
            Ok(Before::New)
        })
    }

    /// Keeps what a request was answered; without an answer it counts as not made.
    pub fn end_once(
        &self,
        asked: &Repeat,
        answer: Option<(u16, Vec<u8>)>,
    ) -> Result<(), StateError> {
        self.write("keep an answer", |change| {
            let (scope, key) = (asked.scope.0, asked.key.0);
            match answer {
                Some((status, answer)) => {
                    let sql = "UPDATE repeat SET status = ?3, answer = ?4
                               WHERE scope = ?1 AND key = ?2";
                    change.execute(sql, params![scope, key, status, answer])
                }
                None => {
                    let sql = "DELETE FROM repeat WHERE scope = ?1 AND key = ?2";
                    change.execute(sql, params![scope, key])
                }
            }
            .map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &str, request: &str) -> Repeat {
        let header = format!("\"{key}\"");
        Repeat::new(header.as_bytes(), b"token", &[request.as_bytes()]).unwrap()
    }

    #[test]
    fn a_request_is_new_once_for_a_day() {
        let state = State::in_memory().unwrap();
        let now = Time(0).plus_secs(1_000_000);
        let (one, other) = (asked("k", "x"), asked("k", "y"));
        assert_eq!(state.begin_once(&one, now).unwrap(), Before::New);
        assert_eq!(state.begin_once(&one, now).unwrap(), Before::UnderWay);
        assert_eq!(state.begin_once(&other, now).unwrap(), Before::Other);
        state.end_once(&one, Some((201, b"sealed".to_vec()))).unwrap();
        let answered = Before::Answered(201, b"sealed".to_vec());
        assert_eq!(state.begin_once(&one, now.plus_secs(KEPT_SECS)).unwrap(), answered);
        assert_eq!(state.begin_once(&one, now.plus_secs(KEPT_SECS + 1)).unwrap(), Before::New);
        state.end_once(&one, None).unwrap();
        assert_eq!(state.begin_once(&one, now.plus_secs(KEPT_SECS + 1)).unwrap(), Before::New);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let state = State::in_memory().unwrap();
        for number in 0..SCOPE_MAX {
            let one = asked(&number.to_string(), "x");
            assert_eq!(state.begin_once(&one, Time(1)).unwrap(), Before::New);
        }
        assert_eq!(state.begin_once(&asked("more", "x"), Time(1)).unwrap(), Before::Full);
    }
}
