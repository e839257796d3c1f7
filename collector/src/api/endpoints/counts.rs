//! Endpoints counted by state, by kind of silence, by why somebody should look at them, and by what
//! they are: all of it in one answer, so that an overview of many clients is one request.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::page::Params;
use super::super::person::Person;
use super::super::problem::ProblemBody;
use super::super::{App, Problem};
use super::list::{Filter, Found, sought};
use crate::attention::Need;
use crate::presence::Silence;

/// Kinds counted apart; the rest are counted together.
const KINDS_MAX: usize = 100;

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
    /// Those that somebody should look at.
    needs_person: u64,
    /// Those not connected, by why.
    silences: Silences,
    /// By why somebody should look at them, the gravest first; an endpoint may have several reasons.
    by_need: Vec<NeedCount>,
    /// By client: every one of which there are endpoints.
    by_client: Vec<Count>,
    /// By client and site, as `client/site`; `client/` for those at none.
    by_site: Vec<Count>,
    /// By operating system.
    by_os: Vec<Count>,
    /// By how much hangs on them.
    by_criticality: Vec<Count>,
}

/// How many there are of one kind.
#[derive(Clone, Default, Serialize, ToSchema)]
pub(crate) struct Count {
    /// Which kind; null for all beyond the hundred largest.
    of: Option<String>,
    /// How many.
    total: u64,
    /// Those connected.
    online: u64,
    /// Those on which something stands.
    contained: u64,
    /// Those that are isolated.
    isolated: u64,
    /// Those that somebody should look at.
    needs_person: u64,
    /// Those not connected, by why.
    silences: Silences,
}

/// How many endpoints are silent, by why.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct Silences {
    /// The agent ended without a word.
    agent_dead: u64,
    /// Nothing came any more.
    network_lost: u64,
    /// Somebody stopped the agent.
    stopped: u64,
    /// Not heard since the collector started.
    unheard: u64,
    /// The machine sleeps.
    asleep: u64,
    /// The machine was switched off.
    off: u64,
}

/// How many endpoints have a reason to be looked at.
#[derive(Serialize, ToSchema)]
pub(crate) struct NeedCount {
    /// Which reason.
    need: Need,
    /// How many.
    total: u64,
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
    app.work(move |app| Ok(Json(count(&sought(app, &person, filter)?)))).await
}

fn count(found: &[Found]) -> Counts {
    let mut all = Count::default();
    let mut needs = Need::ALL.map(|need| NeedCount { need, total: 0 });
    let mut kinds: [Kinds<'_>; 4] = std::array::from_fn(|_| Kinds::default());
    for one in found {
        all.add(one);
        for need in &mut needs {
            need.total += u64::from(one.needs.holds(need.need));
        }
        let narrow = &one.narrow;
        let client = narrow.client.as_str();
        let site = narrow.site.as_deref().unwrap_or_default();
        let criticality = narrow.criticality.name();
        let keys = [(client, ""), (client, site), (&narrow.os, ""), (criticality, "")];
        for (kinds, key) in kinds.iter_mut().zip(keys) {
            kinds.entry(key).or_default().add(one);
        }
    }
    let [clients, sites, systems, criticalities] = kinds;
    let alone = |(kind, _): (&str, &str)| kind.to_owned();
    Counts {
        total: all.total,
        online: all.online,
        offline: all.total - all.online,
        contained: all.contained,
        isolated: all.isolated,
        needs_person: all.needs_person,
        silences: all.silences,
        by_need: needs.into_iter().filter(|need| need.total > 0).collect(),
        by_client: largest(clients, usize::MAX, alone),
        by_site: largest(sites, KINDS_MAX, |(client, site)| format!("{client}/{site}")),
        by_os: largest(systems, KINDS_MAX, alone),
        by_criticality: largest(criticalities, KINDS_MAX, alone),
    }
}

type Kinds<'a> = HashMap<(&'a str, &'a str), Count>;

impl Count {
    fn add(&mut self, one: &Found) {
        self.total += 1;
        self.online += u64::from(one.online);
        self.contained += u64::from(one.narrow.contained);
        self.isolated += u64::from(one.narrow.isolated);
        self.needs_person += u64::from(!one.needs.is_empty());
        if let Some(silence) = one.silence() {
            *self.silences.of(silence) += 1;
        }
    }

    fn add_all(&mut self, other: &Self) {
        self.total += other.total;
        self.online += other.online;
        self.contained += other.contained;
        self.isolated += other.isolated;
        self.needs_person += other.needs_person;
        let mut others = other.silences;
        for silence in Silence::ALL {
            *self.silences.of(silence) += *others.of(silence);
        }
    }
}

impl Silences {
    fn of(&mut self, silence: Silence) -> &mut u64 {
        match silence {
            Silence::AgentDead => &mut self.agent_dead,
            Silence::NetworkLost => &mut self.network_lost,
            Silence::Stopped => &mut self.stopped,
            Silence::Unheard => &mut self.unheard,
            Silence::Asleep => &mut self.asleep,
            Silence::Off => &mut self.off,
        }
    }
}

/// The kinds with most endpoints; what is beyond is one kind without a name.
fn largest(
    kinds: Kinds<'_>,
    kinds_max: usize,
    name: impl Fn((&str, &str)) -> String,
) -> Vec<Count> {
    let named = |(key, count)| Count { of: Some(name(key)), ..count };
    let mut counts: Vec<Count> = kinds.into_iter().map(named).collect();
    counts.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.of.cmp(&b.of)));
    let mut rest = Count::default();
    for count in counts.drain(kinds_max.min(counts.len())..) {
        rest.add_all(&count);
    }
    counts.extend((rest.total > 0).then_some(rest));
    counts
}
