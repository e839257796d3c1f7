//! What must be known of responses over a restart: how often each did something within the hour,
//! and what it did that is not over.

use cordon_proto::command::Action;
use minicbor::{Decode, Encode};

use super::Armed;

/// As it is on disk.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Kept {
    #[n(0)]
    responses: Vec<KeptResponse>,
}

#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
struct KeptResponse {
    #[n(0)]
    name: String,
    #[n(1)]
    done_secs: Vec<u64>,
    #[n(2)]
    done: Vec<KeptDone>,
}

#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
struct KeptDone {
    #[n(0)]
    action: Action,
    #[n(1)]
    until_secs: u64,
}

impl Kept {
    pub(super) fn of(all: &[Armed]) -> Self {
        let one = |armed: &Armed| KeptResponse {
            name: armed.response.name.clone(),
            done_secs: armed.done_secs.iter().copied().collect(),
            done: armed
                .done
                .iter()
                .map(|(action, until_secs)| KeptDone {
                    action: action.clone(),
                    until_secs: *until_secs,
                })
                .collect(),
        };
        Self { responses: all.iter().map(one).collect() }
    }

    pub(super) fn give(&self, armed: &mut Armed, now_secs: u64) {
        let named = |kept: &&KeptResponse| kept.name == armed.response.name;
        let Some(kept) = self.responses.iter().find(named) else { return };
        // Endpoint time never goes back by more than was not yet on disk; what lies ahead counts
        // as done just now.
        armed.done_secs = kept.done_secs.iter().map(|secs| (*secs).min(now_secs)).collect();
        let done = kept.done.iter().map(|done| (done.action.clone(), done.until_secs));
        armed.done = done.collect();
        armed.forget(now_secs);
    }
}
