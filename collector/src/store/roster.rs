//! Clients and their rosters as the state keeps them. Nothing here checks a signature.

use cordon_proto::id::{ClientId, Hash};
use cordon_proto::roster::RosterRef;
use rusqlite::{OptionalExtension, Row, params};

use super::state::{State, StateError, from_sql, parsed, to_sql};

/// A roster as the authority signed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredRoster {
    /// Whose.
    pub client: ClientId,
    /// Its version and hash.
    pub named: RosterRef,
    /// Its bytes.
    pub document: Vec<u8>,
}

/// A version of a client's roster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RosterVersion {
    /// The version.
    pub version: u64,
    /// SHA-256 of the document.
    pub hash: Hash,
    /// As the authority signed it.
    pub document: Vec<u8>,
    /// When it was taken.
    pub stored_ns: u64,
}

impl State {
    /// Every client, by name.
    pub fn clients(&self) -> Result<Vec<ClientId>, StateError> {
        self.read("list the clients", |connection| {
            let mut statement = connection.prepare_cached("SELECT id FROM client ORDER BY id")?;
            let rows = statement
                .query_map([], |row| parsed(row.get::<_, String>(0)?.parse::<ClientId>(), 0))?;
            rows.collect()
        })
    }

    /// Makes a client known; does nothing to one that is.
    pub fn add_client(&self, client: &ClientId, now_ns: u64) -> Result<(), StateError> {
        self.write("add a client", |change| {
            let sql = "INSERT INTO client (id, created_ns) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            change.execute(sql, params![client.as_str(), to_sql(now_ns)]).map(|_| ())
        })
    }

    /// Keeps a roster if it is newer than the one kept; answers whether it was.
    pub fn put_roster(&self, roster: &StoredRoster, now_ns: u64) -> Result<bool, StateError> {
        self.write("keep a roster", |change| {
            let sql = "INSERT INTO roster (client, version, hash, document, stored_ns)
                       SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?2 >
                       (SELECT coalesce(max(version), 0) FROM roster WHERE client = ?1)";
            let version = to_sql(roster.named.version);
            let hash = roster.named.hash.0;
            let client = roster.client.as_str();
            let values = params![client, version, hash, roster.document, to_sql(now_ns)];
            Ok(change.execute(sql, values)? == 1)
        })
    }

    /// A client's rosters of versions below one, the newest first.
    pub fn roster_versions(
        &self,
        client: &ClientId,
        below: u64,
        count_max: usize,
    ) -> Result<Vec<RosterVersion>, StateError> {
        self.read("list a client's rosters", |connection| {
            let sql = "SELECT version, hash, document, stored_ns FROM roster
                       WHERE client = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let values = params![client.as_str(), to_sql(below), count_max];
            let rows = statement.query_map(values, |row| {
                Ok(RosterVersion {
                    version: from_sql(row.get(0)?),
                    hash: Hash(row.get(1)?),
                    document: row.get(2)?,
                    stored_ns: from_sql(row.get(3)?),
                })
            })?;
            rows.collect()
        })
    }

    /// The roster that counts.
    pub fn roster(&self, client: &ClientId) -> Result<Option<StoredRoster>, StateError> {
        self.read("read a roster", |connection| {
            let sql = "SELECT version, hash, document FROM roster WHERE client = ?1
                       ORDER BY version DESC LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_row([client.as_str()], |row| read(row, client)).optional()
        })
    }
}

fn read(row: &Row<'_>, client: &ClientId) -> rusqlite::Result<StoredRoster> {
    let named = RosterRef { version: from_sql(row.get(0)?), hash: Hash(row.get(1)?) };
    Ok(StoredRoster { client: client.clone(), named, document: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_roster_is_kept() {
        let state = State::in_memory().unwrap();
        let client: ClientId = "acme".parse().unwrap();
        state.add_client(&client, 1).unwrap();
        let roster = |version: u64, document: &[u8]| StoredRoster {
            client: client.clone(),
            named: RosterRef { version, hash: Hash::of(document) },
            document: document.to_vec(),
        };
        assert!(state.put_roster(&roster(2, b"two"), 1).unwrap());
        assert!(!state.put_roster(&roster(2, b"other"), 1).unwrap());
        assert!(!state.put_roster(&roster(1, b"one"), 1).unwrap());
        assert_eq!(state.roster(&client).unwrap(), Some(roster(2, b"two")));
        assert_eq!(state.roster(&"other".parse().unwrap()).unwrap(), None);
    }
}
