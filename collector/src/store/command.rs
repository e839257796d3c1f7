//! Commands and their lives as the state keeps them.

use std::collections::BTreeSet;

use cordon_proto::command::{Action, ActionKind, Command};
use cordon_proto::id::{ClientId, CommandId, EndpointId, Hash, OperatorId};
use cordon_proto::policy::Policy;
use cordon_proto::sign::command::SignedCommand;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::state::{State, StateError, from_sql, parsed, to_sql};
use super::{audit, brake};
use crate::audit::Act;
use crate::command::{Brake, Life};
use crate::time::Time;

/// Commands handed to one endpoint when it connects; the rest follow at its next connection.
const WAITING_MAX: i64 = 64;

/// A command as stored, with its life on every endpoint it is for.
#[derive(Clone, Debug)]
pub struct StoredCommand {
    /// The command and its signatures.
    pub signed: SignedCommand,
    /// When it was uploaded.
    pub requested: Time,
    /// Its targets, in the order of the command.
    pub lives: Vec<(EndpointId, Life)>,
}

/// A command on its way in.
#[derive(Debug)]
pub struct NewCommand<'a> {
    /// The command and its signatures; they were verified.
    pub signed: &'a SignedCommand,
    /// Who brings it.
    pub by: OperatorId,
    /// Whose signatures suffice, if they do.
    pub authorised: Option<Vec<OperatorId>>,
    /// The entry in the audit trail.
    pub act: Act,
    /// The limit.
    pub brake: Brake,
    /// When.
    pub now: Time,
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// It is stored.
    New,
    /// A command of this id is stored already.
    Known,
    /// A target is not one of the client's endpoints.
    NotATarget(EndpointId),
    /// Too many in an hour; there is room again after so many seconds.
    Braked(u64),
}

/// Which commands are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandsAsked {
    /// Those alone that set a policy.
    pub policies: bool,
    /// Those alone that are for this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Those alone that more signatures can authorise at this moment.
    pub waiting: Option<Time>,
    /// Those alone that were uploaded before this one.
    pub before: Option<CommandId>,
}

/// How much of what was asked for is open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OpenTargets {
    /// What was authorised and no endpoint was heard to have.
    pub undelivered: u64,
    /// What stands.
    pub standing: u64,
}

impl State {
    /// How much of these clients' commands is open, counted by command and endpoint.
    pub fn open_targets(&self, clients: &[ClientId]) -> Result<OpenTargets, StateError> {
        self.read("count open commands", |connection| {
            let clients = serde_json::to_string(clients).unwrap_or_default();
            let count = |column: &str| {
                let sql = format!(
                    "SELECT count(*) FROM command_target JOIN endpoint ON endpoint.id = endpoint
                     WHERE {column} AND client IN (SELECT value FROM json_each(?1))"
                );
                connection.prepare_cached(&sql)?.query_row([&clients], |row| row.get(0))
            };
            let (undelivered, standing) = (count("undelivered")?, count("stands")?);
            Ok(OpenTargets { undelivered: from_sql(undelivered), standing: from_sql(standing) })
        })
    }

    /// Takes a command in, with its entry in the audit trail, or nothing of it.
    pub fn add_command(&self, new: NewCommand<'_>) -> Result<Taken, StateError> {
        self.write("store a command", |change| {
            let NewCommand { signed, by, authorised, act, brake, now } = new;
            let command = signed.command();
            let id = command.id.0.as_bytes();
            let known = "SELECT 1 FROM command WHERE id = ?1";
            if change.prepare_cached(known)?.exists([id])? {
                return Ok(Taken::Known);
            }
            for target in &command.targets {
                let sql = "SELECT 1 FROM endpoint WHERE id = ?1 AND client = ?2";
                let values = params![target.endpoint.0, command.client.as_str()];
                if !change.prepare_cached(sql)?.exists(values)? {
                    return Ok(Taken::NotATarget(target.endpoint));
                }
            }
            let changes = command.action.kind().changes();
            let recent = brake::recent(change, &command.client, changes, now.minus_secs(3600))?;
            if let Err(retry_secs) = brake.check(&recent, now) {
                return Ok(Taken::Braked(retry_secs));
            }
            let document = signed.to_bytes();
            let authorised = not_held(change, command, authorised, brake, now)?;
            let waits_until = now.plus_secs(command.age_max_secs);
            let waits_until = authorised.is_none().then_some(waits_until);
            insert(change, command, &document, now, waits_until)?;
            let mut life = Life::requested(command.action.kind(), by, now);
            if let Some(by) = authorised {
                life.handle_authorised(by, now);
                keep_form(change, command.id, &document)?;
            }
            for target in &command.targets {
                put_life(change, command.id, target.endpoint, &life)?;
            }
            audit::append(change, act, now.0)?;
            Ok(Taken::New)
        })
    }

    /// Keeps further signatures, with their entry in the audit trail; the command may have become
    /// authorised by them.
    pub fn sign_command(
        &self,
        signed: &SignedCommand,
        authorised: Option<Vec<OperatorId>>,
        act: Act,
        brake: Brake,
        now: Time,
    ) -> Result<(), StateError> {
        self.write("keep a signature", |change| {
            let command = signed.command();
            let document = signed.to_bytes();
            let sql = "UPDATE command SET document = ?2 WHERE id = ?1";
            change.execute(sql, params![command.id.0.as_bytes(), document])?;
            if let Some(by) = not_held(change, command, authorised, brake, now)? {
                keep_form(change, command.id, &document)?;
                let sql = "UPDATE command SET waits_until_ns = NULL WHERE id = ?1";
                change.execute(sql, params![command.id.0.as_bytes()])?;
                for target in &command.targets {
                    if let Some(mut life) = life(change, command.id, target.endpoint)? {
                        life.handle_authorised(by.clone(), now);
                        put_life(change, command.id, target.endpoint, &life)?;
                    }
                }
            }
            audit::append(change, act, now.0)
        })
    }

    /// A command of one of these clients.
    pub fn command(
        &self,
        clients: &[ClientId],
        id: CommandId,
    ) -> Result<Option<StoredCommand>, StateError> {
        let found = self.read("read a command", |connection| find(connection, id))?;
        Ok(found.filter(|found| clients.contains(&found.signed.command().client)))
    }

    /// Commands of these clients, newest first.
    pub fn commands(
        &self,
        clients: &[ClientId],
        asked: CommandsAsked,
        count_max: usize,
    ) -> Result<Vec<StoredCommand>, StateError> {
        self.read("list commands", |connection| {
            let clients = serde_json::to_string(clients).unwrap_or_default();
            let sql = "SELECT id FROM command WHERE client IN (SELECT value FROM json_each(?1))
                       AND (?2 IS NULL OR (requested_ns, id) <
                            (SELECT requested_ns, id FROM command WHERE id = ?2))
                       AND (policy OR NOT ?4)
                       AND (?5 IS NULL OR waits_until_ns > ?5)
                       AND (?6 IS NULL OR id IN
                            (SELECT command FROM command_target WHERE endpoint = ?6))
                       ORDER BY requested_ns DESC, id DESC LIMIT ?3";
            let CommandsAsked { policies, endpoint, waiting, before } = asked;
            let before = before.map(|id| id.0.as_bytes().to_vec());
            let (waiting, endpoint) = (waiting.map(|now| to_sql(now.0)), endpoint.map(|one| one.0));
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let mut statement = connection.prepare_cached(sql)?;
            let values = params![clients, before, count_max, policies, waiting, endpoint];
            let ids: Vec<CommandId> =
                statement.query_map(values, command_id)?.collect::<Result<_, _>>()?;
            ids.into_iter().filter_map(|id| find(connection, id).transpose()).collect()
        })
    }

    /// Commands of these clients of which something stands on an endpoint, from this id on
    /// downwards.
    pub fn standing_commands(
        &self,
        clients: &[ClientId],
        from: Option<CommandId>,
        count_max: usize,
    ) -> Result<Vec<StoredCommand>, StateError> {
        self.read("list what stands", |connection| {
            let clients = serde_json::to_string(clients).unwrap_or_default();
            let sql = "SELECT DISTINCT command.id FROM command_target
                       JOIN command ON command.id = command_target.command
                       WHERE stands AND client IN (SELECT value FROM json_each(?1))
                       AND (?3 IS NULL OR command.id <= ?3)
                       ORDER BY command.id DESC LIMIT ?2";
            let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
            let from = from.map(|id| id.0.as_bytes().to_vec());
            let mut statement = connection.prepare_cached(sql)?;
            let ids = statement.query_map(params![clients, count_max, from], command_id)?;
            let ids: Vec<CommandId> = ids.collect::<Result<_, _>>()?;
            ids.into_iter().filter_map(|id| find(connection, id).transpose()).collect()
        })
    }

    /// Authorised commands that an endpoint was never heard to have, oldest first, as they travel.
    /// The agents' door hands them over when the endpoint connects.
    pub fn waiting_commands(&self, endpoint: EndpointId) -> Result<Vec<Vec<u8>>, StateError> {
        self.read("read the commands that wait for an endpoint", |connection| {
            let sql = "SELECT document FROM command_target
                       JOIN command ON command.id = command_target.command
                       WHERE endpoint = ?1 AND undelivered ORDER BY requested_ns, id LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![endpoint.0, WAITING_MAX], |row| row.get(0))?;
            rows.collect()
        })
    }

    /// The endpoints that a client's newest authorised policy calls critical.
    pub fn critical_endpoints(
        &self,
        client: &ClientId,
    ) -> Result<BTreeSet<EndpointId>, StateError> {
        let newest = self.policy(client, None)?;
        Ok(newest.map(|policy| policy.critical.into_iter().collect()).unwrap_or_default())
    }

    /// A client's authorised policy of this version or, without one and where it is not here, the
    /// newest.
    pub fn policy(
        &self,
        client: &ClientId,
        version: Option<u64>,
    ) -> Result<Option<Policy>, StateError> {
        self.read("read a client's policy", |connection| {
            let sql = "SELECT document FROM command WHERE client = ?1 AND id IN
                       (SELECT command FROM command_form) AND policy
                       ORDER BY requested_ns DESC, id DESC LIMIT 64";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([client.as_str()], |row| row.get::<_, Vec<u8>>(0))?;
            let mut newest: Option<Policy> = None;
            for document in rows {
                let signed = parsed(SignedCommand::read(&document?), 0)?;
                let Action::SetPolicy(policy) = &signed.command().action else { continue };
                if version == Some(policy.version) {
                    return Ok(Some(policy.clone()));
                }
                if newest.as_ref().is_none_or(|newest| policy.version > newest.version) {
                    newest = Some(policy.clone());
                }
            }
            Ok(newest)
        })
    }
}

/// Which command was handed out in this form.
pub(super) fn of_form(connection: &Connection, hash: Hash) -> rusqlite::Result<Option<CommandId>> {
    let sql = "SELECT command FROM command_form WHERE hash = ?1";
    connection.prepare_cached(sql)?.query_row([hash.0], command_id).optional()
}

/// A command's life on an endpoint; none if it is not for it.
pub(super) fn life(
    connection: &Connection,
    command: CommandId,
    endpoint: EndpointId,
) -> rusqlite::Result<Option<Life>> {
    let sql = "SELECT life FROM command_target WHERE command = ?1 AND endpoint = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_row(params![command.0.as_bytes(), endpoint.0], |row| {
            parsed(serde_json::from_str(&row.get::<_, String>(0)?), 0)
        })
        .optional()
}

/// Commands that stand on an endpoint, or that it was never heard to have.
pub(super) fn open_on(
    connection: &Connection,
    endpoint: EndpointId,
) -> rusqlite::Result<Vec<(SignedCommand, Life)>> {
    let sql = "SELECT document, life FROM command_target
               JOIN command ON command.id = command_target.command
               WHERE endpoint = ?1 AND (stands OR undelivered)";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([endpoint.0], |row| {
        let signed = parsed(SignedCommand::read(&row.get::<_, Vec<u8>>(0)?), 0)?;
        Ok((signed, parsed(serde_json::from_str(&row.get::<_, String>(1)?), 1)?))
    })?;
    rows.collect()
}

/// Releases that an endpoint carried out and that were not yet seen to have had their effect.
pub(super) fn awaiting_end(
    connection: &Connection,
    endpoint: EndpointId,
) -> rusqlite::Result<Vec<(CommandId, Life)>> {
    let sql = "SELECT command, life FROM command_target WHERE endpoint = ?1 AND awaits_end";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([endpoint.0], |row| {
        let life = parsed(serde_json::from_str(&row.get::<_, String>(1)?), 1)?;
        Ok((command_id(row)?, life))
    })?;
    rows.collect()
}

/// Keeps a life as it stands now.
pub(super) fn put_life(
    change: &Transaction<'_>,
    command: CommandId,
    endpoint: EndpointId,
    life: &Life,
) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO command_target (command, endpoint, life, undelivered, stands, awaits_end)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO UPDATE SET life = ?3, undelivered = ?4, stands = ?5, awaits_end = ?6";
    let text = serde_json::to_string(life)
        .map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))?;
    let id = command.0.as_bytes();
    let (undelivered, stands, awaits_end) = (life.undelivered(), life.stands(), life.awaits_end());
    let values = params![id, endpoint.0, text, undelivered, stands, awaits_end];
    change.prepare_cached(sql)?.execute(values).map(|_| ())
}

fn insert(
    change: &Transaction<'_>,
    command: &Command,
    document: &[u8],
    now: Time,
    waits_until: Option<Time>,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO command (id, client, policy, document, requested_ns, waits_until_ns)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let policy = command.action.kind() == ActionKind::SetPolicy;
    let id = command.id.0.as_bytes();
    let (requested_ns, waits_until_ns) = (to_sql(now.0), waits_until.map(|until| to_sql(until.0)));
    let client = command.client.as_str();
    let values = params![id, client, policy, document, requested_ns, waits_until_ns];
    change.execute(sql, values).map(|_| ())
}

/// Whose signatures suffice, unless the brake holds one person's command back for a second one.
fn not_held(
    connection: &Connection,
    command: &Command,
    authorised: Option<Vec<OperatorId>>,
    brake: Brake,
    now: Time,
) -> rusqlite::Result<Option<Vec<OperatorId>>> {
    let kind = command.action.kind();
    let alone = authorised.as_ref().is_some_and(|by| by.len() < 2);
    if !alone || !kind.changes() || kind.undoes() {
        return Ok(authorised);
    }
    if brake.carries_others {
        return Ok(None);
    }
    let mut reached = brake::reached_alone(connection, &command.client, now.minus_secs(3600))?;
    reached.extend(command.targets.iter().map(|target| target.endpoint));
    let endpoints = brake::endpoints_of(connection, &command.client)?;
    Ok(authorised.filter(|_| brake.lets_alone(reached.len(), endpoints)))
}

fn keep_form(
    change: &Transaction<'_>,
    command: CommandId,
    document: &[u8],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO command_form (hash, command) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    change.execute(sql, params![Hash::of(document).0, command.0.as_bytes()]).map(|_| ())
}

fn find(connection: &Connection, id: CommandId) -> rusqlite::Result<Option<StoredCommand>> {
    let sql = "SELECT document, requested_ns FROM command WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement
        .query_row([id.0.as_bytes()], |row| {
            let signed = parsed(SignedCommand::read(&row.get::<_, Vec<u8>>(0)?), 0)?;
            Ok((signed, Time(from_sql(row.get(1)?))))
        })
        .optional()?;
    let Some((signed, requested)) = found else { return Ok(None) };
    let targets = signed.command().targets.iter().map(|target| target.endpoint);
    let with_life = |endpoint| Ok(life(connection, id, endpoint)?.map(|life| (endpoint, life)));
    let lives = targets.filter_map(|endpoint| with_life(endpoint).transpose());
    let lives = lives.collect::<rusqlite::Result<_>>()?;
    Ok(Some(StoredCommand { signed, requested, lives }))
}

fn command_id(row: &rusqlite::Row<'_>) -> rusqlite::Result<CommandId> {
    Ok(CommandId(parsed(uuid::Uuid::from_slice(&row.get::<_, Vec<u8>>(0)?), 0)?))
}
