//! An isolation that ends because the single-use code was typed at the endpoint, now or while no
//! agent ran.

use super::record::Record;
use super::{Isolation, State, Why};

impl Isolation {
    /// Takes up what was recorded before a restart, to let it back for this reason.
    pub fn resume_ending(record: Record, why: Why) -> Self {
        let mut isolation = Self::default();
        let command = record.command;
        isolation.let_back(record, command, why);
        isolation
    }

    /// The single-use code was typed; answers whether there is anything to let back.
    pub fn handle_break_glass(&mut self) -> bool {
        match std::mem::take(&mut self.state) {
            State::Open => return false,
            State::Applying { record, .. } | State::Isolated { record, .. } => {
                let command = record.command;
                self.let_back(record, command, Why::BreakGlass);
            }
            State::Releasing { record, command, why, .. } => self.let_back(record, command, why),
        }
        true
    }
}
