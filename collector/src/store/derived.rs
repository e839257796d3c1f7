//! What is derived from the log, as the state keeps it: health, losses, facts of commands.

use std::collections::BTreeMap;

use cordon_proto::event::receipt::{EndCause, Outcome};
use cordon_proto::event::{Body, Gap, Health, Notice, Receipt, WayOut};
use cordon_proto::id::{ClientId, CommandId, EndpointId};
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::batch;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::Position;
use super::command::{awaiting_end, life, of_form, open_on, put_life};
use super::reaction::{open_reactions, put_reaction, reaction, take_reaction};
use super::state::{State, StateError, from_sql, to_sql};
use crate::attention::Needs;
use crate::command::{Place, has_lapsed};
use crate::derive::{News, Told};
use crate::presence::{self, Farewell};
use crate::time::Time;

/// Under this name the place reached in the log is kept.
const NAME: &str = "endpoints";

/// Losses kept for each endpoint; the log keeps them all.
const GAPS_MAX: i64 = 1000;

/// How an endpoint fared when it last said so.
#[derive(Clone, Debug)]
pub struct Fared {
    /// When, by the collector's clock.
    pub at: Time,
    /// Where in its control lane.
    pub place: Place,
    /// What it said.
    pub health: Health,
}

/// A loss that an endpoint told of.
#[derive(Clone, Debug)]
pub struct ToldGap {
    /// When it said so, by the collector's clock.
    pub at: Time,
    /// Where in its control lane.
    pub place: Place,
    /// What it said.
    pub gap: Gap,
}

/// The way out that an endpoint told of last.
#[derive(Clone, Debug)]
pub struct StoredWayOut {
    /// When, by the collector's clock.
    pub at: Time,
    /// Where in its control lane.
    pub place: Place,
    /// What it said.
    pub way_out: WayOut,
}

/// An endpoint that does not hold a roster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Laggard {
    /// Which.
    pub endpoint: EndpointId,
    /// Its host name.
    pub host_name: String,
    /// The roster it was last heard to hold.
    pub roster_version: u64,
}

impl State {
    /// Up to where in the log everything is derived.
    pub fn derived_to(&self) -> Result<Position, StateError> {
        self.read("read how far the log is derived", |connection| {
            let sql = "SELECT position FROM derived WHERE name = ?1";
            let found = connection.prepare_cached(sql)?.query_row([NAME], |row| row.get(0));
            Ok(Position(found.optional()?.map_or(0, from_sql)))
        })
    }

    /// Takes what endpoints told into account, and that the log is derived up to `reached`.
    pub fn derive(&self, reached: Position, told: &[Told]) -> Result<(), StateError> {
        self.write_soon("take in what endpoints told", |change| {
            told.iter().try_for_each(|told| take_in(change, told))?;
            let sql = "INSERT INTO derived (name, position) VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET position = ?2";
            change.execute(sql, params![NAME, to_sql(reached.0)]).map(|_| ())
        })
    }

    /// How endpoints fared when they last said so; those that never did are missing.
    pub fn fared(
        &self,
        endpoints: &[EndpointId],
    ) -> Result<BTreeMap<EndpointId, Fared>, StateError> {
        self.read("read how endpoints fare", |connection| {
            let mut fared = BTreeMap::new();
            for endpoint in endpoints {
                if let Some(found) = health(connection, *endpoint)? {
                    fared.insert(*endpoint, found);
                }
            }
            Ok(fared)
        })
    }

    /// The ways out that endpoints told of last; of those that never did there is none.
    pub fn ways_out(
        &self,
        endpoints: &[EndpointId],
    ) -> Result<BTreeMap<EndpointId, StoredWayOut>, StateError> {
        self.read("read the ways out of endpoints", |connection| {
            let mut found = BTreeMap::new();
            for endpoint in endpoints {
                let sql = "SELECT at_ns, epoch, seq, event FROM way_out WHERE endpoint = ?1";
                if let Some((at, place, Body::WayOut(way_out))) =
                    said_last(connection, sql, *endpoint)?
                {
                    found.insert(*endpoint, StoredWayOut { at, place, way_out: *way_out });
                }
            }
            Ok(found)
        })
    }

    /// How many machines were noticed to share an endpoint's key, where any were.
    pub fn clone_counts(
        &self,
        endpoints: &[EndpointId],
    ) -> Result<BTreeMap<EndpointId, u64>, StateError> {
        self.read("count clones", |connection| {
            let sql = "SELECT count(*) FROM clone WHERE endpoint = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut counts = BTreeMap::new();
            for endpoint in endpoints {
                let count = from_sql(statement.query_row([endpoint.0], |row| row.get(0))?);
                counts.insert(*endpoint, count);
            }
            Ok(counts)
        })
    }

    /// What an endpoint of a client lost, newest first.
    pub fn gaps_of(
        &self,
        client: &ClientId,
        endpoint: EndpointId,
        count_max: usize,
    ) -> Result<Vec<ToldGap>, StateError> {
        self.read("list what an endpoint lost", |connection| {
            let sql = "SELECT epoch, seq, at_ns, event FROM gap
                       JOIN endpoint ON endpoint.id = gap.endpoint
                       WHERE gap.endpoint = ?1 AND client = ?2
                       ORDER BY epoch DESC, seq DESC LIMIT ?3";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let values = params![endpoint.0, client.as_str(), count_max];
            let rows = statement.query_map(values, |row| {
                let place = Place { epoch: row.get(0)?, seq: from_sql(row.get(1)?) };
                Ok((place, Time(from_sql(row.get(2)?)), row.get::<_, Vec<u8>>(3)?))
            })?;
            let mut gaps = Vec::new();
            for row in rows {
                let (place, at, bytes) = row?;
                if let Some(Body::Gap(gap)) = body(&bytes) {
                    gaps.push(ToldGap { at, place, gap });
                }
            }
            Ok(gaps)
        })
    }

    /// A client's endpoints that were not yet heard to hold this roster or a newer one.
    pub fn laggards(
        &self,
        client: &ClientId,
        roster: RosterRef,
        count_max: usize,
    ) -> Result<Vec<Laggard>, StateError> {
        self.read("list roster laggards", |connection| {
            let sql = "SELECT id, host_name, roster_version FROM endpoint WHERE client = ?1
                       AND (roster_version < ?2 OR (roster_version = ?2 AND roster_hash <> ?3))
                       ORDER BY id LIMIT ?4";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let version = to_sql(roster.version);
            let values = params![client.as_str(), version, roster.hash.0, count_max];
            let rows = statement.query_map(values, |row| {
                Ok(Laggard {
                    endpoint: EndpointId(row.get(0)?),
                    host_name: row.get(1)?,
                    roster_version: from_sql(row.get(2)?),
                })
            })?;
            rows.collect()
        })
    }

    /// Every roster of a client, oldest first, as the authority signed them.
    pub fn rosters(&self, client: &ClientId) -> Result<Vec<Vec<u8>>, StateError> {
        self.read("read a client's rosters", |connection| {
            let sql = "SELECT document FROM roster WHERE client = ?1 ORDER BY version";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([client.as_str()], |row| row.get(0))?.collect()
        })
    }
}

fn take_in(change: &Transaction<'_>, told: &Told) -> rusqlite::Result<()> {
    match &told.news {
        News::Health(health) => take_health(change, told, health),
        News::Receipt(receipt) => take_receipt(change, told, receipt),
        News::Reacted(reacted) => take_reaction(change, told, reacted),
        News::Gap(_) => take_gap(change, told),
        News::Notice(notice) => take_notice(change, told, *notice),
        News::WayOut(_) => take_way_out(change, told),
    }
}

fn take_health(change: &Transaction<'_>, told: &Told, health: &Health) -> rusqlite::Result<()> {
    let Told { endpoint, place, at, bytes, .. } = told;
    let sql = "INSERT INTO health (endpoint, epoch, seq, at_ns, event) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET epoch = ?2, seq = ?3, at_ns = ?4, event = ?5
               WHERE (?2, ?3) > (epoch, seq)";
    let values = params![endpoint.0, place.epoch, to_sql(place.seq), to_sql(at.0), bytes];
    if change.prepare_cached(sql)?.execute(values)? == 0 {
        return Ok(());
    }
    note_health(change, *endpoint, *at, health)?;
    // Whoever reports health after a farewell is back.
    let sql =
        "UPDATE endpoint SET farewell = NULL WHERE id = ?1 AND farewell IS NOT NULL AND NOT EXISTS
               (SELECT 1 FROM notice WHERE endpoint = ?1 AND (epoch, seq) > (?2, ?3))";
    change.prepare_cached(sql)?.execute(params![endpoint.0, place.epoch, to_sql(place.seq)])?;
    // A roster held is never given up for an older one, so the highest heard of is the one held.
    let sql = "UPDATE endpoint SET roster_version = ?2, roster_hash = ?3
               WHERE id = ?1 AND roster_version < ?2";
    let version = to_sql(health.roster.version);
    change.prepare_cached(sql)?.execute(params![endpoint.0, version, health.roster.hash.0])?;
    let mut open: BTreeMap<CommandId, _> = BTreeMap::new();
    for (signed, life) in open_on(change, *endpoint)? {
        let lapsed = has_lapsed(signed.command(), *endpoint, &health.nonce);
        open.insert(signed.command().id, (life, lapsed));
    }
    for standing in &health.containments {
        if !open.contains_key(&standing.command)
            && let Some(life) = life(change, standing.command, *endpoint)?
        {
            open.insert(standing.command, (life, false));
        }
    }
    for (command, (before, lapsed)) in open {
        let mut life = before.clone();
        if life.undelivered() {
            if lapsed {
                life.handle_lapsed(*at);
            }
        } else {
            life.handle_health(*place, command, &health.containments, *at);
        }
        if life != before {
            put_life(change, command, *endpoint, &life)?;
        }
    }
    take_health_of_reactions(change, told, health)
}

/// What lists of endpoints are filtered and sorted by.
fn note_health(
    change: &Transaction<'_>,
    endpoint: EndpointId,
    at: Time,
    health: &Health,
) -> rusqlite::Result<()> {
    let names: Vec<&str> = health.containments.iter().map(|one| one.action.name()).collect();
    let standing = if names.is_empty() { String::new() } else { format!(",{},", names.join(",")) };
    // The clock is told by the hello, and stands in a column of its own.
    let needs = Needs::of_conditions(&presence::conditions(Some(health), 0)).to_text();
    let sql = "UPDATE endpoint SET health_ns = ?2, standing = ?3, needs = ?4 WHERE id = ?1";
    let values = params![endpoint.0, to_sql(at.0), standing, needs];
    change.prepare_cached(sql)?.execute(values).map(|_| ())
}

/// Reads from what an older version took in what lists are filtered and counted by now.
pub(super) fn catch_up(connection: &mut Connection) -> rusqlite::Result<()> {
    let change = connection.transaction()?;
    let ids: Vec<EndpointId> = change
        .prepare("SELECT id FROM endpoint WHERE needs IS NULL")?
        .query_map([], |row| row.get(0).map(EndpointId))?
        .collect::<rusqlite::Result<_>>()?;
    for id in ids {
        let fared = health(&change, id)?;
        if let Some(fared) = &fared {
            note_health(&change, id, fared.at, &fared.health)?;
        }
        let notice = notice(&change, id)?;
        let last = notice.filter(|(place, _)| fared.is_none_or(|fared| *place > fared.place));
        let farewell = last.and_then(|(_, farewell)| farewell).map(Farewell::name);
        let sql = "UPDATE endpoint SET farewell = ?2, needs = coalesce(needs, '') WHERE id = ?1";
        change.prepare_cached(sql)?.execute(params![id.0, farewell])?;
    }
    change.commit()
}

fn take_health_of_reactions(
    change: &Transaction<'_>,
    told: &Told,
    health: &Health,
) -> rusqlite::Result<()> {
    let Told { endpoint, place, at, .. } = told;
    let mut open: BTreeMap<CommandId, _> = open_reactions(change, *endpoint)?.into_iter().collect();
    for standing in &health.containments {
        if let Some(life) = reaction(change, standing.command, *endpoint)? {
            open.insert(standing.command, life);
        }
    }
    for (id, before) in open {
        let mut life = before.clone();
        life.handle_health(*place, id, &health.containments, *at);
        if life != before {
            put_reaction(change, id, *endpoint, &life)?;
        }
    }
    Ok(())
}

fn take_receipt(change: &Transaction<'_>, told: &Told, receipt: &Receipt) -> rusqlite::Result<()> {
    let command = match receipt.command {
        Some(command) => Some(command),
        None => of_form(change, receipt.command_hash)?,
    };
    let Some(command) = command else { return Ok(()) };
    // An endpoint can speak only of a command that is for it, or of what it did by itself.
    if let Some(mut life) = life(change, command, told.endpoint)? {
        life.handle_receipt(told.place, &receipt.outcome, told.at);
        put_life(change, command, told.endpoint, &life)?;
    } else if let Some(mut life) = reaction(change, command, told.endpoint)? {
        life.handle_receipt(told.place, &receipt.outcome, told.at);
        put_reaction(change, command, told.endpoint, &life)?;
    } else {
        return Ok(());
    }
    // The endpoint tells of an isolation's end under the isolation's name; the release that asked
    // for it is proved by that.
    let released = EndCause::Released;
    if matches!(&receipt.outcome, Outcome::Ended { cause, observed_gone: true } if *cause == released)
    {
        for (release, mut life) in awaiting_end(change, told.endpoint)? {
            life.handle_released(told.place, told.at);
            put_life(change, release, told.endpoint, &life)?;
        }
    }
    Ok(())
}

fn take_notice(change: &Transaction<'_>, told: &Told, notice: Notice) -> rusqlite::Result<()> {
    let Told { endpoint, place, at, bytes, .. } = told;
    let sql = "INSERT INTO notice (endpoint, epoch, seq, at_ns, event) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET epoch = ?2, seq = ?3, at_ns = ?4, event = ?5
               WHERE (?2, ?3) > (epoch, seq)";
    let values = params![endpoint.0, place.epoch, to_sql(place.seq), to_sql(at.0), bytes];
    if change.prepare_cached(sql)?.execute(values)? == 0 {
        return Ok(());
    }
    let sql = "UPDATE endpoint SET farewell = ?2 WHERE id = ?1 AND NOT EXISTS
               (SELECT 1 FROM health WHERE endpoint = ?1 AND (epoch, seq) > (?3, ?4))";
    let farewell = Farewell::of(notice).map(Farewell::name);
    let values = params![endpoint.0, farewell, place.epoch, to_sql(place.seq)];
    change.prepare_cached(sql)?.execute(values).map(|_| ())
}

fn take_way_out(change: &Transaction<'_>, told: &Told) -> rusqlite::Result<()> {
    let Told { endpoint, place, at, bytes, .. } = told;
    let sql = "INSERT INTO way_out (endpoint, epoch, seq, at_ns, event) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET epoch = ?2, seq = ?3, at_ns = ?4, event = ?5
               WHERE (?2, ?3) > (epoch, seq)";
    let values = params![endpoint.0, place.epoch, to_sql(place.seq), to_sql(at.0), bytes];
    change.prepare_cached(sql)?.execute(values).map(|_| ())
}

fn take_gap(change: &Transaction<'_>, told: &Told) -> rusqlite::Result<()> {
    let Told { endpoint, place, at, bytes, .. } = told;
    let sql = "INSERT INTO gap (endpoint, epoch, seq, at_ns, event) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO NOTHING";
    let values = params![endpoint.0, place.epoch, to_sql(place.seq), to_sql(at.0), bytes];
    change.prepare_cached(sql)?.execute(values)?;
    let sql = "DELETE FROM gap WHERE endpoint = ?1 AND (epoch, seq) <=
               (SELECT epoch, seq FROM gap WHERE endpoint = ?1
                ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET ?2)";
    change.prepare_cached(sql)?.execute(params![endpoint.0, GAPS_MAX]).map(|_| ())
}

fn health(connection: &Connection, endpoint: EndpointId) -> rusqlite::Result<Option<Fared>> {
    let sql = "SELECT at_ns, epoch, seq, event FROM health WHERE endpoint = ?1";
    let found = said_last(connection, sql, endpoint)?;
    Ok(found.and_then(|(at, place, body)| {
        if let Body::Health(health) = body {
            Some(Fared { at, place, health: *health })
        } else {
            None
        }
    }))
}

/// What an endpoint last said of its silence, and where.
fn notice(
    connection: &Connection,
    endpoint: EndpointId,
) -> rusqlite::Result<Option<(Place, Option<Farewell>)>> {
    let sql = "SELECT at_ns, epoch, seq, event FROM notice WHERE endpoint = ?1";
    let found = said_last(connection, sql, endpoint)?;
    Ok(found.and_then(|(_at, place, body)| {
        if let Body::Notice(notice) = body { Some((place, Farewell::of(notice))) } else { None }
    }))
}

fn said_last(
    connection: &Connection,
    sql: &str,
    endpoint: EndpointId,
) -> rusqlite::Result<Option<(Time, Place, Body)>> {
    let row = |row: &Row<'_>| {
        let place = Place { epoch: row.get(1)?, seq: from_sql(row.get(2)?) };
        Ok((Time(from_sql(row.get(0)?)), place, row.get::<_, Vec<u8>>(3)?))
    };
    let found = connection.prepare_cached(sql)?.query_row([endpoint.0], row).optional()?;
    Ok(found.and_then(|(at, place, bytes)| Some((at, place, body(&bytes)?))))
}

fn body(bytes: &[u8]) -> Option<Body> {
    batch::read_event(bytes).ok().map(|event| event.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_version_took_in_is_read_for_the_new_columns_once() {
        let endpoint = EndpointId::of(b"key");
        let mut connection = Connection::open_in_memory().unwrap();
        crate::store::migrate::migrate(&mut connection).unwrap();
        let insert = "INSERT INTO client VALUES ('acme', 1);
            INSERT INTO endpoint (id, client, signing_key, host_name, machine_id, enrolled_ns,
            certificate_until_secs, needs) VALUES (x'00', 'acme', x'00', 'web', 'm', 1, 1, NULL);";
        connection.execute_batch(insert).unwrap();
        connection.execute("UPDATE endpoint SET id = ?1", [endpoint.0]).unwrap();
        let event = |seq, body| {
            let severity = cordon_proto::event::Severity::Informational;
            let event = cordon_proto::event::Event { seq, time_ns: 1, boot_ns: 0, severity, body };
            cordon_proto::codec::encode(&event)
        };
        let notice = event(2, Body::Notice(Notice::Sleeping));
        let sql = "INSERT INTO notice VALUES (?1, 1, 2, 1, ?2)";
        connection.execute(sql, params![endpoint.0, notice]).unwrap();
        catch_up(&mut connection).unwrap();
        let read = |connection: &Connection| {
            let sql = "SELECT farewell, needs FROM endpoint";
            let columns = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.query_row(sql, [], columns).unwrap()
        };
        let expected: (Option<String>, Option<String>) = (Some("asleep".into()), Some("".into()));
        assert_eq!(read(&connection), expected);
        connection.execute("UPDATE endpoint SET farewell = NULL", []).unwrap();
        catch_up(&mut connection).unwrap();
        assert_eq!(read(&connection), (None, Some(String::new())), "only what is null is read");
    }
}
