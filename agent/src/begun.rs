//! Commands that were taken, so that one of which a crash leaves nothing is answered all the same.
//!
//! Pure. Which were taken is kept with the guard's memory, on disk before anything is done; which were
//! answered goes into the spool in one with the answer.

use std::collections::VecDeque;

use cordon_proto::codec;
use cordon_proto::command::ActionKind;
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::id::{CommandId, Hash};
use minicbor::{Decode, Encode};

use crate::guard::Authorised;

/// Commands that may be under way at once and still be answered for; of more, the oldest are not.
const TAKEN_MAX: usize = 64;
/// What is on disk of those may be older than what is here; no answer is forgotten before its
/// command.
const ANSWERED_MAX: usize = 4 * TAKEN_MAX;

const INTERRUPTED: &str = "interrupted: the agent ended before it could say what came of this, and \
                           nothing is recorded here that it would go on with; see what stands, and \
                           ask again";

/// The last commands that were taken.
#[derive(Debug, Default)]
pub struct Begun {
    taken: VecDeque<Taken>,
    answered: VecDeque<CommandId>,
}

/// A command that was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Taken {
    #[n(0)]
    id: CommandId,
    #[n(1)]
    hash: Hash,
    #[n(2)]
    action: ActionKind,
}

impl Begun {
    /// Takes up what was kept.
    #[must_use]
    pub fn resume(taken: Vec<Taken>) -> Self {
        Self { taken: taken.into(), answered: VecDeque::new() }
    }

    /// The same with what was kept beside the answers; what cannot be read is as good as none.
    pub fn resume_answered(&mut self, bytes: &[u8]) {
        let answered: Vec<CommandId> = codec::decode_strict(bytes).unwrap_or_default();
        self.answered = answered.into();
    }

    /// A command is about to be noted.
    pub fn note(&mut self, may: &Authorised) {
        let (id, hash, action) = (may.command.id, may.hash, may.command.action.kind());
        self.taken.push_back(Taken { id, hash, action });
        if self.taken.len() > TAKEN_MAX {
            self.taken.pop_front();
        }
    }

    /// It could not be noted, and is not obeyed: should it come again, that is another time.
    pub fn forget(&mut self, id: CommandId) {
        self.taken.retain(|taken| taken.id != id);
    }

    /// For the disk.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.iter().copied().collect()
    }

    /// A receipt is about to be signed; what must be kept in one with it, if it is the first that
    /// answers a command.
    pub fn handle_receipt(&mut self, receipt: &Receipt) -> Option<Vec<u8>> {
        // Neither says what came of the command.
        if matches!(receipt.outcome, Outcome::Accepted { .. } | Outcome::Snapshot { .. }) {
            return None;
        }
        let id = receipt.command?;
        let is_taken = self.taken.iter().any(|taken| taken.id == id);
        if !is_taken || self.answered.contains(&id) {
            return None;
        }
        self.answered.push_back(id);
        if self.answered.len() > ANSWERED_MAX {
            self.answered.pop_front();
        }
        Some(codec::encode(&self.answered.iter().copied().collect::<Vec<_>>()))
    }

    /// The answers to what was taken before a restart, and neither answered nor left in any record;
    /// `goes_on` knows the records.
    pub fn interrupted(
        &self,
        goes_on: impl Fn(CommandId) -> bool,
        endpoint_secs: u64,
    ) -> Vec<Receipt> {
        let left = self.taken.iter().filter(|taken| !self.answered.contains(&taken.id));
        let left = left.filter(|taken| !goes_on(taken.id));
        let answer = |Taken { id, hash, action }: &Taken| Receipt {
            command: Some(*id),
            command_hash: *hash,
            action: Some(*action),
            endpoint_secs,
            outcome: Outcome::Failed { reason: INTERRUPTED.to_owned() },
            repeated: 0,
        };
        left.map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::command::{Action, Command};

    use super::*;

    fn may(number: u128) -> Authorised {
        let id = CommandId(uuid::Uuid::from_u128(number));
        let command = Command { id, action: Action::Release, ..crate::hold::tests::command() };
        let hash = Hash::of(&number.to_be_bytes());
        Authorised { command, hash, signed: vec![], signers: vec![], forget_secs: 0 }
    }

    fn receipt(number: u128, outcome: Outcome) -> Receipt {
        let command = Some(may(number).command.id);
        let (command_hash, action) = (Hash::default(), None);
        Receipt { command, command_hash, action, endpoint_secs: 1, outcome, repeated: 0 }
    }

    fn answered(number: u128) -> Receipt {
        receipt(number, Outcome::Failed { reason: "as it is".to_owned() })
    }

    /// The numbers of what is told as interrupted after a restart.
    #[track_caller]
    fn check(begun: &Begun, kept: Option<Vec<u8>>, goes_on: &[u128], expected: &[u128]) {
        let mut begun = Begun::resume(begun.taken());
        begun.resume_answered(&kept.unwrap_or_default());
        let known = |id: CommandId| goes_on.contains(&id.0.as_u128());
        let told = begun.interrupted(known, 9);
        let numbers: Vec<_> = told.iter().filter_map(|told| told.command).collect();
        let numbers: Vec<_> = numbers.iter().map(|id| id.0.as_u128()).collect();
        assert_eq!(numbers, expected);
        for told in &told {
            let number = told.command.map_or(0, |id| id.0.as_u128());
            assert_eq!(told.command_hash, may(number).hash);
            assert_eq!(told.action, Some(ActionKind::Release));
            // Told once: the answer that it is counts as one.
            let kept = begun.handle_receipt(told);
            assert!(kept.is_some());
        }
        assert!(begun.interrupted(known, 10).is_empty());
    }

    #[test]
    fn what_was_taken_and_neither_answered_nor_recorded_is_answered_after_a_restart() {
        let mut begun = Begun::default();
        check(&begun, None, &[], &[]);
        (1..=3).for_each(|number| begun.note(&may(number)));
        let accepted = receipt(1, Outcome::Accepted { signers: vec![] });
        assert_eq!(begun.handle_receipt(&accepted), None, "that is no answer");
        let kept = begun.handle_receipt(&answered(2));
        assert!(kept.is_some());
        check(&begun, kept.clone(), &[3], &[1]);
        check(&begun, None, &[], &[1, 2, 3]);
        assert_eq!(begun.handle_receipt(&answered(2)), None, "it was answered before");
        assert_eq!(begun.handle_receipt(&answered(7)), None, "nobody asked for it");
        check(&begun, Some(b"damaged".to_vec()), &[], &[1, 2, 3]);
    }

    #[test]
    fn what_could_not_be_noted_is_answered_for_only_when_it_comes_again() {
        let mut begun = Begun::default();
        begun.note(&may(1));
        begun.forget(may(1).command.id);
        let kept = begun.handle_receipt(&answered(1));
        check(&begun, kept.clone(), &[], &[]);
        begun.note(&may(1));
        check(&begun, kept, &[], &[1]);
    }

    #[test]
    fn both_lists_are_bounded_and_an_answer_outlives_its_command() {
        let (mut begun, mut kept) = (Begun::default(), None);
        for number in 0..500 {
            begun.note(&may(number));
            kept = begun.handle_receipt(&answered(number));
        }
        assert_eq!((begun.taken.len(), begun.answered.len()), (TAKEN_MAX, ANSWERED_MAX));
        check(&begun, kept, &[], &[]);
    }
}
