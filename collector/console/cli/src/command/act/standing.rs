//! Undoes what stands by what it is, so that nobody has to look for the command that did it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use cordon_proto::command::{Action, ActionKind};
use cordon_proto::id::{CommandId, EndpointId};
use serde::Deserialize;

use super::{Why, act};
use crate::api::Api;
use crate::api::model::Endpoint;
use crate::command::{find, wait};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::text::plain;

/// Containments that are looked through.
const STANDING_MAX: usize = 10_000;

/// What the collector says of one that stands, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Standing {
    endpoint: EndpointId,
    action: String,
    command: CommandId,
}

/// Finds the commands of this kind that stand on the endpoints and are the one that is meant, and
/// signs an undo for each. `words` says to people what is looked for.
pub(super) async fn undo(
    context: &mut Context,
    whom: &[String],
    why: Why,
    kind: ActionKind,
    words: &str,
    is_meant: impl Fn(&Action) -> bool,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let endpoints = find::endpoints(&api, &context.output, whom, why.client.as_ref()).await?;
    let found = standing(&api, &endpoints, kind, &is_meant).await?;
    for endpoint in &endpoints {
        if !found.values().any(|on| on.contains(&endpoint.id)) {
            let name = plain(&endpoint.host_name);
            bail!("on {name}, {words} by no command that stands; see: cordon containment list");
        }
    }
    let mut exit = Exit::Done;
    for (of, on) in found {
        let on: Vec<_> = on.iter().map(EndpointId::to_string).collect();
        let ended = act(context, &on, why.clone(), Action::Undo { of }).await?;
        if ended != Exit::Done {
            exit = ended;
        }
    }
    Ok(exit)
}

/// The endpoints on which each command that is meant stands.
async fn standing(
    api: &Api<'_>,
    endpoints: &[Endpoint],
    kind: ActionKind,
    is_meant: impl Fn(&Action) -> bool,
) -> anyhow::Result<BTreeMap<CommandId, Vec<EndpointId>>> {
    let first = endpoints.first().context("no endpoint was named")?;
    let query = [("client", first.client.to_string())];
    let (items, _) = api.list(&["containments"], &query, STANDING_MAX).await?;
    let mut found: BTreeMap<CommandId, Vec<EndpointId>> = BTreeMap::new();
    for item in items {
        let one: Standing = api.read(item)?;
        let is_here = endpoints.iter().any(|endpoint| endpoint.id == one.endpoint);
        if is_here && one.action == kind.name() {
            found.entry(one.command).or_default().push(one.endpoint);
        }
    }
    // What it was about is read from what was signed.
    let mut meant = BTreeMap::new();
    for (id, on) in found {
        let (_, signed) = wait::signed_bytes(api, id).await?;
        if is_meant(&signed.command().action) {
            meant.insert(id, on);
        }
    }
    Ok(meant)
}
