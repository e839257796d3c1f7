//! `cordon roster list` and `diff`: one version beside another, as the collector tells it.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::ClientId;
use cordon_proto::roster::Roster;
use cordon_proto::sign::document::{self, Kind};
use serde_json::{Value, json};

use super::super::find_list::{self, time};
use super::document_bytes_max;
use crate::context::Context;
use crate::exit::Exit;
use crate::file;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Versions that are listed.
const LISTED_MAX: usize = 10_000;

/// Lists versions.
pub(super) async fn list(context: &mut Context, client: Option<ClientId>) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = desk.client(client.as_ref())?;
    let row = |item: &Value| {
        vec![
            Cell::new(word(item, "/version")),
            Cell::new(time(item, &["/made_at"])),
            Cell::new(time(item, &["/stored_at"])),
            Cell::new(word(item, "/operators")),
            Cell::new(word(item, "/hash").chars().take(12).collect::<String>()),
        ]
    };
    let mut table = Table::new(&["VERSION", "MADE", "TAKEN", "OPERATORS", "HASH"]);
    let path = ["clients", client.as_str(), "rosters"];
    find_list::show(context, &api, &path, &[], LISTED_MAX, &mut table, row).await
}

/// Says what differs.
pub(super) async fn diff(
    context: &mut Context,
    to: &str,
    from: Option<u64>,
    client: Option<ClientId>,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let differences = if let Ok(version) = to.parse::<u64>() {
        let client = desk.client(client.as_ref())?;
        let version = version.to_string();
        let path = ["clients", client.as_str(), "rosters", version.as_str(), "differences"];
        let query: Vec<_> = from.map(|from| ("from", from.to_string())).into_iter().collect();
        api.get(&path, &query).await?
    } else {
        let bytes = file::read_existing(Path::new(to), document_bytes_max())?;
        let roster: Roster = document::peek(Kind::Roster, &bytes)
            .map_err(|error| anyhow::anyhow!("{to} is not a signed roster: it {error}"))?;
        let path = ["clients", roster.client.as_str(), "roster", "differences"];
        api.post(&path, json!({ "document": URL_SAFE_NO_PAD.encode(&bytes) })).await?
    };
    if context.output.is_json() {
        context.output.record(&differences)?;
        return Ok(Exit::Done);
    }
    let from = differences["from"].as_u64().map_or_else(|| "none".to_owned(), |v| v.to_string());
    context.output.note(&format!("version {from} to version {}", word(&differences, "/to")))?;
    let mut table = Table::new(&["FIELD", "BEFORE", "AFTER"]);
    for one in differences["items"].as_array().into_iter().flatten() {
        table.row([
            Cell::new(word(one, "/field")),
            Cell::new(shown(&one["before"])),
            Cell::new(shown(&one["after"])),
        ]);
    }
    if table.is_empty() {
        context.output.note("Nothing differs.")?;
    } else {
        context.output.table(&table)?;
    }
    Ok(Exit::Done)
}

/// A value in a cell.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(members) => members.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
