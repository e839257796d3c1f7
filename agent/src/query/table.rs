//! The tables: one file each, and the list of them.

mod agent;
mod disks;
mod files;
mod hashes;
mod inventory;
mod mounts;
mod os;
mod proc;
mod processes;
mod schema;
mod sessions;
mod sockets;
mod users;

use std::sync::Arc;

use cordon_proto::query::{Row, Value};

use super::frame::Facts;
use crate::platform::sqlite::{Column, Key, Rows, Table};
use crate::redact::Redactor;

/// Every table, with what the agent told.
#[must_use]
pub fn all(facts: &Facts) -> Vec<Arc<dyn Table>> {
    let health = &facts.health;
    let redactor = Arc::new(redactor(facts));
    let mut tables: Vec<Arc<dyn Table>> = vec![
        Arc::new(processes::Processes(redactor.clone())),
        Arc::new(sockets::Sockets),
        Arc::new(sockets::Listeners),
        Arc::new(files::Files),
        Arc::new(hashes::Hashes),
        Arc::new(users::Users),
        Arc::new(users::Groups),
        Arc::new(sessions::Sessions),
        Arc::new(mounts::Mounts(redactor.clone())),
        Arc::new(disks::Disks),
        Arc::new(inventory::packages(&redactor)),
        Arc::new(inventory::services(&redactor)),
        Arc::new(inventory::autoruns(&redactor)),
        Arc::new(inventory::ssh_keys(&redactor)),
        Arc::new(inventory::sudoers(&redactor)),
        Arc::new(os::Os(facts.clone())),
        Arc::new(agent::Health(health.clone())),
        Arc::new(agent::Sensors(health.sensors.clone())),
        Arc::new(agent::Containments(health.containments.clone())),
    ];
    let schema = schema::Schema::of(&tables);
    tables.push(Arc::new(schema));
    tables
}

/// What takes secrets out of the rows, before anything can be asked of them. The agent has refused
/// a policy that cannot be used.
fn redactor(facts: &Facts) -> Redactor {
    Redactor::new(facts.redactions.as_ref()).unwrap_or_else(|error| {
        tracing::error!(%error, "the policy's redactions cannot be used; only the agent's own are");
        Redactor::default()
    })
}

/// A column that rows cannot be named by.
const fn column(name: &'static str, kind: &'static str, about: &'static str) -> Column {
    Column { name, kind, about, key: Key::No }
}

const INTEGER: &str = "INTEGER";
const TEXT: &str = "TEXT";

/// Rows that are all there.
fn rows(rows: Vec<Row>) -> Rows {
    Box::new(rows.into_iter().map(Ok))
}

/// Text as found: bytes where it is not UTF-8.
fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.to_owned()),
        Err(_not_utf8) => Value::Bytes(bytes.to_vec()),
    }
}

/// A word of ours.
fn word(word: impl Into<String>) -> Value {
    Value::Text(word.into())
}

/// A number; one that SQLite has no room for is as large as it has.
fn number(found: impl TryInto<i64>) -> Value {
    Value::Integer(found.try_into().unwrap_or(i64::MAX))
}

/// A number, where it is known.
fn maybe<T: TryInto<i64>>(found: Option<T>) -> Value {
    found.map_or(Value::Null, number)
}

/// Yes or no, as SQLite says it.
fn flag(found: bool) -> Value {
    Value::Integer(i64::from(found))
}

#[cfg(test)]
mod tests;
