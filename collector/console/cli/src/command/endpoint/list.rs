//! `cordon endpoint list` and `count`: endpoints found by what is known of them.

use std::fmt;

use cordon_proto::id::ClientId;
use serde_json::{Value, json};

use super::{Endpoint, row};
use crate::api::Api;
use crate::clock;
use crate::command::find_list;
use crate::context::{Context, Desk};
use crate::exit::Exit;
use crate::output::table::Tone;
use crate::output::{Cell, Table};
use crate::summary::event::word;

/// Which endpoints.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which endpoints")]
pub struct Filter {
    /// Only this client's
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// Only those whose host name has this in it
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only those with this in host name, system, kernel, agent's version, role or a label
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only those that are connected, or not
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those that are silent, and for this reason
    #[arg(long, value_enum)]
    silence: Option<Silence>,
    /// Only those that somebody should look at for this reason
    #[arg(long, value_enum)]
    need: Option<Need>,
    /// Only those that somebody should look at, for whatever reason
    #[arg(long)]
    needs_person: bool,
    /// Only those at this site; - for those at none
    #[arg(long, value_name = "SITE", allow_hyphen_values = true)]
    site: Option<String>,
    /// Only those with this label; with several, those that have all of them
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    labels: Vec<String>,
    /// Only those with this in the name of their operating system
    #[arg(long, value_name = "TEXT")]
    os: Option<String>,
    /// Only those on which so much hangs
    #[arg(long, value_enum)]
    criticality: Option<Criticality>,
    /// Only those on which something stands
    #[arg(long, conflicts_with = "not_contained")]
    contained: bool,
    /// Only those on which nothing stands
    #[arg(long)]
    not_contained: bool,
    /// Only those on which this stands: isolate, deny, block …
    #[arg(long, value_name = "ACTION")]
    standing: Option<String>,
}

/// In which order.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// Sort by this
    #[arg(long, value_enum, default_value_t = Sort::Name)]
    sort: Sort,
    /// The greatest first; with --sort seen the latest
    #[arg(long)]
    descending: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
}

/// Whether an endpoint is connected.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum State {
    /// Connected to the collector
    Online,
    /// Not connected
    Offline,
}

/// Why an endpoint is not connected.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Silence {
    /// The agent ended without a word: killed, or crashed
    AgentDead,
    /// Nothing came any more: the network is lost, or the power
    NetworkLost,
    /// Somebody stopped the agent, and the machine goes on
    Stopped,
    /// Not heard since the collector started, or it ended the session itself
    Unheard,
    /// The machine sleeps, and said so
    Asleep,
    /// The machine was switched off, and said so
    Off,
}

/// Why somebody should look at an endpoint.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Need {
    /// The agent ended without a word
    AgentDead,
    /// Another machine shares its key
    Cloned,
    /// Nothing comes any more, and nothing was said
    NetworkLost,
    /// A sensor sees nothing
    Blinded,
    /// A sensor says that it runs, and does not show it
    Stalled,
    /// Somebody stopped the agent
    Stopped,
    /// It gives something up to stay within its budget
    OverBudget,
    /// Its clock is more than a minute off
    ClockWrong,
}

/// How much hangs on an endpoint, as people see it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Criticality {
    /// It will not be missed
    Low,
    /// As most are
    Normal,
    /// Its loss is felt
    High,
    /// Business stops without it
    Critical,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Sort {
    Name,
    Seen,
    Enrolled,
    Os,
    Version,
    Site,
    Criticality,
    Client,
    Need,
}

/// A choice by the name that the command line and the API share.
pub(super) fn named(choice: impl clap::ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&named(*self))
    }
}

impl Filter {
    fn query(self, desk: &Desk) -> Vec<(&'static str, String)> {
        let client = self.client.or_else(|| desk.profile.client.clone());
        let contained = (self.contained || self.not_contained).then_some(self.contained);
        let label = (!self.labels.is_empty()).then(|| self.labels.join(","));
        let given = [
            ("client", client.map(|client| client.to_string())),
            ("name", self.name),
            ("text", self.text),
            ("state", self.state.map(named)),
            ("silence", self.silence.map(named)),
            ("need", self.need.map(named)),
            ("needs_person", self.needs_person.then(|| "true".to_owned())),
            ("site", self.site),
            ("label", label),
            ("os", self.os),
            ("criticality", self.criticality.map(named)),
            ("contained", contained.map(|contained| contained.to_string())),
            ("standing", self.standing),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Lists endpoints.
pub(super) async fn list(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    args: ListArgs,
) -> anyhow::Result<Exit> {
    let limit = args.limit;
    let mut query = args.filter.query(desk);
    query.push(("limit", limit.clamp(1, 500).to_string()));
    query.push(("sort", named(args.sort)));
    query.extend(args.descending.then(|| ("descending", "true".to_owned())));
    let heads = [
        "NAME",
        "ID",
        "CLIENT",
        "SITE",
        "STATE",
        "LAST SEEN",
        "ISOLATED",
        "ROSTER",
        "AGENT",
        "OS",
        "LABELS",
    ];
    let spare = ["LABELS", "OS", "AGENT", "ROSTER", "CLIENT", "SITE"];
    let mut table = Table::new(&heads).whole(&["ID"]).spare(&spare);
    let now_ns = clock::now_ns();
    let row = |item: &Value| match serde_json::from_value::<Endpoint>(item.clone()) {
        Ok(endpoint) => row(&endpoint, now_ns),
        Err(error) => vec![Cell::toned(format!("cannot be read: {error}"), Tone::Bad)],
    };
    find_list::show(context, api, &["endpoints"], &query, limit, &mut table, row).await
}

/// Counts endpoints by kind.
pub(super) async fn count(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    filter: Filter,
) -> anyhow::Result<Exit> {
    let counts = api.get(&["endpoints", "counts"], &filter.query(desk)).await?;
    if context.output.is_json() {
        context.output.record(&counts)?;
        return Ok(Exit::Done);
    }
    context.output.table(&counted(&counts))?;
    Ok(Exit::Done)
}

fn counted(counts: &Value) -> Table {
    let heads = ["KIND", "OF", "ENDPOINTS", "ONLINE", "CONTAINED", "NEED A PERSON"];
    let mut table = Table::new(&heads);
    let mut add = |kind: &str, of: String, count: &Value| {
        let plain = ["/total", "/online"].map(|figure| Cell::new(word(count, figure)));
        let grave = ["/contained", "/needs_person"].map(|figure| {
            let figure = word(count, figure);
            let tone = if figure == "0" || figure.is_empty() { Tone::Plain } else { Tone::Bad };
            Cell::toned(figure, tone)
        });
        let words = [Cell::new(kind), Cell::new(of)];
        table.row(words.into_iter().chain(plain).chain(grave));
    };
    add("all", String::new(), counts);
    for (kind, list) in [
        ("client", "by_client"),
        ("site", "by_site"),
        ("system", "by_os"),
        ("criticality", "by_criticality"),
    ] {
        for count in counts[list].as_array().into_iter().flatten() {
            let of = count["of"].as_str().map_or_else(|| "all others".to_owned(), str::to_owned);
            add(kind, of, count);
        }
    }
    for (silence, total) in counts["silences"].as_object().into_iter().flatten() {
        if total != 0 {
            add("silence", silence.replace('_', " "), &json!({ "total": total }));
        }
    }
    for count in counts["by_need"].as_array().into_iter().flatten() {
        add("need", word(count, "/need").replace('_', " "), count);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_a_table_of_kinds() {
        let one = |of, total| json!({ "of": of, "total": total, "online": 1, "contained": 0, "needs_person": 0 });
        let counts = json!({
            "total": 5, "online": 3, "offline": 2, "contained": 1, "isolated": 1, "needs_person": 2,
            "silences": { "agent_dead": 1, "off": 0 },
            "by_need": [{ "need": "agent_dead", "total": 1 }, { "need": "blinded", "total": 1 }],
            "by_client": [one(Some("acme"), 5)], "by_site": [one(Some("acme/hq"), 2)],
            "by_os": [one(Some("Debian 12"), 4), one(None, 1)], "by_criticality": [],
        });
        let shown = counted(&counts).render(false, None).text;
        let expected = "\
KIND     OF          ENDPOINTS  ONLINE  CONTAINED  NEED A PERSON
all                  5          3       1          2
client   acme        5          1       0          0
site     acme/hq     2          1       0          0
system   Debian 12   4          1       0          0
system   all others  1          1       0          0
silence  agent dead  1
need     agent dead  1
need     blinded     1
";
        assert_eq!(shown, expected);
    }
}
