//! Somebody makes files unreadable: policy ends him by what the meter of mass changes says, cuts the
//! endpoint off, and both are told and can be undone as far as anything can.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::{CLIENT, Fleet, Plan};
use cordon_packaging::say;
use cordon_proto::command::ActionKind;
use cordon_proto::event::{Body, Reacted};
use cordon_proto::id::CommandId;
use cordon_proto::roster::Autonomy;

use crate::processes::{begin, has_ended};
use crate::responses::reactions;
use crate::scene::{
    DB, Stored, WEB, await_some, join, let_one_set_policy, listen, pass, ruleset, traffic,
};

/// The argument that makes this program the one who does it.
const ACT: &str = "--make-unreadable";

/// Far more than the meter needs, at a pace at which it would take a minute for all of them.
const DOCUMENTS: usize = 600;
const PACE: Duration = Duration::from_millis(100);

/// What the meter needs.
const TOLD_AFTER: usize = 12;

const LEASE_SECS: u64 = 600;

/// Acts, if that is what the program was started for.
pub(crate) fn act_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let (act, folder) = (arguments.next()?, arguments.next());
    if act != OsStr::new(ACT) {
        return None;
    }
    let done = folder.map(|folder| make_unreadable(Path::new(&folder)));
    Some(if matches!(done, Some(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As ransomware does: written over in place, then renamed.
fn make_unreadable(folder: &Path) -> Result<()> {
    let mut random = File::open("/dev/urandom")?;
    for number in 0..DOCUMENTS {
        let path = document(folder, number);
        let mut scrambled = vec![0; fs::read(&path)?.len()];
        random.read_exact(&mut scrambled)?;
        // Chance must not put on the beginning of a known format.
        if let Some(first) = scrambled.first_mut() {
            *first = 0xa5;
        }
        fs::write(&path, scrambled)?;
        let mut locked = path.clone().into_os_string();
        locked.push(".locked");
        fs::rename(&path, locked)?;
        pass(PACE)?;
    }
    Ok(())
}

fn document(folder: &Path, number: usize) -> PathBuf {
    let ending = ["txt", "csv", "md", "html"][number % 4];
    folder.join(format!("letter{number}.{ending}"))
}

pub(crate) fn answered() -> Result<()> {
    let documents = documents()?;
    let folder = documents.path().display().to_string();
    let agent_settings = format!("[sensors.files]\nwatch = []\nmass_change = [{folder:?}]\n");
    let mut fleet = Fleet::make(Plan { agent_settings, ..Plan::default() })?;
    join(&mut fleet, WEB)?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = ruleset(fleet.namespace(WEB)?)?;
    let_endpoints(&fleet)?;
    fleet.cordon(&["policy", "set", &policy(&fleet)?, WEB, "--reason", "e2e", "--wait"])?;

    let group =
        fleet.agent_cgroup(WEB).context("no control groups of version 2")?.path().to_owned();
    let program = std::env::current_exe().context("which program this is")?;
    let neighbour = begin(&fleet, &group, "exec sleep 300")?;
    let line = format!("exec '{}' {ACT} '{folder}'", program.display());
    let pid = begin(&fleet, &group, &line)?;
    await_some("who makes files unreadable is ended", || Ok(has_ended(pid).then_some(())))
        .with_context(|| fleet.log_tail(WEB))?;
    await_some("the endpoint cuts itself off", || {
        Ok((traffic(&fleet, WEB, DB)? == [false; 4]).then_some(()))
    })
    .with_context(|| fleet.log_tail(WEB))?;
    ensure!(!has_ended(neighbour), "another was ended, too");
    let left = (0..DOCUMENTS).filter(|number| document(documents.path(), *number).exists()).count();
    let lost = DOCUMENTS - left;
    say::line(&format!("{lost} of {DOCUMENTS} files were unreadable before it was ended"));
    ensure!(lost >= TOLD_AFTER && left > 0, "ended after {lost} of {DOCUMENTS} files");

    let [killed, isolated] = told(&fleet, pid)?;
    receipts(&fleet, killed.id, &["applied", "observed"])?;
    receipts(&fleet, isolated.id, &["applied", "proved"])?;
    let listed = fleet.cordon_json(&["containment", "list"])?;
    let by = listed.first().map(|standing| standing["by"].clone()).unwrap_or_default();
    ensure!(listed.len() == 1 && by == "policy response cut-off, version 1", "{listed:?}");
    let id = isolated.id.to_string();
    fleet.cordon(&["undo", &id, "--reason", "e2e"])?;
    await_some("traffic passes after undoing it", || {
        Ok((traffic(&fleet, WEB, DB)? == [true; 4]).then_some(()))
    })?;
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "undone, and the firewall is not as before");
    receipts(&fleet, isolated.id, &["applied", "proved", "ended"])
}

/// Documents that were there before anybody watched.
fn documents() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let prose = "It was the best of times, it was the worst of times. ".repeat(100);
    for number in 0..DOCUMENTS {
        fs::write(document(folder.path(), number), &prose)?;
    }
    Ok(folder)
}

/// A roster that lets one administrator set policy, and policy let endpoints do both.
fn let_endpoints(fleet: &Fleet) -> Result<()> {
    let_one_set_policy(fleet, |roster| {
        let actions = vec![ActionKind::Isolate, ActionKind::Kill];
        let autonomy = Autonomy { actions, lease_secs_max: LEASE_SECS, per_hour_max: 2 };
        roster.ceilings.autonomy = Some(autonomy);
    })
}

fn policy(fleet: &Fleet) -> Result<String> {
    let path = fleet.folder().join("policy.toml");
    let when = "when = [{ field = \"finding_rule\", comparison = \"is\", value = \
                \"files.mass_change\" }]";
    let text = format!(
        "client = \"{CLIENT}\"\nversion = 1\n\
         [[responses]]\nname = \"end\"\nper_hour_max = 2\n{when}\n\
         then = {{ do = \"kill\", tree = true }}\n\
         [[responses]]\nname = \"cut-off\"\nper_hour_max = 2\n{when}\n\
         then = {{ do = \"isolate\", lease_secs = {LEASE_SECS} }}\n"
    );
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// The finding with its process, and what was done because of it: the ending, and the cutting off.
fn told(fleet: &Fleet, pid: u32) -> Result<[Reacted; 2]> {
    let of = |kind: ActionKind, all: &[Reacted]| {
        all.iter().find(|one| one.action == Some(kind)).cloned()
    };
    await_some("the finding and both answers are told", || {
        let events = Stored::of(fleet, WEB)?.events()?;
        let found = events.iter().any(|(_, event)| {
            let Body::Finding(finding) = &event.body else { return false };
            let actor = finding.actor.as_ref().map(|actor| actor.pid);
            finding.rule == "files.mass_change" && actor == Some(pid)
        });
        let all = reactions(fleet)?;
        let both = of(ActionKind::Kill, &all).zip(of(ActionKind::Isolate, &all));
        Ok(both.filter(|_| found).map(<[Reacted; 2]>::from))
    })
}

/// Waits until the receipts of what was done begin with these, proofs counted once.
fn receipts(fleet: &Fleet, id: CommandId, wanted: &[&str]) -> Result<()> {
    let mut seen = Vec::new();
    let waited = await_some("its receipts are stored", || {
        let events = Stored::of(fleet, WEB)?.events()?;
        let of_it = events.iter().filter_map(|(_, event)| {
            let Body::Receipt(receipt) = &event.body else { return None };
            (receipt.command == Some(id)).then(|| receipt.outcome.name())
        });
        seen = of_it.collect();
        seen.dedup();
        Ok(seen.starts_with(wanted).then_some(()))
    });
    waited.with_context(|| format!("{id} has {seen:?}, not {wanted:?}"))
}
