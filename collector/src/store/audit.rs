//! The audit trails as the state keeps them; the database itself refuses to change an entry.

use cordon_proto::codec;
use cordon_proto::id::{ClientId, Hash};
use rusqlite::{OptionalExtension, Transaction, params};

use super::state::{State, StateError, from_sql, parsed, to_sql};
use crate::audit::{Act, Entry, Head};

impl State {
    /// Writes acts down; durable once this returns.
    pub fn record(&self, acts: Vec<Act>, now_ns: u64) -> Result<(), StateError> {
        self.write("write to the audit trail", |change| {
            acts.into_iter().try_for_each(|act| append(change, act, now_ns))
        })
    }

    /// A client's entries after a number, in order.
    pub fn audit(
        &self,
        client: &ClientId,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<Entry>, StateError> {
        self.read("read the audit trail", |connection| {
            let sql = "SELECT entry FROM audit WHERE client = ?1 AND number > ?2
                       ORDER BY number LIMIT ?3";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let values = params![client.as_str(), to_sql(after), count_max];
            let rows = statement.query_map(values, |row| {
                parsed(codec::decode_strict(&row.get::<_, Vec<u8>>(0)?), 0)
            })?;
            rows.collect()
        })
    }

    /// A client's entries before a number, the latest first.
    pub fn audit_before(
        &self,
        client: &ClientId,
        before: u64,
        count_max: usize,
    ) -> Result<Vec<Entry>, StateError> {
        self.read("read the audit trail backwards", |connection| {
            let sql = "SELECT entry FROM audit WHERE client = ?1 AND number < ?2
                       ORDER BY number DESC LIMIT ?3";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let values = params![client.as_str(), to_sql(before), count_max];
            let rows = statement.query_map(values, |row| {
                parsed(codec::decode_strict(&row.get::<_, Vec<u8>>(0)?), 0)
            })?;
            rows.collect()
        })
    }

    /// Where a client's trail ends.
    pub fn audit_head(&self, client: &ClientId) -> Result<Head, StateError> {
        self.read("read the end of the audit trail", |connection| head(connection, client))
    }
}

/// Writes an act down in the transaction in which it is done.
pub(super) fn append(change: &Transaction<'_>, act: Act, now_ns: u64) -> rusqlite::Result<()> {
    let entry = Entry::after(head(change, &act.client)?, act, now_ns);
    let sql = "INSERT INTO audit (client, number, hash, entry) VALUES (?1, ?2, ?3, ?4)";
    let (client, number) = (entry.client.as_str(), to_sql(entry.number));
    change.execute(sql, params![client, number, entry.hash().0, codec::encode(&entry)]).map(|_| ())
}

fn head(connection: &rusqlite::Connection, client: &ClientId) -> rusqlite::Result<Head> {
    let sql = "SELECT number, hash FROM audit WHERE client = ?1 ORDER BY number DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Head { number: from_sql(row.get(0)?), hash: Hash(row.get(1)?) })
    };
    Ok(statement.query_row([client.as_str()], read).optional()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use cordon_proto::id::KeyId;

    use super::*;
    use crate::audit::{Deed, verify};

    fn act(client: &str, to: &str) -> Act {
        Act {
            client: client.parse().unwrap(),
            who: "ann".parse().unwrap(),
            key: KeyId::default(),
            what: Deed::TokenCreate,
            to: to.to_owned(),
            detail: String::new(),
        }
    }

    #[test]
    fn each_client_has_a_trail_of_its_own_that_holds() {
        let state = State::in_memory().unwrap();
        let (acme, zeta) = ("acme".parse().unwrap(), "zeta".parse().unwrap());
        state.add_client(&acme, 1).unwrap();
        state.add_client(&zeta, 1).unwrap();
        state.record(vec![act("acme", "1"), act("zeta", "1"), act("acme", "2")], 5).unwrap();
        let entries = state.audit(&acme, 0, 10).unwrap();
        assert_eq!(entries.iter().map(|entry| entry.to.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        let end = verify(&acme, Head::default(), &entries).unwrap();
        assert_eq!(end, state.audit_head(&acme).unwrap());
        assert_eq!(state.audit(&acme, 1, 10).unwrap(), entries[1..]);
    }

    #[test]
    fn the_database_refuses_to_change_or_delete_an_entry() {
        let state = State::in_memory().unwrap();
        state.add_client(&"acme".parse().unwrap(), 1).unwrap();
        state.record(vec![act("acme", "1")], 5).unwrap();
        for sql in ["UPDATE audit SET entry = x'00'", "DELETE FROM audit"] {
            let refused = state.write("tamper", |change| change.execute(sql, [])).unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{refused}");
        }
    }
}
