//! What the endpoint knows of itself, as lines of JSON: the tables of live queries, with the same
//! secrets taken out.

use std::io;

use cordon_proto::command::Source;
use cordon_proto::query::{Query, Row, Value, read_chunk};

use crate::clock::Clock;
use crate::query::engine;
use crate::query::frame::{Facts, Frame};
use crate::query::table;

/// Lines of one table: they are held in memory, because an archive says beforehand how long they
/// are.
pub const SOURCE_BYTES_MAX: usize = 8 << 20;

/// One table: packages are asked of the package manager, which may take its time.
const SOURCE_MS_MAX: u64 = 60_000;

/// The tables of a source; the logs are files.
#[must_use]
pub fn tables(source: Source) -> &'static [&'static str] {
    match source {
        Source::Processes => &["processes"],
        Source::Sockets => &["sockets", "listeners"],
        Source::Sessions => &["sessions"],
        Source::Autoruns => &["autoruns", "services", "ssh_keys", "sudoers"],
        Source::Packages => &["packages"],
        Source::Logs => &[],
    }
}

/// Where logs stand.
pub const LOGS: &[u8] = b"/var/log/**";

/// Every row of a table, a line each, and why they are not all.
pub fn lines(name: &str, facts: &Facts, clock: &Clock) -> (Vec<u8>, Option<String>) {
    let query = Query {
        sql: format!("SELECT * FROM {name}"),
        rows_max: u64::MAX,
        bytes_max: u64::MAX,
        time_ms_max: SOURCE_MS_MAX,
    };
    let (mut lines, mut columns) = (Vec::new(), Vec::new());
    let mut missing = None;
    let answered = engine::answer(&query, table::all(facts), clock, &mut |frame| {
        match frame {
            Frame::Columns(found) => columns = found,
            Frame::Rows { content, .. } => {
                for row in read_chunk(&content).map_err(io::Error::other)? {
                    let line = line(&columns, &row);
                    if lines.len() + line.len() >= SOURCE_BYTES_MAX {
                        return Err(io::Error::other("there is more than is held in memory"));
                    }
                    lines.extend(line);
                    lines.push(b'\n');
                }
            }
            Frame::End(ended) => {
                let cut =
                    ended.cut.map(|limit| format!("the limit on {} was reached", limit.name()));
                missing = ended.error.map(|error| error.sentence).or(cut);
            }
        }
        Ok(())
    });
    (lines, answered.err().map(|error| error.to_string()).or(missing))
}

fn line(columns: &[String], row: &Row) -> Vec<u8> {
    let value = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
    };
    let pairs = columns.iter().zip(row).map(|(column, found)| (column.clone(), value(found)));
    serde_json::Value::Object(pairs.collect()).to_string().into_bytes()
}
