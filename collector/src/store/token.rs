//! Enrolment tokens: bound to a client, counted, expiring, revocable. Secrets are never kept.

use cordon_proto::id::{ClientId, OperatorId, TokenId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::state::{State, StateError, from_sql, parsed, to_sql};

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// SHA-256 of its secret.
    pub id: TokenId,
    /// Whose endpoints it lets in.
    pub client: ClientId,
    /// How many.
    pub uses: u32,
    /// Until when, seconds since 1970 UTC.
    pub expires_secs: u64,
    /// What it is for, for people.
    pub note: String,
    /// Who made it.
    pub made_by: OperatorId,
}

/// A token as it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// SHA-256 of its secret.
    pub id: TokenId,
    /// Whose endpoints it lets in.
    pub client: ClientId,
    /// How many.
    pub uses: u32,
    /// How many came.
    pub used: u32,
    /// Until when, seconds since 1970 UTC.
    pub expires_secs: u64,
    /// Whether it was taken back.
    pub revoked: bool,
    /// What it is for.
    pub note: String,
    /// Who made it.
    pub made_by: OperatorId,
    /// When, nanoseconds since 1970 UTC.
    pub made_ns: u64,
}

/// Why a token lets nobody in; each has its own sentence.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenRefusal {
    /// Nobody made it here.
    #[error(
        "this collector does not know the enrolment token; was the string made for another collector?"
    )]
    Unknown,
    /// It is another client's.
    #[error("the enrolment token is not one of client {0}")]
    OtherClient(ClientId),
    /// Somebody took it back.
    #[error("the enrolment token was revoked")]
    Revoked,
    /// Its time is over.
    #[error("the enrolment token expired; make a new one with `cordon token create`")]
    Expired,
    /// The key that asks is registered with another client, and stays there.
    #[error(
        "this endpoint's key is registered with another client; enrol with a new key (empty the agent's state folder)"
    )]
    OtherEndpoint,
    /// As many came as it was made for.
    #[error("the enrolment token is spent: it was made for {0} endpoint(s)")]
    Spent(u32),
}

impl Token {
    /// Whether the token lets an endpoint of this client in now.
    pub fn check(&self, client: &ClientId, now_secs: u64) -> Result<(), TokenRefusal> {
        if self.client != *client {
            return Err(TokenRefusal::OtherClient(client.clone()));
        }
        if self.revoked {
            return Err(TokenRefusal::Revoked);
        }
        if now_secs >= self.expires_secs {
            return Err(TokenRefusal::Expired);
        }
        if self.used >= self.uses {
            return Err(TokenRefusal::Spent(self.uses));
        }
        Ok(())
    }
}

const COLUMNS: &str =
    "SELECT id, client, uses, used, expires_secs, revoked, note, made_by, made_ns FROM token";

impl State {
    /// Keeps a new token.
    pub fn add_token(&self, token: &NewToken, now_ns: u64) -> Result<(), StateError> {
        self.write("keep an enrolment token", |change| {
            let sql = "INSERT INTO token
                       (id, client, uses, expires_secs, note, made_by, made_ns)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let values = params![
                token.id.0,
                token.client.as_str(),
                token.uses,
                to_sql(token.expires_secs),
                token.note,
                token.made_by.as_str(),
                to_sql(now_ns)
            ];
            change.execute(sql, values).map(|_| ())
        })
    }

    /// A client's tokens, newest first.
    pub fn tokens(&self, client: &ClientId) -> Result<Vec<Token>, StateError> {
        self.read("list enrolment tokens", |connection| {
            let sql = format!("{COLUMNS} WHERE client = ?1 ORDER BY made_ns DESC, id");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([client.as_str()], read)?.collect()
        })
    }

    /// Takes a token back; answers whether this client had it.
    pub fn revoke_token(&self, client: &ClientId, id: TokenId) -> Result<bool, StateError> {
        self.write("revoke an enrolment token", |change| {
            let sql = "UPDATE token SET revoked = 1 WHERE id = ?1 AND client = ?2";
            Ok(change.execute(sql, params![id.0, client.as_str()])? == 1)
        })
    }
}

/// The token, whoever's it is: only for asking whether it lets somebody in.
pub(super) fn find(connection: &Connection, id: TokenId) -> rusqlite::Result<Option<Token>> {
    let sql = format!("{COLUMNS} WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id.0], read).optional()
}

/// Counts one endpoint more.
pub(super) fn count_use(change: &Transaction<'_>, id: TokenId) -> rusqlite::Result<()> {
    change.execute("UPDATE token SET used = used + 1 WHERE id = ?1", [id.0]).map(|_| ())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        id: TokenId(row.get(0)?),
        client: parsed(row.get::<_, String>(1)?.parse(), 1)?,
        uses: row.get(2)?,
        used: row.get(3)?,
        expires_secs: from_sql(row.get(4)?),
        revoked: row.get(5)?,
        note: row.get(6)?,
        made_by: parsed(row.get::<_, String>(7)?.parse(), 7)?,
        made_ns: from_sql(row.get(8)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            id: TokenId::of(b"secret"),
            client: "acme".parse().unwrap(),
            uses: 2,
            used: 1,
            expires_secs: 100,
            revoked: false,
            note: String::new(),
            made_by: "ann".parse().unwrap(),
            made_ns: 0,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Token), client: &str, now_secs: u64, says: &str) {
        let mut token = token();
        change(&mut token);
        let answer = token.check(&client.parse().unwrap(), now_secs);
        let answer = answer.map_or_else(|refusal| refusal.to_string(), |()| "yes".to_owned());
        assert!(answer.contains(says), "{answer}");
    }

    #[test]
    fn each_way_to_be_refused_has_its_own_sentence() {
        check(|_| (), "acme", 99, "yes");
        check(|_| (), "acme", 100, "expired");
        check(|t| t.used = 2, "acme", 99, "spent: it was made for 2");
        check(|t| t.revoked = true, "acme", 99, "revoked");
        check(|_| (), "other", 99, "not one of client other");
    }

    #[test]
    fn a_token_is_revoked_by_its_own_client_only() {
        let state = State::in_memory().unwrap();
        let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
        state.add_client(&acme, 1).unwrap();
        let made = token();
        let new = NewToken {
            id: made.id,
            client: acme.clone(),
            uses: 2,
            expires_secs: 100,
            note: "a note".to_owned(),
            made_by: made.made_by.clone(),
        };
        state.add_token(&new, 7).unwrap();
        assert!(!state.revoke_token(&other, made.id).unwrap());
        assert!(state.tokens(&other).unwrap().is_empty());
        assert!(!state.tokens(&acme).unwrap()[0].revoked);
        assert!(state.revoke_token(&acme, made.id).unwrap());
        assert!(state.tokens(&acme).unwrap()[0].revoked);
    }
}
