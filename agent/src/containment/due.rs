//! Commands that were not answered yet, and the answers to those that another overtook: an isolation
//! that was still being put up when the next one came, a release of what was being let back already.

use std::collections::VecDeque;

use cordon_proto::command::ActionKind;
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::id::CommandId;

use super::receipts::receipt;
use super::{CAUSES_MAX, Cause, Containment};
use crate::action::isolate::What;

/// In the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Due(VecDeque<Cause>);

/// What a report settles for the commands before its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Settled {
    Isolated,
    LetBack,
    /// Nothing; but what it was to replace may stand.
    Refused,
    Nothing,
}

impl Settled {
    pub(super) fn by(what: &What) -> Self {
        match what {
            What::Applied { .. } | What::Renewed { .. } => Self::Isolated,
            What::Released(_) => Self::LetBack,
            What::Refused(_) => Self::Refused,
            What::Failed(_)
            | What::Proved
            | What::Unproved(_)
            | What::Drifted(_)
            | What::Beside(_)
            | What::PlanRefused(_)
            | What::LeaseOver
            | What::ReleaseFailed(_)
            | What::AlreadyIsolated { .. }
            | What::AlreadyOpen => Self::Nothing,
        }
    }
}

impl Due {
    pub(super) fn of(cause: Cause) -> Self {
        Self([cause].into())
    }

    pub(super) fn push(&mut self, cause: Cause) {
        self.0.push_back(cause);
        if self.0.len() > CAUSES_MAX {
            self.0.pop_front();
        }
    }

    pub(super) fn handle_receipts(&mut self, receipts: &[Receipt]) {
        self.0.retain(|due| receipts.iter().all(|receipt| receipt.command != Some(due.id)));
    }
}

impl Containment {
    /// The answers to what came before this command and was not answered.
    pub(super) fn overtaken(&self, by: CommandId, how: Settled, now_secs: u64) -> Vec<Receipt> {
        let applied = |cause: Cause, change_us, until_secs, stood_already| {
            let outcome = Outcome::Applied { change_us, until_secs, stood_already };
            receipt(cause, outcome, now_secs)
        };
        let overtaken = |cause: Cause| {
            let reason = format!("overtaken by command {by} before it was done");
            receipt(cause, Outcome::Failed { reason }, now_secs)
        };
        let standing = self.isolation.record();
        let stands = |cause: &Cause| {
            let record = standing.filter(|record| record.command == cause.id.0.into_bytes());
            record.map(|record| record.until_secs)
        };
        let answer = |cause: Cause| match how {
            // It is as it was asked to be.
            Settled::LetBack if cause.action != ActionKind::Isolate => {
                applied(cause, 0, None, true)
            }
            // What could not take its place leaves it standing.
            Settled::Refused => match stands(&cause) {
                Some(until_secs) => applied(cause, self.change_us, Some(until_secs), false),
                None => overtaken(cause),
            },
            Settled::Isolated | Settled::LetBack | Settled::Nothing => overtaken(cause),
        };
        if how == Settled::Nothing {
            return Vec::new();
        }
        let came = self.causes.iter().take_while(|cause| cause.id != by);
        came.filter(|cause| self.due.0.contains(cause)).copied().map(answer).collect()
    }
}
