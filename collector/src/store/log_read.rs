//! Questions to the SQLite log.

use cordon_proto::event::Lane;
use cordon_proto::event::gap::SealedRange;
use cordon_proto::id::{ClientId, EndpointId, Hash};
use cordon_proto::sign::batch::Batch;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::state::{from_sql, parsed, to_sql};
use super::{Evidence, Head, Place, Position, Scan, StoredBatch, head_of};

/// Gaps handed to one session; a lane that needs more has them as it moves on.
const GAPS_MAX: usize = 4096;

const COLUMNS: &str = "SELECT batch.position, client.name, source.endpoint, host.name,
    batch.received_ns, batch.clock_offset_ns, batch.header, batch.events
    FROM batch JOIN client ON client.id = batch.client JOIN source ON source.id = batch.source
    JOIN host ON host.id = batch.host";

/// A lane as the log numbers it.
pub(super) fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::Control => 0,
        Lane::Telemetry => 1,
    }
}

pub(super) fn heads(reader: &Connection, endpoint: EndpointId) -> rusqlite::Result<Vec<Head>> {
    let Some(source) = source(reader, endpoint)? else { return Ok(Vec::new()) };
    let heads = Lane::ALL.iter().map(|lane| head(reader, source, *lane));
    heads.filter_map(Result::transpose).collect()
}

/// The number under which an endpoint is known to the log.
pub(super) fn source(reader: &Connection, endpoint: EndpointId) -> rusqlite::Result<Option<i64>> {
    let mut statement = reader.prepare_cached("SELECT id FROM source WHERE endpoint = ?1")?;
    statement.query_row([endpoint.0], |row| row.get(0)).optional()
}

/// The last batch of a lane.
pub(super) fn head(reader: &Connection, source: i64, lane: Lane) -> rusqlite::Result<Option<Head>> {
    let sql = "SELECT header FROM batch WHERE source = ?1 AND lane = ?2
               ORDER BY epoch DESC, first DESC LIMIT 1";
    let mut statement = reader.prepare_cached(sql)?;
    let values = params![source, lane_number(lane)];
    let header: Option<Vec<u8>> = statement.query_row(values, |row| row.get(0)).optional()?;
    Ok(header.and_then(head_of))
}

pub(super) fn gaps(
    reader: &Connection,
    endpoint: EndpointId,
) -> rusqlite::Result<Vec<SealedRange>> {
    let Some(source) = source(reader, endpoint)? else { return Ok(Vec::new()) };
    let sql = "SELECT lane, epoch, first, last, head FROM gap WHERE source = ?1
               ORDER BY lane, epoch, first LIMIT ?2";
    let mut statement = reader.prepare_cached(sql)?;
    let rows = statement.query_map(params![source, limit(GAPS_MAX)], |row| {
        Ok(SealedRange {
            lane: if row.get::<_, i64>(0)? == 0 { Lane::Control } else { Lane::Telemetry },
            epoch: row.get(1)?,
            first: from_sql(row.get(2)?),
            last: from_sql(row.get(3)?),
            head: Hash(row.get(4)?),
        })
    })?;
    rows.collect()
}

pub(super) fn end(reader: &Connection) -> rusqlite::Result<Position> {
    let sql = "SELECT coalesce(max(position), 0) FROM batch";
    reader.query_row(sql, [], |row| Ok(Position(from_sql(row.get(0)?))))
}

pub(super) fn after(
    reader: &Connection,
    after: Position,
    count_max: usize,
) -> rusqlite::Result<Vec<StoredBatch>> {
    let sql = format!("{COLUMNS} WHERE batch.position > ?1 ORDER BY batch.position LIMIT ?2");
    let mut statement = reader.prepare_cached(&sql)?;
    statement.query_map(params![to_sql(after.0), limit(count_max)], read)?.collect()
}

pub(super) fn scan(
    reader: &Connection,
    scan: &Scan,
    count_max: usize,
) -> rusqlite::Result<Vec<StoredBatch>> {
    // Positions are picked from an index that covers every condition; rows are read for those only.
    let direction = if scan.newest_first { "DESC" } else { "ASC" };
    let (from, owner) = match scan.endpoint {
        Some(_) => (
            "batch INDEXED BY batch_source",
            "source = (SELECT id FROM source WHERE endpoint = ?7)",
        ),
        None => ("batch INDEXED BY batch_client", "?7 IS NULL"),
    };
    let client = match scan.endpoint {
        Some(_) => "",
        None => "client = (SELECT id FROM client WHERE name = ?1) AND",
    };
    let sql = format!(
        "{COLUMNS} WHERE client.name = ?1 AND batch.position IN (SELECT position FROM {from}
         WHERE {client} {owner} AND position > ?2 AND position < ?3
         AND (?4 = 0 OR classes & ?4 != 0) AND to_ns >= ?5 AND from_ns <= ?6
         ORDER BY position {direction} LIMIT ?8)
         ORDER BY batch.position {direction}"
    );
    let before = scan.before.map_or(i64::MAX, |before| to_sql(before.0));
    let until = scan.until_ns.map_or(i64::MAX, to_sql);
    let endpoint = scan.endpoint.map(|endpoint| endpoint.0);
    let values: [&dyn ToSql; 8] = [
        &scan.client.as_str(),
        &to_sql(scan.after.0),
        &before,
        &scan.classes.to_sql(),
        &scan.since_ns.map_or(0, to_sql),
        &until,
        &endpoint,
        &limit(count_max),
    ];
    reader.prepare_cached(&sql)?.query_map(values, read)?.collect()
}

pub(super) fn chain(
    reader: &Connection,
    place: Place<'_>,
    count_max: usize,
) -> rusqlite::Result<Vec<StoredBatch>> {
    let Some(source) = source(reader, place.endpoint)? else { return Ok(Vec::new()) };
    // From the last batch that begins at or before the number, so that the one holding it is first.
    let sql = format!(
        "{COLUMNS} WHERE client.name = ?1 AND batch.source = ?2 AND batch.lane = ?3
         AND batch.epoch = ?4 AND batch.first >= coalesce((SELECT max(first) FROM batch
         WHERE source = ?2 AND lane = ?3 AND epoch = ?4 AND first <= ?5), 0)
         ORDER BY batch.first LIMIT ?6"
    );
    let values = params![
        place.client.as_str(),
        source,
        lane_number(place.lane),
        place.epoch,
        to_sql(place.seq),
        limit(count_max)
    ];
    reader.prepare_cached(&sql)?.query_map(values, read)?.collect()
}

pub(super) fn evidence(
    reader: &Connection,
    client: &ClientId,
    endpoint: EndpointId,
    count_max: usize,
) -> rusqlite::Result<Vec<Evidence>> {
    let sql = "SELECT received_ns, header, events FROM evidence
               WHERE client = (SELECT id FROM client WHERE name = ?1)
               AND source = (SELECT id FROM source WHERE endpoint = ?2) ORDER BY id DESC LIMIT ?3";
    let mut statement = reader.prepare_cached(sql)?;
    let rows =
        statement.query_map(params![client.as_str(), endpoint.0, limit(count_max)], |row| {
            let batch = Batch { header: row.get(1)?, events: row.get(2)? };
            Ok(Evidence { received_ns: from_sql(row.get(0)?), batch })
        })?;
    rows.collect()
}

fn limit(count_max: usize) -> i64 {
    i64::try_from(count_max).unwrap_or(i64::MAX)
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredBatch> {
    Ok(StoredBatch {
        position: Position(from_sql(row.get(0)?)),
        client: parsed(row.get::<_, String>(1)?.parse(), 1)?,
        endpoint: EndpointId(row.get(2)?),
        host_name: row.get::<_, String>(3)?.into(),
        received_ns: from_sql(row.get(4)?),
        clock_offset_ns: row.get(5)?,
        batch: Batch { header: row.get(6)?, events: row.get(7)? },
    })
}
