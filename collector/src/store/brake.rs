//! What the brake must know of the last hour.

use std::collections::BTreeSet;

use cordon_proto::id::{ClientId, EndpointId};
use cordon_proto::sign::command::SignedCommand;
use rusqlite::{Connection, params};

use super::command::life;
use super::state::{from_sql, parsed, to_sql};
use crate::time::Time;

/// When commands that change something, or those that only read, were taken: each has a brake of its
/// own, so that nobody who looks around is kept from containing.
pub(super) fn recent(
    connection: &Connection,
    client: &ClientId,
    changes: bool,
    since: Time,
) -> rusqlite::Result<Vec<Time>> {
    let sql = "SELECT requested_ns, document FROM command WHERE client = ?1 AND requested_ns > ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let values = params![client.as_str(), to_sql(since.0)];
    let found = statement.query_map(values, |row| {
        let signed = parsed(SignedCommand::read(&row.get::<_, Vec<u8>>(1)?), 1)?;
        let at = Time(from_sql(row.get(0)?));
        Ok((signed.command().action.kind().changes() == changes).then_some(at))
    })?;
    found.filter_map(Result::transpose).collect()
}

/// The endpoints that commands of one person alone were handed out for. What undoes is not counted:
/// it is what repairs too much of the rest.
pub(super) fn reached_alone(
    connection: &Connection,
    client: &ClientId,
    since: Time,
) -> rusqlite::Result<BTreeSet<EndpointId>> {
    let sql = "SELECT document FROM command WHERE client = ?1 AND requested_ns > ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(params![client.as_str(), to_sql(since.0)], |row| {
        parsed(SignedCommand::read(&row.get::<_, Vec<u8>>(0)?), 0)
    })?;
    let mut reached = BTreeSet::new();
    for signed in found {
        let signed = signed?;
        let command = signed.command();
        let kind = command.action.kind();
        if !kind.changes() || kind.undoes() {
            continue;
        }
        for target in &command.targets {
            let life = life(connection, command.id, target.endpoint)?;
            let authorised = life.and_then(|life| life.facts.authorised);
            if authorised.is_some_and(|authorised| authorised.by.len() < 2) {
                reached.insert(target.endpoint);
            }
        }
    }
    Ok(reached)
}

/// How many endpoints a client has.
pub(super) fn endpoints_of(connection: &Connection, client: &ClientId) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM endpoint WHERE client = ?1";
    let count: i64 = connection.prepare_cached(sql)?.query_row([client.as_str()], |r| r.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}
