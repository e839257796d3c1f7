//! `cordon endpoint list` and `count`: endpoints found by what is known of them.

use std::fmt;

use cordon_proto::id::ClientId;
use serde_json::Value;

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
    let mut table = Table::new(&["KIND", "OF", "ENDPOINTS", "ONLINE", "CONTAINED"]);
    let mut add = |kind: &str, of: String, count: &Value| {
        let figures = ["/total", "/online", "/contained"].map(|figure| word(count, figure));
        let [total, online, contained] = figures;
        let tone = if contained == "0" { Tone::Plain } else { Tone::Bad };
        let cells = [Cell::new(total), Cell::new(online), Cell::toned(contained, tone)];
        table.row([Cell::new(kind), Cell::new(of)].into_iter().chain(cells));
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
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_are_a_table_of_kinds() {
        let one = |of, total| json!({ "of": of, "total": total, "online": 1, "contained": 0 });
        let counts = json!({
            "total": 5, "online": 3, "offline": 2, "contained": 1, "isolated": 1,
            "by_client": [one(Some("acme"), 5)], "by_site": [one(Some("acme/hq"), 2)],
            "by_os": [one(Some("Debian 12"), 4), one(None, 1)], "by_criticality": [],
        });
        let shown = counted(&counts).render(false, None).text;
        let expected = "\
KIND    OF          ENDPOINTS  ONLINE  CONTAINED
all                 5          3       1
client  acme        5          1       0
site    acme/hq     2          1       0
system  Debian 12   4          1       0
system  all others  1          1       0
";
        assert_eq!(shown, expected);
    }
}
