//! Who asks: the person behind a request's session or API token, and the address it came from.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::{ClientId, Hash};
use cordon_proto::roster::Role;

use super::{App, Problem};
use crate::audit::{Act, Deed};
use crate::signin::SECRET_BYTES;
use crate::signin::account::reach;
use crate::signin::api_token::{self, ApiToken, PREFIX};
use crate::signin::session::{Session, csrf};
use crate::tenant::View;
use crate::time::Time;

/// The cookie of a browser's session. The prefix makes browsers refuse it from any other origin.
pub(crate) const COOKIE: &str = "__Host-cordon";

/// The header in which a page of the console says what only it can know.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// The address that a request came from, as the server of the door puts it into the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl FromRequestParts<App> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(peer(parts))
    }
}

fn peer(parts: &Parts) -> Peer {
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // Without it everybody counts as one.
    let address = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0.ip());
    Peer(address.to_canonical())
}

/// An operator who is signed in, and what the rosters allow now.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) view: View,
    pub(crate) by: By,
    pub(crate) from: IpAddr,
    presented: Presented,
}

/// On what strength.
#[derive(Clone, Debug)]
pub(crate) enum By {
    Session(Session),
    Token(ApiToken),
}

/// What a request carries to show who asks.
#[derive(Clone, Copy, Debug)]
enum Presented {
    Bearer { token: Hash },
    Cookie { token: Hash, csrf: [u8; 32] },
    ApiToken { text: Hash },
}

impl FromRequestParts<App> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let from = peer(parts).0;
        let presented = presented(&parts.headers).ok_or_else(Problem::nobody)?;
        let changes = !parts.method.is_safe();
        if changes && let Presented::Cookie { csrf, .. } = &presented {
            own_page(&parts.method, &parts.headers, csrf)?;
        }
        let person = find(app, presented, from).await?;
        if changes && let By::Token(ApiToken { read_only: true, .. }) = &person.by {
            return Err(Problem::forbidden("this API token may only look"));
        }
        Ok(person)
    }
}

async fn find(app: &App, presented: Presented, from: IpAddr) -> Result<Person, Problem> {
    let found = app.work(move |app| look_up(app, presented, from)).await?;
    match found {
        Some(person) => Ok(person),
        None => {
            app.sign_in().gate.wrong_token(from, app.collector.clock.now())?;
            Err(Problem::nobody())
        }
    }
}

fn look_up(app: &App, presented: Presented, from: IpAddr) -> Result<Option<Person>, Problem> {
    let state = &app.collector.state;
    let now = Time(app.collector.clock.wall_ns());
    let (view, by) = match presented {
        Presented::Bearer { token } | Presented::Cookie { token, .. } => {
            let cookie = matches!(presented, Presented::Cookie { .. });
            let session = state.use_session(token, now)?.filter(|found| found.cookie == cookie);
            let Some(session) = session else { return Ok(None) };
            let view = reach(app.tenants.view(session.key), session.clients.as_deref());
            (view, By::Session(session))
        }
        Presented::ApiToken { text } => {
            let token = state.use_api_token(text, &from.to_string(), now)?;
            let Some(token) = token else { return Ok(None) };
            let view = reach(app.tenants.view(token.key), token.clients.as_deref());
            (view.at_most(token.role_max), By::Token(token))
        }
    };
    // A key that no roster has any more is nobody's.
    Ok((!view.is_empty()).then_some(Person { view, by, from, presented }))
}

fn presented(headers: &HeaderMap) -> Option<Presented> {
    let secret = |text: &str| {
        let secret = URL_SAFE_NO_PAD.decode(text).ok()?;
        (secret.len() == SECRET_BYTES).then_some(secret)
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
        let text = text.trim();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        if text.starts_with(PREFIX) {
            return api_token::hash(text).map(|text| Presented::ApiToken { text });
        }
        return secret(text).map(|secret| Presented::Bearer { token: Hash::of(&secret) });
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE).then(|| secret(value)).flatten()
    });
    let token = ours.next()?;
    Some(Presented::Cookie { token: Hash::of(&token), csrf: csrf(&token) })
}

/// Whether a change that rests on a cookie is asked for by a page of this collector's own.
fn own_page(method: &Method, headers: &HeaderMap, csrf: &[u8; 32]) -> Result<(), Problem> {
    same_origin(headers)?;
    let said = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    let said = said.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    // Hashed, so that how much of it is right does not show in the time taken.
    if said.is_some_and(|said| Hash::of(&said) == Hash::of(csrf)) {
        return Ok(());
    }
    let detail = format!(
        "{method} with a cookie needs the header {CSRF_HEADER} with what GET /session gives as `csrf`"
    );
    Err(Problem::forbidden(detail))
}

/// Refuses what a browser says comes from a page of another origin.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    if site.is_none_or(|site| site == b"same-origin" || site == b"none") {
        return Ok(());
    }
    Err(Problem::forbidden("this was asked for by a page of another origin"))
}

impl Person {
    /// The same person by what the state and the rosters say now.
    pub(crate) async fn again(&self, app: &App) -> Result<Self, Problem> {
        find(app, self.presented, self.from).await
    }

    /// The session; an API token has none.
    pub(crate) fn session(&self) -> Result<&Session, Problem> {
        match &self.by {
            By::Session(session) => Ok(session),
            By::Token(_) => {
                let detail = "an API token cannot do this; it needs a person who is signed in";
                Err(Problem::forbidden(detail))
            }
        }
    }

    /// The session, if the person proved just now to be who it is.
    pub(crate) fn fresh(&self, app: &App) -> Result<&Session, Problem> {
        let session = self.session()?;
        let now = Time(app.collector.clock.wall_ns());
        if session.is_fresh(now) { Ok(session) } else { Err(Problem::prove_again()) }
    }

    /// What a page must say with every change; none where no cookie is at work.
    pub(crate) fn csrf(&self) -> Option<[u8; 32]> {
        match self.presented {
            Presented::Cookie { csrf, .. } => Some(csrf),
            Presented::Bearer { .. } | Presented::ApiToken { .. } => None,
        }
    }

    /// The clients asked for: the one named, or all that are seen.
    pub(crate) fn clients(&self, named: Option<&str>) -> Result<Vec<ClientId>, Problem> {
        match named {
            Some(name) => Ok(vec![self.client(name, Role::Viewer)?]),
            None => Ok(self.view.clients()),
        }
    }

    /// The client named, if it is seen and the role there is at least this.
    pub(crate) fn client(&self, name: &str, least: Role) -> Result<ClientId, Problem> {
        let client: ClientId = name.parse().ok().ok_or_else(Problem::not_found)?;
        self.view.require(&client, least)?;
        Ok(client)
    }

    /// What this person did, for the trail of a client where the role is at least this.
    pub(crate) fn act(
        &self,
        client: &ClientId,
        least: Role,
        what: Deed,
        to: impl Into<String>,
        detail: impl Into<String>,
    ) -> Result<Act, Problem> {
        let who = self.view.require(client, least)?.clone();
        let (client, key) = (client.clone(), self.view.key());
        let mut detail = detail.into();
        if let By::Token(token) = &self.by {
            let with = format!("with API token {} from {}", token.id, self.from);
            detail = if detail.is_empty() { with } else { format!("{detail}; {with}") };
        }
        Ok(Act { client, who, key, what, to: to.into(), detail })
    }
}

/// What somebody did to his own way in, for the trails of all clients that are reached.
pub(super) fn acts(view: &View, what: Deed, to: &str, detail: &str) -> Vec<Act> {
    let act = |(client, seat): (&ClientId, &crate::tenant::Seat)| Act {
        client: client.clone(),
        who: seat.operator.clone(),
        key: view.key(),
        what,
        to: to.to_owned(),
        detail: detail.to_owned(),
    };
    view.seats().map(act).collect()
}
