//! `tables`: what can be asked here, so that nobody has to guess.

use std::sync::Arc;

use cordon_proto::query::Row;

use super::{TEXT, column, flag, rows, word};
use crate::platform::sqlite::{Asked, Column, Key, Rows, Table};

/// Every column of every table.
pub(super) struct Schema(Vec<Row>);

const COLUMNS: &[Column] = &[
    column("table_name", TEXT, "the table"),
    column("column_name", TEXT, "one of its columns"),
    column("type", TEXT, "INTEGER or TEXT"),
    column("is_key", "INTEGER", "1 where rows can be named by it"),
    column("about", TEXT, "what the column tells"),
    column("table_about", TEXT, "what the table tells"),
];

impl Schema {
    /// The columns of these tables, and its own.
    pub(super) fn of(tables: &[Arc<dyn Table>]) -> Self {
        let mut found = Vec::new();
        let own = Self(Vec::new());
        let all = tables.iter().map(AsRef::as_ref).chain(std::iter::once(&own as &dyn Table));
        for table in all {
            found.extend(table.columns().iter().map(|column| row(table, column)));
        }
        Self(found)
    }
}

fn row(table: &dyn Table, column: &Column) -> Row {
    vec![
        word(table.name()),
        word(column.name),
        word(column.kind),
        flag(column.key != Key::No),
        word(column.about),
        word(table.about()),
    ]
}

impl Table for Schema {
    fn name(&self) -> &'static str {
        "tables"
    }

    fn about(&self) -> &'static str {
        "what can be asked: every column of every table"
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        Ok(rows(self.0.clone()))
    }
}
