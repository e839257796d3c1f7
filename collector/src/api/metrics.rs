//! Figures for Prometheus (text format 0.0.4).
//!
//! Who is signed in, or has an API token, gets the figures of the clients that he may see and no
//! others: sums over all clients would tell of those that he may not. The collector's own figures and
//! sums without clients' names are for scrapers on the same machine, where the settings allow them.

use std::fmt::Write;

use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use cordon_proto::id::ClientId;

use super::person::{Peer, Person};
use super::problem::ProblemBody;
use super::{App, FEEDS_MAX, Problem};
use crate::store::{Position, Sought};

/// Laggards counted.
const LAGGARDS_MAX: usize = 100_000;

/// Who asks for figures.
pub(super) enum Scraper {
    /// Somebody who sees clients.
    Person(Box<Person>),
    /// A program on this machine.
    Machine,
}

impl FromRequestParts<App> for Scraper {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(Peer(from)) = Peer::from_request_parts(parts, app).await;
        let is_named = [header::AUTHORIZATION, header::COOKIE]
            .iter()
            .any(|name| parts.headers.contains_key(name));
        let may = app.collector.config.metrics_on_loopback;
        if !is_named && may && from.to_canonical().is_loopback() {
            return Ok(Self::Machine);
        }
        Ok(Self::Person(Box::new(Person::from_request_parts(parts, app).await?)))
    }
}

/// Figures of the clients that the asker may see, for Prometheus. With `metrics_on_loopback` in the
/// settings a scraper on the collector's machine needs no session, and gets sums without names.
#[utoipa::path(get, path = "/metrics", tag = "collector",
    responses((status = 200, content_type = "text/plain; version=0.0.4", body = String),
        (status = 401, body = ProblemBody)))]
pub(super) async fn metrics(
    State(app): State<App>,
    scraper: Scraper,
) -> Result<impl IntoResponse, Problem> {
    let text = app.work(move |app| {
        let mut page = Exposition::default();
        let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
        page.gauge("cordon_build_info", "The collector's version.");
        page.value(&version, 1);
        match scraper {
            Scraper::Person(person) => {
                let clients = person.view.clients();
                let figures = clients.into_iter().map(|client| {
                    let label = format!("client=\"{client}\"");
                    Ok((label, Figures::of(app, std::slice::from_ref(&client))?))
                });
                page.figures(&figures.collect::<Result<Vec<_>, Problem>>()?);
            }
            Scraper::Machine => {
                let clients = app.collector.state.clients()?;
                page.figures(&[(String::new(), Figures::of(app, &clients)?)]);
                own(app, &mut page)?;
            }
        }
        Ok(page.0)
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.await?))
}

/// The figures of one client, or of all together.
struct Figures {
    online: usize,
    offline: usize,
    contained: usize,
    isolated: usize,
    laggards: usize,
    undelivered: u64,
    standing: u64,
    acts: u64,
}

impl Figures {
    fn of(app: &App, clients: &[ClientId]) -> Result<Self, Problem> {
        let state = &app.collector.state;
        let sought = Sought { clients: clients.to_vec(), ..Sought::default() };
        let endpoints = state.endpoints_sought(&sought)?;
        let links = &app.collector.links;
        let online = endpoints.iter().filter(|one| links.is_online(one.id)).count();
        let (mut laggards, mut acts) = (0, 0_u64);
        for client in clients {
            if let Some(held) = app.tenants.roster(client) {
                laggards += state.laggards(client, held.named, LAGGARDS_MAX)?.len();
            }
            acts = acts.saturating_add(state.audit_head(client)?.number);
        }
        let open = state.open_targets(clients)?;
        Ok(Self {
            online,
            offline: endpoints.len() - online,
            contained: endpoints.iter().filter(|one| one.contained).count(),
            isolated: endpoints.iter().filter(|one| one.isolated).count(),
            laggards,
            undelivered: open.undelivered,
            standing: open.standing,
            acts,
        })
    }
}

/// What is the collector's own.
fn own(app: &App, page: &mut Exposition) -> Result<(), Problem> {
    let Position(end) = app.collector.log.end()?;
    let Position(derived) = app.collector.state.derived_to()?;
    page.gauge("cordon_sessions", "Sessions of agents, live now.");
    page.value("", app.collector.links.count());
    page.gauge("cordon_log_batches", "Batches in the log: the last one's place.");
    page.value("", end);
    page.gauge("cordon_log_derived_batches", "Up to here everything is derived.");
    page.value("", derived);
    page.gauge("cordon_feeds", "Live feeds and answers being read.");
    page.value("", FEEDS_MAX.saturating_sub(app.feeds.available_permits()));
    page.head("cordon_http_answers_total", "counter", "Answers at the people's door, by status.");
    for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(app.answered()) {
        page.value(&format!("class=\"{class}\""), count);
    }
    Ok(())
}

/// A figure: its name, what it is, and where it stands.
type Figure = (&'static str, &'static str, fn(&Figures) -> u64);

/// A page of figures.
#[derive(Default)]
struct Exposition(String, &'static str);

impl Exposition {
    fn gauge(&mut self, name: &'static str, help: &str) {
        self.head(name, "gauge", help);
    }

    fn head(&mut self, name: &'static str, kind: &str, help: &str) {
        self.1 = name;
        // Writing to a String cannot fail.
        write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
    }

    fn value(&mut self, labels: &str, value: impl std::fmt::Display) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(self.0, "{}{labels} {value}", self.1).ok();
    }

    fn figures(&mut self, all: &[(String, Figures)]) {
        self.gauge("cordon_endpoints", "Endpoints, by whether they are connected.");
        for (label, figures) in all {
            let comma = if label.is_empty() { "" } else { "," };
            self.value(&format!("{label}{comma}state=\"online\""), figures.online);
            self.value(&format!("{label}{comma}state=\"offline\""), figures.offline);
        }
        let each: [Figure; 6] = [
            ("cordon_endpoints_contained", "Endpoints on which something stands.", |one| {
                count(one.contained)
            }),
            ("cordon_endpoints_isolated", "Endpoints that are isolated.", |one| {
                count(one.isolated)
            }),
            ("cordon_roster_laggards", "Endpoints that hold an older roster.", |one| {
                count(one.laggards)
            }),
            ("cordon_commands_undelivered", "Commands that wait for an endpoint.", |one| {
                one.undelivered
            }),
            ("cordon_commands_standing", "Containments that stand by a command.", |one| {
                one.standing
            }),
            ("cordon_audit_entries", "Acts of people in the audit trail.", |one| one.acts),
        ];
        for (name, help, figure) in each {
            self.gauge(name, help);
            all.iter().for_each(|(label, figures)| self.value(label, figure(figures)));
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
