//! Endpoints: who they are, whether they are connected, how they fare.

pub(super) mod counts;
pub(super) mod list;
pub(super) mod note;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::command::Nonce;
use cordon_proto::event::agent::Standing;
use cordon_proto::event::json::health_json;
use cordon_proto::id::{ClientId, EndpointId, TokenId};
use note::NoteShown;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::page::to_b64;
use super::person::Person;
use super::problem::ProblemBody;
use super::way_out::WayOutShown;
use super::{App, Problem};
use crate::attention::{Need, Needs};
use crate::command::Place;
use crate::estate::Note;
use crate::presence::{self, Condition, Silence};
use crate::store::{Endpoint, Fared, StoredWayOut, ToldGap};
use crate::time::Time;

/// Losses shown of one endpoint.
const GAPS_MAX: usize = 50;

/// An endpoint in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointShown {
    /// Its id: SHA-256 of its first signing key.
    #[schema(value_type = String)]
    id: EndpointId,
    /// Whose.
    #[schema(value_type = String)]
    client: ClientId,
    /// Its host name, as it last said.
    host_name: String,
    /// Its operating system.
    os: String,
    /// Its kernel.
    kernel: String,
    /// Its agent's version.
    agent_version: String,
    /// `online` while it is connected to this collector, else `offline`.
    state: &'static str,
    /// Why it is offline, as far as can be told.
    silence: Option<Silence>,
    /// What is wrong with what it sees or tells, by its last health and hello.
    conditions: Vec<Condition>,
    /// Why somebody should look at it, the gravest first; empty where nobody needs to.
    needs: Vec<Need>,
    /// When it was last heard; now, while it is connected.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Time>,
    /// Endpoint time at its last health.
    endpoint_secs: Option<u64>,
    /// What commands to it must carry.
    nonce: Option<NonceShown>,
    /// The roster it was last heard to hold.
    roster_version: u64,
    /// The version of the policy that it holds by its last health; 0 for none.
    policy_version: Option<u64>,
    /// Whether its last health lists an isolation.
    isolated: bool,
    /// What stands on it, by its last health.
    #[schema(value_type = Vec<Object>)]
    standing: Vec<Standing>,
    /// When that health was made, by the collector's clock; how old it is, is for the reader.
    #[schema(value_type = Option<String>, format = DateTime)]
    health_at: Option<Time>,
    /// The way out that is stored for it; none if there is none.
    way_out: Option<WayOutShown>,
    /// Machines noticed to share its key.
    clones: u64,
    /// When it enrolled.
    #[schema(value_type = String, format = DateTime)]
    enrolled_at: Time,
    /// What people say of it.
    #[serde(flatten)]
    note: NoteShown,
}

/// A nonce as JSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct NonceShown {
    /// How often the endpoint had booted, as text.
    #[serde(with = "crate::number")]
    #[schema(value_type = String)]
    boot_count: u64,
    /// Endpoint time when it was made.
    endpoint_secs: u64,
    /// The endpoint's proof, base64url.
    mac: String,
}

/// An endpoint alone.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointWhole {
    #[serde(flatten)]
    shown: EndpointShown,
    /// Its public key, base64url; its hash is the endpoint's id.
    key: String,
    /// The machine's id.
    machine_id: String,
    /// The token it came with.
    #[schema(value_type = Option<String>)]
    token: Option<TokenId>,
    /// Until when its certificate is good; it renews it by itself.
    #[schema(value_type = String, format = DateTime)]
    certificate_until: Time,
    /// Its wall clock minus the collector's at its last hello, in nanoseconds, as text.
    clock_offset_ns: String,
    /// Its last health.
    #[schema(value_type = Option<Object>)]
    health: Option<Value>,
    /// What it lost, newest first.
    #[schema(value_type = Vec<Object>)]
    gaps: Vec<Value>,
    /// Machines noticed to share its key.
    #[schema(value_type = Vec<Object>)]
    clones_seen: Vec<Value>,
}

/// One endpoint, with its health, its losses and its clones.
#[utoipa::path(get, path = "/endpoints/{id}", tag = "endpoints",
    params(("id" = String, Path, description = "the endpoint's id")),
    responses((status = 200, body = EndpointWhole), (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(super) async fn show(
    State(app): State<App>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<EndpointWhole>, Problem> {
    app.work(move |app| {
        let endpoint = find(app, &person, &id)?;
        let state = &app.collector.state;
        let (id, client) = (endpoint.id, endpoint.client.clone());
        let gaps = state.gaps_of(&client, id, GAPS_MAX)?.iter().map(gap_json).collect();
        let clones = state.clones(&client, id)?;
        let clones_seen = clones.iter().map(|clone| {
            json!({
                "machine_id": clone.machine_id,
                "boot_id": clone.boot_id,
                "host_name": clone.host_name,
                "first_at": Time(clone.first_ns),
                "last_at": Time(clone.last_ns),
            })
        });
        let health = state.fared(&[id])?.get(&id).map(|fared| health_json(&fared.health));
        let (key, machine_id) = (to_b64(endpoint.key.0), endpoint.machine_id.clone());
        let certificate_until = Time(0).plus_secs(endpoint.certificate_until_secs);
        let (token, clock_offset_ns) = (endpoint.token, endpoint.clock_offset_ns.to_string());
        let shown = shown(app, vec![endpoint])?.pop().ok_or_else(Problem::not_found)?;
        Ok(Json(EndpointWhole {
            shown,
            key,
            machine_id,
            token,
            certificate_until,
            clock_offset_ns,
            health,
            gaps,
            clones_seen: clones_seen.collect(),
        }))
    })
    .await
}

/// The endpoint with this id, if the asker may see it.
pub(super) fn find(app: &App, person: &Person, id: &str) -> Result<Endpoint, Problem> {
    let id: EndpointId = id.parse().ok().ok_or_else(Problem::not_found)?;
    let endpoint = app.collector.state.endpoint(id)?;
    endpoint.filter(|found| person.view.sees(&found.client)).ok_or_else(Problem::not_found)
}

fn shown(app: &App, endpoints: Vec<Endpoint>) -> Result<Vec<EndpointShown>, Problem> {
    let ids: Vec<EndpointId> = endpoints.iter().map(|endpoint| endpoint.id).collect();
    let fared = app.collector.state.fared(&ids)?;
    let clones = app.collector.state.clone_counts(&ids)?;
    let ways_out = app.collector.state.ways_out(&ids)?;
    let notes = app.collector.state.notes(&ids)?;
    let mut known = Known { fared, clones, ways_out, notes };
    Ok(endpoints.into_iter().map(|endpoint| show_one(app, endpoint, &mut known)).collect())
}

/// What is derived of the endpoints shown.
struct Known {
    fared: BTreeMap<EndpointId, Fared>,
    clones: BTreeMap<EndpointId, u64>,
    ways_out: BTreeMap<EndpointId, StoredWayOut>,
    notes: BTreeMap<EndpointId, Note>,
}

fn show_one(app: &App, endpoint: Endpoint, known: &mut Known) -> EndpointShown {
    let note = known.notes.remove(&endpoint.id).unwrap_or_default();
    let online = app.collector.links.is_online(endpoint.id);
    let fared = known.fared.get(&endpoint.id);
    let silence = (!online).then(|| presence::silence(endpoint.farewell, endpoint.ended));
    let clones = known.clones.get(&endpoint.id).copied().unwrap_or_default();
    let health = fared.map(|fared| &fared.health);
    let standing = health.map_or_else(Vec::new, |health| health.containments.clone());
    let heard = endpoint.last_seen_ns.max(fared.map(|fared| fared.at.0)).map(Time);
    let now = Time(app.collector.clock.wall_ns());
    let conditions = presence::conditions(health, endpoint.clock_offset_ns);
    let needs = Needs::of_conditions(&conditions).and(silence, 0, clones > 0);
    EndpointShown {
        id: endpoint.id,
        client: endpoint.client,
        host_name: endpoint.host_name,
        os: endpoint.os,
        kernel: endpoint.kernel,
        agent_version: endpoint.agent_version,
        state: if online { "online" } else { "offline" },
        silence,
        conditions,
        needs: needs.iter().collect(),
        last_seen: if online { Some(now) } else { heard },
        endpoint_secs: health.map(|health| health.endpoint_secs),
        nonce: health.map(|health| nonce(&health.nonce)),
        roster_version: endpoint.roster.version,
        policy_version: health.map(|health| health.policy_version),
        isolated: standing.iter().any(|one| one.action.name() == "isolate"),
        standing,
        health_at: fared.map(|fared| fared.at),
        way_out: known
            .ways_out
            .get(&endpoint.id)
            .and_then(|stored| WayOutShown::of(stored, endpoint.roster.version)),
        clones,
        enrolled_at: Time(endpoint.enrolled_ns),
        note: note.into(),
    }
}

fn nonce(nonce: &Nonce) -> NonceShown {
    let Nonce { boot_count, endpoint_secs, mac } = *nonce;
    NonceShown { boot_count, endpoint_secs, mac: to_b64(mac) }
}

fn gap_json(told: &ToldGap) -> Value {
    let Place { epoch, seq } = told.place;
    let gap = &told.gap;
    let sealed = gap.sealed.map(|range| {
        json!({
            "lane": range.lane,
            "epoch": range.epoch,
            "first": range.first.to_string(),
            "last": range.last.to_string(),
        })
    });
    json!({
        "at": told.at,
        "epoch": epoch,
        "seq": seq.to_string(),
        "reason": gap.reason,
        "counts": gap.counts,
        "from": Time(gap.from_ns),
        "to": Time(gap.to_ns),
        "sealed": sealed,
        "detail": gap.detail,
    })
}
