//! Sites, and what people say of endpoints, as the state keeps them.

use std::collections::BTreeMap;

use cordon_proto::id::{ClientId, EndpointId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::audit;
use super::state::{State, StateError, from_sql, parsed, to_sql};
use crate::audit::Act;
use crate::estate::{Criticality, Note, SITES_MAX, Site, Word};

/// What became of a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EstateChange {
    /// It is kept, with its entry in the audit trail.
    Done,
    /// There is a site of that name already, or too many.
    Taken,
    /// There is no such site.
    NoSite,
    /// Endpoints stand there.
    InUse(u64),
    /// Somebody changed it meanwhile: its revision now.
    Moved(u64),
}

impl State {
    /// A client's sites after a name, in order of name, each with how many endpoints stand there.
    pub fn sites(
        &self,
        client: &ClientId,
        after: &str,
        count_max: usize,
    ) -> Result<Vec<(Site, u64)>, StateError> {
        self.read("list sites", |connection| {
            let sql = "SELECT name, title, time_zone, made_ns,
                       (SELECT count(*) FROM note WHERE note.client = site.client AND note.site = name)
                       FROM site WHERE client = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![client.as_str(), after, count_max], |row| {
                let site = Site {
                    name: parsed(row.get::<_, String>(0)?.parse(), 0)?,
                    title: row.get(1)?,
                    time_zone: row.get(2)?,
                    made_ns: from_sql(row.get(3)?),
                };
                Ok((site, from_sql(row.get(4)?)))
            })?;
            rows.collect()
        })
    }

    /// Keeps a new site.
    pub fn add_site(
        &self,
        client: &ClientId,
        site: &Site,
        act: Act,
        now_ns: u64,
    ) -> Result<EstateChange, StateError> {
        self.write("keep a site", |change| {
            let count = "SELECT count(*) FROM site WHERE client = ?1";
            let count: i64 = change.query_row(count, [client.as_str()], |row| row.get(0))?;
            if usize::try_from(count).is_ok_and(|count| count >= SITES_MAX) {
                return Ok(EstateChange::Taken);
            }
            let sql = "INSERT INTO site (client, name, title, time_zone, made_ns)
                       VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
            let Site { name, title, time_zone, made_ns } = site;
            let values =
                params![client.as_str(), name.as_str(), title, time_zone, to_sql(*made_ns)];
            let changed = change.execute(sql, values)?;
            noted(change, changed, EstateChange::Taken, act, now_ns)
        })
    }

    /// Changes what a site is called or its time zone.
    pub fn change_site(
        &self,
        client: &ClientId,
        site: &Site,
        act: Act,
        now_ns: u64,
    ) -> Result<EstateChange, StateError> {
        self.write("change a site", |change| {
            let sql = "UPDATE site SET title = ?3, time_zone = ?4 WHERE client = ?1 AND name = ?2";
            let values = params![client.as_str(), site.name.as_str(), site.title, site.time_zone];
            let changed = change.execute(sql, values)?;
            noted(change, changed, EstateChange::NoSite, act, now_ns)
        })
    }

    /// Takes a site away at which no endpoint stands.
    pub fn remove_site(
        &self,
        client: &ClientId,
        name: &Word,
        act: Act,
        now_ns: u64,
    ) -> Result<EstateChange, StateError> {
        self.write("take a site away", |change| {
            let used = "SELECT count(*) FROM note WHERE client = ?1 AND site = ?2";
            let values = params![client.as_str(), name.as_str()];
            let used: i64 = change.query_row(used, values, |row| row.get(0))?;
            if used > 0 {
                return Ok(EstateChange::InUse(from_sql(used)));
            }
            let sql = "DELETE FROM site WHERE client = ?1 AND name = ?2";
            let changed = change.execute(sql, values)?;
            noted(change, changed, EstateChange::NoSite, act, now_ns)
        })
    }

    /// What people say of endpoints; those of which nobody said anything are missing.
    pub fn notes(
        &self,
        endpoints: &[EndpointId],
    ) -> Result<BTreeMap<EndpointId, Note>, StateError> {
        self.read("read what people say of endpoints", |connection| {
            let mut notes = BTreeMap::new();
            for endpoint in endpoints {
                if let Some(found) = note(connection, *endpoint)? {
                    notes.insert(*endpoint, found);
                }
            }
            Ok(notes)
        })
    }

    /// Keeps what people say of a client's endpoint, if `note.revision` is still the one kept; it
    /// becomes one more.
    pub fn put_note(
        &self,
        client: &ClientId,
        endpoint: EndpointId,
        said: &Note,
        act: Act,
        now_ns: u64,
    ) -> Result<EstateChange, StateError> {
        self.write("keep what people say of an endpoint", |change| {
            let revision = note(change, endpoint)?.unwrap_or_default().revision;
            if revision != said.revision {
                return Ok(EstateChange::Moved(revision));
            }
            if let Some(site) = &said.site {
                let sql = "SELECT 1 FROM site WHERE client = ?1 AND name = ?2";
                if !change.prepare_cached(sql)?.exists(params![client.as_str(), site.as_str()])? {
                    return Ok(EstateChange::NoSite);
                }
            }
            put(change, client, endpoint, said)?;
            audit::append(change, act, now_ns)?;
            Ok(EstateChange::Done)
        })
    }
}

/// A change of sites goes into the trail if it changed any; otherwise it was not to be.
fn noted(
    change: &Transaction<'_>,
    changed: usize,
    otherwise: EstateChange,
    act: Act,
    now_ns: u64,
) -> rusqlite::Result<EstateChange> {
    if changed == 0 {
        return Ok(otherwise);
    }
    audit::append(change, act, now_ns)?;
    Ok(EstateChange::Done)
}

fn put(
    change: &Transaction<'_>,
    client: &ClientId,
    endpoint: EndpointId,
    said: &Note,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO note (endpoint, client, site, criticality, role, revision)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
               site = ?3, criticality = ?4, role = ?5, revision = ?6";
    let values = params![
        endpoint.0,
        client.as_str(),
        said.site.as_ref().map(Word::as_str),
        rank(said.criticality),
        said.role,
        to_sql(said.revision.saturating_add(1))
    ];
    change.execute(sql, values)?;
    change.execute("DELETE FROM label WHERE endpoint = ?1", [endpoint.0])?;
    for label in &said.labels {
        let sql = "INSERT INTO label (endpoint, label) VALUES (?1, ?2)";
        change.prepare_cached(sql)?.execute(params![endpoint.0, label.as_str()])?;
    }
    Ok(())
}

fn note(connection: &Connection, endpoint: EndpointId) -> rusqlite::Result<Option<Note>> {
    let sql = "SELECT site, criticality, role, revision FROM note WHERE endpoint = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([endpoint.0], |row| {
        let site: Option<String> = row.get(0)?;
        Ok(Note {
            site: site.map(|site| parsed(site.parse(), 0)).transpose()?,
            labels: Default::default(),
            criticality: of_rank(row.get(1)?),
            role: row.get(2)?,
            revision: from_sql(row.get(3)?),
        })
    });
    let Some(mut found) = found.optional()? else { return Ok(None) };
    let sql = "SELECT label FROM label WHERE endpoint = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let labels =
        statement.query_map([endpoint.0], |row| parsed(row.get::<_, String>(0)?.parse(), 0))?;
    found.labels = labels.collect::<rusqlite::Result<_>>()?;
    Ok(Some(found))
}

/// A criticality as the state keeps it: so that it can be sorted by.
pub(super) fn rank(criticality: Criticality) -> i64 {
    match criticality {
        Criticality::Low => 0,
        Criticality::Normal => 1,
        Criticality::High => 2,
        Criticality::Critical => 3,
    }
}

/// The reverse of [`rank`].
pub(super) fn of_rank(number: i64) -> Criticality {
    Criticality::ALL.into_iter().find(|one| rank(*one) == number).unwrap_or_default()
}
