//! Lists as they come from the collector: JSON as it is, or a table.

use serde_json::Value;

use crate::api::Api;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Shows a list of the collector's.
pub(super) async fn show(
    context: &mut Context,
    api: &Api<'_>,
    path: &[&str],
    query: &[(&str, String)],
    items_max: usize,
    table: &mut Table,
    row: impl Fn(&Value) -> Vec<Cell>,
) -> anyhow::Result<Exit> {
    let progress = context.output.progress("asking the collector");
    let (items, more) = progress.wait(api.list(path, query, items_max)).await?;
    drop(progress);
    items_shown(context, &items, table, row)?;
    if more {
        context.output.note(&format!("There are more than the {items_max} shown."))?;
    }
    Ok(Exit::Done)
}

/// Shows what a list holds.
pub(super) fn items_shown(
    context: &mut Context,
    items: &[Value],
    table: &mut Table,
    row: impl Fn(&Value) -> Vec<Cell>,
) -> anyhow::Result<()> {
    for item in items {
        if context.output.is_json() {
            context.output.record(item)?;
        } else {
            table.row(row(item));
        }
    }
    if !context.output.is_json() {
        if table.is_empty() {
            context.output.note("There is nothing to show.")?;
        } else {
            context.output.table(table)?;
        }
    }
    Ok(())
}

/// The first of several fields that says something.
pub(super) fn first(item: &Value, pointers: &[&str]) -> String {
    let found = pointers.iter().map(|pointer| word(item, pointer)).find(|word| !word.is_empty());
    found.unwrap_or_default()
}

/// A moment of the collector's for a table.
pub(super) fn time(item: &Value, pointers: &[&str]) -> String {
    let text = first(item, pointers);
    match cordon_proto::time::from_rfc3339(&text) {
        Some(ns) => crate::moment::list_time(ns),
        None => text,
    }
}
