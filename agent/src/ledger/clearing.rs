//! Undoing everything that stands, one after the other, the latest first.

use cordon_proto::event::receipt::Probe;
use cordon_proto::id::CommandId;

use crate::guard::Authorised;

/// Whose turn it is to be undone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Deed(CommandId),
    Isolation,
}

/// Who asked for everything to be undone, and how far that is.
#[derive(Debug)]
pub(super) struct Clearing {
    pub(super) may: Authorised,
    /// The next one last.
    left: Vec<Turn>,
    under_way: Option<Turn>,
    probes: Vec<Probe>,
}

impl Clearing {
    /// `all` with when each was asked for; of what was asked for in one second, in that order.
    pub(super) fn new(may: Authorised, mut all: Vec<(u64, Turn)>) -> Self {
        all.sort_by_key(|(since_secs, _)| *since_secs);
        let left = all.into_iter().map(|(_, turn)| turn).collect();
        Self { may, left, under_way: None, probes: Vec::new() }
    }

    /// The next one, unless one is under way.
    pub(super) fn next_turn(&mut self) -> Option<Turn> {
        if self.under_way.is_none() {
            self.under_way = self.left.pop();
            return self.under_way;
        }
        None
    }

    pub(super) fn handle_turn(&mut self, turn: Turn, outcome: Result<(), String>) {
        if self.under_way != Some(turn) {
            return;
        }
        self.under_way = None;
        let what = match turn {
            Turn::Deed(id) => format!("undoing what command {id} did"),
            Turn::Isolation => "letting the endpoint back onto the network".to_owned(),
        };
        let (passed, seen) = match outcome {
            Ok(()) => (true, "nothing of it stands".to_owned()),
            Err(why) => (false, why),
        };
        self.probes.push(Probe { what, passed, seen });
    }

    pub(super) fn is_over(&self) -> bool {
        self.under_way.is_none() && self.left.is_empty()
    }

    /// What came of each.
    pub(super) fn probes(&self) -> Vec<Probe> {
        self.probes.clone()
    }
}
