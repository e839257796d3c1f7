//! Runs one SELECT over the tables, within its limits, and writes its rows in parts.
//!
//! The connection has nothing but these tables: no file, no other database, no function that
//! touches anything. What is asked for beyond is refused when the statement is prepared.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::limits::{
    QUERY_COLUMN_BYTES_MAX, QUERY_COLUMNS_MAX, QUERY_SQL_BYTES_MAX, ROWS_BYTES_MAX,
    ROWS_BYTES_USUAL,
};
use cordon_proto::query::{Limit, Query, Row};
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit as SqliteLimit;
use rusqlite::{Connection, Error, Statement};

use super::frame::{Ended, Frame};
use super::functions::{may_read, may_use};
use super::refusal;
use crate::clock::Clock;
use crate::platform::sqlite::{Table, add_table, owned};

/// One value; larger ones fail to be made.
const VALUE_BYTES_MAX: i32 = 1 << 20;

/// Steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS: i32 = 1000;

/// The head of an array with any count of rows that fits a part.
const HEAD_BYTES_MAX: usize = 5;

/// Runs a query; frames go to `out`. An error is one of `out`.
pub fn answer(
    query: &Query,
    tables: Vec<Arc<dyn Table>>,
    clock: &Clock,
    out: &mut dyn FnMut(Frame) -> io::Result<()>,
) -> io::Result<()> {
    let names: Vec<_> = tables.iter().map(|table| table.name()).collect();
    let deadline = clock.now().saturating_add(Duration::from_millis(query.time_ms_max));
    let ended = match open(tables, deadline, *clock) {
        Ok(connection) => match connection.prepare(&query.sql) {
            Ok(statement) => run(statement, query, &names, out)?,
            Err(error) => refusal::ended(&error, &names),
        },
        Err(error) => refusal::ended(&error, &names),
    };
    out(Frame::End(ended))
}

fn open(
    tables: Vec<Arc<dyn Table>>,
    deadline: Duration,
    clock: Clock,
) -> Result<Connection, Error> {
    let mut connection = Connection::open_in_memory()?;
    // Nothing is ever written to a disk: what sorting needs counts as memory.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let as_limit = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let limits = [
        (SqliteLimit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
        (SqliteLimit::SQLITE_LIMIT_SQL_LENGTH, as_limit(QUERY_SQL_BYTES_MAX)),
        (SqliteLimit::SQLITE_LIMIT_COLUMN, as_limit(QUERY_COLUMNS_MAX)),
        (SqliteLimit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (SqliteLimit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (SqliteLimit::SQLITE_LIMIT_VDBE_OP, 100_000),
        (SqliteLimit::SQLITE_LIMIT_ATTACHED, 0),
        (SqliteLimit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
        (SqliteLimit::SQLITE_LIMIT_VARIABLE_NUMBER, 0),
        (SqliteLimit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (SqliteLimit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, value) in limits {
        connection.set_limit(limit, value)?;
    }
    let names: Vec<_> = tables.iter().map(|table| table.name()).collect();
    for table in tables {
        add_table(&connection, table)?;
    }
    connection.progress_handler(STEPS, Some(move || clock.now() >= deadline))?;
    connection.authorizer(Some(move |asked: AuthContext<'_>| may(&asked.action, &names)))?;
    Ok(connection)
}

fn may(action: &AuthAction<'_>, tables: &[&str]) -> Authorization {
    let ours = |name: &str| tables.iter().any(|table| table.eq_ignore_ascii_case(name));
    let allowed = if let AuthAction::Read { table_name, column_name } = action {
        // Without a column only its rows are counted; that is all there is to say of a table of the
        // query's own (WITH), which has no other name here.
        column_name.is_empty() || ours(table_name) || may_read(table_name)
    } else if let AuthAction::Function { function_name } = action {
        may_use(function_name)
    } else {
        matches!(action, AuthAction::Select | AuthAction::Recursive)
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

fn run(
    mut statement: Statement<'_>,
    query: &Query,
    tables: &[&str],
    out: &mut dyn FnMut(Frame) -> io::Result<()>,
) -> io::Result<Ended> {
    let width = statement.column_count();
    if width == 0 || !statement.readonly() {
        return Ok(Ended::failed("a query is one SELECT; this is none"));
    }
    let columns = statement.column_names().map(cut).collect();
    out(Frame::Columns(columns))?;
    let mut part = Part::default();
    let mut rows = statement.raw_query();
    let ended = loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break Ended::default(),
            Err(error) => break refusal::ended(&error, tables),
        };
        let values: Result<Row, Error> =
            (0..width).map(|index| Ok(owned(row.get_ref(index)?))).collect();
        let values = match values {
            Ok(values) => values,
            Err(error) => break refusal::ended(&error, tables),
        };
        match part.add(&values, query) {
            Ok(true) => out(part.take())?,
            Ok(false) => {}
            Err(limit) => break Ended::cut(limit),
        }
    };
    if part.count > 0 {
        out(part.take())?;
    }
    Ok(ended)
}

fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(QUERY_COLUMN_BYTES_MAX)].to_owned()
}

/// A row that comes when a part is almost sent must fit it.
const ROW_BYTES_MAX: usize = ROWS_BYTES_MAX - ROWS_BYTES_USUAL - HEAD_BYTES_MAX;

/// Rows that were not sent yet, and how many were.
#[derive(Default)]
struct Part {
    encoded: Vec<u8>,
    count: u64,
    rows: u64,
    bytes: u64,
}

impl Part {
    /// Adds a row; answers whether the part is to be sent, or which limit is reached.
    fn add(&mut self, row: &Row, query: &Query) -> Result<bool, Limit> {
        let encoded = codec::encode(row);
        if self.rows >= query.rows_max {
            return Err(Limit::Rows);
        }
        let head = if self.count == 0 { HEAD_BYTES_MAX } else { 0 };
        let more = u64::try_from(encoded.len() + head).unwrap_or(u64::MAX);
        if encoded.len() > ROW_BYTES_MAX || self.bytes.saturating_add(more) > query.bytes_max {
            return Err(Limit::Bytes);
        }
        self.encoded.extend(encoded);
        self.count += 1;
        self.rows += 1;
        self.bytes += more;
        Ok(self.encoded.len() >= ROWS_BYTES_USUAL)
    }

    fn take(&mut self) -> Frame {
        let mut content = Vec::with_capacity(HEAD_BYTES_MAX + self.encoded.len());
        let count = std::mem::take(&mut self.count);
        match minicbor::Encoder::new(&mut content).array(count) {
            Ok(_) => content.append(&mut self.encoded),
            Err(error) => unreachable!("encoding to memory failed: {error}"),
        }
        Frame::Rows { count, content }
    }
}

#[cfg(test)]
mod tests;
