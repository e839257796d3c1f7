//! What the tests of the whole share: a fleet, its keys, what its collector has stored and proves.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{CLIENT, Fleet, Plan};
use cordon_packaging::lab::Namespace;
use cordon_packaging::stage::Machine;
use cordon_proto::command::ActionKind;
use cordon_proto::event::{Body, Event, Lane};
use cordon_proto::evidence::{self, Bundle, Report};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::roster::{Roster, RosterRef};
use cordon_proto::sign::batch::{self, Opened};
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::sign::{SigningKey, VerifyingKey};

/// How long anything may take that is sure to come, on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long an attempt to connect that must fail is given.
const TRY_MAX: Duration = Duration::from_millis(700);

/// A port that is listened on in a lab, to see whether traffic passes.
const TRAFFIC_PORT: u16 = 9000;

/// The endpoint that most tests are about, and another one.
pub(crate) const WEB: &str = "web-01";
pub(crate) const DB: &str = "db-01";

/// A fleet with an ordinary collector and no endpoint yet.
pub(crate) fn fleet() -> Result<Fleet> {
    fleet_with("")
}

/// The same with lines of settings for the collector.
pub(crate) fn fleet_with(collector_settings: &str) -> Result<Fleet> {
    let collector_settings = collector_settings.to_owned();
    Fleet::make(Plan { collector_settings, ..Plan::default() })
}

/// A fleet with one endpoint online.
pub(crate) fn fleet_of_one() -> Result<Fleet> {
    let mut fleet = fleet()?;
    join(&mut fleet, WEB)?;
    Ok(fleet)
}

/// Enrols an endpoint and waits until it is online.
pub(crate) fn join(fleet: &mut Fleet, name: &str) -> Result<()> {
    fleet.enrol(name)?;
    fleet.wait_for_state(name, "online", PATIENCE).map(drop)
}

/// Looks until there is something; an error that says what was waited for if there is not.
pub(crate) fn await_some<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let seen = wait_until(PATIENCE, look)?;
    seen.with_context(|| format!("waited {} s in vain until {what}", PATIENCE.as_secs()))
}

/// Lets time pass, for what is about time itself.
pub(crate) fn pass(time: Duration) -> Result<()> {
    let watch = Stopwatch::start();
    wait_until(time, || anyhow::Ok(watch.left_of(time).is_zero().then_some(()))).map(drop)
}

/// A key of the fleet's people: `authority`, `operator-ann`, `operator-bob`.
pub(crate) fn key(fleet: &Fleet, name: &str) -> Result<SigningKey> {
    let path = fleet.folder().join(format!("authority/{name}.key"));
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let file: toml::Table = toml::from_str(&text)?;
    let seed = file.get("seed").and_then(toml::Value::as_str).context("the key is sealed")?;
    // A seed is written as an id is: 64 digits.
    let seed: Hash = seed.parse()?;
    Ok(SigningKey::from_seed(&seed.0)?)
}

/// The fleet's first roster, and how commands name it.
pub(crate) fn first_roster(fleet: &Fleet) -> Result<(Roster, RosterRef, Vec<u8>)> {
    let bytes = fs::read(fleet.folder().join(format!("authority/roster-{CLIENT}-1.cbor")))?;
    let roster: Roster = document::peek(Kind::Roster, &bytes)?;
    let named = RosterRef { version: roster.version, hash: Hash::of(&bytes) };
    Ok((roster, named, bytes))
}

/// Has one person's signature suffice for a policy, and the roster changed as asked beside that;
/// waits until the endpoint that most tests are about holds it.
pub(crate) fn let_one_set_policy(fleet: &Fleet, more: impl FnOnce(&mut Roster)) -> Result<()> {
    let (mut roster, _, _) = first_roster(fleet)?;
    roster.version = 2;
    for grant in roster.grants.iter_mut().filter(|grant| grant.action == ActionKind::SetPolicy) {
        grant.approvals = 1;
    }
    more(&mut roster);
    let path = fleet.folder().join("roster-2.cbor");
    fs::write(&path, sign_roster(fleet, &roster)?)?;
    fleet.cordon(&["roster", "push", &path.to_string_lossy()])?;
    await_roster(fleet, 2)
}

/// Waits until the endpoint that most tests are about holds a version of the roster.
pub(crate) fn await_roster(fleet: &Fleet, version: u64) -> Result<()> {
    await_some(&format!("the endpoint holds roster version {version}"), || {
        let held = &fleet.endpoint_json(WEB)?["roster_version"];
        let held = held.as_u64().or_else(|| held.as_str()?.parse().ok());
        Ok((held == Some(version)).then_some(()))
    })
}

/// Signs a roster as the fleet's authority.
pub(crate) fn sign_roster(fleet: &Fleet, roster: &Roster) -> Result<Vec<u8>> {
    Ok(document::sign(Kind::Roster, roster, b"", &key(fleet, "authority")?))
}

/// An endpoint's id, as the collector lists it.
pub(crate) fn endpoint_id(fleet: &Fleet, name: &str) -> Result<EndpointId> {
    let shown = fleet.endpoint_json(name)?;
    Ok(shown["id"].as_str().context("an endpoint without an id")?.parse()?)
}

/// What the collector has stored of one endpoint: exported, verified offline, opened.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) batches: Vec<Opened>,
    pub(crate) report: Report,
}

impl Stored {
    /// Exports everything of an endpoint; an error if any statement about it does not hold. Of one
    /// that has just enrolled there may be nothing yet.
    pub(crate) fn of(fleet: &Fleet, name: &str) -> Result<Self> {
        let path = fleet.folder().join("e2e.evidence");
        if path.exists() {
            fs::remove_file(&path)?;
        }
        let file = path.to_string_lossy();
        fleet.cordon(&["export", "--endpoint", name, "--since", "24h", "-o", &file])?;
        let bytes = fs::read(&path)?;
        let authority: VerifyingKey = key(fleet, "authority")?.verifying();
        let report = evidence::verify(&bytes, Some(&[authority]))?;
        let endpoints = Bundle::decode(&bytes)?.endpoints;
        let holds = report.holds() || endpoints.is_empty();
        ensure!(holds, "the evidence does not hold: {:#?}", report.statements);
        let mut batches = Vec::new();
        for endpoint in endpoints {
            for sealed in &endpoint.batches {
                batches.push(batch::open(sealed, &endpoint.key)?);
            }
        }
        Ok(Self { batches, report })
    }

    /// Every event, each with its lane; lines that travel together one by one.
    pub(crate) fn events(&self) -> Result<Vec<(Lane, Event)>> {
        let mut events = Vec::new();
        for batch in &self.batches {
            for bytes in &batch.events {
                let event = batch::read_event(bytes)?;
                let events_of = event.apart().unwrap_or_else(|| vec![event]);
                events.extend(events_of.into_iter().map(|event| (batch.header.lane, event)));
            }
        }
        Ok(events)
    }

    /// How often each log line was stored.
    pub(crate) fn lines(&self) -> Result<BTreeMap<String, u64>> {
        Ok(count_lines(self.events()?.iter().map(|(_, event)| event)))
    }
}

/// How often each log line stands among some events, whether it travelled with others or alone.
pub(crate) fn count_lines<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for event in events {
        for body in event.body.apart().unwrap_or_else(|| vec![event.body.clone()]) {
            if let Body::Log(line) = body {
                *counts.entry(line.line.to_lossy().into_owned()).or_default() += 1;
            }
        }
    }
    counts
}

/// Appends numbered lines to a log that the endpoint's agent watches.
pub(crate) fn write_lines(
    fleet: &Fleet,
    name: &str,
    mark: &str,
    numbers: std::ops::Range<u64>,
) -> Result<Vec<String>> {
    let lines: Vec<_> = numbers.map(|number| format!("{mark}-{number}-end")).collect();
    let mut file = File::options().create(true).append(true).open(log_file(fleet, name))?;
    file.write_all(format!("{}\n", lines.join("\n")).as_bytes())?;
    Ok(lines)
}

pub(crate) fn log_file(fleet: &Fleet, name: &str) -> std::path::PathBuf {
    fleet.logs(name).join("app.log")
}

/// Waits until every one of the lines is stored, and sees that none is stored twice.
pub(crate) fn await_lines(fleet: &Fleet, name: &str, lines: &[String]) -> Result<()> {
    let mut missing = lines.len();
    let found = wait_until(PATIENCE, || {
        let stored = Stored::of(fleet, name)?.lines()?;
        missing = lines.iter().filter(|line| !stored.contains_key(*line)).count();
        anyhow::Ok((missing == 0).then_some(stored))
    })?;
    let Some(stored) = found else {
        let log = fleet.log_tail(name);
        bail!("{missing} of {} lines did not arrive; {name}'s log ends:\n{log}", lines.len());
    };
    let doubled: Vec<_> = lines.iter().filter(|line| stored.get(*line) != Some(&1)).collect();
    ensure!(doubled.is_empty(), "stored more than once: {doubled:?}");
    Ok(())
}

/// The firewall of a namespace, as another program sees it.
pub(crate) fn ruleset(namespace: &Namespace) -> Result<String> {
    Ok(namespace.output("nft", &["list", "ruleset"])?)
}

/// Somebody who listens in an endpoint's namespace, so that traffic can pass.
pub(crate) fn listen(fleet: &Fleet, name: &str) -> Result<TcpListener> {
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, TRAFFIC_PORT));
    Ok(TcpListener::from(fleet.namespace(name)?.listen(any)?))
}

/// Whether connections between two endpoints open: both ways, over both families.
pub(crate) fn traffic(fleet: &Fleet, one: &str, other: &str) -> Result<[bool; 4]> {
    let (one, other) = (fleet.endpoint(one)?, fleet.endpoint(other)?);
    let opens = |from: &Namespace, to: &str| {
        let address: IpAddr = to.parse().context("an address of the stage")?;
        let to = SocketAddr::from((address, TRAFFIC_PORT));
        anyhow::Ok(from.run(move || TcpStream::connect_timeout(&to, TRY_MAX).is_ok())?)
    };
    let Machine { v4, v6, .. } = other.machine;
    let there = [opens(&one.namespace, v4)?, opens(&one.namespace, v6)?];
    let Machine { v4, v6, .. } = one.machine;
    let back = [opens(&other.namespace, v4)?, opens(&other.namespace, v6)?];
    Ok([there[0], there[1], back[0], back[1]])
}

/// Runs `cordon` and does not mind how it ends: its exit code and all it said.
pub(crate) fn cordon(fleet: &Fleet, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = fleet.command("cordon")?.args(arguments).output()?;
    Ok((output.status.code(), said(&output)))
}

/// All that a program said.
pub(crate) fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// The program must have failed with this sentence.
pub(crate) fn failed_with(what: &str, output: &Output, sentence: &str) -> Result<()> {
    let words = said(output);
    ensure!(!output.status.success(), "{what}: it succeeded: {words}");
    // A person's terminal wraps as it likes; what counts is the words.
    let flat = words.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(flat.contains(sentence), "{what}: it does not say '{sentence}' but:\n{words}");
    Ok(())
}

/// A number that decides a run, and the numbers that follow from it (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// A small file system of its own under the fleet's folder or elsewhere; gone when dropped.
#[derive(Debug)]
pub(crate) struct Tmpfs {
    path: String,
    _undo: cordon_packaging::undo::Undo,
}

impl Tmpfs {
    /// Mounts one of so many KiB; only its owner may look into it.
    pub(crate) fn mount(path: &Path, kib: u32) -> Result<Self> {
        fs::create_dir_all(path)?;
        let shown = path.display().to_string();
        let gone = shown.clone();
        // Lazily, because what is killed may still hold a file for a moment.
        let unmount = move || command("umount", &["-l", &gone]);
        let options = format!("size={kib}k,mode=0700");
        let mount = ["-t", "tmpfs", "-o", &options, "cordon-e2e", &shown];
        let made = cordon_packaging::undo::make("a small file system", unmount, || {
            command("mount", &mount).map_err(anyhow::Error::msg)
        });
        made.map(|((), undo)| Self { path: shown, _undo: undo })
    }

    /// From now on it can be written to (`rw`), or only read (`ro`); nobody may be writing.
    pub(crate) fn remount(&self, how: &str) -> Result<()> {
        let options = format!("remount,{how}");
        command("mount", &["-o", &options, &self.path]).map_err(anyhow::Error::msg)
    }
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said(&output))) }
}
