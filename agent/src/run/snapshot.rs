//! Commands that ask for a snapshot first: held until it is taken or their time is over, whichever
//! comes sooner, and then obeyed in any case.
//!
//! What is held is in memory: should the agent end within those moments, the command was accepted
//! and not done, and that is what its receipts show.

use std::time::Duration;

use cordon_proto::command::{ActionKind, Collect, SNAPSHOT_BYTES_MAX};
use cordon_proto::id::CommandId;

use super::Agent;
use super::contain::micros;
use super::jobs::{Done, blocking};
use crate::collect::orders::{Order, Waited};
use crate::collect::snapshot;
use crate::collect::worker::Early;
use crate::guard::Authorised;

/// An isolation waits for the list of sockets no longer than this: the packets that it is to stop
/// go on meanwhile.
const SOCKETS_MAX: Duration = Duration::from_millis(20);

/// A command that waits.
pub(super) struct Held {
    may: Authorised,
    began: Duration,
}

impl Agent {
    /// Takes what the command would destroy, and lets it wait for that.
    pub(super) fn hold(&mut self, may: Authorised) {
        let wait_ms = may.command.snapshot.map_or(0, |snapshot| snapshot.wait_ms);
        let (command, wait) = (may.command.id, Duration::from_millis(wait_ms));
        let isolates = may.command.action.kind() == ActionKind::Isolate;
        let order = (!isolates).then(|| self.order_snapshot(&may));
        let began = self.clock.now();
        self.collecting.held.push(Held { may, began });
        match order {
            // What does not end by it is taken behind the wall.
            None => self.jobs.push(async move {
                let read = blocking(snapshot::sockets);
                let read = tokio::time::timeout(wait.min(SOCKETS_MAX), read).await;
                let early = match read {
                    Ok(Ok(early)) => early,
                    Ok(Err(error)) => Early { missing: Some(error.to_string()), sockets: None },
                    Err(_elapsed) => {
                        let missing = Some("they were not read in time".to_owned());
                        Early { sockets: None, missing }
                    }
                };
                Done::Sockets(command, early)
            }),
            Some(true) => {
                self.act_collect();
                self.jobs.push(async move {
                    tokio::time::sleep(wait).await;
                    Done::WaitedEnough(command)
                });
            }
            Some(false) => self.go_on(command, false),
        }
    }

    /// The sockets that an isolation ends are known, or will not be: it goes on, and the rest of
    /// the snapshot is taken while the wall goes up.
    pub(super) fn sockets_taken(&mut self, command: CommandId, early: Early) {
        let Some(at) = self.position(command) else { return };
        let in_time = early.missing.is_none();
        let Held { may, began } = self.collecting.held.remove(at);
        let us = micros(self.clock.now().saturating_sub(began));
        let (id, hash) = (may.command.id, may.hash);
        self.obey(may);
        if self.order_snapshot_of(id, hash, ActionKind::Isolate) {
            self.collecting.orders.handle_waited(command, Waited { us, in_time });
            self.collecting.early.push((command, early));
        }
        self.act_collect();
    }

    /// A command that is held is obeyed now.
    pub(super) fn go_on(&mut self, command: CommandId, in_time: bool) {
        let Some(at) = self.position(command) else { return };
        let Held { may, began } = self.collecting.held.remove(at);
        let us = micros(self.clock.now().saturating_sub(began));
        tracing::info!(%command, us, in_time, "an action waited for its snapshot");
        self.collecting.orders.handle_waited(command, Waited { us, in_time });
        self.obey(may);
        self.act_collect();
    }

    /// So is everything that is held: what comes now is to find it done.
    pub(super) fn go_on_all(&mut self) {
        while let Some(held) = self.collecting.held.first() {
            let command = held.may.command.id;
            if held.may.command.action.kind() == ActionKind::Isolate {
                let missing = Some("the isolation was to be released at once".to_owned());
                self.sockets_taken(command, Early { sockets: None, missing });
            } else {
                self.go_on(command, false);
            }
        }
    }

    fn position(&self, command: CommandId) -> Option<usize> {
        self.collecting.held.iter().position(|held| held.may.command.id == command)
    }

    fn order_snapshot(&mut self, may: &Authorised) -> bool {
        self.order_snapshot_of(may.command.id, may.hash, may.command.action.kind())
    }

    fn order_snapshot_of(
        &mut self,
        command: CommandId,
        command_hash: cordon_proto::id::Hash,
        before: ActionKind,
    ) -> bool {
        let secs = self.secs();
        let collect = Collect {
            sources: Vec::new(),
            globs: Vec::new(),
            bytes_max: SNAPSHOT_BYTES_MAX,
            unsealed: None,
        };
        let before = Some(before);
        let order = Order { command, command_hash, collect, since_secs: secs, made: None, before };
        self.collecting.orders.handle_order(order, secs)
    }
}
