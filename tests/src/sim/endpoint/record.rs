//! What the disk says stands, as whoever starts reads it.

use std::net::SocketAddr;

use cordon_agent::endpoint_time::EndpointTime;
use cordon_agent::guard::{self, Accepted};
use cordon_agent::hold::found::made_up;
use cordon_agent::kept::{Found, GuardMemory, ISOLATION, KeptIsolation, LEDGER};
use cordon_agent::ledger;
use cordon_proto::codec;
use cordon_proto::command::Command;
use cordon_proto::id::CommandId;

use super::machine::{MARK, Machine};

impl Machine {
    pub(super) fn found(&self) -> Found {
        match self.files.get(ISOLATION).map(|bytes| KeptIsolation::from_bytes(bytes)) {
            None => Found::Nothing,
            Some(Ok(kept)) => Found::Isolation(Box::new(kept)),
            Some(Err(reason)) => Found::Unreadable(reason),
        }
    }

    /// The commands of what the disk says stands.
    pub(super) fn on_disk(&self) -> (Option<CommandId>, Vec<CommandId>) {
        let isolation = match self.found() {
            Found::Isolation(kept) => Some(CommandId(uuid::Uuid::from_bytes(kept.record.command))),
            Found::Nothing | Found::Unreadable(_) => None,
        };
        (isolation, self.deeds_on_disk())
    }

    pub(super) fn deeds_on_disk(&self) -> Vec<CommandId> {
        let Some(bytes) = self.files.get(LEDGER) else { return Vec::new() };
        let kept: ledger::Kept = codec::decode_strict(bytes).unwrap();
        kept.deeds.into_iter().map(|deed| deed.command).collect()
    }

    pub(super) fn doors(&self) -> Vec<SocketAddr> {
        self.ways().collectors
    }

    pub(super) fn verify(&self, bytes: &[u8]) -> Result<Command, String> {
        let accepted = Accepted::default();
        let own = self.operators.own(0, &|_, _, _| None, &accepted);
        guard::verify_again(bytes, &own).map_err(|(_, reason)| reason)
    }

    /// A secret that nobody had before.
    pub(super) fn new_memory(&mut self) -> GuardMemory {
        let mut memory = GuardMemory::new().unwrap();
        *memory.secret = self.new_secret();
        memory
    }

    pub(super) fn new_secret(&mut self) -> [u8; 32] {
        self.secrets += 1;
        cordon_proto::sign::sha256(&self.secrets.to_be_bytes())
    }
}

/// What a starting agent takes up; with what came of writing it, where it had to be made up.
pub(super) fn take_up(
    machine: &mut Machine,
    time: &EndpointTime,
) -> Option<(KeptIsolation, Option<Result<(), String>>)> {
    let now_secs = time.secs(machine.clock.boot_ns());
    match machine.found() {
        Found::Nothing => None,
        Found::Isolation(kept) => Some((*kept, None)),
        Found::Unreadable(_) => {
            machine.oracle.unreadable(machine.clock.true_secs);
            let kept = made_up((MARK, machine.doors()), now_secs);
            Some((kept.clone(), Some(machine.write(ISOLATION, kept.to_bytes().unwrap()))))
        }
    }
}
