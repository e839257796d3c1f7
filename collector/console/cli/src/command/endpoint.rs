//! `cordon endpoint`: which endpoints there are, how each fares, and what people say of it.

mod list;
mod set;

use clap::Subcommand;
use cordon_proto::id::ClientId;
use serde_json::Value;

use super::{find, find_list};
use crate::api::Api;
use crate::api::model::{Endpoint, WayOutRecord};
use crate::clock;
use crate::context::Context;
use crate::exit::Exit;
use crate::moment;
use crate::output::table::Tone;
use crate::output::text::plain;
use crate::output::{Cell, Table};

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List endpoints
    #[command(after_help = "Examples:
  cordon endpoint list
  cordon endpoint list --client acme --name web
  cordon endpoint list --state offline --sort seen --descending
  cordon endpoint list --silence agent_dead
  cordon endpoint list --needs-person --sort need
  cordon endpoint list --site hq --label web,prod --contained --json

Filters are the collector's, and all of them must fit. LABELS, SITE and --criticality are what people
said with `cordon endpoint set`; whether something stands is by the last health.")]
    List(list::ListArgs),
    /// Count endpoints, by client, site, system and how much hangs on them
    #[command(after_help = "Examples:
  cordon endpoint count
  cordon endpoint count --client acme --state offline")]
    Count(list::Filter),
    /// Say where an endpoint stands, what it is for, and how much hangs on it
    ///
    /// It helps people to find and to weigh, and is in the client's audit trail. What the endpoint
    /// obeys, and which endpoints need two persons, is decided by signed policy alone.
    #[command(after_help = "Examples:
  cordon endpoint set web-01 --site hq --label web,env=prod --role 'the shop'
  cordon endpoint set web-01 --criticality critical --remove-label old")]
    Set(set::SetArgs),
    /// Show everything known of one endpoint
    #[command(after_help = "Examples:
  cordon endpoint show web-01
  cordon endpoint show 3fa9c1 --json")]
    Show {
        /// A host name, or the beginning of an id (6 digits or more)
        endpoint: String,
        /// Look among this client's only
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    match command {
        Command::List(args) => list::list(context, &desk, &api, args).await,
        Command::Count(filter) => list::count(context, &desk, &api, filter).await,
        Command::Set(args) => set::set(context, &api, args).await,
        Command::Show { endpoint, client } => {
            let found = find::endpoint(&api, &context.output, &endpoint, client.as_ref()).await?;
            let shown = api.get(&["endpoints", &found.id.to_string()], &[]).await?;
            show(context, &api, shown)
        }
    }
}

fn row(endpoint: &Endpoint, now_ns: u64) -> Vec<Cell> {
    let (state, state_tone) = state(endpoint);
    let isolated = if endpoint.isolated { Cell::toned("isolated", Tone::Bad) } else { "".into() };
    vec![
        Cell::new(&endpoint.host_name),
        Cell::new(endpoint.id.short()),
        Cell::new(endpoint.client.as_str()),
        Cell::new(endpoint.site.as_deref().unwrap_or_default()),
        Cell::toned(state, state_tone),
        Cell::new(seen(endpoint, now_ns)),
        isolated,
        Cell::new(endpoint.roster_version.map(|v| v.to_string()).unwrap_or_default()),
        Cell::new(&endpoint.agent_version),
        Cell::new(&endpoint.os),
        Cell::new(endpoint.labels.join(",")),
    ]
}

/// In one word or two: connected and well, connected and not, or why it is silent.
fn state(endpoint: &Endpoint) -> (String, Tone) {
    if endpoint.state != "online" {
        let why = endpoint.silence.as_deref().unwrap_or(&endpoint.state);
        let expected = ["off", "asleep", "stopped"].contains(&why);
        return (why.replace('_', " "), if expected { Tone::Notice } else { Tone::Bad });
    }
    let condition = endpoint.conditions.first().map(|one| find_list::first(one, &["/condition"]));
    match condition {
        None => (endpoint.state.clone(), Tone::Good),
        Some(condition) => (condition.replace('_', " "), Tone::Bad),
    }
}

/// A condition in words.
fn condition(condition: &Value) -> String {
    let word = |pointer| find_list::first(condition, &[pointer]);
    let sensor = word("/sensor");
    match word("/condition").as_str() {
        "clock_wrong" => format!("its clock is {} s off the collector's", word("/offset_secs")),
        "over_budget" => word("/reason"),
        "blinded" => format!("its {sensor} sensor is blind: {}", word("/reason")),
        "stalled" => format!("its {sensor} sensor has stalled: {}", word("/reason")),
        other => other.to_owned(),
    }
}

/// What stands, in words.
fn stands(standing: &Value, endpoint_secs: Option<u64>) -> String {
    let until_secs = standing.get("until_secs").and_then(Value::as_u64);
    let left = until_secs.map_or_else(
        || "no end of its own".to_owned(),
        |until| {
            let left = endpoint_secs.map(|now| moment::length(until.saturating_sub(now)));
            format!("{} left of its lease", left.unwrap_or_else(|| "?".to_owned()))
        },
    );
    let proved = standing.get("proved") == Some(&Value::Bool(true));
    let [action, command] = ["/action", "/command"].map(|name| find_list::first(standing, &[name]));
    let proved = if proved { "holds" } else { "NOT PROVED" };
    format!("{action}: {proved}, {left}; command {command}")
}

fn seen(endpoint: &Endpoint, now_ns: u64) -> String {
    let at = endpoint.last_seen.as_deref().unwrap_or("never");
    cordon_proto::time::from_rfc3339(at).map_or_else(|| at.to_owned(), |ns| moment::ago(ns, now_ns))
}

fn show(context: &mut Context, api: &Api<'_>, shown: Value) -> anyhow::Result<Exit> {
    if context.output.is_json() {
        context.output.record(&shown)?;
        return Ok(Exit::Done);
    }
    let endpoint: Endpoint = api.read(shown.clone())?;
    let now_ns = clock::now_ns();
    let endpoint_time = endpoint.endpoint_secs.map(moment::length).unwrap_or_default();
    let roster = endpoint.roster_version.map(|v| v.to_string()).unwrap_or_default();
    let way_out = endpoint.way_out.as_ref();
    let way_out = way_out.map_or_else(|| "NONE stored".to_owned(), WayOutRecord::words);
    let lines = [
        ("name", plain(&endpoint.host_name).into_owned()),
        ("id", endpoint.id.to_string()),
        ("client", endpoint.client.to_string()),
        (
            "state",
            format!("{}, seen {}", plain(&state(&endpoint).0), plain(&seen(&endpoint, now_ns))),
        ),
        ("isolated", if endpoint.isolated { "YES" } else { "no" }.to_owned()),
        ("system", plain(&format!("{}, {}", endpoint.os, endpoint.kernel)).into_owned()),
        ("agent", plain(&endpoint.agent_version).into_owned()),
        ("enrolled", plain(&find_list::time(&shown, &["/enrolled_at"])).into_owned()),
        ("its time", endpoint_time),
        ("roster", roster),
        ("way out", plain(&way_out).into_owned()),
        ("site", plain(endpoint.site.as_deref().unwrap_or_default()).into_owned()),
        ("labels", plain(&endpoint.labels.join(", ")).into_owned()),
        ("role", plain(&endpoint.role).into_owned()),
        ("matters", plain(&endpoint.criticality).into_owned()),
    ];
    for (name, words) in lines.iter().filter(|(_, words)| !words.is_empty()) {
        context.output.line(&format!("{name:<9} {words}"))?;
    }
    for wrong in &endpoint.conditions {
        context.output.warn(&condition(wrong))?;
    }
    for standing in &endpoint.standing {
        let words = stands(standing, endpoint.endpoint_secs);
        context.output.line(&format!("{:<9} {}", "stands", plain(&words)))?;
    }
    if endpoint.clones > 0 {
        context.output.warn(&format!(
            "{} other machine(s) answer to this endpoint's key: a copied image",
            endpoint.clones
        ))?;
    }
    sensors(context, &shown)
}

fn sensors(context: &mut Context, shown: &Value) -> anyhow::Result<Exit> {
    let sensors = shown.pointer("/health/sensors").and_then(Value::as_array);
    let mut table = Table::new(&["SENSOR", "STATE", "SEEN", "DROPPED", "REASON"]);
    for sensor in sensors.into_iter().flatten() {
        let state = find_list::first(sensor, &["/state"]);
        let tone = if state == "running" { Tone::Good } else { Tone::Bad };
        table.row([
            Cell::new(find_list::first(sensor, &["/name"])),
            Cell::toned(state, tone),
            Cell::new(find_list::first(sensor, &["/seen"])),
            Cell::new(find_list::first(sensor, &["/dropped"])),
            Cell::new(find_list::first(sensor, &["/reason"])),
        ]);
    }
    if !table.is_empty() {
        context.output.line("")?;
        context.output.table(&table)?;
    }
    Ok(Exit::Done)
}
