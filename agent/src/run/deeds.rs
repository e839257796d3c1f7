//! Carries deeds out: a step of each at a time, a few deeds at once, each on a helper thread.

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::command::Action;
use cordon_proto::event::agent::Standing;
use cordon_proto::id::CommandId;

use super::Agent;
use super::contain::micros;
use super::jobs::{Done, blocking};
use crate::action::block;
use crate::action::deed::{self, Hand, NotDone, Seen};
use crate::clock;
use crate::guard::Authorised;
use crate::kept;
use crate::ledger::Step;

/// Deeds under way at once; isolation has helper threads left whatever they do.
const UNDER_WAY_MAX: usize = 3;

/// What came of a step.
pub(super) enum DeedDone {
    Saved(u64, Result<(), String>),
    Prepared(CommandId, Result<Vec<u8>, NotDone>),
    Applied(CommandId, Result<deed::Done, NotDone>, Duration),
    Seen(CommandId, Seen),
    Undone(CommandId, Result<deed::Done, NotDone>, Duration),
}

impl Agent {
    /// What a command asks of the ledger.
    pub(super) fn deed(&mut self, may: &Authorised) {
        let secs = self.secs();
        match &may.command.action {
            Action::Undo { of } if self.isolated_by(*of) => {
                self.containment.handle_release(may);
                self.act();
            }
            Action::Undo { of } => self.ledger.handle_undo(may, *of, secs),
            Action::ReleaseAll => {
                let isolated = self.containment.since();
                self.ledger.handle_release_all(may, isolated, secs);
            }
            Action::Isolate(_)
            | Action::Release
            | Action::SetPolicy(_)
            | Action::Query(_)
            | Action::Kill(_)
            | Action::Suspend(_)
            | Action::Quarantine(_)
            | Action::Deny(_)
            | Action::Block(_)
            | Action::LockAccount(_)
            | Action::StopService(_)
            | Action::BlockStorage(_)
            | Action::Collect(_) => self.ledger.handle_command(may, secs),
        }
        self.act_deeds();
    }

    pub(super) fn isolated_by(&self, id: CommandId) -> bool {
        self.containment.standing().iter().any(|isolation| isolation.command == id)
    }

    /// Everything that stands.
    pub(super) fn standing(&self) -> Vec<Standing> {
        let mut all = self.containment.standing();
        all.extend(self.ledger.standing());
        all
    }

    /// Takes the next steps, as far as there is room for them.
    pub(super) fn act_deeds(&mut self) {
        loop {
            let may_begin = self.deeds_under_way < UNDER_WAY_MAX;
            let Some(step) = self.ledger.poll_step(may_begin, self.secs()) else { break };
            self.deed_step(step);
        }
    }

    fn deed_step(&mut self, step: Step) {
        match step {
            Step::Receipt(receipt) => self.tell_receipt(*receipt),
            Step::LetBack(may, isolation) if self.isolated_by(isolation) => {
                self.containment.handle_release(&may);
                self.act();
            }
            Step::LetBack(..) => self.ledger.handle_let_back(Ok(())),
            Step::Save { version, kept } => {
                let dir = self.dir.clone();
                self.jobs.push(async move {
                    let written = blocking(move || kept::write_ledger(&dir, &kept)).await;
                    let written = super::command::flat(written).map_err(|error| error.to_string());
                    Done::Deed(Box::new(DeedDone::Saved(version, written)))
                });
            }
            Step::Prepare(id, action) => {
                let lost = move |why| DeedDone::Prepared(id, Err(NotDone::Failed(why)));
                self.deed_job(lost, move |hand| {
                    let prepared = hand.deed(&action).and_then(|deed| deed.prepare());
                    DeedDone::Prepared(id, prepared)
                });
            }
            Step::Apply(id, action, before) => {
                let clock = self.clock;
                let lost =
                    move |why| DeedDone::Applied(id, Err(NotDone::Failed(why)), Duration::ZERO);
                self.deed_job(lost, move |hand| {
                    let began = clock.now();
                    let applied = hand.deed(&action).and_then(|deed| deed.apply(&before));
                    DeedDone::Applied(id, applied, clock.now().saturating_sub(began))
                });
            }
            Step::Look(id, action, before) => {
                let lost = move |why| DeedDone::Seen(id, Seen::CannotLook(why));
                self.deed_job(lost, move |hand| {
                    let seen = match hand.deed(&action) {
                        Ok(deed) => deed.look(&before),
                        Err(why) => Seen::CannotLook(why.to_string()),
                    };
                    DeedDone::Seen(id, seen)
                });
            }
            Step::Undo(id, action, before) => {
                let clock = self.clock;
                let lost =
                    move |why| DeedDone::Undone(id, Err(NotDone::Failed(why)), Duration::ZERO);
                self.deed_job(lost, move |hand| {
                    let began = clock.now();
                    let undone = hand.deed(&action).and_then(|deed| deed.undo(&before));
                    DeedDone::Undone(id, undone, clock.now().saturating_sub(began))
                });
            }
        }
    }

    /// `lost` is the outcome where the helper thread did not live to tell one.
    fn deed_job(
        &mut self,
        lost: impl FnOnce(String) -> DeedDone + 'static,
        work: impl FnOnce(&Hand) -> DeedDone + Send + 'static,
    ) {
        self.deeds_under_way = self.deeds_under_way.saturating_add(1);
        let hand = self.hand();
        self.jobs.push(async move {
            let outcome = blocking(move || work(&hand)).await;
            Done::Deed(Box::new(outcome.unwrap_or_else(|error| lost(error.to_string()))))
        });
    }

    fn hand(&self) -> Hand {
        let (tools, policy) = (Arc::clone(&self.tools), self.policy.clone());
        Hand { tools, policy, ways: self.ways(), door_ports: self.door_ports() }
    }

    /// Follows blocked names to where they lead now.
    pub(super) fn follow_names(&mut self) {
        if !self.tools.blocks.is_stirred(clock::boot_ns()) {
            return;
        }
        let hand = self.hand();
        self.jobs.push(async move {
            let followed = blocking(move || block::follow_names(&hand)).await;
            if let Err(error) = followed {
                tracing::warn!(%error, "blocked names were not followed");
            }
            Done::Followed
        });
    }

    pub(super) fn deed_done(&mut self, done: DeedDone) {
        let secs = self.secs();
        if !matches!(done, DeedDone::Saved(..)) {
            self.deeds_under_way = self.deeds_under_way.saturating_sub(1);
        }
        match done {
            DeedDone::Saved(version, saved) => {
                if let Err(error) = &saved {
                    tracing::error!(error, "the ledger of what stands could not be written");
                }
                self.ledger.handle_saved(version, saved, secs);
            }
            DeedDone::Prepared(id, outcome) => self.ledger.handle_prepared(id, outcome, secs),
            DeedDone::Applied(id, outcome, took) => {
                tracing::info!(command = %id, ?outcome, "did what a command asked");
                self.ledger.handle_applied(id, outcome, micros(took), secs);
            }
            DeedDone::Seen(id, seen) => {
                if !matches!(seen, Seen::Holds(_)) {
                    tracing::warn!(command = %id, ?seen, "looked at what stands");
                }
                self.ledger.handle_seen(id, seen, secs);
            }
            DeedDone::Undone(id, outcome, took) => {
                tracing::info!(command = %id, ?outcome, "undid what a command asked");
                self.ledger.handle_undone(id, outcome, micros(took), secs);
            }
        }
        self.act_deeds();
    }
}
