//! Endpoints: the registered keys, what each last said of itself, and clones that were noticed.

use cordon_proto::id::{ClientId, EndpointId, Hash, TokenId};
use cordon_proto::message::Hello;
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::VerifyingKey;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::state::{State, StateError, from_sql, parsed, to_sql};
use super::token::{self, TokenRefusal};
use crate::presence::{Ended, Farewell};

/// An endpoint as registered, and as it last said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose.
    pub client: ClientId,
    /// The key that is its identity.
    pub key: VerifyingKey,
    /// Its host name.
    pub host_name: String,
    /// The machine's id.
    pub machine_id: String,
    /// The token it came with.
    pub token: Option<TokenId>,
    /// When it enrolled.
    pub enrolled_ns: u64,
    /// Until when its certificate is good, seconds since 1970 UTC.
    pub certificate_until_secs: u64,
    /// The operating system, for people.
    pub os: String,
    /// The kernel, for people.
    pub kernel: String,
    /// The agent's version.
    pub agent_version: String,
    /// The boot it last spoke from.
    pub boot_id: String,
    /// The roster it held at its last hello.
    pub roster: RosterRef,
    /// Its wall clock minus the collector's, at its last hello.
    pub clock_offset_ns: i64,
    /// When it last said hello.
    pub hello_ns: Option<u64>,
    /// When it was last heard, as far as the state was told: at hello and at the session's end.
    pub last_seen_ns: Option<u64>,
    /// How its last session ended.
    pub ended: Option<Ended>,
    /// What it said of its silence, and has not taken back since.
    pub farewell: Option<Farewell>,
}

/// Two machines with one key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotedClone {
    /// The machine's id.
    pub machine_id: String,
    /// The boot it spoke from.
    pub boot_id: String,
    /// Its host name.
    pub host_name: String,
    /// When it was first noticed.
    pub first_ns: u64,
    /// When it was last noticed.
    pub last_ns: u64,
}

/// Which endpoints to list.
#[derive(Clone, Debug, Default)]
pub struct EndpointFilter {
    /// Of these clients only: those that the asker may see.
    pub clients: Vec<ClientId>,
    /// Whose host name has this in it.
    pub name: Option<String>,
    /// After this one, in order of id.
    pub after: Option<EndpointId>,
    /// At most so many.
    pub count_max: usize,
}

/// What an endpoint asks to be registered as.
#[derive(Clone, Debug)]
pub struct Registration<'a> {
    pub client: &'a ClientId,
    pub key: VerifyingKey,
    pub host_name: &'a str,
    pub machine_id: &'a str,
    pub token: TokenId,
    pub now_ns: u64,
    pub now_secs: u64,
    pub certificate_until_secs: u64,
}

const COLUMNS: &str = "SELECT id, client, signing_key, host_name, machine_id, token, enrolled_ns,
    certificate_until_secs, os, kernel, agent_version, boot_id, roster_version, roster_hash,
    clock_offset_ns, hello_ns, last_seen_ns, ended, farewell FROM endpoint";

impl State {
    /// The endpoint, whoever's it is: for the agents' door, where the key is the identity.
    pub fn endpoint(&self, id: EndpointId) -> Result<Option<Endpoint>, StateError> {
        self.read("read an endpoint", |connection| find(connection, id))
    }

    /// A client's endpoint.
    pub fn endpoint_of(
        &self,
        client: &ClientId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StateError> {
        Ok(self.endpoint(id)?.filter(|endpoint| endpoint.client == *client))
    }

    /// Endpoints in order of id.
    pub fn endpoints(&self, filter: &EndpointFilter) -> Result<Vec<Endpoint>, StateError> {
        self.read("list endpoints", |connection| {
            let clients = serde_json::to_string(&filter.clients).unwrap_or_default();
            let sql = format!(
                "{COLUMNS} WHERE client IN (SELECT value FROM json_each(?1)) AND id > ?2
                 AND (?3 IS NULL OR instr(lower(host_name), lower(?3)) > 0)
                 ORDER BY id LIMIT ?4"
            );
            let after = filter.after.map_or_else(Vec::new, |id| id.0.to_vec());
            let count_max = i64::try_from(filter.count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(&sql)?;
            let rows =
                statement.query_map(params![clients, after, filter.name, count_max], read)?;
            rows.collect()
        })
    }

    /// Whether a token would let an endpoint in now; changes nothing.
    pub fn token_check(
        &self,
        token: TokenId,
        endpoint: EndpointId,
        client: &ClientId,
        now_secs: u64,
    ) -> Result<Result<(), TokenRefusal>, StateError> {
        self.read("read an enrolment token", |connection| {
            Ok(admission(connection, token, endpoint, client, now_secs)?.map(|_| ()))
        })
    }

    /// Registers an endpoint and counts the token's use, both or neither. An endpoint that is
    /// registered already (its answer was lost) is not counted twice.
    pub fn register(
        &self,
        asked: &Registration<'_>,
    ) -> Result<Result<EndpointId, TokenRefusal>, StateError> {
        self.write("register an endpoint", |change| {
            let id = EndpointId(asked.key.id().0);
            match admission(change, asked.token, id, asked.client, asked.now_secs)? {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(Admission::Again) => {}
                Ok(Admission::New) => token::count_use(change, asked.token)?,
            }
            let sql = "INSERT INTO endpoint (id, client, signing_key, host_name, machine_id, token,
                       enrolled_ns, certificate_until_secs) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                       ON CONFLICT (id) DO UPDATE SET host_name = ?4, machine_id = ?5,
                       token = ?6, certificate_until_secs = ?8";
            let values = params![
                id.0,
                asked.client.as_str(),
                asked.key.0,
                asked.host_name,
                asked.machine_id,
                asked.token.0,
                to_sql(asked.now_ns),
                to_sql(asked.certificate_until_secs)
            ];
            change.execute(sql, values)?;
            Ok(Ok(id))
        })
    }

    /// Notes until when an endpoint's newest certificate is good.
    pub fn note_certificate(&self, id: EndpointId, until_secs: u64) -> Result<(), StateError> {
        self.write("note a renewed certificate", |change| {
            let sql = "UPDATE endpoint SET certificate_until_secs = ?2 WHERE id = ?1";
            change.execute(sql, params![id.0, to_sql(until_secs)]).map(|_| ())
        })
    }

    /// Notes what an endpoint said in its hello, which was verified.
    pub fn note_hello(
        &self,
        hello: &Hello,
        clock_offset_ns: i64,
        now_ns: u64,
    ) -> Result<(), StateError> {
        self.write_soon("note an endpoint's hello", |change| {
            let sql = "UPDATE endpoint SET host_name = ?2, machine_id = ?3, os = ?4, kernel = ?5,
                       agent_version = ?6, boot_id = ?7, roster_version = ?8, roster_hash = ?9,
                       clock_offset_ns = ?10, hello_ns = ?11, last_seen_ns = ?11 WHERE id = ?1";
            let values = params![
                hello.endpoint.0,
                hello.host_name,
                hello.machine_id,
                hello.os,
                hello.kernel,
                hello.agent_version,
                hello.boot_id,
                to_sql(hello.roster.version),
                hello.roster.hash.0,
                clock_offset_ns,
                to_sql(now_ns)
            ];
            change.execute(sql, values).map(|_| ())
        })
    }

    /// Notes when an endpoint was last heard, and how its session ended.
    pub fn note_seen(&self, id: EndpointId, now_ns: u64, ended: Ended) -> Result<(), StateError> {
        self.write_soon("note when an endpoint was last heard", |change| {
            let sql = "UPDATE endpoint SET last_seen_ns = max(coalesce(last_seen_ns, 0), ?2),
                       ended = ?3 WHERE id = ?1";
            change.execute(sql, params![id.0, to_sql(now_ns), ended.name()]).map(|_| ())
        })
    }

    /// Notes that a machine was connected at the same time as another with the same key.
    pub fn note_clone(&self, id: EndpointId, seen: &NotedClone) -> Result<(), StateError> {
        self.write("note a clone", |change| {
            let sql = "INSERT INTO clone VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT DO UPDATE SET host_name = ?4, last_ns = ?6";
            let (first_ns, last_ns) = (to_sql(seen.first_ns), to_sql(seen.last_ns));
            let values =
                params![id.0, seen.machine_id, seen.boot_id, seen.host_name, first_ns, last_ns];
            change.execute(sql, values).map(|_| ())
        })
    }

    /// The machines that were noticed to share a client's endpoint's key.
    pub fn clones(&self, client: &ClientId, id: EndpointId) -> Result<Vec<NotedClone>, StateError> {
        self.read("list clones", |connection| {
            let sql = "SELECT clone.machine_id, clone.boot_id, clone.host_name, first_ns, last_ns
                       FROM clone JOIN endpoint ON endpoint.id = clone.endpoint
                       WHERE endpoint.client = ?1 AND clone.endpoint = ?2 ORDER BY first_ns";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![client.as_str(), id.0], |row| {
                Ok(NotedClone {
                    machine_id: row.get(0)?,
                    boot_id: row.get(1)?,
                    host_name: row.get(2)?,
                    first_ns: from_sql(row.get(3)?),
                    last_ns: from_sql(row.get(4)?),
                })
            })?;
            rows.collect()
        })
    }
}

/// How a token lets an endpoint in.
enum Admission {
    /// It counts as one use.
    New,
    /// It came with this very token before.
    Again,
}

fn admission(
    connection: &Connection,
    token: TokenId,
    endpoint: EndpointId,
    client: &ClientId,
    now_secs: u64,
) -> rusqlite::Result<Result<Admission, TokenRefusal>> {
    let Some(found) = token::find(connection, token)? else {
        return Ok(Err(TokenRefusal::Unknown));
    };
    let known = find(connection, endpoint)?;
    if known.as_ref().is_some_and(|known| known.client != *client) {
        return Ok(Err(TokenRefusal::OtherEndpoint));
    }
    let again = known.is_some_and(|known| known.token == Some(token));
    Ok(match found.check(client, now_secs) {
        Ok(()) if !again => Ok(Admission::New),
        // What it was spent on may have been this very endpoint.
        Ok(()) | Err(TokenRefusal::Spent(_)) if again => Ok(Admission::Again),
        Ok(()) => Ok(Admission::New),
        Err(refusal) => Err(refusal),
    })
}

pub(super) fn find(connection: &Connection, id: EndpointId) -> rusqlite::Result<Option<Endpoint>> {
    let sql = format!("{COLUMNS} WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id.0], read).optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    Ok(Endpoint {
        id: EndpointId(row.get(0)?),
        client: parsed(row.get::<_, String>(1)?.parse(), 1)?,
        key: VerifyingKey(row.get(2)?),
        host_name: row.get(3)?,
        machine_id: row.get(4)?,
        token: row.get::<_, Option<[u8; 32]>>(5)?.map(TokenId),
        enrolled_ns: from_sql(row.get(6)?),
        certificate_until_secs: from_sql(row.get(7)?),
        os: row.get(8)?,
        kernel: row.get(9)?,
        agent_version: row.get(10)?,
        boot_id: row.get(11)?,
        roster: RosterRef { version: from_sql(row.get(12)?), hash: Hash(row.get(13)?) },
        clock_offset_ns: row.get(14)?,
        hello_ns: row.get::<_, Option<i64>>(15)?.map(from_sql),
        last_seen_ns: row.get::<_, Option<i64>>(16)?.map(from_sql),
        ended: row.get::<_, Option<String>>(17)?.and_then(|name| Ended::of_name(&name)),
        farewell: row.get::<_, Option<String>>(18)?.and_then(|name| Farewell::of_name(&name)),
    })
}
