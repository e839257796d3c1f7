//! Who asks: the operator behind a request's session, and the address it came from.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::id::{ClientId, Hash};
use cordon_proto::roster::Role;

use super::{App, Problem};
use crate::audit::{Act, Deed};
use crate::signin::{SECRET_BYTES, Session};
use crate::tenant::View;
use crate::time::Time;

/// The address that a request came from, as the server of the door puts it into the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl FromRequestParts<App> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // Without it everybody counts as one.
        Ok(Self(address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0.ip())))
    }
}

/// An operator with a session, and what the rosters allow now.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) view: View,
    pub(crate) session: Session,
    pub(crate) token: Hash,
}

impl FromRequestParts<App> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(parts).ok_or_else(Problem::nobody)?;
        app.work(move |app| {
            let now = Time(app.collector.clock.wall_ns());
            let session = app.collector.state.use_session(token, now)?;
            let session = session.ok_or_else(Problem::nobody)?;
            let view = app.tenants.view(session.key);
            // A key that no roster has any more is nobody's.
            if view.is_empty() { Err(Problem::nobody()) } else { Ok(Self { view, session, token }) }
        })
        .await
    }
}

fn bearer(parts: &Parts) -> Option<Hash> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = URL_SAFE_NO_PAD.decode(token.trim()).ok()?;
    let fits = scheme.eq_ignore_ascii_case("bearer") && token.len() == SECRET_BYTES;
    fits.then(|| Hash::of(&token))
}

impl Person {
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
        Ok(Act { client, who, key, what, to: to.into(), detail: detail.into() })
    }
}
