//! What endpoints did by themselves, as the state keeps it: each has a life as a command has, on
//! the one endpoint that told of it.

use cordon_proto::event::{Body, Reacted};
use cordon_proto::id::{ClientId, CommandId, EndpointId};
use cordon_proto::sign::batch;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::state::{State, StateError, parsed, to_sql};
use crate::command::Life;
use crate::derive::Told;

/// Kept for each endpoint besides those that stand; the log keeps them all.
const REACTIONS_MAX: i64 = 1000;

/// Something that an endpoint did by itself.
#[derive(Clone, Debug)]
pub struct Reaction {
    /// Whose endpoint.
    pub client: ClientId,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Its host name.
    pub host_name: String,
    /// What it told.
    pub reacted: Reacted,
    /// What became of it.
    pub life: Life,
}

impl State {
    /// What endpoints of these clients did by themselves and still stands, the latest first.
    pub fn standing_reactions(
        &self,
        clients: &[ClientId],
        from: Option<CommandId>,
        count_max: usize,
    ) -> Result<Vec<Reaction>, StateError> {
        self.read("list what endpoints did by themselves", |connection| {
            let clients = serde_json::to_string(clients).unwrap_or_default();
            let sql = "SELECT client, endpoint, host_name, event, life FROM reaction
                       JOIN endpoint ON endpoint.id = reaction.endpoint
                       WHERE stands AND client IN (SELECT value FROM json_each(?1))
                       AND (?3 IS NULL OR reaction.id <= ?3)
                       ORDER BY reaction.id DESC, endpoint LIMIT ?2";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let from = from.map(|id| id.0.as_bytes().to_vec());
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![clients, count_max, from], |row| {
                let client = parsed(row.get::<_, String>(0)?.parse::<ClientId>(), 0)?;
                let life: Life = parsed(serde_json::from_str(&row.get::<_, String>(4)?), 4)?;
                let (endpoint, host_name) = (EndpointId(row.get(1)?), row.get::<_, String>(2)?);
                Ok((client, endpoint, host_name, row.get::<_, Vec<u8>>(3)?, life))
            })?;
            let mut found = Vec::new();
            for row in rows {
                let (client, endpoint, host_name, bytes, life) = row?;
                if let Ok(Body::Response(reacted)) = batch::read_event(&bytes).map(|e| e.body) {
                    let reacted = *reacted;
                    found.push(Reaction { client, endpoint, host_name, reacted, life });
                }
            }
            Ok(found)
        })
    }
}

/// Takes in that an endpoint did something by itself. Taking it in again changes nothing.
pub(super) fn take_reaction(
    change: &Transaction<'_>,
    told: &Told,
    reacted: &Reacted,
) -> rusqlite::Result<()> {
    let Told { endpoint, place, at, bytes, .. } = told;
    let Some(action) = reacted.action else { return Ok(()) };
    // An id that an operator's command has is that command's.
    let sql = "SELECT 1 FROM command WHERE id = ?1";
    if change.prepare_cached(sql)?.exists([reacted.id.0.as_bytes()])? {
        return Ok(());
    }
    let life = Life::reacted(action, *at);
    let sql = "INSERT INTO reaction (endpoint, id, epoch, seq, event, life, stands)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    let (epoch, seq) = (place.epoch, to_sql(place.seq));
    let (id, stands) = (reacted.id.0.as_bytes(), life.stands());
    let values = params![endpoint.0, id, epoch, seq, bytes, text(&life)?, stands];
    change.prepare_cached(sql)?.execute(values)?;
    let sql = "DELETE FROM reaction WHERE endpoint = ?1 AND NOT stands AND (epoch, seq) <=
               (SELECT epoch, seq FROM reaction WHERE endpoint = ?1
                ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET ?2)";
    change.prepare_cached(sql)?.execute(params![endpoint.0, REACTIONS_MAX]).map(|_| ())
}

/// What became of something that an endpoint did by itself; none if it told of no such thing.
pub(super) fn reaction(
    connection: &Connection,
    id: CommandId,
    endpoint: EndpointId,
) -> rusqlite::Result<Option<Life>> {
    let sql = "SELECT life FROM reaction WHERE endpoint = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let life = |row: &rusqlite::Row<'_>| parsed(serde_json::from_str(&row.get::<_, String>(0)?), 0);
    statement.query_row(params![endpoint.0, id.0.as_bytes()], life).optional()
}

/// What stands on an endpoint of what it did by itself, or did and was listed in its health.
pub(super) fn open_reactions(
    connection: &Connection,
    endpoint: EndpointId,
) -> rusqlite::Result<Vec<(CommandId, Life)>> {
    let sql = "SELECT id, life FROM reaction WHERE endpoint = ?1 AND stands";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([endpoint.0], |row| {
        let id = CommandId(parsed(uuid::Uuid::from_slice(&row.get::<_, Vec<u8>>(0)?), 0)?);
        Ok((id, parsed(serde_json::from_str(&row.get::<_, String>(1)?), 1)?))
    })?;
    rows.collect()
}

/// Keeps a life as it stands now.
pub(super) fn put_reaction(
    change: &Transaction<'_>,
    id: CommandId,
    endpoint: EndpointId,
    life: &Life,
) -> rusqlite::Result<()> {
    let sql = "UPDATE reaction SET life = ?3, stands = ?4 WHERE endpoint = ?1 AND id = ?2";
    let values = params![endpoint.0, id.0.as_bytes(), text(life)?, life.stands()];
    change.prepare_cached(sql)?.execute(values).map(|_| ())
}

fn text(life: &Life) -> rusqlite::Result<String> {
    serde_json::to_string(life)
        .map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))
}
