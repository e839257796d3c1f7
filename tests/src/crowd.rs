//! Endpoints by the thousand in a collector's state, without an agent behind any: enrolled, heard once
//! and silent, each kind of silence among them. Made by the store's own functions, in memory, before
//! the collector starts, for each of them would otherwise wait for the disk.

mod scene;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cordon_collector::command::Place;
use cordon_collector::derive::{News, Told};
use cordon_collector::presence::Ended;
use cordon_collector::store::{NewToken, Position, Registration, State};
use cordon_collector::time::Time;
use cordon_proto::codec;
use cordon_proto::command::{ActionKind, Nonce};
use cordon_proto::event::agent::Standing;
use cordon_proto::event::{
    Body, Event, Health, Notice, SensorHealth, SensorState, Severity, process::Tier,
};
use cordon_proto::id::{ClientId, CommandId, EndpointId, TokenId};
use cordon_proto::message::Hello;
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::{SigningKey, sha256};
use cordon_proto::version::{PROTOCOL, PROTOCOL_OLDEST};

pub use scene::Scene;

/// Where files lie in memory.
const MEMORY: &str = "/dev/shm";

/// What endpoints are called, with a number after it.
const NAMES: [&str; 5] = ["web", "db", "mail", "desk", "kiosk"];

const SYSTEMS: [&str; 4] = [
    "Debian GNU/Linux 13 (trixie)",
    "Debian GNU/Linux 12 (bookworm)",
    "Ubuntu 24.04.3 LTS",
    "Rocky Linux 9.6 (Blue Onyx)",
];

const SENSORS: [&str; 10] =
    ["process", "network", "dns", "file", "log", "disk", "login", "device", "inventory", "canary"];

/// Endpoints of one client.
#[derive(Debug)]
pub struct Crowd<'a> {
    pub client: &'a str,
    /// What all their names begin with.
    pub prefix: &'a str,
    pub count: u32,
}

/// Puts them into the state of a collector that does not run.
pub fn fill(state_folder: &Path, crowds: &[Crowd<'_>], now_ns: u64) -> Result<()> {
    let kept = state_folder.join("state.db");
    ensure!(kept.is_file(), "{} is not there: the collector was never set up", kept.display());
    let folder = if Path::new(MEMORY).is_dir() {
        tempfile::tempdir_in(MEMORY)
    } else {
        tempfile::tempdir()
    }?;
    let quick = folder.path().join("state.db");
    for suffix in ["", "-wal"] {
        let from = beside(&kept, suffix);
        if from.is_file() {
            fs::copy(&from, beside(&quick, suffix)).context("copying the state")?;
        }
    }
    let state = State::open(&quick)?;
    for crowd in crowds {
        enrol(&state, crowd, now_ns)?;
    }
    // The last to leave puts everything into the one file.
    drop(state);
    ensure!(!beside(&quick, "-wal").exists(), "the state was not closed in order");
    for suffix in ["-wal", "-shm"] {
        let left = beside(&kept, suffix);
        if left.exists() {
            fs::remove_file(left)?;
        }
    }
    fs::copy(&quick, &kept).context("putting the state back").map(drop)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn enrol(state: &State, crowd: &Crowd<'_>, now_ns: u64) -> Result<()> {
    let client: ClientId = crowd.client.parse()?;
    let token = TokenId::of(crowd.client.as_bytes());
    let expires_secs = now_ns / 1_000_000_000 + 3600;
    let (note, made_by) = (String::new(), "ann".parse()?);
    let uses = crowd.count;
    let asked = NewToken { id: token, client: client.clone(), uses, expires_secs, note, made_by };
    state.add_token(&asked, now_ns)?;
    let mut told = Vec::new();
    for number in 0..crowd.count {
        let one = One { client: &client, prefix: crowd.prefix, number, now_ns };
        told.extend(one.join(state, token)?);
    }
    Ok(state.derive(Position(0), &told)?)
}

struct One<'a> {
    client: &'a ClientId,
    prefix: &'a str,
    number: u32,
    now_ns: u64,
}

impl One<'_> {
    /// Registers it; what it told is still to be taken in.
    fn join(&self, state: &State, token: TokenId) -> Result<Vec<Told>> {
        let seed = sha256(format!("{} {}", self.client, self.number).as_bytes());
        let key = SigningKey::from_seed(&seed)?.verifying();
        let (host_name, machine_id) = (self.host_name(), format!("{:032x}", self.number));
        let now_secs = self.now_ns / 1_000_000_000;
        let asked = Registration {
            client: self.client,
            key,
            host_name: &host_name,
            machine_id: &machine_id,
            token,
            now_ns: self.now_ns,
            now_secs,
            certificate_until_secs: now_secs + 3600,
        };
        let endpoint = match state.register(&asked)? {
            Ok(endpoint) => endpoint,
            Err(refusal) => anyhow::bail!("{host_name} was not let in: {refusal}"),
        };
        // One clock in a thousand is two minutes ahead.
        let offset_ns = if self.number % 1000 == 7 { 120_000_000_000 } else { 0 };
        let heard_ns = self.now_ns - u64::from(self.number) * 1_000_000_000;
        state.note_hello(&self.hello(endpoint, host_name, machine_id), offset_ns, heard_ns)?;
        let (farewell, ended) = self.end();
        if let Some(ended) = ended {
            state.note_seen(endpoint, heard_ns, ended)?;
        }
        let health = Box::new(self.health());
        let body = Body::Health(health.clone());
        let health = self.told(endpoint, 1, body, News::Health(health));
        let farewell = farewell
            .map(|notice| self.told(endpoint, 2, Body::Notice(notice), News::Notice(notice)));
        Ok([Some(health), farewell].into_iter().flatten().collect())
    }

    fn host_name(&self) -> String {
        let name = turn(&NAMES, self.number);
        format!("{}{name}-{:05}", self.prefix, self.number)
    }

    /// What it said last, and how its session ended: of a hundred two died, and one was cut off.
    fn end(&self) -> (Option<Notice>, Option<Ended>) {
        let off = Notice::Stopping { machine: Some(true) };
        match self.number % 100 {
            0 | 50 => (None, Some(Ended::Closed)),
            1 => (None, Some(Ended::Silent)),
            2 => (Some(Notice::Stopping { machine: None }), Some(Ended::Closed)),
            3..20 => (Some(Notice::Sleeping), Some(Ended::Silent)),
            20..25 => (None, None),
            _ => (Some(off), Some(Ended::Closed)),
        }
    }

    fn hello(&self, endpoint: EndpointId, host_name: String, machine_id: String) -> Hello {
        Hello {
            protocol: PROTOCOL,
            protocol_oldest: PROTOCOL_OLDEST,
            endpoint,
            client: self.client.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            host_name,
            os: turn(&SYSTEMS, self.number).to_owned(),
            kernel: "6.12.48+deb13-amd64".to_owned(),
            machine_id,
            boot_id: format!("00000000-0000-4000-8000-{:012x}", self.number),
            time_ns: self.now_ns,
            roster: RosterRef::default(),
        }
    }

    fn health(&self) -> Health {
        let is_blind = |name: &str| name == "file" && self.number % 250 == 30;
        let sensor = |name: &&str| SensorHealth {
            name: (*name).to_owned(),
            state: if is_blind(name) { SensorState::Blind } else { SensorState::Running },
            reason: is_blind(name).then(|| "it may not watch any directory".to_owned()),
            tier: (*name == "process").then_some(Tier::Bpf),
            seen: 3000,
            dropped: 0,
            proved_secs: Some(20),
            dropped_why: None,
        };
        let isolated = Standing {
            command: CommandId(uuid::Uuid::from_u128(u128::from(self.number))),
            action: ActionKind::Isolate,
            until_secs: Some(9000),
            proved: true,
        };
        Health {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            endpoint_secs: 3600,
            nonce: Nonce { boot_count: 1, endpoint_secs: 3600, mac: [7; 16] },
            roster: RosterRef::default(),
            policy_version: 0,
            cpu_us: 900_000,
            rss_bytes: 11 << 20,
            uptime_secs: 3600,
            lanes: Vec::new(),
            sensors: SENSORS.iter().map(sensor).collect(),
            dropped: Vec::new(),
            containments: (self.number % 500 == 4).then_some(isolated).into_iter().collect(),
            given_up: None,
            budget: None,
            sent_bytes: Some(360_000),
        }
    }

    fn told(&self, endpoint: EndpointId, seq: u64, body: Body, news: News) -> Told {
        let time_ns = self.now_ns - u64::from(self.number) * 1_000_000_000;
        let severity = Severity::Informational;
        let bytes = codec::encode(&Event { seq, time_ns, boot_ns: 0, severity, body });
        let place = Place { epoch: 1, seq };
        Told { endpoint, place, at: Time(time_ns), bytes, news }
    }
}

/// One of them after the other.
fn turn<'a>(words: &[&'a str], number: u32) -> &'a str {
    let place = usize::try_from(number).unwrap_or_default() % words.len();
    words.get(place).copied().unwrap_or_default()
}
