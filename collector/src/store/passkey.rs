//! Passkeys of accounts.

use cordon_proto::sign::PasskeyAlgorithm;
use rusqlite::{OptionalExtension, Row, params};

use super::state::{State, StateError, from_sql, to_sql};
use crate::signin::account::PASSKEYS_MAX;
use crate::signin::name::{AccountId, PasskeyId};
use crate::time::Time;

/// A passkey as it is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredPasskey {
    /// What people call it.
    pub id: PasskeyId,
    /// The credential's id.
    pub credential: Vec<u8>,
    /// Whose.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// Its algorithm, fixed when it was made.
    pub algorithm: PasskeyAlgorithm,
    /// Its public key.
    pub public: Vec<u8>,
    /// How often it last said it was used; 0 where it does not count.
    pub counter: u32,
    /// When it was made.
    pub made: Time,
    /// When it was last used.
    pub used: Option<Time>,
}

const COLUMNS: &str = "SELECT id, credential, account, name, algorithm, public, counter, made_ns,
    used_ns FROM passkey";

impl State {
    /// Keeps a new passkey; answers false if there is one of this credential, or one too many.
    pub fn add_passkey(&self, passkey: &StoredPasskey) -> Result<bool, StateError> {
        self.write("keep a passkey", |change| {
            let sql = "SELECT count(*) FROM passkey WHERE account = ?1";
            let count: i64 = change.query_row(sql, [passkey.account.0], |row| row.get(0))?;
            if usize::try_from(count).is_ok_and(|count| count >= PASSKEYS_MAX) {
                return Ok(false);
            }
            let sql = "INSERT INTO passkey (id, credential, account, name, algorithm, public,
                       counter, made_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                       ON CONFLICT DO NOTHING";
            let values = params![
                passkey.id.0,
                passkey.credential,
                passkey.account.0,
                passkey.name,
                algorithm_name(passkey.algorithm),
                passkey.public,
                passkey.counter,
                to_sql(passkey.made.0)
            ];
            Ok(change.execute(sql, values)? == 1)
        })
    }

    /// The passkey of a credential.
    pub fn passkey(&self, credential: &[u8]) -> Result<Option<StoredPasskey>, StateError> {
        self.read("read a passkey", |connection| {
            let sql = format!("{COLUMNS} WHERE credential = ?1");
            connection.prepare_cached(&sql)?.query_row([credential], read).optional()
        })
    }

    /// The passkeys of an account, oldest first.
    pub fn passkeys(&self, account: AccountId) -> Result<Vec<StoredPasskey>, StateError> {
        self.read("list passkeys", |connection| {
            let sql = format!("{COLUMNS} WHERE account = ?1 ORDER BY made_ns, id");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([account.0], read)?.collect()
        })
    }

    /// Notes a use. Answers false if somebody else noted one of this count, or a later one, before:
    /// then two carry the same key.
    pub fn note_passkey(&self, id: PasskeyId, counter: u32, now: Time) -> Result<bool, StateError> {
        self.write("note a passkey's use", |change| {
            // One that does not count says 0 each time.
            let sql = "UPDATE passkey SET counter = ?2, used_ns = ?3
                       WHERE id = ?1 AND (counter < ?2 OR (counter = 0 AND ?2 = 0))";
            Ok(change.execute(sql, params![id.0, counter, to_sql(now.0)])? == 1)
        })
    }

    /// Removes a passkey; answers whether the account had it.
    pub fn remove_passkey(&self, account: AccountId, id: PasskeyId) -> Result<bool, StateError> {
        self.write("remove a passkey", |change| {
            let sql = "DELETE FROM passkey WHERE id = ?1 AND account = ?2";
            Ok(change.execute(sql, params![id.0, account.0])? == 1)
        })
    }
}

fn algorithm_name(algorithm: PasskeyAlgorithm) -> &'static str {
    match algorithm {
        PasskeyAlgorithm::Es256 => "es256",
        PasskeyAlgorithm::EdDsa => "eddsa",
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredPasskey> {
    let name: String = row.get(4)?;
    let all = [PasskeyAlgorithm::Es256, PasskeyAlgorithm::EdDsa];
    let algorithm = all.into_iter().find(|algorithm| algorithm_name(*algorithm) == name);
    let unknown = || rusqlite::Error::InvalidColumnType(4, name, rusqlite::types::Type::Text);
    Ok(StoredPasskey {
        id: PasskeyId(row.get(0)?),
        credential: row.get(1)?,
        account: AccountId(row.get(2)?),
        name: row.get(3)?,
        algorithm: algorithm.ok_or_else(unknown)?,
        public: row.get(5)?,
        counter: row.get(6)?,
        made: Time(from_sql(row.get(7)?)),
        used: row.get::<_, Option<i64>>(8)?.map(|ns| Time(from_sql(ns))),
    })
}
