//! Endpoints found, sorted, counted and shown a page at a time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use cordon_proto::id::EndpointId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::page::{Params, from_b64, limit, to_b64};
use super::super::person::Person;
use super::super::problem::ProblemBody;
use super::super::{App, Problem};
use super::{EndpointShown, shown};
use crate::estate::{Criticality, Word};
use crate::store::{Narrow, Sought};

/// Longest text looked for.
const TEXT_BYTES_MAX: usize = 256;

/// Kinds counted apart; the rest are counted together.
const KINDS_MAX: usize = 100;

/// Which endpoints.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Of this client only.
    client: Option<String>,
    /// Whose host name has this in it, or whose id begins with it.
    name: Option<String>,
    /// With this in the host name, system, kernel, agent's version, role or a label; any case.
    text: Option<String>,
    /// Connected, or not.
    #[param(inline)]
    state: Option<Connection>,
    /// With this in the name of the operating system; any case.
    os: Option<String>,
    /// Standing at this site; `-` for those that stand at none.
    site: Option<String>,
    /// Having all of these labels, with commas between.
    label: Option<String>,
    /// On which so much hangs, as people see it.
    #[param(inline)]
    criticality: Option<Criticality>,
    /// Whether anything stands on it, by its last health.
    contained: Option<bool>,
    /// On which this action stands, by its last health: `isolate`, `deny`, `block` …
    standing: Option<String>,
}

/// Which page of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Of this client only.
    client: Option<String>,
    /// Whose host name has this in it, or whose id begins with it.
    name: Option<String>,
    /// With this in the host name, system, kernel, agent's version, role or a label; any case.
    text: Option<String>,
    /// Connected, or not.
    #[param(inline)]
    state: Option<Connection>,
    /// With this in the name of the operating system; any case.
    os: Option<String>,
    /// Standing at this site; `-` for those that stand at none.
    site: Option<String>,
    /// Having all of these labels, with commas between.
    label: Option<String>,
    /// On which so much hangs, as people see it.
    #[param(inline)]
    criticality: Option<Criticality>,
    /// Whether anything stands on it, by its last health.
    contained: Option<bool>,
    /// On which this action stands, by its last health: `isolate`, `deny`, `block` …
    standing: Option<String>,
    /// Sorted by what; `name` if not said.
    #[param(inline)]
    sort: Option<Sort>,
    /// The greatest first; for `seen` the latest.
    descending: Option<bool>,
    /// What an earlier page of the same list gave as `next`.
    cursor: Option<String>,
    /// At most so many, up to 500; 100 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Whether an endpoint is connected to this collector.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Connection {
    /// It is.
    Online,
    /// It is not.
    Offline,
}

/// What a list is sorted by; endpoints that are equal in it are in order of id.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    /// The host name.
    #[default]
    Name,
    /// When it was last heard; those connected are the latest.
    Seen,
    /// When it enrolled.
    Enrolled,
    /// The operating system.
    Os,
    /// The agent's version.
    Version,
    /// The site; those at none come first.
    Site,
    /// How much hangs on it.
    Criticality,
    /// The client.
    Client,
}

/// A page of endpoints.
#[derive(Serialize, ToSchema)]
pub(crate) struct Endpoints {
    /// The endpoints.
    items: Vec<EndpointShown>,
    /// Give this as `cursor` for what follows; none at the end.
    next: Option<String>,
    /// How many there are on all pages together.
    total: usize,
}

/// How many endpoints there are of each kind.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// All that fit.
    total: u64,
    /// Those connected.
    online: u64,
    /// Those not connected.
    offline: u64,
    /// Those on which something stands.
    contained: u64,
    /// Those that are isolated.
    isolated: u64,
    /// By client.
    by_client: Vec<Count>,
    /// By client and site, as `client/site`; `client/` for those at none.
    by_site: Vec<Count>,
    /// By operating system.
    by_os: Vec<Count>,
    /// By how much hangs on them.
    by_criticality: Vec<Count>,
}

/// How many there are of one kind.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Count {
    /// Which kind; null for all beyond the hundred largest.
    of: Option<String>,
    /// How many.
    total: u64,
    /// Those connected.
    online: u64,
    /// Those on which something stands.
    contained: u64,
}

/// Where a page begins: after the endpoint with this key and id.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
struct After(Key, EndpointId);

/// What an endpoint is sorted by.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Number(u64),
    Text(String),
}

/// Endpoints that the asker may see.
#[utoipa::path(get, path = "/endpoints", tag = "endpoints", params(Asked),
    responses((status = 200, body = Endpoints), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(in crate::api) async fn list(
    State(app): State<App>,
    person: Person,
    Params(asked): Params<Asked>,
) -> Result<Json<Endpoints>, Problem> {
    let (sort, descending) = (asked.sort.unwrap_or_default(), asked.descending.unwrap_or(false));
    let after = asked.cursor.as_deref().map(read_cursor).transpose()?;
    let limit = limit(asked.limit);
    let filter = asked.filter();
    app.work(move |app| {
        let mut found: Vec<(After, Narrow)> = Vec::new();
        for (narrow, online) in sought(app, &person, filter)? {
            found.push((After(key(&narrow, sort, online), narrow.id), narrow));
        }
        let order = |a: &After, b: &After| if descending { b.cmp(a) } else { a.cmp(b) };
        found.sort_unstable_by(|a, b| order(&a.0, &b.0));
        let passed = |after: &After| {
            found.partition_point(|(place, _)| order(place, after) != Ordering::Greater)
        };
        let start = after.as_ref().map_or(0, passed);
        let page = found.get(start..).unwrap_or_default();
        let page = page.get(..limit.min(page.len())).unwrap_or_default();
        let more = start + page.len() < found.len();
        let next = page.last().filter(|_| more).map(|(place, _)| write_cursor(place));
        let ids: Vec<EndpointId> = page.iter().map(|(_, narrow)| narrow.id).collect();
        let items = shown(app, app.collector.state.endpoints_of(&ids)?)?;
        Ok(Json(Endpoints { items, next, total: found.len() }))
    })
    .await
}

/// How many endpoints there are of each kind, among those that the asker may see.
#[utoipa::path(get, path = "/endpoints/counts", tag = "endpoints", params(Filter),
    responses((status = 200, body = Counts), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(in crate::api) async fn counts(
    State(app): State<App>,
    person: Person,
    Params(filter): Params<Filter>,
) -> Result<Json<Counts>, Problem> {
    app.work(move |app| {
        let mut counts = Counts::default();
        let [mut clients, mut sites, mut systems, mut criticalities] =
            std::array::from_fn::<BTreeMap<String, Count>, 4, _>(|_| BTreeMap::new());
        for (narrow, online) in sought(app, &person, filter)? {
            counts.total += 1;
            counts.online += u64::from(online);
            counts.offline += u64::from(!online);
            counts.contained += u64::from(narrow.contained);
            counts.isolated += u64::from(narrow.isolated);
            let site = narrow.site.as_deref().unwrap_or_default();
            for (kinds, kind) in [
                (&mut clients, narrow.client.to_string()),
                (&mut sites, format!("{}/{site}", narrow.client)),
                (&mut systems, narrow.os.clone()),
                (&mut criticalities, narrow.criticality.name().to_owned()),
            ] {
                kinds.entry(kind).or_default().add(online, narrow.contained);
            }
        }
        counts.by_client = largest(clients);
        counts.by_site = largest(sites);
        counts.by_os = largest(systems);
        counts.by_criticality = largest(criticalities);
        Ok(Json(counts))
    })
    .await
}

impl Count {
    fn add(&mut self, online: bool, contained: bool) {
        self.total += 1;
        self.online += u64::from(online);
        self.contained += u64::from(contained);
    }
}

/// The kinds with most endpoints; what is beyond is one kind without a name.
fn largest(kinds: BTreeMap<String, Count>) -> Vec<Count> {
    let named = |(of, count)| Count { of: Some(of), ..count };
    let mut counts: Vec<Count> = kinds.into_iter().map(named).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.total));
    let mut rest = Count::default();
    for count in counts.drain(KINDS_MAX.min(counts.len())..) {
        rest.total += count.total;
        rest.online += count.online;
        rest.contained += count.contained;
    }
    counts.extend((rest.total > 0).then_some(rest));
    counts
}

impl Asked {
    fn filter(self) -> Filter {
        let Self { client, name, text, state, os, site, label, criticality, .. } = self;
        let (contained, standing) = (self.contained, self.standing);
        Filter { client, name, text, state, os, site, label, criticality, contained, standing }
    }
}

/// All endpoints that fit, each with whether it is connected.
fn sought(app: &App, person: &Person, filter: Filter) -> Result<Vec<(Narrow, bool)>, Problem> {
    let clients = person.clients(filter.client.as_deref())?;
    let texts = [&filter.name, &filter.text, &filter.os, &filter.standing, &filter.site];
    if texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
        let detail = format!("what is looked for has at most {TEXT_BYTES_MAX} bytes");
        return Err(Problem::unreadable(detail));
    }
    let label = filter.label.unwrap_or_default();
    let words = label.split(',').filter(|word| !word.is_empty()).map(str::parse::<Word>);
    let wrong = |error| Problem::unreadable(format!("`label`: {error}"));
    let sought = Sought {
        clients,
        name: filter.name.filter(|name| !name.is_empty()),
        text: filter.text.filter(|text| !text.is_empty()),
        os: filter.os,
        site: filter.site.map(|site| if site == "-" { String::new() } else { site }),
        labels: words.collect::<Result<_, _>>().map_err(wrong)?,
        criticality: filter.criticality,
        contained: filter.contained,
        standing: filter.standing,
    };
    let found = app.collector.state.endpoints_sought(&sought)?.into_iter();
    let with_state = found.map(|narrow| {
        let online = app.collector.links.is_online(narrow.id);
        (narrow, online)
    });
    let wanted = filter.state.map(|state| state == Connection::Online);
    Ok(with_state.filter(|(_, online)| wanted.is_none_or(|wanted| wanted == *online)).collect())
}

fn key(narrow: &Narrow, sort: Sort, online: bool) -> Key {
    match sort {
        Sort::Name => Key::Text(narrow.host_name.to_lowercase()),
        // A moment has fewer digits than fit into 63 bits; JSON carries it exactly here.
        Sort::Seen => Key::Number(if online { u64::MAX >> 1 } else { narrow.seen_ns }),
        Sort::Enrolled => Key::Number(narrow.enrolled_ns),
        Sort::Os => Key::Text(narrow.os.clone()),
        Sort::Version => Key::Text(narrow.agent_version.clone()),
        Sort::Site => Key::Text(narrow.site.clone().unwrap_or_default()),
        Sort::Criticality => Key::Number(match narrow.criticality {
            Criticality::Low => 0,
            Criticality::Normal => 1,
            Criticality::High => 2,
            Criticality::Critical => 3,
        }),
        Sort::Client => Key::Text(narrow.client.to_string()),
    }
}

fn write_cursor(after: &After) -> String {
    to_b64(serde_json::to_vec(after).unwrap_or_default())
}

fn read_cursor(text: &str) -> Result<After, Problem> {
    let wrong = || Problem::unreadable("`cursor` is not one that an earlier answer gave");
    let bytes = from_b64("cursor", text).ok().ok_or_else(wrong)?;
    serde_json::from_slice(&bytes).ok().ok_or_else(wrong)
}
