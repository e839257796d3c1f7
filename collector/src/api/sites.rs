//! The sites of a client: where its endpoints stand.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cordon_proto::id::ClientId;
use cordon_proto::roster::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Body, Page, PageAsked, Params};
use super::person::Person;
use super::problem::ProblemBody;
use super::{App, Problem};
use crate::audit::Deed;
use crate::estate::{self, EstateError, SITES_MAX, Site, Word};
use crate::store::EstateChange;
use crate::time::Time;

/// A site.
#[derive(Serialize, ToSchema)]
pub(crate) struct SiteShown {
    /// Its name, unique at the client.
    #[schema(value_type = String)]
    name: Word,
    /// What people call it.
    title: String,
    /// Its time zone, by its name in the tz database.
    time_zone: String,
    /// Endpoints that stand there.
    endpoints: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    made_at: Time,
}

/// A site to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "hq", "title": "Head office", "time_zone": "Europe/Vienna" }))]
pub(crate) struct NewSite {
    /// Its name: up to 64 of a-z, 0-9 and . _ - : =, unique at the client, never changed.
    #[schema(value_type = String)]
    name: Word,
    /// What people call it, up to 128 bytes.
    #[serde(default)]
    title: String,
    /// Its time zone, by its name in the tz database; only its form is checked.
    #[serde(default = "utc")]
    time_zone: String,
}

/// What of a site is to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "title": "Old head office" }))]
pub(crate) struct SiteChange {
    /// What people call it, up to 128 bytes.
    #[serde(default)]
    title: Option<String>,
    /// Its time zone.
    #[serde(default)]
    time_zone: Option<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A client's sites, in order of name.
#[utoipa::path(get, path = "/clients/{client}/sites", tag = "clients",
    params(("client" = String, Path, description = "the client's name"), PageAsked),
    responses((status = 200, body = Page<SiteShown>), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    Params(asked): Params<PageAsked>,
) -> Result<Json<Page<SiteShown>>, Problem> {
    let client = person.client(&client, Role::Viewer)?;
    let (after, limit) = asked.read();
    app.work(move |app| {
        let found = app.collector.state.sites(&client, &after, limit + 1)?;
        let shown = found.into_iter().map(|(site, endpoints)| show(site, endpoints)).collect();
        Ok(Json(Page::cut(shown, limit, |site: &SiteShown| site.name.to_string())))
    })
    .await
}

/// Makes a site. A client has at most 1000.
#[utoipa::path(post, path = "/clients/{client}/sites", tag = "clients",
    params(("client" = String, Path, description = "the client's name")), request_body = NewSite,
    responses((status = 201, body = SiteShown), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn create(
    State(app): State<App>,
    person: Person,
    Path(client): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<SiteShown>), Problem> {
    let client = person.client(&client, Role::Administrator)?;
    let NewSite { name, title, time_zone } = body.read()?;
    if name.as_str().contains('/') {
        return Err(Problem::refused("the name of a site has no / in it"));
    }
    let title = estate::text(title).map_err(refused)?;
    let time_zone = estate::time_zone(time_zone).map_err(refused)?;
    app.work(move |app| {
        let made_ns = app.collector.clock.wall_ns();
        let site = Site { name, title, time_zone, made_ns };
        let act = act(&person, &client, Deed::SiteCreate, &site)?;
        match app.collector.state.add_site(&client, &site, act, made_ns)? {
            EstateChange::Done => Ok((StatusCode::CREATED, Json(show(site, 0)))),
            EstateChange::Taken
            | EstateChange::NoSite
            | EstateChange::InUse(_)
            | EstateChange::Moved(_) => Err(Problem::conflict(format!(
                "client {client} has a site of that name already, or {SITES_MAX} of them"
            ))),
        }
    })
    .await
}

/// Changes what a site is called, or its time zone.
#[utoipa::path(patch, path = "/clients/{client}/sites/{site}", tag = "clients",
    params(("client" = String, Path, description = "the client's name"),
        ("site" = String, Path, description = "the site's name")),
    request_body = SiteChange,
    responses((status = 200, body = SiteShown), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 413, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn change(
    State(app): State<App>,
    person: Person,
    Path((client, site)): Path<(String, String)>,
    body: Body,
) -> Result<Json<SiteShown>, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    let SiteChange { title, time_zone } = body.read()?;
    app.work(move |app| {
        let (mut site, endpoints) = find(app, &client, &site)?;
        if let Some(title) = title {
            site.title = estate::text(title).map_err(refused)?;
        }
        if let Some(time_zone) = time_zone {
            site.time_zone = estate::time_zone(time_zone).map_err(refused)?;
        }
        let act = act(&person, &client, Deed::SiteChange, &site)?;
        let now_ns = app.collector.clock.wall_ns();
        match app.collector.state.change_site(&client, &site, act, now_ns)? {
            EstateChange::Done => Ok(Json(show(site, endpoints))),
            EstateChange::Taken
            | EstateChange::NoSite
            | EstateChange::InUse(_)
            | EstateChange::Moved(_) => Err(Problem::not_found()),
        }
    })
    .await
}

/// Takes a site away at which no endpoint stands.
#[utoipa::path(delete, path = "/clients/{client}/sites/{site}", tag = "clients",
    params(("client" = String, Path, description = "the client's name"),
        ("site" = String, Path, description = "the site's name")),
    responses((status = 204), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn remove(
    State(app): State<App>,
    person: Person,
    Path((client, site)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let client = person.client(&client, Role::Administrator)?;
    app.work(move |app| {
        let (site, _) = find(app, &client, &site)?;
        let act = act(&person, &client, Deed::SiteRemove, &site)?;
        let now_ns = app.collector.clock.wall_ns();
        match app.collector.state.remove_site(&client, &site.name, act, now_ns)? {
            EstateChange::Done => Ok(StatusCode::NO_CONTENT),
            EstateChange::InUse(endpoints) => {
                let name = site.name;
                Err(Problem::conflict(format!("{endpoints} endpoint(s) stand at site {name}")))
            }
            EstateChange::Taken | EstateChange::NoSite | EstateChange::Moved(_) => {
                Err(Problem::not_found())
            }
        }
    })
    .await
}

fn find(app: &App, client: &ClientId, name: &str) -> Result<(Site, u64), Problem> {
    let name: Word = name.parse().ok().ok_or_else(Problem::not_found)?;
    let sites = app.collector.state.sites(client, "", SITES_MAX)?;
    sites.into_iter().find(|(site, _)| site.name == name).ok_or_else(Problem::not_found)
}

fn act(
    person: &Person,
    client: &ClientId,
    deed: Deed,
    site: &Site,
) -> Result<crate::audit::Act, Problem> {
    let detail = format!("{:?}, {}", site.title, site.time_zone);
    person.act(client, Role::Administrator, deed, site.name.to_string(), detail)
}

fn refused(error: EstateError) -> Problem {
    Problem::refused(error.to_string())
}

fn show(site: Site, endpoints: u64) -> SiteShown {
    let Site { name, title, time_zone, made_ns } = site;
    SiteShown { name, title, time_zone, endpoints, made_at: Time(made_ns) }
}
