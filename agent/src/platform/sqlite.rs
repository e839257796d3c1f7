//! Tables of ours as SQLite sees them: read-only, there as soon as a connection is, never stored.
//!
//! SQLite looks into structures of C; this file is where rows that were read in safe code are put
//! into them, and nothing else.
#![allow(unsafe_code, reason = "SQLite looks into structures whose layout must be promised")]

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::{CStr, CString, c_int};
use std::rc::Rc;
use std::sync::Arc;

use cordon_proto::query::{Row, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection, VTabCursor,
    sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};

/// Rows as they are found; a sentence where no more can be found.
pub type Rows = Box<dyn Iterator<Item = std::result::Result<Row, String>>>;

/// A table that can be asked.
pub trait Table: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it tells, for a person.
    fn about(&self) -> &'static str;

    /// Its columns, in the order of its rows' values.
    fn columns(&self) -> &'static [Column];

    /// Its rows. Of a table with keys only those that `asked` wants need be given, and more may be:
    /// SQLite looks again. A table without keys is read once for a query.
    fn rows(&self, asked: &[Asked]) -> std::result::Result<Rows, String>;
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// `INTEGER` or `TEXT`.
    pub kind: &'static str,
    /// What it tells, for a person.
    pub about: &'static str,
    /// Whether a query can name rows by it.
    pub key: Key,
}

/// How rows can be named by a column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
    /// Not at all.
    No,
    /// `column = value`.
    Equal,
    /// Also `column LIKE pattern` and `column GLOB pattern`.
    Pattern,
}

/// What a query asks of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The column's index.
    pub column: usize,
    /// In which way.
    pub how: How,
    /// The value or the pattern.
    pub value: Value,
}

/// In which way a key is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// `=`.
    Equal,
    /// `LIKE`: `%` and `_`.
    Like,
    /// `GLOB`: `*`, `?` and `[`.
    Glob,
}

impl How {
    fn of(operator: &IndexConstraintOp, key: Key) -> Option<Self> {
        match (operator, key) {
            (IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ, Key::Equal | Key::Pattern) => {
                Some(Self::Equal)
            }
            (IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LIKE, Key::Pattern) => Some(Self::Like),
            (IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GLOB, Key::Pattern) => Some(Self::Glob),
            _ => None,
        }
    }

    /// How a plan is written down between planning and reading.
    fn letter(self) -> char {
        match self {
            Self::Equal => '=',
            Self::Like => '~',
            Self::Glob => '*',
        }
    }

    fn of_letter(letter: char) -> Option<Self> {
        [Self::Equal, Self::Like, Self::Glob].into_iter().find(|how| how.letter() == letter)
    }
}

/// Lets a connection's queries read a table.
pub fn add_table(connection: &Connection, table: Arc<dyn Table>) -> Result<()> {
    const MODULE: Module<'_, Served> = Module::eponymous_only_module();
    connection.create_module(table.name(), &MODULE, Some(table))
}

/// A table under the eyes of one connection.
#[repr(C)]
struct Served {
    /// SQLite's own part; it must come first.
    base: sqlite3_vtab,
    table: Arc<dyn Table>,
    /// The rows of a table without keys, once they were read.
    kept: OnceCell<Rc<Vec<Row>>>,
}

// SAFETY: the structure begins with SQLite's own part, has C's layout, and is reached by SQLite only
// through rusqlite, which makes and drops it as the box that it is.
unsafe impl<'vtab> VTab<'vtab> for Served {
    type Aux = Arc<dyn Table>;
    type Cursor = Cursor<'vtab>;

    fn connect(
        _connection: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _module: &[u8],
        _database: &[u8],
        _name: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        let missing = || Error::ModuleError("a table without its source".to_owned());
        let table = Arc::clone(aux.ok_or_else(missing)?);
        let columns: Vec<_> = table.columns().iter().map(declared).collect();
        let schema = format!("CREATE TABLE x({})", columns.join(","));
        let schema = CString::new(schema)?;
        let served = Self { base: sqlite3_vtab::default(), table, kept: OnceCell::new() };
        Ok((Cow::Owned(schema), served))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let columns = self.table.columns();
        let (mut plan, mut later) = (Vec::new(), false);
        for (index, constraint) in info.constraints().enumerate() {
            let column = usize::try_from(constraint.column()).ok();
            let Some((at, column)) = column.and_then(|at| Some((at, columns.get(at)?))) else {
                continue;
            };
            let Some(how) = How::of(&constraint.operator(), column.key) else { continue };
            if constraint.is_usable() {
                plan.push((index, at, how));
            } else {
                later = true;
            }
        }
        // In another order of the tables the key would be known.
        if plan.is_empty() && later {
            return Ok(false);
        }
        let keyed = columns.iter().any(|column| column.key != Key::No);
        let exact = plan.iter().any(|(_, _, how)| *how == How::Equal);
        let (cost, rows) = match (keyed, exact, plan.is_empty()) {
            (false, ..) => (1e4, 1000),
            (true, true, _) => (10.0, 10),
            (true, false, false) => (1e6, 100_000),
            (true, false, true) => (1e12, 1_000_000_000),
        };
        info.set_estimated_cost(cost);
        info.set_estimated_rows(rows);
        let written = plan.iter().map(|(_, column, how)| format!("{}{column}", how.letter()));
        info.set_idx_str(&written.collect::<Vec<_>>().join(","));
        for (argument, (index, ..)) in (1..).zip(&plan) {
            info.constraint_usage(*index).set_argv_index(argument);
        }
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<Cursor<'vtab>> {
        let base = sqlite3_vtab_cursor::default();
        Ok(Cursor { base, served: self, source: Source::Nothing, number: 0 })
    }
}

fn declared(column: &Column) -> String {
    format!("\"{}\" {}", column.name, column.kind)
}

impl Served {
    /// The rows of a table without keys: read once, so that a query sees one moment, and sees it
    /// again and again at no cost where tables are joined.
    fn kept(&self) -> Result<Rc<Vec<Row>>> {
        if let Some(kept) = self.kept.get() {
            return Ok(Rc::clone(kept));
        }
        let rows = self.table.rows(&[]).map_err(Error::ModuleError)?;
        let rows = rows.collect::<std::result::Result<Vec<_>, _>>().map_err(Error::ModuleError)?;
        Ok(Rc::clone(self.kept.get_or_init(|| Rc::new(rows))))
    }
}

/// A place in a table.
#[repr(C)]
struct Cursor<'vtab> {
    /// SQLite's own part; it must come first.
    base: sqlite3_vtab_cursor,
    served: &'vtab Served,
    source: Source,
    number: i64,
}

enum Source {
    Nothing,
    Kept(Rc<Vec<Row>>, usize),
    Coming(Rows, Option<Row>),
}

impl Cursor<'_> {
    fn row(&self) -> Option<&Row> {
        match &self.source {
            Source::Nothing => None,
            Source::Kept(rows, at) => rows.get(*at),
            Source::Coming(_, row) => row.as_ref(),
        }
    }
}

// SAFETY: as of the table.
unsafe impl VTabCursor for Cursor<'_> {
    fn filter(&mut self, _number: c_int, plan: Option<&str>, args: &Filters<'_>) -> Result<()> {
        self.number = 0;
        let table = &self.served.table;
        if table.columns().iter().all(|column| column.key == Key::No) {
            self.source = Source::Kept(self.served.kept()?, 0);
            return Ok(());
        }
        let steps = plan.unwrap_or_default().split(',').filter(|step| !step.is_empty());
        let mut asked = Vec::new();
        for (step, value) in steps.zip(args.iter()) {
            let (how, column) = step.split_at(1);
            let how = how.chars().next().and_then(How::of_letter);
            let step = how.zip(column.parse().ok());
            let (how, column) = step.ok_or(Error::ModuleError("a plan of nobody's".to_owned()))?;
            asked.push(Asked { column, how, value: owned(value) });
        }
        let mut rows = table.rows(&asked).map_err(Error::ModuleError)?;
        let first = rows.next().transpose().map_err(Error::ModuleError)?;
        self.source = Source::Coming(rows, first);
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.number = self.number.saturating_add(1);
        match &mut self.source {
            Source::Nothing => {}
            Source::Kept(_, at) => *at = at.saturating_add(1),
            Source::Coming(rows, row) => {
                *row = rows.next().transpose().map_err(Error::ModuleError)?;
            }
        }
        Ok(())
    }

    fn eof(&self) -> bool {
        self.row().is_none()
    }

    fn column(&self, context: &mut Context, index: c_int) -> Result<()> {
        let value = usize::try_from(index).ok().and_then(|index| self.row()?.get(index));
        let value = value.map_or(ValueRef::Null, borrowed);
        context.set_result(ToSqlOutput::Borrowed(value))
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.number)
    }
}

fn borrowed(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Integer(number) => ValueRef::Integer(*number),
        Value::Real(number) => ValueRef::Real(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
    }
}

/// A value of SQLite's. Text that is not UTF-8, which a cast can make, is bytes.
#[must_use]
pub fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_not_utf8) => Value::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}
