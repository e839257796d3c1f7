//! What is told of a deed, under the command that it is about.

use cordon_proto::command::ActionKind;
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::{Check, EndCause, Outcome, Probe};
use cordon_proto::id::{CommandId, Hash};

use super::NotDone;
use crate::guard::Authorised;

/// A command that something is done for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Cause {
    pub(super) id: CommandId,
    pub(super) hash: Hash,
    pub(super) action: ActionKind,
}

impl Cause {
    pub(super) fn of(may: &Authorised) -> Self {
        Self { id: may.command.id, hash: may.hash, action: may.command.action.kind() }
    }

    pub(super) fn applied(
        self,
        change_us: u64,
        until_secs: Option<u64>,
        stood_already: bool,
        now_secs: u64,
    ) -> Receipt {
        self.receipt(Outcome::Applied { change_us, until_secs, stood_already }, now_secs)
    }

    pub(super) fn observed(self, probes: Vec<Probe>, now_secs: u64) -> Receipt {
        self.receipt(Outcome::Observed { probes }, now_secs)
    }

    pub(super) fn failed(self, reason: String, now_secs: u64) -> Receipt {
        self.receipt(Outcome::Failed { reason }, now_secs)
    }

    pub(super) fn not_done(self, why: NotDone, now_secs: u64) -> Receipt {
        match why {
            NotDone::Refused(reason) => {
                self.receipt(Outcome::Refused { check: Check::Subject, reason }, now_secs)
            }
            NotDone::Failed(reason) => self.failed(reason, now_secs),
        }
    }

    pub(super) fn drifted(self, found: String, reapplied: bool, now_secs: u64) -> Receipt {
        self.receipt(Outcome::Drifted { found, reapplied }, now_secs)
    }

    pub(super) fn ended(self, cause: EndCause, observed_gone: bool, now_secs: u64) -> Receipt {
        self.receipt(Outcome::Ended { cause, observed_gone }, now_secs)
    }

    pub(super) fn receipt(self, outcome: Outcome, endpoint_secs: u64) -> Receipt {
        let Self { id, hash, action } = self;
        let (command, action) = (Some(id), Some(action));
        Receipt { command, command_hash: hash, action, endpoint_secs, outcome, repeated: 0 }
    }
}
