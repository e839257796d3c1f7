//! The people's door over a real log and state, with time turned by hand.

mod accounts;
mod api_tokens;
mod commands;
mod console;
mod described;
mod estate;
mod events;
mod lists;
mod passkeys;
mod people;
mod preview;
mod queries;
mod repeats;
mod routes;
mod sessions;
mod signed;
mod ways_out;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_proto::codec;
use cordon_proto::command::{Action, ActionKind, Command, Isolate, Nonce, Target};
use cordon_proto::event::agent::Standing;
use cordon_proto::event::log::LogLine;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::event::way_out::{MadeFor, SealedCode, WayOut};
use cordon_proto::event::{Body as Fact, Event, Health, Lane, Receipt, Severity};
use cordon_proto::id::{ClientId, CommandId, EndpointId, Hash, TokenId};
use cordon_proto::message::LanePosition;
use cordon_proto::roster::{Ceilings, Grant, Operator, OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch;
use cordon_proto::sign::chain;
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::document::{self, Kind};
use http_body_util::BodyExt;
use minicbor::bytes::ByteVec;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::clock::{Clock, SECOND_NS};
use crate::collector::Collector;
use crate::config::Config;
use crate::derive;
use crate::run::{Opened, open};
use crate::setup::{Init, Invited, init};
use crate::store::{Expected, Incoming, NewToken, Registration};
use crate::tenant::Tenants;

/// When every test begins: 2026-11-21T00:00:00Z.
const START_NS: u64 = 1_795_219_200 * SECOND_NS;

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&cordon_proto::sign::sha256(name.as_bytes())).unwrap()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unb64(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// A client's roster: its people by name and role.
fn roster(client: &str, version: u64, people: &[(&str, Role)]) -> Vec<u8> {
    let operator = |(name, role): &(&str, Role)| Operator {
        id: name.parse().unwrap(),
        keys: vec![OperatorKey::File(key(name).verifying())],
        roles: vec![*role],
        sealing: None,
    };
    let grant = |action, approvals, targets_max| Grant {
        action,
        role: Role::Responder,
        approvals,
        targets_max,
    };
    let roster = Roster {
        operators: people.iter().map(operator).collect(),
        grants: vec![
            grant(ActionKind::Isolate, 1, 1),
            grant(ActionKind::Isolate, 2, 10),
            grant(ActionKind::Release, 1, 10),
            grant(ActionKind::Query, 1, 10),
        ],
        ceilings: Ceilings { lease_secs_max: 86_400, ..Ceilings::default() },
        ..Roster::new(client.parse().unwrap(), version)
    };
    document::sign(Kind::Roster, &roster, b"", &key("authority"))
}

const ACME: &[(&str, Role)] = &[
    ("ann", Role::Administrator),
    ("rob", Role::Responder),
    ("ria", Role::Responder),
    ("vic", Role::Viewer),
];
const ZETA: &[(&str, Role)] = &[("zoe", Role::Administrator), ("zed", Role::Responder)];

/// One collector with two clients.
struct World {
    _folder: tempfile::TempDir,
    collector: Arc<Collector>,
    tenants: Arc<Tenants>,
    router: Router,
    clock: Clock,
    stop: watch::Sender<bool>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(set: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut config = Config { state_dir: at("state"), ..Config::default() };
        set(&mut config);
        let keys = crate::authority::Authority {
            daily: key("authority").verifying(),
            recovery: key("recovery").verifying(),
        };
        std::fs::write(at("authority.pub"), keys.to_text()).unwrap();
        std::fs::write(at("acme"), roster("acme", 1, ACME)).unwrap();
        std::fs::write(at("zeta"), roster("zeta", 1, ZETA)).unwrap();
        let settings = format!("state_dir = \"{}\"\n", config.state_dir.display());
        std::fs::write(at("collector.toml"), settings).unwrap();
        let made = Init {
            config: at("collector.toml"),
            authority: at("authority.pub"),
            rosters: vec![at("acme"), at("zeta")],
            names: vec![],
            invited: Invited::Nobody,
        };
        let clock = Clock::by_hand(START_NS);
        init(&made, &clock).unwrap();
        let Opened { collector, writer, .. } = open(config, clock.clone()).unwrap();
        std::thread::spawn(move || writer.run());
        let tenants = Arc::new(Tenants::load(&collector.state).unwrap());
        let (stop, stopping) = watch::channel(false);
        let router = super::router(Arc::clone(&collector), Arc::clone(&tenants), stopping).unwrap();
        Self { _folder: folder, collector, tenants, router, clock, stop }
    }

    fn pass(&self, secs: u64) {
        self.clock.turn(std::time::Duration::from_secs(secs));
    }

    /// Puts a newer roster in a client's place.
    fn roster(&self, client: &str, version: u64, people: &[(&str, Role)]) {
        let document = roster(client, version, people);
        let (held, stored) = self.collector.authority.verify_roster(document).unwrap();
        self.collector.state.put_roster(&stored, self.clock.wall_ns()).unwrap();
        let held = crate::tenant::HeldRoster {
            named: stored.named,
            roster: held,
            document: stored.document,
        };
        self.tenants.hold(held);
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        described::check(method, path, &response);
        response
    }

    /// Calls a route under `/api/v1`; what is no JSON answers null.
    async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let path = format!("{}{path}", super::PREFIX);
        let response = self.send(method, &path, token, body).await;
        let status = response.status();
        let bytes = read(response).await;
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, path: &str, token: &str) -> Value {
        let (status, body) = self.call("GET", path, Some(token), None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Signs in; answers the session's token.
    async fn sign_in(&self, who: &str) -> String {
        let id = key(who).id();
        let (_, given) =
            self.call("POST", "/sign-in/challenge", None, Some(json!({ "key": id }))).await;
        let answer = answer(who, &unb64(&given["challenge"]), self.collector.ca_pin);
        let body = json!({ "key": id, "answer": b64(answer) });
        let (status, opened) = self.call("POST", "/sign-in", None, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{opened}");
        opened["token"].as_str().unwrap().to_owned()
    }

    /// Enrols an endpoint, as the agents' door does.
    fn enrol(&self, client: &str, name: &str) -> Host {
        let client: ClientId = client.parse().unwrap();
        let key = key(name);
        let id = TokenId::of(name.as_bytes());
        let token = NewToken {
            id,
            client: client.clone(),
            uses: 1,
            expires_secs: u64::MAX >> 1,
            note: String::new(),
            made_by: "ann".parse().unwrap(),
        };
        let state = &self.collector.state;
        state.add_token(&token, START_NS).unwrap();
        let asked = Registration {
            client: &client,
            key: key.verifying(),
            host_name: name,
            machine_id: name,
            token: id,
            now_ns: START_NS,
            now_secs: START_NS / SECOND_NS,
            certificate_until_secs: START_NS / SECOND_NS + 1000,
        };
        let endpoint = state.register(&asked).unwrap().unwrap();
        Host { key, client, endpoint, name: name.to_owned(), lanes: [None, None] }
    }

    /// Stores events of one host as one batch, and derives from them.
    async fn store(&self, host: &mut Host, lane: Lane, facts: Vec<Fact>) {
        let stands = &mut host.lanes[usize::from(lane == Lane::Telemetry)];
        let first = stands.map_or(1, |stands: LanePosition| stands.last + 1);
        let now_ns = self.clock.wall_ns();
        let event = |(seq, body)| {
            let severity = Severity::Informational;
            codec::encode(&Event { seq, time_ns: now_ns, boot_ns: 0, severity, body })
        };
        let events: Vec<Vec<u8>> = (first..).zip(facts).map(event).collect();
        let previous = stands.map_or_else(Hash::default, |stands| stands.head);
        let (endpoint, epoch) = (host.endpoint, 1);
        let place = batch::Place { endpoint, lane, epoch, first, previous, cause: None };
        let (batch, _) = batch::seal(place, &events, now_ns, &host.key).unwrap();
        let opened = batch::open(&batch, &host.key.verifying()).unwrap();
        let expected = Expected::After(*stands);
        *stands = Some(chain::position(&opened.header, opened.hash));
        let incoming = Incoming {
            client: host.client.clone(),
            host_name: host.name.as_str().into(),
            received_ns: now_ns,
            clock_offset_ns: 0,
            batch,
            opened,
            expected,
        };
        let answer = self.collector.log.append(incoming).await.await.unwrap();
        assert!(matches!(answer, Ok(crate::store::Outcome::Durable(_))), "{answer:?}");
        while derive::step(&self.collector.state, self.collector.log.as_ref()).unwrap() {}
    }
}

/// A machine with an agent.
struct Host {
    key: SigningKey,
    client: ClientId,
    endpoint: EndpointId,
    name: String,
    lanes: [Option<LanePosition>; 2],
}

impl Host {
    fn target(&self) -> Target {
        let nonce = Nonce { boot_count: 1, endpoint_secs: 1000, mac: [7; 16] };
        Target { endpoint: self.endpoint, host_name: self.name.clone(), nonce }
    }
}

fn answer(who: &str, challenge: &[u8], pin: Hash) -> Vec<u8> {
    document::sign(Kind::SignIn, &ByteVec::from(challenge.to_vec()), &pin.0, &key(who))
}

async fn read(response: Response<Body>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn line(text: &str) -> Fact {
    let line = text.into();
    Fact::Log(LogLine {
        path: "/var/log/x".into(),
        device: 1,
        inode: 2,
        offset: 3,
        line,
        line_bytes: None,
        ..LogLine::default()
    })
}

fn health(endpoint_secs: u64, roster_version: u64, containments: Vec<Standing>) -> Fact {
    Fact::Health(Box::new(Health {
        agent_version: "0.1.0".to_owned(),
        endpoint_secs,
        nonce: Nonce { boot_count: 1, endpoint_secs, mac: [7; 16] },
        roster: RosterRef { version: roster_version, hash: Hash::default() },
        policy_version: 0,
        cpu_us: 0,
        rss_bytes: 0,
        uptime_secs: 0,
        lanes: vec![],
        sensors: vec![],
        dropped: vec![],
        containments,
        given_up: None,
        budget: None,
        sent_bytes: None,
    }))
}

fn way_out(serial: u64, roster_version: u64, operators: &[&str]) -> Fact {
    let sealed = |name: &&str| SealedCode {
        operator: name.parse().unwrap(),
        key: key(name).id(),
        encapsulated: [1; 32],
        text: vec![2; 26],
    };
    let roster = RosterRef { version: roster_version, hash: Hash::default() };
    let boxes = operators.iter().map(sealed).collect();
    let made_for = MadeFor::First;
    Fact::WayOut(Box::new(WayOut { serial, roster, endpoint_secs: 60, made_for, boxes }))
}

fn receipt(command: &Command, outcome: Outcome) -> Fact {
    Fact::Receipt(Box::new(Receipt {
        command: Some(command.id),
        command_hash: Hash::default(),
        action: Some(command.action.kind()),
        endpoint_secs: 1000,
        outcome,
        repeated: 0,
    }))
}

fn isolation(number: u128, hosts: &[&Host]) -> Command {
    Command {
        id: CommandId(uuid::Uuid::from_u128(number)),
        client: hosts[0].client.clone(),
        targets: hosts.iter().map(|host| host.target()).collect(),
        action: Action::Isolate(Isolate::default()),
        age_max_secs: 900,
        queued: false,
        roster_min: RosterRef::default(),
        reason: "beacon".to_owned(),
        incident: None,
        snapshot: None,
    }
}

fn signed(command: &Command, who: &[&str]) -> Value {
    let mut signed = SignedCommand::sign(command.clone(), &key(who[0]));
    who[1..].iter().for_each(|name| signed.add(&key(name)));
    json!({ "command": b64(signed.to_bytes()) })
}
