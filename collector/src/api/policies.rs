//! Policies: what is wrong with one, what it would change on which endpoints, and which endpoint holds
//! which version. A policy itself is set by a signed command, as everything on endpoints is.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, State};
use cordon_proto::command::{Action, ActionKind};
use cordon_proto::id::{ClientId, CommandId, EndpointId, OperatorId};
use cordon_proto::limits::TARGETS_MAX;
use cordon_proto::policy::{Policy, in_share, mistakes};
use cordon_proto::roster::{Ceilings, Role, Roster};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::page::{Body, Page, PageAsked, Params, limit};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::difference::{Difference, of_policies};
use crate::store::{CommandsAsked, Narrow, Sought, StoredCommand};
use crate::time::Time;

/// Policies looked through; whoever set more of them has long replaced the first ones.
const POLICIES_MAX: usize = 200;

/// Endpoints named in a preview; all are counted.
const NAMED_MAX: usize = 500;

/// A policy to be looked at, and for whom it would be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "policy": { "client": "acme", "version": 2 }, "share_percent": 10 }))]
pub(crate) struct PolicyAsked {
    /// The policy, with the names of its file.
    #[schema(value_type = Object)]
    policy: Value,
    /// For these endpoints only, by id.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    endpoints: Option<BTreeSet<EndpointId>>,
    /// For this share of the client's endpoints only: 1 to 100 hundredths, chosen by their ids, so
    /// that a larger share holds every smaller one.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    share_percent: Option<u8>,
}

/// What a policy would change.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyPreview {
    /// What is wrong with it, by the client's roster, too; with none it can be signed.
    mistakes: Vec<String>,
    /// The version that stands: the newest that enough persons signed.
    standing: Option<u64>,
    /// What differs from that.
    changes: Vec<Difference>,
    /// Endpoints that it would be for.
    endpoints: u64,
    /// The client's other endpoints, which keep what they hold.
    others: u64,
    /// Endpoints of those it would be for that would refuse it, because they hold this version or a
    /// newer one.
    refuse: u64,
    /// Commands it takes: one names at most 256 endpoints.
    commands: u64,
    /// Persons who must sign each; null where no number of signatures suffices.
    approvals: Option<u8>,
    /// The endpoints by the version they hold, and what would change on them.
    by_version: Vec<HeldBy>,
    /// The endpoints it would be for, by name, up to 500.
    named: Vec<PolicyTarget>,
}

/// Endpoints that hold one version.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeldBy {
    /// The version; 0 for none, null where health did not tell yet.
    version: Option<u64>,
    /// How many.
    endpoints: u64,
    /// What would change; null where that version is not here.
    changes: Option<Vec<Difference>>,
}

/// An endpoint, and the policy it holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyTarget {
    /// Which.
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// Its host name.
    host_name: String,
    /// `online` or `offline`.
    state: &'static str,
    /// The version it holds by its last health; 0 for none, null where health did not tell yet.
    holds: Option<u64>,
    /// The newest version that enough persons signed for it.
    signed_for_it: Option<u64>,
    /// Whether it holds what was signed for it.
    as_wanted: bool,
}

/// A policy as it was signed.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyShown {
    /// Its version.
    version: u64,
    /// What it says, with the names of its file.
    #[schema(value_type = Object)]
    policy: Value,
    /// Commands that set it, the newest first: one for each step of a roll-out.
    #[schema(value_type = Vec<String>)]
    commands: Vec<CommandId>,
    /// When the first was brought.
    #[schema(value_type = String, format = DateTime)]
    requested_at: Time,
    /// Who brought it.
    #[schema(value_type = Option<String>)]
    by: Option<OperatorId>,
    /// Whether enough persons signed at least one of them.
    authorised: bool,
    /// Endpoints that it was signed for by enough persons.
    endpoints: u64,
    /// Of these, those that hold this very version by their last health.
    hold: u64,
}

/// A client's policies, the highest version first.
#[utoipa::path(get, path = "/clients/{client}/policies", tag = "policies",
    params(("client" = String, Path, description = "the client's name"), PageAsked),
    responses((status = 200, body = Page<PolicyShown>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    Params(asked): Params<PageAsked>,
) -> Result<Json<Page<PolicyShown>>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    app.work(move |app| {
        let estate = Estate::read(app, &client)?;
        let mut versions: BTreeMap<u64, Vec<&Known>> = BTreeMap::new();
        for known in &estate.policies {
            versions.entry(known.policy.version).or_default().push(known);
        }
        let shown = versions.into_iter().rev().filter_map(|(version, of)| {
            let (newest, oldest) = (of.first()?, of.last()?);
            let named = of.iter().filter(|known| known.authorised);
            let named: BTreeSet<_> = named.flat_map(|known| &known.targets).copied().collect();
            let hold = named.iter().filter(|one| estate.holds(**one) == Some(version)).count();
            Some(PolicyShown {
                version,
                policy: serde_json::to_value(&newest.policy).unwrap_or_default(),
                commands: of.iter().map(|known| known.command).collect(),
                requested_at: oldest.requested,
                by: oldest.by.clone(),
                authorised: of.iter().any(|known| known.authorised),
                endpoints: count(named.len()),
                hold: count(hold),
            })
        });
        Ok(Json(Page::following(shown.collect(), asked, |one| one.version.to_string())))
    })
    .await
}

/// Which endpoint of a client holds which policy, and which it should hold, in order of id.
#[utoipa::path(get, path = "/clients/{client}/policies/status", tag = "policies",
    params(("client" = String, Path, description = "the client's name"), PageAsked),
    responses((status = 200, body = Page<PolicyTarget>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn status(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    Params(asked): Params<PageAsked>,
) -> Result<Json<Page<PolicyTarget>>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    app.work(move |app| {
        let estate = Estate::read(app, &client)?;
        let shown = estate.endpoints.iter().map(|narrow| estate.target(app, narrow));
        Ok(Json(Page::part(shown, asked, |one| one.endpoint.to_string())))
    })
    .await
}

/// What a policy would change, on which endpoints, and what is wrong with it. Nothing is kept.
#[utoipa::path(post, path = "/clients/{client}/policies/preview", tag = "policies",
    params(("client" = String, Path, description = "the client's name")),
    request_body = PolicyAsked,
    responses((status = 200, body = PolicyPreview), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn preview(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    body: Body,
) -> Result<Json<PolicyPreview>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    let PolicyAsked { policy, endpoints, share_percent } = body.read()?;
    let wrong = |error| Problem::refused(format!("`policy` is none: {error}"));
    let policy: Policy = serde_json::from_value(policy).map_err(wrong)?;
    if policy.client != client {
        let whose = &policy.client;
        return Err(Problem::refused(format!("the policy is for client {whose}, not {client}")));
    }
    if share_percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
        return Err(Problem::refused("`share_percent` is 1 to 100"));
    }
    app.work(move |app| {
        let held = app.tenants.roster(&client).ok_or_else(Problem::not_found)?;
        let estate = Estate::read(app, &client)?;
        if let Some(endpoints) = &endpoints {
            let known: BTreeSet<_> = estate.endpoints.iter().map(|narrow| narrow.id).collect();
            if let Some(stranger) = endpoints.difference(&known).next() {
                let detail = format!("client {client} has no endpoint {stranger}");
                return Err(Problem::refused(detail));
            }
        }
        let meant = |narrow: &&Narrow| {
            endpoints.as_ref().is_none_or(|endpoints| endpoints.contains(&narrow.id))
                && share_percent.is_none_or(|percent| in_share(narrow.id, percent))
        };
        let meant: Vec<&Narrow> = estate.endpoints.iter().filter(meant).collect();
        Ok(Json(estate.preview(app, &policy, &meant, &held.roster)))
    })
    .await
}

/// A policy of the past or present.
struct Known {
    policy: Policy,
    command: CommandId,
    requested: Time,
    by: Option<OperatorId>,
    authorised: bool,
    targets: BTreeSet<EndpointId>,
}

/// A client's endpoints, in order of id, and its policies, the newest command first.
struct Estate {
    endpoints: Vec<Narrow>,
    holds: BTreeMap<EndpointId, u64>,
    policies: Vec<Known>,
}

impl Estate {
    fn read(app: &App, client: &ClientId) -> Result<Self, Problem> {
        let state = &app.collector.state;
        let clients = vec![client.clone()];
        let asked = CommandsAsked { policies: true, ..CommandsAsked::default() };
        let commands = state.commands(&clients, asked, POLICIES_MAX)?;
        let policies = commands.into_iter().filter_map(Known::of).collect();
        let sought = Sought { clients, ..Sought::default() };
        let mut endpoints = state.endpoints_sought(&sought)?;
        endpoints.sort_unstable_by_key(|narrow| narrow.id);
        let ids: Vec<EndpointId> = endpoints.iter().map(|narrow| narrow.id).collect();
        let fared = state.fared(&ids)?.into_iter();
        let holds = fared.map(|(id, fared)| (id, fared.health.policy_version)).collect();
        Ok(Self { endpoints, holds, policies })
    }

    fn holds(&self, endpoint: EndpointId) -> Option<u64> {
        self.holds.get(&endpoint).copied()
    }

    /// The newest that enough persons signed; for one endpoint, or for any.
    fn standing(&self, endpoint: Option<EndpointId>) -> Option<&Known> {
        let meant = |known: &&Known| endpoint.is_none_or(|one| known.targets.contains(&one));
        let signed = self.policies.iter().filter(|known| known.authorised).filter(meant);
        signed.max_by_key(|known| known.policy.version)
    }

    fn target(&self, app: &App, narrow: &Narrow) -> PolicyTarget {
        let holds = self.holds(narrow.id);
        let signed_for_it = self.standing(Some(narrow.id)).map(|known| known.policy.version);
        let online = app.collector.links.is_online(narrow.id);
        PolicyTarget {
            endpoint: narrow.id,
            host_name: narrow.host_name.clone(),
            state: if online { "online" } else { "offline" },
            holds,
            signed_for_it,
            as_wanted: holds.is_some_and(|holds| holds >= signed_for_it.unwrap_or_default()),
        }
    }

    fn preview(
        &self,
        app: &App,
        policy: &Policy,
        meant: &[&Narrow],
        roster: &Roster,
    ) -> PolicyPreview {
        let ceilings: &Ceilings = &roster.ceilings;
        let standing = self.standing(None).map(|known| &known.policy);
        let mut wrong = mistakes(policy, Some(ceilings));
        if let Some(standing) = standing.filter(|standing| standing.version >= policy.version)
            && *standing != *policy
        {
            let (mine, stands) = (policy.version, standing.version);
            wrong.push(format!("has version {mine}, and version {stands} stands; versions grow"));
        }
        let mut versions: BTreeMap<Option<u64>, u64> = BTreeMap::new();
        for narrow in meant {
            *versions.entry(self.holds(narrow.id)).or_default() += 1;
        }
        let of_version = |version: u64| {
            let mut known = self.policies.iter().filter(|known| known.authorised);
            known.find(|known| known.policy.version == version).map(|known| &known.policy)
        };
        let held_by = |(version, endpoints): (&Option<u64>, &u64)| HeldBy {
            version: *version,
            endpoints: *endpoints,
            changes: match version {
                None => None,
                Some(0) => Some(of_policies(None, policy)),
                Some(held) => of_version(*held).map(|held| of_policies(Some(held), policy)),
            },
        };
        let newer = |version: &Option<u64>| version.is_some_and(|held| held >= policy.version);
        let refuse = versions.iter().filter(|(version, _)| newer(version)).map(|(_, n)| n).sum();
        let targets = meant.len().min(TARGETS_MAX);
        let fits = roster.grants.iter().filter(|grant| {
            grant.action == ActionKind::SetPolicy
                && usize::try_from(grant.targets_max).is_ok_and(|most| targets <= most)
        });
        let shown = meant.iter().take(limit(Some(NAMED_MAX)));
        PolicyPreview {
            mistakes: wrong,
            standing: standing.map(|standing| standing.version),
            changes: of_policies(standing, policy),
            endpoints: count(meant.len()),
            others: count(self.endpoints.len() - meant.len()),
            refuse,
            commands: count(meant.len().div_ceil(TARGETS_MAX)),
            approvals: fits.map(|grant| grant.approvals).min(),
            by_version: versions.iter().map(held_by).collect(),
            named: shown.map(|narrow| self.target(app, narrow)).collect(),
        }
    }
}

impl Known {
    fn of(stored: StoredCommand) -> Option<Self> {
        let command = stored.signed.command();
        let Action::SetPolicy(policy) = &command.action else { return None };
        let authorised = stored.lives.iter().any(|(_, life)| life.facts.authorised.is_some());
        Some(Self {
            policy: policy.clone(),
            command: command.id,
            requested: stored.requested,
            by: stored.lives.first().and_then(|(_, life)| life.facts.requested.by.clone()),
            authorised,
            targets: command.targets.iter().map(|target| target.endpoint).collect(),
        })
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
