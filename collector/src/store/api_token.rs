//! API tokens, each under the hash of its text.

use cordon_proto::id::{Hash, KeyId};
use cordon_proto::roster::Role;
use rusqlite::{OptionalExtension, Row, params};

use super::session::{clients_from_sql, clients_to_sql};
use super::state::{State, StateError, from_sql, to_sql};
use crate::signin::api_token::ApiToken;
use crate::signin::name::{AccountId, ApiTokenId};
use crate::time::Time;

const COLUMNS: &str = "SELECT id, key, clients, role_max, read_only, name, made_ns, expires_ns,
    used_ns, used_from FROM api_token";

impl State {
    /// Keeps a new token, made in a session of this account if of any; forgets those that expired.
    pub fn add_api_token(
        &self,
        hash: Hash,
        token: &ApiToken,
        account: Option<AccountId>,
    ) -> Result<(), StateError> {
        self.write("keep an API token", |change| {
            let now = to_sql(token.made.0);
            change.execute("DELETE FROM api_token WHERE expires_ns <= ?1", [now])?;
            let sql = "INSERT INTO api_token (hash, id, key, account, clients, role_max, read_only,
                       name, made_ns, expires_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            let values = params![
                hash.0,
                token.id.0,
                token.key.0,
                account.map(|account| account.0),
                clients_to_sql(token.clients.as_deref()),
                token.role_max.name(),
                token.read_only,
                token.name,
                now,
                to_sql(token.expires.0)
            ];
            change.execute(sql, values).map(|_| ())
        })
    }

    /// The token of a text, if it is still good; its use is noted.
    pub fn use_api_token(
        &self,
        hash: Hash,
        from: &str,
        now: Time,
    ) -> Result<Option<ApiToken>, StateError> {
        let token = self.read("read an API token", |connection| {
            let sql = format!("{COLUMNS} WHERE hash = ?1");
            connection.prepare_cached(&sql)?.query_row([hash.0], read).optional()
        })?;
        let Some(token) = token.filter(|token| token.stands(now)) else { return Ok(None) };
        if token.to_note(now, from) {
            self.write_soon("note an API token's use", |change| {
                let sql = "UPDATE api_token SET used_ns = ?2, used_from = ?3 WHERE hash = ?1";
                change.execute(sql, params![hash.0, to_sql(now.0), from])
            })?;
        }
        Ok(Some(token))
    }

    /// The tokens of these keys that are still good, newest first.
    pub fn api_tokens(&self, keys: &[KeyId], now: Time) -> Result<Vec<ApiToken>, StateError> {
        self.read("list API tokens", |connection| {
            let sql = format!("{COLUMNS} WHERE key = ?1 ORDER BY made_ns DESC, id");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut tokens = Vec::new();
            for key in keys {
                for token in statement.query_map([key.0], read)? {
                    tokens.extend(Some(token?).filter(|token| token.stands(now)));
                }
            }
            Ok(tokens)
        })
    }

    /// Takes a token back; answers whether there was one.
    pub fn end_api_token(&self, id: ApiTokenId) -> Result<bool, StateError> {
        self.write("revoke an API token", |change| {
            Ok(change.execute("DELETE FROM api_token WHERE id = ?1", [id.0])? == 1)
        })
    }

    /// Takes all tokens of a key back; answers how many.
    pub fn end_api_tokens(&self, key: KeyId) -> Result<usize, StateError> {
        self.write("revoke API tokens", |change| {
            change.execute("DELETE FROM api_token WHERE key = ?1", [key.0])
        })
    }
}

fn role_of(name: &str) -> Role {
    // What cannot be read gives as little as there is.
    Role::ALL.into_iter().find(|role| role.name() == name).unwrap_or(Role::Viewer)
}

fn read(row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    Ok(ApiToken {
        id: ApiTokenId(row.get(0)?),
        key: KeyId(row.get(1)?),
        clients: clients_from_sql(row.get(2)?, 2)?,
        role_max: role_of(&row.get::<_, String>(3)?),
        read_only: row.get(4)?,
        name: row.get(5)?,
        made: Time(from_sql(row.get(6)?)),
        expires: Time(from_sql(row.get(7)?)),
        used: row.get::<_, Option<i64>>(8)?.map(|ns| Time(from_sql(ns))),
        used_from: row.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time(0).plus_secs(secs)
    }

    #[test]
    fn a_token_is_kept_used_listed_and_ends() {
        let state = State::in_memory().unwrap();
        let token = ApiToken {
            id: ApiTokenId([1; 16]),
            key: KeyId::of(b"ann"),
            clients: Some(vec!["acme".parse().unwrap(), "zeta".parse().unwrap()]),
            role_max: Role::Responder,
            read_only: true,
            name: "grafana".to_owned(),
            made: at(10),
            expires: at(100),
            used: None,
            used_from: None,
        };
        let hash = Hash::of(b"text");
        state.add_api_token(hash, &token, None).unwrap();
        assert_eq!(state.use_api_token(hash, "192.0.2.1", at(20)).unwrap(), Some(token.clone()));
        let listed = state.api_tokens(&[token.key, KeyId::of(b"bob")], at(30)).unwrap();
        assert_eq!(listed[0].used, Some(at(20)));
        assert_eq!(listed[0].used_from.as_deref(), Some("192.0.2.1"));
        assert!(state.use_api_token(hash, "192.0.2.1", at(100)).unwrap().is_none());
        assert!(state.api_tokens(&[token.key], at(100)).unwrap().is_empty());
        assert!(state.end_api_token(token.id).unwrap());
        assert!(!state.end_api_token(token.id).unwrap());
    }
}
