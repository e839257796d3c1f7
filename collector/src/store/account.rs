//! Sign-in accounts, what they are signed in with, and where from.

use std::net::IpAddr;

use cordon_proto::id::{Hash, KeyId};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::session::{clients_from_sql, clients_to_sql};
use super::state::{State, StateError, from_sql, parsed, to_sql};
use crate::signin::account::Account;
use crate::signin::gate::network;
use crate::signin::name::{AccountId, AccountName};
use crate::signin::password::PasswordHash;
use crate::time::Time;

/// Steps of codes that are remembered as used: more than count at once, by far.
const STEPS_KEPT: i64 = 16;

/// Networks remembered of one account.
const NETWORKS_KEPT: i64 = 32;

/// How long a network is remembered.
const NETWORK_SECS_MAX: u64 = 90 * 24 * 3600;

const COLUMNS: &str = "SELECT id, name, key, clients, password, totp, made_ns FROM account";

impl State {
    /// The account of a name.
    pub fn account_named(&self, name: &AccountName) -> Result<Option<Account>, StateError> {
        self.read("read an account", |connection| {
            let sql = format!("{COLUMNS} WHERE name = ?1");
            connection.prepare_cached(&sql)?.query_row([name.as_str()], read).optional()
        })
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Result<Option<Account>, StateError> {
        self.read("read an account", |connection| {
            let sql = format!("{COLUMNS} WHERE id = ?1");
            connection.prepare_cached(&sql)?.query_row([id.0], read).optional()
        })
    }

    /// The account that stands for the holder of a key.
    pub fn account_of(&self, key: KeyId) -> Result<Option<Account>, StateError> {
        self.read("read an account", |connection| {
            let sql = format!("{COLUMNS} WHERE key = ?1");
            connection.prepare_cached(&sql)?.query_row([key.0], read).optional()
        })
    }

    /// Takes a step of an authenticator's code; answers false for one that was used before.
    pub fn use_totp_step(&self, id: AccountId, step: u64, now: Time) -> Result<bool, StateError> {
        self.write("use a code", |change| {
            let sql = "INSERT INTO totp_used VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            let fresh = change.execute(sql, params![id.0, to_sql(step), to_sql(now.0)])? == 1;
            let sql = "DELETE FROM totp_used WHERE account = ?1 AND step NOT IN
                       (SELECT step FROM totp_used WHERE account = ?1
                        ORDER BY used_ns DESC, step DESC LIMIT ?2)";
            change.execute(sql, params![id.0, STEPS_KEPT])?;
            Ok(fresh)
        })
    }

    /// Takes a recovery code; answers false for one that is none, or was used before.
    pub fn use_recovery_code(&self, id: AccountId, hash: Hash) -> Result<bool, StateError> {
        self.write("use a recovery code", |change| {
            let sql = "DELETE FROM recovery_code WHERE account = ?1 AND hash = ?2";
            Ok(change.execute(sql, params![id.0, hash.0])? == 1)
        })
    }

    /// Recovery codes that are left.
    pub fn recovery_codes_left(&self, id: AccountId) -> Result<usize, StateError> {
        self.read("count recovery codes", |connection| {
            let sql = "SELECT count(*) FROM recovery_code WHERE account = ?1";
            let count: i64 = connection.query_row(sql, [id.0], |row| row.get(0))?;
            Ok(usize::try_from(count).unwrap_or_default())
        })
    }

    /// Puts recovery codes in place of those there were.
    pub fn set_recovery_codes(&self, id: AccountId, codes: &[Hash]) -> Result<(), StateError> {
        self.write("set recovery codes", |change| put_codes(change, id, codes))
    }

    /// Changes a password.
    pub fn set_password(&self, id: AccountId, password: &PasswordHash) -> Result<(), StateError> {
        self.write("change a password", |change| {
            let sql = "UPDATE account SET password = ?2 WHERE id = ?1";
            change.execute(sql, params![id.0, password.to_text()]).map(|_| ())
        })
    }

    /// Changes the secret of the authenticator app.
    pub fn set_totp(&self, id: AccountId, totp: &[u8]) -> Result<(), StateError> {
        self.write("change the secret of an authenticator", |change| {
            let sql = "UPDATE account SET totp = ?2 WHERE id = ?1";
            change.execute(sql, params![id.0, totp]).map(|_| ())
        })
    }

    /// Removes an account with all that it is signed in with.
    pub fn remove_account(&self, id: AccountId) -> Result<bool, StateError> {
        self.write("remove an account", |change| {
            Ok(change.execute("DELETE FROM account WHERE id = ?1", [id.0])? == 1)
        })
    }

    /// Remembers where an account was signed in to from.
    pub fn note_network(&self, id: AccountId, from: IpAddr, now: Time) -> Result<(), StateError> {
        self.write_soon("note where somebody signed in from", |change| {
            let sql = "INSERT INTO account_network VALUES (?1, ?2, ?3)
                       ON CONFLICT DO UPDATE SET last_ns = ?3";
            let network = network(from).to_string();
            change.execute(sql, params![id.0, network, to_sql(now.0)])?;
            let sql = "DELETE FROM account_network WHERE account = ?1 AND network NOT IN
                       (SELECT network FROM account_network WHERE account = ?1
                        ORDER BY last_ns DESC LIMIT ?2)";
            change.execute(sql, params![id.0, NETWORKS_KEPT]).map(|_| ())
        })
    }

    /// Whether an account was signed in to from there lately.
    pub fn knows_network(
        &self,
        id: AccountId,
        from: IpAddr,
        now: Time,
    ) -> Result<bool, StateError> {
        self.read("look where an account is signed in to from", |connection| {
            let sql = "SELECT count(*) FROM account_network
                       WHERE account = ?1 AND network = ?2 AND last_ns > ?3";
            let oldest = to_sql(now.minus_secs(NETWORK_SECS_MAX).0);
            let values = params![id.0, network(from).to_string(), oldest];
            connection.prepare_cached(sql)?.query_row(values, |row| row.get::<_, i64>(0))
        })
        .map(|count| count > 0)
    }
}

/// Puts an account in the place of the one that its key had before, and of the name's if that one
/// is to go.
pub(super) fn put(change: &Transaction<'_>, account: &Account) -> rusqlite::Result<()> {
    change.execute("DELETE FROM account WHERE key = ?1", [account.key.0])?;
    let sql = "INSERT INTO account (id, name, key, clients, password, totp, made_ns)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let values = params![
        account.id.0,
        account.name.as_str(),
        account.key.0,
        clients_to_sql(account.clients.as_deref()),
        account.password.to_text(),
        account.totp,
        to_sql(account.made.0)
    ];
    change.execute(sql, values).map(|_| ())
}

/// Puts recovery codes in place of those there were.
pub(super) fn put_codes(
    change: &Transaction<'_>,
    id: AccountId,
    codes: &[Hash],
) -> rusqlite::Result<()> {
    change.execute("DELETE FROM recovery_code WHERE account = ?1", [id.0])?;
    let mut statement = change.prepare_cached("INSERT INTO recovery_code VALUES (?1, ?2)")?;
    codes.iter().try_for_each(|code| statement.execute(params![id.0, code.0]).map(|_| ()))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId(row.get(0)?),
        name: parsed(row.get::<_, String>(1)?.parse(), 1)?,
        key: KeyId(row.get(2)?),
        clients: clients_from_sql(row.get(3)?, 3)?,
        password: parsed(PasswordHash::from_text(&row.get::<_, String>(4)?), 4)?,
        totp: row.get(5)?,
        made: Time(from_sql(row.get(6)?)),
    })
}
