//! The commands that a person gives to `cordon-agent` and that end at once: what they do and say.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use cordon_proto::token::EnrolmentString;

use crate::break_glass;
use crate::clock;
use crate::config::Config;
use crate::enrol;
use crate::identity::{Identity, IdentityError, StateDir};
use crate::kept::{self, Found, KeptIsolation};
use crate::link::proxy::ProxyWay;
use crate::machine::Machine;
use crate::roster_keeper::RosterKeeper;

/// An enrolment string from standard input; longer is none.
const STRING_BYTES_MAX: u64 = 8192;

/// Says something to whoever called. That nobody listens is no failure.
pub fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

/// Says what went wrong to whoever called.
pub fn complain(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Joins a client. An endpoint that has joined it already stays who it is.
pub fn enroll(config: &Config, string: &str, force: bool) -> anyhow::Result<()> {
    let string = EnrolmentString::from_text(&given(string)?)?;
    let dir = StateDir::open(&config.state_dir)?;
    let before = match Identity::load(&dir) {
        Ok(identity) => Some(identity),
        Err(IdentityError::NotEnrolled(_)) => None,
        Err(_) if force => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(identity) = before.as_ref().filter(|_| !force) {
        let (endpoint, client) = (identity.endpoint, &identity.client);
        if enrol::is_same(identity, &string) {
            say(&format!("already enrolled with client {client} as endpoint {endpoint}"));
            return Ok(());
        }
        bail!(
            "this endpoint is enrolled with client {client} already, as {endpoint}; \
             `--force` makes it a new endpoint and gives up what it has not sent yet"
        );
    }
    // Before the lock, which the supervisor of an isolation has while no agent runs.
    if !matches!(KeptIsolation::find(&dir), Found::Nothing) {
        bail!(
            "this endpoint is isolated; as a new endpoint it could not be released by its name. \
             Release it first"
        );
    }
    let _alone = dir.lock().context("the agent must be stopped before it becomes another")?;
    let proxy = ProxyWay::from_config(&config.proxy)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (identity, held) = runtime.block_on(enrol::enrol(&string, proxy))?;
    let own = dir.inner(&identity.own_dir_name())?;
    kept::begin_time(&own, &Machine::read()?.boot_id, clock::boot_ns())?;
    identity.store(&dir)?;
    if let Some(before) = before {
        dir.remove_inner(&before.own_dir_name())?;
    }
    say(&format!("enrolled with client {} as endpoint {}", identity.client, identity.endpoint));
    say(&format!("roster version {}; now start the agent", held.reference.version));
    Ok(())
}

/// The string as given, or from standard input, where no other user of the machine sees it.
fn given(string: &str) -> anyhow::Result<String> {
    if string != "-" {
        return Ok(string.to_owned());
    }
    let mut text = String::new();
    let input = std::io::stdin().lock();
    input.take(STRING_BYTES_MAX).read_to_string(&mut text).context("reading the string failed")?;
    Ok(text)
}

/// Says who this endpoint is.
pub fn status(config: &Config) -> anyhow::Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    let identity = Identity::load(&dir)?;
    let own = dir.inner(&identity.own_dir_name())?;
    let keeper = RosterKeeper::open(own.clone(), &identity)?;
    let held = keeper.held();
    let time = kept::load_time(&own, &Machine::read()?.boot_id, clock::boot_ns())?;
    let secs = time.secs(clock::boot_ns());
    let doors = if held.roster.collectors.is_empty() {
        &identity.collectors
    } else {
        &held.roster.collectors
    };
    let certificate = &identity.certificate;
    let ends_secs = certificate.granted_secs.saturating_add(certificate.valid_secs);
    let left_days = ends_secs.saturating_sub(secs) / 86_400;
    let renewal_days = certificate.renew_at_secs().saturating_sub(secs) / 86_400;
    let policy = kept::load_policy(&own)?.map_or(0, |policy| policy.version);
    say(&format!("endpoint     {}", identity.endpoint));
    say(&format!("client       {}", identity.client));
    say(&format!("collectors   {}", doors.join(", ")));
    say(&format!("roster       version {}", held.reference.version));
    say(&format!("policy       version {policy}"));
    say(&format!("certificate  good for {left_days} days, renewed in {renewal_days}"));
    say(&format!("time         {secs} s since enrolment, boot {}", time.boot_count()));
    match break_glass::kept::Kept::load(&own)? {
        kept if kept.check.is_some() && kept.roster == held.reference => {
            say(&format!(
                "way out      code number {}, sealed to {}",
                kept.serial,
                kept.boxes.len()
            ));
        }
        _ => say("way out      none"),
    }
    match KeptIsolation::load(&dir)? {
        None => say("isolated     no"),
        Some(kept) => {
            let left_secs = kept.record.until_secs.saturating_sub(secs);
            say(&format!("isolated     yes, its lease ends in {left_secs} s of endpoint time"));
        }
    }
    Ok(())
}

/// Takes a roster by hand.
pub fn install_roster(config: &Config, file: &Path) -> anyhow::Result<()> {
    let dir = StateDir::open(&config.state_dir)?;
    let identity = Identity::load(&dir)?;
    let mut keeper = RosterKeeper::open(dir.inner(&identity.own_dir_name())?, &identity)?;
    let bytes = std::fs::read(file)?;
    let taken = keeper.offer(&bytes)?;
    let version = keeper.held().reference.version;
    if taken {
        say(&format!("installed roster version {version}; restart the agent to use it at once"));
    } else {
        say(&format!("roster version {version} is held already"));
    }
    Ok(())
}
