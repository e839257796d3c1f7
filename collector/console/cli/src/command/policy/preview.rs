//! `cordon policy preview` and `list`: what a policy would change on which endpoints, and what was set
//! before, as the collector tells it.

use anyhow::bail;
use cordon_proto::id::EndpointId;
use cordon_proto::policy::{Policy, in_share};
use serde_json::{Value, json};

use super::super::find;
use super::super::find_list::{self, time};
use crate::api::Api;
use crate::api::model::Endpoint;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::table::Tone;
use crate::output::text::plain;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Policies that are listed.
const LISTED_MAX: usize = 500;

/// For which endpoints a policy is meant.
#[derive(Clone, Debug, clap::Args)]
pub struct Whom {
    /// Host names, or the beginnings of ids (6 digits or more)
    #[arg(value_name = "ENDPOINT", conflicts_with_all = ["all", "share"])]
    pub(super) endpoints: Vec<String>,
    /// Every endpoint of the client
    #[arg(long, conflicts_with = "share")]
    pub(super) all: bool,
    /// A share of the client's endpoints: so many in a hundred, chosen by their ids
    ///
    /// Nobody chooses which come first, and a larger share holds every endpoint of a smaller one: 1,
    /// then 10, then 100 rolls a policy out in three steps.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(super) share: Option<u8>,
}

impl Whom {
    /// The endpoints that are meant.
    pub(super) async fn find(
        &self,
        context: &Context,
        api: &Api<'_>,
        policy: &Policy,
    ) -> anyhow::Result<Vec<Endpoint>> {
        if !self.endpoints.is_empty() {
            let client = Some(&policy.client);
            return find::endpoints(api, &context.output, &self.endpoints, client).await;
        }
        let all = find::all(api, &context.output, &policy.client).await?;
        let Some(percent) = self.share else {
            if !self.all {
                bail!("for which endpoints? name them, or say --all or --share");
            }
            return Ok(all);
        };
        let count = all.len();
        let share: Vec<_> = all.into_iter().filter(|one| in_share(one.id, percent)).collect();
        if share.is_empty() {
            bail!("of {count} endpoint(s) none is in a share of {percent} %; say a larger one");
        }
        Ok(share)
    }
}

/// Shows what a policy would change.
pub(super) async fn preview(
    context: &mut Context,
    policy: &Policy,
    whom: &Whom,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let mut body = json!({ "policy": policy });
    if let Some(percent) = whom.share {
        body["share_percent"] = json!(percent);
    } else if !whom.endpoints.is_empty() {
        let found = whom.find(context, &api, policy).await?;
        let ids: Vec<EndpointId> = found.iter().map(|endpoint| endpoint.id).collect();
        body["endpoints"] = json!(ids);
    }
    let progress = context.output.progress("asking what would change");
    let path = ["clients", policy.client.as_str(), "policies", "preview"];
    let preview = progress.wait(api.post(&path, body)).await?;
    drop(progress);
    let is_good = preview["mistakes"].as_array().is_none_or(Vec::is_empty);
    let exit = if is_good { Exit::Done } else { Exit::DoesNotHold };
    if context.output.is_json() {
        context.output.record(&preview)?;
        return Ok(exit);
    }
    show(context, &preview)?;
    Ok(exit)
}

fn show(context: &mut Context, preview: &Value) -> anyhow::Result<()> {
    for mistake in texts(&preview["mistakes"]) {
        context.output.warn(&format!("it {}", plain(mistake)))?;
    }
    let number = |name: &str| word(preview, &format!("/{name}"));
    let approvals = preview["approvals"].as_u64();
    let approvals = approvals.map_or_else(
        || "no number of persons may set it on so many at once".to_owned(),
        |persons| format!("{persons} person(s) must sign each"),
    );
    context.output.line(&format!(
        "For {} endpoint(s), not for {} other(s); {} command(s), {approvals}.",
        number("endpoints"),
        number("others"),
        number("commands")
    ))?;
    if preview["refuse"].as_u64().is_some_and(|refuse| refuse > 0) {
        let refuse = number("refuse");
        context.output.warn(&format!("{refuse} of them hold this version or a newer one"))?;
    }
    for held in preview["by_version"].as_array().into_iter().flatten() {
        let holding = match held["version"].as_u64() {
            None => "of which no version is known".to_owned(),
            Some(0) => "that hold no policy".to_owned(),
            Some(version) => format!("that hold version {version}"),
        };
        context.output.line(&format!("\n{} endpoint(s) {holding}:", word(held, "/endpoints")))?;
        let Some(changes) = held["changes"].as_array() else {
            context.output.line("  what would change is not known")?;
            continue;
        };
        for change in changes {
            context.output.line(&format!("  {}", plain(&word(change, "/words"))))?;
        }
    }
    let mut table = Table::new(&["ENDPOINT", "ID", "HOLDS", "SIGNED FOR IT", "STATE"]);
    let named = preview["named"].as_array();
    for target in named.into_iter().flatten() {
        let version = |field: &str, none: &str| match target[field].as_u64() {
            None => none.to_owned(),
            Some(version) => version.to_string(),
        };
        table.row([
            Cell::new(word(target, "/host_name")),
            Cell::new(word(target, "/endpoint").chars().take(12).collect::<String>()),
            Cell::new(version("holds", "not told")),
            Cell::new(version("signed_for_it", "none")),
            Cell::new(word(target, "/state")),
        ]);
    }
    if !table.is_empty() {
        context.output.line("")?;
        context.output.table(&table)?;
    }
    let named = named.map_or(0, Vec::len);
    if preview["endpoints"].as_u64().is_some_and(|all| all > u64::try_from(named).unwrap_or(all)) {
        context.output.note(&format!("The first {named} are named."))?;
    }
    Ok(())
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Lists the policies that were set.
pub(super) async fn list(
    context: &mut Context,
    api: &Api<'_>,
    client: &str,
) -> anyhow::Result<Exit> {
    let heads = ["VERSION", "SET", "BY", "SIGNED", "ENDPOINTS", "HOLD IT", "COMMANDS"];
    let mut table = Table::new(&heads).whole(&["COMMANDS"]).spare(&["BY", "SET"]);
    let row = |item: &Value| {
        let is_signed = item["authorised"].as_bool() == Some(true);
        let (signed, tone) = if is_signed { ("yes", Tone::Good) } else { ("waits", Tone::Notice) };
        let is_everywhere = item["endpoints"] == item["hold"];
        let held = if is_everywhere { Tone::Good } else { Tone::Notice };
        vec![
            Cell::new(word(item, "/version")),
            Cell::new(time(item, &["/requested_at"])),
            Cell::new(word(item, "/by")),
            Cell::toned(signed, tone),
            Cell::new(word(item, "/endpoints")),
            Cell::toned(word(item, "/hold"), held),
            Cell::new(texts(&item["commands"]).join(" ")),
        ]
    };
    let path = ["clients", client, "policies"];
    find_list::show(context, api, &path, &[], LISTED_MAX, &mut table, row).await
}
