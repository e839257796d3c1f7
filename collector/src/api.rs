//! The people's door: every route in one list, and what they all stand on.
//!
//! JSON under `/api/v1`, described by an OpenAPI document made from the same list. What a person
//! may see is decided by the rosters on every request; ids of other clients answer as if they were
//! not there. Nothing here trusts a text that an endpoint sent: it goes out as JSON text.

mod account;
mod api_tokens;
mod audit;
mod clients;
mod collections;
mod commands;
mod console;
mod containments;
mod document;
mod endpoints;
mod events;
mod export;
mod health;
mod invitations;
mod listed;
mod live;
mod metrics;
mod once;
mod page;
mod passkeys;
mod password;
mod person;
mod policies;
mod preview;
mod problem;
mod proof;
mod rows;
mod sessions;
mod set_up;
mod shell;
mod sign_in;
mod sites;
#[cfg(test)]
mod tests;
mod tokens;
mod way_out;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{Router, middleware};
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use listed::Listed;
pub use problem::Problem;

use crate::carriers::Carriers;
use crate::collector::Collector;
use crate::signin::password::Passwords;
use crate::signin::{SECRET_BYTES, SignIn};
use crate::tenant::Tenants;

/// Under this path everything but the console's page stands.
pub const PREFIX: &str = "/api/v1";

/// Searches at once; more wait.
const SEARCHES_MAX: usize = 4;

/// Live feeds and answers being read at once; more are refused.
const FEEDS_MAX: usize = 128;

/// Exports at once, each of up to [`export::BYTES_MAX`]; more wait.
const EXPORTS_MAX: usize = 1;

/// What every handler is given.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) collector: Arc<Collector>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) sign_in: Mutex<SignIn>,
    pub(crate) passwords: Passwords,
    pub(crate) searches: Semaphore,
    pub(crate) feeds: Arc<Semaphore>,
    pub(crate) exports: Semaphore,
    /// Held while signatures are joined, so that of two that come at once neither is lost.
    pub(crate) signing: Mutex<()>,
    /// What endpoints were lately found to be for others.
    pub(crate) carriers: Mutex<Carriers>,
    pub(crate) openapi: String,
    /// Answers so far, by the hundreds of their status.
    pub(crate) answers: [AtomicU64; 5],
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Answers so far, by the hundreds of their status.
    pub(crate) fn answered(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.answers[class].load(Ordering::Relaxed))
    }

    /// Who tried what lately.
    pub(crate) fn sign_in(&self) -> MutexGuard<'_, SignIn> {
        self.sign_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that blocks on the disk.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let app = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&app));
        done.await.unwrap_or_else(|_| Err(Problem::stopping()))
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Cordon",
    description = "What people and programs may ask a Cordon collector. Sign in with an operator's \
                   key, an account, or an API token; times are RFC 3339 in UTC with nanoseconds, and numbers that may pass 2^53 \
                   are strings.",
    license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
))]
struct Document;

/// Every route there is. The authorisation test walks it.
fn listed() -> Listed {
    let collector = Listed::new(Document::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::openapi))
        .routes(routes!(problem::kind))
        .routes(routes!(metrics::metrics))
        .routes(routes!(sign_in::challenge))
        .routes(routes!(sign_in::sign_in, sign_in::sign_out));
    people(collector)
        .routes(routes!(clients::list))
        .routes(routes!(clients::roster, clients::put_roster))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(clients::rosters::would_differ))
        .routes(routes!(clients::rosters::versions))
        .routes(routes!(clients::rosters::version))
        .routes(routes!(clients::rosters::differences))
        .routes(routes!(clients::rosters::operators))
        .routes(routes!(policies::list))
        .routes(routes!(policies::status))
        .routes(routes!(policies::preview))
        .routes(routes!(sites::list, sites::create))
        .routes(routes!(sites::change, sites::remove))
        .routes(routes!(endpoints::list::list))
        .routes(routes!(endpoints::counts::counts))
        .routes(routes!(endpoints::show, endpoints::note::change))
        .routes(routes!(preview::preview))
        .routes(routes!(proof::proof))
        .routes(routes!(way_out::way_out))
        .routes(routes!(events::search))
        .routes(routes!(live::feed))
        .routes(routes!(commands::list, commands::upload))
        .routes(routes!(commands::show))
        .routes(routes!(commands::sign))
        .routes(routes!(rows::rows))
        .routes(routes!(containments::list))
        .routes(routes!(collections::list))
        .routes(routes!(collections::download))
        .routes(routes!(export::export))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
}

/// The routes under their prefix, and what describes them.
fn parts() -> (Router<App>, String) {
    let (router, _) = listed().into_parts();
    let (routes, openapi) = OpenApiRouter::new().nest(PREFIX, router).split_for_parts();
    (routes, document::complete(serde_json::to_value(openapi).unwrap_or_default()))
}

/// What describes the API: OpenAPI 3.1, as it is served.
#[must_use]
pub fn describe() -> String {
    parts().1
}

/// How people and their programs get in.
fn people(listed: Listed) -> Listed {
    listed
        .routes(routes!(password::password))
        .routes(routes!(password::second))
        .routes(routes!(passkeys::challenge))
        .routes(routes!(passkeys::sign_in))
        .routes(routes!(set_up::begin))
        .routes(routes!(set_up::confirm))
        .routes(routes!(sessions::current))
        .routes(routes!(sessions::prove))
        .routes(routes!(passkeys::prove_challenge))
        .routes(routes!(passkeys::prove))
        .routes(routes!(sessions::list, sessions::revoke_all))
        .routes(routes!(sessions::revoke))
        .routes(routes!(account::show, account::remove))
        .routes(routes!(account::invite_myself))
        .routes(routes!(account::put_password))
        .routes(routes!(account::begin_totp, account::put_totp))
        .routes(routes!(account::renew_recovery_codes))
        .routes(routes!(passkeys::list, passkeys::create))
        .routes(routes!(passkeys::begin))
        .routes(routes!(passkeys::remove))
        .routes(routes!(invitations::accounts))
        .routes(routes!(invitations::list, invitations::create))
        .routes(routes!(invitations::revoke))
        .routes(routes!(api_tokens::list, api_tokens::create))
        .routes(routes!(api_tokens::revoke))
}

/// The people's door, ready to be served. A request should carry the caller's address as
/// `ConnectInfo`, or limits on tries count everybody as one. Live feeds end when `stop` turns true.
/// Fails only where the operating system has no random numbers.
pub fn router(
    collector: Arc<Collector>,
    tenants: Arc<Tenants>,
    stop: watch::Receiver<bool>,
) -> Result<Router, Unspecified> {
    let (routes, openapi) = parts();
    let mut secret = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut secret)?;
    let app = App(Arc::new(Shared {
        collector,
        tenants,
        stop,
        sign_in: Mutex::new(SignIn::new(&secret)),
        passwords: Passwords::default(),
        searches: Semaphore::new(SEARCHES_MAX),
        feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
        exports: Semaphore::new(EXPORTS_MAX),
        signing: Mutex::default(),
        carriers: Mutex::default(),
        openapi,
        answers: Default::default(),
    }));
    let once = middleware::from_fn_with_state(app.clone(), once::once);
    Ok(shell::around(routes.layer(once).merge(console::routes()), &app).with_state(app))
}
