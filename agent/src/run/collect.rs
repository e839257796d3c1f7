//! Carries collections out: an archive made beside the loop, offered, and sent as the network and
//! the collector take it. Events go first: a piece is read only when what waits has gone out.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cordon_proto::collection::{Archive, Collected, Have, Piece};
use cordon_proto::command::Collect;
use cordon_proto::id::CommandId;

use super::contain::micros;
use super::jobs::{Done, blocking};
use super::snapshot::Held;
use super::{Agent, StartError};
use crate::collect::child;
use crate::collect::orders::{Order, Orders, Step};
use crate::collect::sealer::Sealing;
use crate::collect::store::Store;
use crate::collect::worker::{Early, Request};
use crate::guard::Authorised;
use crate::identity::StateDir;
use crate::own_program::OWN_PROGRAM;

/// What is to be collected and delivered, and where it stands meanwhile.
pub(super) struct Collecting {
    pub(super) orders: Orders,
    store: Store,
    /// Commands that wait for their snapshot, the earliest first.
    pub(super) held: Vec<Held>,
    /// What was taken for snapshots before their archives are made.
    pub(super) early: Vec<(CommandId, Early)>,
}

impl Collecting {
    /// Takes up what was not delivered when the agent last ran.
    pub(super) fn open(own: &StateDir, secs: u64) -> Result<Self, StartError> {
        let store = Store::open(own)?;
        let found = store.load().map_err(StartError::Collected)?;
        let orders = Orders::resume(found, secs);
        Ok(Self { orders, store, held: Vec::new(), early: Vec::new() })
    }
}

/// What came of a step.
pub(super) enum CollectDone {
    Made(CommandId, Result<Archive, String>, std::time::Duration),
    /// The bytes, or why they could not be read; for which session.
    Read(u64, Piece, Result<Vec<u8>, String>),
}

impl Agent {
    pub(super) fn collect(&mut self, may: &Authorised, collect: Collect) {
        let secs = self.secs();
        let (command, command_hash) = (may.command.id, may.hash);
        let order =
            Order { command, command_hash, collect, since_secs: secs, made: None, before: None };
        self.collecting.orders.handle_order(order, secs);
        self.act_collect();
    }

    /// Takes the next steps.
    pub(super) fn act_collect(&mut self) {
        while let Some(step) = self.collecting.orders.poll_step(self.secs()) {
            match step {
                Step::Receipt(receipt) => self.tell_receipt(*receipt),
                Step::Make(order) => self.make_archive(order),
                Step::Offer(order, archive) => self.offer_archive(&order, archive),
                Step::Send(command, offset, bytes) => self.read_piece(command, offset, bytes),
                Step::Forget(command) => {
                    let store = self.collecting.store.clone();
                    self.jobs.push(async move {
                        let gone = blocking(move || store.forget(command)).await;
                        if let Err(error) = super::command::flat(gone) {
                            tracing::error!(%error, "what was collected could not be removed");
                        }
                        Done::Swept
                    });
                }
            }
        }
    }

    fn make_archive(&mut self, order: Order) {
        let (store, clock) = (self.collecting.store.clone(), self.clock);
        let own_dir = self.config.state_dir.as_os_str().as_bytes().to_vec();
        let command = order.command;
        let early = self.collecting.early.iter().position(|(id, _)| *id == command);
        let early = early.map(|at| self.collecting.early.remove(at).1);
        let snapshot = order.before.map(|_| early.unwrap_or_default());
        let request =
            Request { collect: order.collect.clone(), facts: self.facts(), own_dir, snapshot };
        // To whom the roster lets collect now: it may be a newer one than when the command came.
        let sealing = Sealing::to_readers(
            self.roster.held(),
            self.identity.endpoint,
            (command, order.command_hash),
            order.collect.unsealed == Some(true),
        );
        self.jobs.push(async move {
            let began = clock.now();
            let made = blocking(move || {
                let sealing = sealing.map_err(|error| error.to_string())?;
                store.keep(&order).map_err(|error| error.to_string())?;
                // What a crash left behind is made anew.
                store.remove_archive(command).map_err(|error| error.to_string())?;
                let file = store.archive(command);
                let program = Path::new(OWN_PROGRAM);
                let made = child::make(program, &request, &file, sealing.as_ref(), clock);
                let archive = made.map_err(|error| error.to_string())?;
                let order = Order { made: Some(archive), ..order };
                store.keep(&order).map_err(|error| error.to_string())?;
                Ok(archive)
            });
            let made = made.await.unwrap_or_else(|error| Err(error.to_string()));
            let took = clock.now().saturating_sub(began);
            Done::Collect(Box::new(CollectDone::Made(command, made, took)))
        });
    }

    fn offer_archive(&mut self, order: &Order, archive: Archive) {
        let collected = Collected {
            endpoint: self.identity.endpoint,
            key: self.signing.verifying(),
            command: order.command,
            command_hash: order.command_hash,
            archive,
        };
        let offer = Some(collected.sign(&self.signing));
        let command = order.command;
        if !self.link.handle_piece(Piece { command, offset: 0, content: Vec::new(), offer }) {
            self.collecting.orders.handle_down();
        }
    }

    fn read_piece(&mut self, command: CommandId, offset: u64, bytes: usize) {
        let (store, session) = (self.collecting.store.clone(), self.delivery.session());
        let wait = self.thrift.wait_for_piece(self.clock.now());
        self.jobs.push(async move {
            tokio::time::sleep(wait).await;
            let read = blocking(move || store.read(command, offset, bytes)).await;
            let read = read.and_then(|read| read).map_err(|error| error.to_string());
            let piece = Piece { command, offset, content: Vec::new(), offer: None };
            Done::Collect(Box::new(CollectDone::Read(session, piece, read)))
        });
    }

    pub(super) fn collect_done(&mut self, done: CollectDone) {
        let secs = self.secs();
        match done {
            CollectDone::Made(command, made, took) => {
                tracing::info!(%command, ?made, "made an archive of evidence");
                self.go_on(command, made.is_ok());
                self.collecting.orders.handle_made(command, made, micros(took), secs);
            }
            // The session that it was read for is over; the next one asks anew.
            CollectDone::Read(session, ..) if session != self.delivery.session() => {}
            CollectDone::Read(_, piece, Ok(content)) => {
                self.thrift.sent(content.len(), self.clock.now());
                if !self.link.handle_piece(Piece { content, ..piece }) {
                    self.collecting.orders.handle_down();
                }
            }
            CollectDone::Read(_, piece, Err(why)) => {
                self.collecting.orders.handle_unread(piece.command, &why, secs);
            }
        }
        self.act_collect();
    }

    /// The collector says how far it has come.
    pub(super) fn have(&mut self, have: &Have) {
        self.collecting.orders.handle_have(have, self.secs());
        self.act_collect();
    }
}
