//! What must be known of responses over a restart: how often each did something within the hour,
//! what it did that is not over, and what was decided and is not begun.

use cordon_proto::command::{Action, ActionKind};
use minicbor::{Decode, Encode};

use super::hour::Hour;
use super::{Armed, Due, Responder, order};

/// As it is on disk.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Kept {
    #[n(0)]
    boot_count: u64,
    #[n(1)]
    responses: Vec<KeptResponse>,
    #[n(2)]
    hour: Vec<(ActionKind, u64)>,
    #[n(3)]
    due: Vec<Due>,
}

#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
struct KeptResponse {
    #[n(0)]
    name: String,
    #[n(1)]
    done_secs: Vec<u64>,
    #[n(2)]
    done: Vec<(Action, u64)>,
    #[n(3)]
    told_secs: Option<u64>,
}

impl Kept {
    pub(super) fn of(responder: &Responder) -> Self {
        let one = |armed: &Armed| KeptResponse {
            name: armed.response.name.clone(),
            done_secs: armed.done_secs.iter().copied().collect(),
            done: armed.done.iter().cloned().collect(),
            told_secs: armed.told_secs,
        };
        Self {
            boot_count: responder.boot_count,
            responses: responder.armed.iter().map(one).collect(),
            hour: responder.hour.done().collect(),
            due: responder.due.clone(),
        }
    }

    /// What aims at a process is of one boot: after the next, another process may bear its number
    /// and have been started at the same moment after the boot.
    pub(super) fn give(self, responder: &mut Responder, now_secs: u64) {
        let Self { boot_count, mut responses, hour, mut due } = self;
        if boot_count != responder.boot_count {
            due.iter_mut().filter(|due| order::process(&due.action).is_some()).for_each(|due| {
                due.until_secs = 0;
            });
            for kept in &mut responses {
                kept.done.retain(|(action, _)| order::process(action).is_none());
            }
        }
        responder.hour = Hour::resume(hour, now_secs);
        responder.due = due;
        for armed in &mut responder.armed {
            let named = |kept: &KeptResponse| kept.name == armed.response.name;
            if let Some(index) = responses.iter().position(named) {
                responses.swap_remove(index).give(armed, now_secs);
            }
        }
    }
}

impl KeptResponse {
    fn give(self, armed: &mut Armed, now_secs: u64) {
        // Endpoint time never goes back by more than was not yet on disk; what lies ahead counts
        // as done just now.
        armed.done_secs = self.done_secs.iter().map(|secs| (*secs).min(now_secs)).collect();
        armed.done = self.done.into();
        armed.told_secs = self.told_secs.map(|told_secs| told_secs.min(now_secs));
        armed.forget(now_secs);
    }
}
