//! Ends a process, or it and all that it started (D3FEND D3-PT). There is no undo.

use std::time::Duration;

use cordon_proto::command::Kill;
use cordon_proto::event::receipt::Probe;
use rustix::process::Signal;

use super::before::{self, Before};
use super::hold::{self, Found};
use super::hunt::{Hunt, Manner};
use super::protect::Protection;
use crate::action::deed::{Deed, Done, Hand, NotDone, Seen};
use crate::clock::Clock;

/// How long is waited until those that were killed are gone.
const END_MAX: Duration = Duration::from_secs(10);

/// After the kill the tree is looked for so often until nothing of it is found.
const ROUNDS_MAX: u32 = 8;

/// Ends one process or tree.
#[derive(Debug)]
pub struct KillDeed<'a> {
    hand: &'a Hand,
    kill: &'a Kill,
}

impl<'a> KillDeed<'a> {
    /// The deed that an action asks for.
    #[must_use]
    pub fn new(hand: &'a Hand, kill: &'a Kill) -> Self {
        Self { hand, kill }
    }

    fn end(&self, hunt: &mut Hunt) -> Result<(), NotDone> {
        let protection = Protection::of(self.hand)?;
        if self.kill.tree {
            let failed = |error| NotDone::Failed(format!("the tree cannot be found: {error}"));
            // Who came since it was prepared, the agent itself after a restart, is not stopped.
            hunt.sweep_once(Manner::Look).map_err(failed)?;
            before::check(&protection, hunt)?;
            hunt.sweep(Manner::Stop).map_err(failed)?;
        }
        before::check(&protection, hunt)?;
        kill_all(hunt);
        if !self.kill.tree {
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
            let known = hunt.caught.len();
            match hunt.sweep_once(Manner::Stop) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    hunt.missing.push(format!("the tree cannot be looked for again: {error}"));
                    return Ok(());
                }
            }
            let late = hunt.caught.get(known..).unwrap_or_default().iter();
            if let Some(why) = late.filter_map(|c| protection.refuses(&c.held.stat)).next() {
                hunt.missing.push(why);
                return Ok(());
            }
            kill_all(hunt);
        }
        hunt.missing.push("the tree has still grown after it was killed".to_owned());
        Ok(())
    }
}

impl Deed for KillDeed<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        Before::read(self.hand, &self.kill.process, self.kill.tree).map(|before| before.encode())
    }

    fn apply(&self, before: &[u8]) -> Result<Done, NotDone> {
        let before = Before::decode(before)?;
        // A crash may have left them frozen.
        let mut missing = before.thaw();
        // What the root has started is ended though it has ended itself by now.
        let mut hunt = if self.kill.tree { before.hold() } else { Hunt::default() };
        match hold::find(&self.kill.process)? {
            Found::It(root) if hunt.family.holds(&root.stat) => {}
            Found::It(root) => hunt.take(root),
            Found::Gone(why) | Found::Other(why) if hunt.now().is_empty() => {
                missing.append(&mut hunt.missing);
                let probes = vec![Probe { what: WHAT.to_owned(), passed: true, seen: why }];
                return Ok(Done { probes, done: Vec::new(), missing });
            }
            Found::Gone(_) | Found::Other(_) => {}
        }
        if self.kill.tree {
            for group in before.groups.iter().filter(|group| !group.was_frozen()) {
                // Where it cannot be frozen the tree is swept all the same.
                if let Err(error) = group.freeze() {
                    let group = group.path().display();
                    tracing::warn!(%error, %group, "a control group cannot be frozen");
                }
            }
        }
        let ended = self.end(&mut hunt);
        if ended.is_err() {
            hunt.let_go();
        }
        missing.extend(before.thaw());
        ended?;
        missing.append(&mut hunt.missing);
        Ok(wait(&hunt, missing))
    }

    fn look(&self, _before: &[u8]) -> Seen {
        Seen::Gone("it was ended".to_owned())
    }

    fn undo(&self, _before: &[u8]) -> Result<Done, NotDone> {
        Err(NotDone::Failed("what was ended cannot be brought back".to_owned()))
    }
}

const WHAT: &str = "every process that the command names has ended";

fn kill_all(hunt: &mut Hunt) {
    let Hunt { caught, missing, .. } = hunt;
    for held in caught.iter().map(|caught| &caught.held) {
        if let Err(error) = held.signal(Signal::KILL) {
            missing.push(format!("process {} could not be ended: {error}", held.stat.title()));
        }
    }
}

/// Looks until all have ended, or the time is over.
fn wait(hunt: &Hunt, mut missing: Vec<String>) -> Done {
    let clock = Clock::start();
    let (mut ended, mut left) = (Vec::new(), Vec::new());
    for caught in &hunt.caught {
        let title = caught.held.stat.title();
        let has_ended = caught.held.wait_for_end(END_MAX.saturating_sub(clock.now()));
        if has_ended { ended.push(title) } else { left.push(title) }
    }
    let seen = match ended.as_slice() {
        [one] if left.is_empty() => format!("process {one} has ended"),
        _ => format!("{} processes have ended, {} have not", ended.len(), left.len()),
    };
    let probes = vec![Probe { what: WHAT.to_owned(), passed: left.is_empty(), seen }];
    let secs = END_MAX.as_secs();
    missing.extend(left.iter().take(NAMED_MAX).map(|title| {
        format!("process {title} is still there {secs} s after SIGKILL: it waits in the kernel")
    }));
    ended.truncate(NAMED_MAX);
    let done = ended.into_iter().map(|title| format!("process {title} has ended")).collect();
    Done { probes, done, missing }
}

/// Processes that a receipt names.
const NAMED_MAX: usize = 16;
