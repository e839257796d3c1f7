//! What is taken before something is done.

use std::time::Duration;

use cordon_proto::command::Snapshot;

use super::Why;
use crate::moment::parse_length;

/// What is taken first.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct First {
    /// Take a snapshot first, and wait for it so long at most [without a time: 2s]
    ///
    /// What runs with its arguments, sockets, sessions, neighbours, mounts, programs that were
    /// deleted: `cordon collection get COMMAND` fetches it. The action is done in any case.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
        default_missing_value = "2s", value_parser = parse_length)]
    snapshot: Option<Duration>,
}

impl First {
    /// With what is signed beside the action.
    #[must_use]
    pub(super) fn and(self, why: Why) -> Why {
        let wait_ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let snapshot = self.snapshot.map(|wait| Snapshot { wait_ms: wait_ms(wait) });
        Why { snapshot, ..why }
    }
}

/// What an isolation takes first.
#[must_use]
pub(super) fn usual() -> Snapshot {
    Snapshot { wait_ms: Snapshot::WAIT_MS_DEFAULT }
}
