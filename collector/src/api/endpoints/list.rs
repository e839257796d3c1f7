//! Endpoints found, sorted and shown a page at a time.

use std::cmp::Ordering;

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
use crate::attention::{Need, Needs};
use crate::estate::{Criticality, Word};
use crate::presence::Silence;
use crate::store::{Narrow, Sought};

/// Longest text looked for.
const TEXT_BYTES_MAX: usize = 256;

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
    /// Not connected, and so as far as can be told.
    #[param(inline)]
    silence: Option<Silence>,
    /// That somebody should look at for this reason.
    #[param(inline)]
    need: Option<Need>,
    /// Whether somebody should look at it, for whatever reason.
    needs_person: Option<bool>,
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
    /// Not connected, and so as far as can be told.
    #[param(inline)]
    silence: Option<Silence>,
    /// That somebody should look at for this reason.
    #[param(inline)]
    need: Option<Need>,
    /// Whether somebody should look at it, for whatever reason.
    needs_person: Option<bool>,
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
    /// Instead of a cursor: leave so many out. What moves in the list meanwhile may be missed or met
    /// twice; whoever needs every endpoint once follows the cursors.
    offset: Option<usize>,
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
    /// Why somebody should look at it, the gravest first; those that nobody needs to look at are last.
    Need,
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
    let offset = asked.offset;
    if offset.is_some() && after.is_some() {
        return Err(Problem::unreadable(
            "a page begins at a `cursor` or at an `offset`, not at both",
        ));
    }
    let filter = asked.filter();
    app.work(move |app| {
        let found = sought(app, &person, filter)?;
        let mut places: Vec<After> =
            found.into_iter().map(|one| After(key(&one, sort), one.narrow.id)).collect();
        let order = |a: &After, b: &After| if descending { b.cmp(a) } else { a.cmp(b) };
        places.sort_unstable_by(order);
        let passed = |after: &After| {
            places.partition_point(|place| order(place, after) != Ordering::Greater)
        };
        let start = offset.unwrap_or_else(|| after.as_ref().map_or(0, passed));
        let page = places.get(start..).unwrap_or_default();
        let page = page.get(..limit.min(page.len())).unwrap_or_default();
        let more = start.saturating_add(page.len()) < places.len();
        let next = page.last().filter(|_| more).map(write_cursor);
        let ids: Vec<EndpointId> = page.iter().map(|place| place.1).collect();
        let items = shown(app, app.collector.state.endpoints_of(&ids)?)?;
        Ok(Json(Endpoints { items, next, total: places.len() }))
    })
    .await
}

/// An endpoint that fits.
pub(super) struct Found {
    pub(super) narrow: Narrow,
    /// Whether it is connected.
    pub(super) online: bool,
    /// Why somebody should look at it.
    pub(super) needs: Needs,
}

impl Found {
    fn new(app: &App, narrow: Narrow) -> Self {
        let online = app.collector.links.is_online(narrow.id);
        let silence = (!online).then_some(narrow.silence);
        let needs = narrow.needs.and(silence, 0, false);
        Self { narrow, online, needs }
    }

    /// Why it is silent; none while it is connected.
    pub(super) fn silence(&self) -> Option<Silence> {
        (!self.online).then_some(self.narrow.silence)
    }
}

impl Asked {
    fn filter(self) -> Filter {
        Filter {
            client: self.client,
            name: self.name,
            text: self.text,
            state: self.state,
            silence: self.silence,
            need: self.need,
            needs_person: self.needs_person,
            os: self.os,
            site: self.site,
            label: self.label,
            criticality: self.criticality,
            contained: self.contained,
            standing: self.standing,
        }
    }
}

/// All endpoints that fit, in no order.
pub(super) fn sought(app: &App, person: &Person, filter: Filter) -> Result<Vec<Found>, Problem> {
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
    let wanted = filter.state.map(|state| state == Connection::Online);
    let fits = |one: &Found| {
        wanted.is_none_or(|wanted| wanted == one.online)
            && filter.silence.is_none_or(|silence| one.silence() == Some(silence))
            && filter.need.is_none_or(|need| one.needs.holds(need))
            && filter.needs_person.is_none_or(|needs| needs != one.needs.is_empty())
    };
    let found = app.collector.state.endpoints_sought(&sought)?.into_iter();
    Ok(found.map(|narrow| Found::new(app, narrow)).filter(fits).collect())
}

fn key(one: &Found, sort: Sort) -> Key {
    let narrow = &one.narrow;
    match sort {
        Sort::Name => Key::Text(narrow.host_name.to_lowercase()),
        // A moment has fewer digits than fit into 63 bits; JSON carries it exactly here.
        Sort::Seen => Key::Number(if one.online { u64::MAX >> 1 } else { narrow.seen_ns }),
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
        Sort::Need => Key::Number(one.needs.iter().next().map_or(u64::MAX >> 1, Need::rank)),
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
