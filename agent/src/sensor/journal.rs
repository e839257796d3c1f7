//! Follows the systemd journal through a supervised `journalctl`, each entry once, over restarts,
//! rotation and vacuuming.
//!
//! The place is an entry's cursor, kept with the events up to it. Reading resumes *at* that entry:
//! if something else comes first, what lay between is gone, and a gap says so. journalctl runs as a
//! child that takes some 10 MiB of its own, most of it mapped journal files. Unseen are journals of
//! other namespaces (`LogNamespace=`) and what journald itself has dropped, which it says in the
//! journal. Where files of syslog hold the same lines, `auto` leaves the journal to them.

mod child;
mod follow;
mod limit;
mod place;
mod presence;
pub mod reader;

use std::path::PathBuf;
use std::time::Duration;

use cordon_proto::event::SensorState;
use serde::{Deserialize, Serialize};

use self::child::{Child, Heard};
use self::follow::{Follow, From};
use self::place::Place;
use super::{Checkpoint, Outlet, Stopping};
use crate::clock::Stamp;

pub use presence::{Presence, presence};

/// The sensor's name in health.
pub const NAME: &str = "journal";

/// How often the end of the journal is compared with where reading stands: what follows may have
/// stalled without ending.
const PROVE_NS: u64 = 60_000_000_000;

/// How often a machine without a journal is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// The first wait before journalctl is started again; doubles each time it ends at once.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Having run for so long, it has not ended at once.
const HEALTHY_NS: u64 = 60_000_000_000;

/// Whether the journal is followed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Follows {
    /// Where there is one, and no file of syslog that is followed holds the same.
    #[default]
    Auto,
    /// In any case; where there is none, the sensor is blind.
    Always,
    /// Not at all.
    Never,
}

/// What the sensor does.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    /// Whether the journal is followed.
    pub enabled: Follows,
    /// Whether what is there when it is followed for the first time is read too.
    pub from_start: bool,
    /// Lines of one unit that are taken in a minute; the rest is counted and told.
    pub unit_lines_per_min_max: u64,
    /// Whether the kernel's lines are told although the sensor of the kernel's log tells them.
    pub kernel: bool,
    /// Another directory of journal files than the machine's.
    pub directory: Option<PathBuf>,
}

impl Default for JournalSettings {
    fn default() -> Self {
        let enabled = Follows::default();
        Self {
            enabled,
            from_start: false,
            unit_lines_per_min_max: 6000,
            kernel: false,
            directory: None,
        }
    }
}

/// Runs until the agent stops. `syslog` are the log files that are followed; `restored` are the
/// checkpoints kept last, of this sensor or all.
pub async fn run(
    settings: JournalSettings,
    syslog: Vec<String>,
    clock: fn() -> Stamp,
    outlet: Outlet,
    restored: Vec<Checkpoint>,
) -> Result<(), Stopping> {
    let follow = Follow::new(Place::restored(restored), settings.unit_lines_per_min_max);
    let mut follow = follow.leaving_kernel(!settings.kernel);
    let mut wait = WAIT_FIRST;
    loop {
        if let Presence::Not { state, reason } = presence(&settings, &syslog, clock().time_ns) {
            outlet.condition(state, Some(reason), None).await?;
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        let began_ns = clock().boot_ns;
        let why = follow_once(&settings, clock, &outlet, &mut follow).await?;
        let has_run = clock().boot_ns.saturating_sub(began_ns) >= HEALTHY_NS;
        wait = if has_run { WAIT_FIRST } else { wait };
        outlet.condition(SensorState::Blind, Some(why), None).await?;
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(WAIT_MAX);
    }
}

/// Runs journalctl until it ends; answers why it did. What it wrote to its end is handed over.
async fn follow_once(
    settings: &JournalSettings,
    clock: fn() -> Stamp,
    outlet: &Outlet,
    follow: &mut Follow,
) -> Result<String, Stopping> {
    let from = follow.start(settings.from_start, clock());
    let had_place = matches!(from, From::Cursor(_));
    let mut child = match Child::start(settings, &from) {
        Ok(child) => child,
        Err(error) => return Ok(format!("starting journalctl: {error}")),
    };
    outlet.condition(SensorState::Running, None, None).await?;
    let mut heard_any = false;
    let mut proved_ns = clock().boot_ns;
    let why = loop {
        let prove_at_ns = proved_ns.saturating_add(PROVE_NS);
        let due_ns = follow.due_ns().unwrap_or(u64::MAX).min(prove_at_ns);
        let wait = Duration::from_nanos(due_ns.saturating_sub(clock().boot_ns));
        let heard = tokio::select! {
            heard = child.next() => Some(heard),
            () = tokio::time::sleep(wait) => None,
        };
        match heard {
            Some(Heard::Entries(entries, lost)) => {
                follow.unreadable(lost, clock());
                for entry in entries {
                    heard_any = true;
                    follow.entry(&entry, clock());
                    if follow.is_full() {
                        hand_over(follow, clock(), outlet).await?;
                    }
                }
            }
            Some(Heard::Ended(why)) => break why,
            None => hand_over(follow, clock(), outlet).await?,
        }
        if clock().boot_ns >= prove_at_ns {
            proved_ns = clock().boot_ns;
            if follow.is_at_end(child::last_cursor(settings).await.as_deref()) {
                outlet.proved().await?;
            }
        }
    };
    if had_place && !heard_any && child::is_lost_place(&why) {
        follow.give_up_place(&why, clock());
    }
    hand_over(follow, clock(), outlet).await?;
    Ok(why)
}

async fn hand_over(follow: &mut Follow, now: Stamp, outlet: &Outlet) -> Result<(), Stopping> {
    match follow.take(now) {
        Some(sample) => outlet.sample(sample).await,
        None => Ok(()),
    }
}
