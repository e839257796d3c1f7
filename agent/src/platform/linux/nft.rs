//! nf_tables over raw netlink: raises the wall of an isolated endpoint or the fence of what is
//! blocked, reads it back, takes it down. One transaction each way; nothing of it touches anybody
//! else's tables.
//!
//! Where the kernel can (6.9 and later) the tables are owned by our socket and outlive it: no
//! other process can edit them while the agent runs, and they stay when it dies. Older kernels
//! refuse these flags; there the tables are plain, any root process can change them, and only
//! [`Nftables::read`] shows it. Ownership alone, without outliving, is never asked for: the wall
//! would fall with the agent.

pub mod expr;
pub mod fence;
mod read;
pub mod ruleset;
pub mod set;
pub mod span;
pub mod wall;
mod watch;

use std::collections::BTreeSet;

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use thiserror::Error;

use super::netlink::wire::{ACK, CREATE, Encoder};
use super::netlink::{Netlink, NetlinkError};
use super::route::Link;
use read::Found;
use ruleset::{DELETE_TABLE, Digest, Ruleset, message};
use wall::Wall;

pub use read::Dropped;
pub use watch::{Author, Touched, Watch};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// The header of a batch names the subsystem that it is for: nf_tables.
const BATCH_HEADER: [u8; 4] = [0, 0, 0, 10];
const OWNED_AND_LASTING: u32 = 0x2 | 0x4;

/// The names our tables may have: the next one where another process holds the one before.
/// Walls beside each other add up; a packet must pass all of them.
pub type Names = [&'static [u8]; 4];
/// Those of an isolation.
const WALL: Names = [b"cordon", b"cordon-2", b"cordon-3", b"cordon-4"];
/// Those of what is blocked.
pub const FENCE: Names = [b"cordon-block", b"cordon-block-2", b"cordon-block-3", b"cordon-block-4"];
/// A fence may be some hundred KiB; the usual buffer takes half of that.
const SEND_BYTES: usize = 4 << 20;
/// Somebody may change the tables between our look and our transaction.
const ATTEMPTS_MAX: usize = 4;

#[derive(Debug, Error)]
pub enum NftError {
    #[error("nf_tables is not available here: {0}")]
    Unavailable(NetlinkError),
    #[error("cannot look at our tables: {0}")]
    Look(NetlinkError),
    #[error("cannot raise the wall: {0}")]
    Raise(NetlinkError),
    #[error("cannot take the wall down: {0}")]
    TakeDown(NetlinkError),
    #[error("other processes (netlink ports {ports:?}) hold every table name of ours")]
    AllNamesHeld { ports: Vec<u32> },
    #[error("a table of ours is held by another process (netlink port {port})")]
    Held { port: u32 },
    #[error("our tables are still there after they were removed")]
    StillThere,
}

/// A wall that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// What was asked for, and what must be read back.
    pub ruleset: Ruleset,
    pub table: Vec<u8>,
    /// Other processes cannot edit it.
    pub owned: bool,
    /// Packet sockets are closed too. False where the kernel has no egress hook (before 5.16).
    pub egress: bool,
    /// Netlink ports that hold a table with a name of ours; this wall stands beside theirs.
    pub held: Vec<u32>,
}

/// The wall as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub ruleset: Ruleset,
    pub digest: Digest,
    pub dropped: Dropped,
}

/// The one socket that owns its tables; closing it gives the ownership up, not the wall.
#[derive(Debug)]
pub struct Nftables {
    socket: Netlink,
    port: u32,
    owning: bool,
    names: Names,
}

impl Nftables {
    /// Opens the namespace of the calling thread, for the tables of an isolation; an error says
    /// that nf_tables is missing. `owning` says to own the tables where the kernel can.
    pub fn open(owning: bool) -> Result<Self, NftError> {
        Self::open_for(WALL, owning)
    }

    /// The same for tables of other names.
    pub fn open_for(names: Names, owning: bool) -> Result<Self, NftError> {
        let mut socket = Netlink::open(Some(NETFILTER), 0).map_err(NftError::Unavailable)?;
        socket.send_up_to(SEND_BYTES).map_err(NftError::Unavailable)?;
        let port = socket.port().map_err(NftError::Unavailable)?;
        read::generation(&mut socket).map_err(NftError::Unavailable)?;
        Ok(Self { socket, port, owning, names })
    }

    /// The port of our own changes, for [`Watch::changed`].
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Replaces whatever wall of ours there is by this one, in one transaction: at no moment is
    /// there none.
    pub fn raise(&mut self, wall: &Wall, links: &[Link]) -> Result<Raised, NftError> {
        self.put_up(&|name, egress| wall.ruleset(name, links, egress))
    }

    /// The same with whatever rules belong under a table's name, with or without the egress hook.
    pub fn put_up(&mut self, rules: &dyn Fn(&[u8], bool) -> Ruleset) -> Result<Raised, NftError> {
        let mut last = None;
        for _ in 0..ATTEMPTS_MAX {
            match self.put_up_once(rules) {
                // Somebody removed or took a table since we looked.
                Err(NftError::Raise(error))
                    if matches!(error.errno(), Some(Errno::NOENT | Errno::PERM)) =>
                {
                    last = Some(NftError::Raise(error));
                }
                result => return result,
            }
        }
        Err(last.unwrap_or(NftError::StillThere))
    }

    fn put_up_once(&mut self, rules: &dyn Fn(&[u8], bool) -> Ruleset) -> Result<Raised, NftError> {
        let found = self.find()?;
        let held = |table: &&Found| table.owner.is_some_and(|owner| owner != self.port);
        let taken: Vec<_> = found.iter().filter(held).cloned().collect();
        let names = self.names;
        let free = names.into_iter().find(|name| taken.iter().all(|table| table.name != *name));
        let Some(name) = free else {
            return Err(NftError::AllNamesHeld { ports: owners(&taken) });
        };
        let stale: Vec<_> = found.iter().filter(|table| !held(table)).cloned().collect();
        let held = owners(&taken);
        let mut refused = None;
        for (owned, egress) in [(true, true), (false, true), (true, false), (false, false)] {
            if owned && !self.owning {
                continue;
            }
            let ruleset = rules(name, egress);
            let flags = if owned { OWNED_AND_LASTING } else { 0 };
            match self.replace(&stale, &ruleset, flags) {
                Ok(()) => {
                    return Ok(Raised { ruleset, table: name.into(), owned, egress, held });
                }
                // What this kernel cannot do: ownership that lasts, or the egress hook.
                Err(error) if matches!(error.errno(), Some(Errno::OPNOTSUPP | Errno::INVAL)) => {
                    refused = Some(error);
                }
                Err(error) => return Err(NftError::Raise(error)),
            }
        }
        Err(refused.map_or(NftError::StillThere, NftError::Raise))
    }

    /// The tables called `table`, as the kernel has them now.
    pub fn read(&mut self, table: &[u8]) -> Result<Standing, NftError> {
        let (ruleset, dropped) = read::ruleset(&mut self.socket, table).map_err(NftError::Look)?;
        Ok(Standing { digest: ruleset.digest(), ruleset, dropped })
    }

    /// Removes every table of ours and looks that they are gone. True when there were any. A
    /// table with a name of ours that somebody else holds stays, and is an error.
    pub fn take_down(&mut self) -> Result<bool, NftError> {
        let own = self.port;
        let held = |table: &Found| table.owner.is_some_and(|owner| owner != own);
        let found = self.find()?;
        let (kept, ours): (Vec<_>, Vec<_>) = found.into_iter().partition(held);
        if !ours.is_empty() {
            let result = self.batch("take the wall down", |encoder| delete(encoder, &ours, ACK));
            match result {
                Ok(()) => {}
                Err(error) if error.errno() == Some(Errno::NOENT) => {}
                Err(error) => return Err(NftError::TakeDown(error)),
            }
            if !self.find()?.iter().all(held) {
                return Err(NftError::StillThere);
            }
        }
        match owners(&kept).first() {
            Some(port) => Err(NftError::Held { port: *port }),
            None => Ok(!ours.is_empty()),
        }
    }

    fn find(&mut self) -> Result<Vec<Found>, NftError> {
        for _ in 0..ATTEMPTS_MAX {
            match read::tables(&mut self.socket, &self.names) {
                Err(NetlinkError::Interrupted { .. }) => {}
                result => return result.map_err(NftError::Look),
            }
        }
        Err(NftError::Look(NetlinkError::Interrupted { doing: "list the tables" }))
    }

    fn replace(
        &mut self,
        stale: &[Found],
        ruleset: &Ruleset,
        flags: u32,
    ) -> Result<(), NetlinkError> {
        self.batch("raise the wall", |encoder| {
            delete(encoder, stale, 0);
            ruleset.encode(encoder, flags, CREATE, ACK)
        })
    }

    fn batch(
        &mut self,
        doing: &'static str,
        body: impl FnOnce(&mut Encoder) -> u32,
    ) -> Result<(), NetlinkError> {
        self.socket.transact(doing, |encoder| {
            encoder.message(BATCH_BEGIN, 0, |header| header.raw(&BATCH_HEADER));
            let last = body(encoder);
            encoder.message(BATCH_END, 0, |header| header.raw(&BATCH_HEADER));
            last
        })
    }
}

/// Who holds these tables, each port once.
fn owners(tables: &[Found]) -> Vec<u32> {
    let ports: BTreeSet<_> = tables.iter().filter_map(|table| table.owner).collect();
    ports.into_iter().collect()
}

/// Adds the removal of these tables; the last one carries `last_flags`. Returns its number.
fn delete(encoder: &mut Encoder, tables: &[Found], last_flags: u16) -> u32 {
    let mut last = 0;
    for (at, table) in tables.iter().enumerate() {
        let flags = if at + 1 == tables.len() { last_flags } else { 0 };
        last = message(encoder, DELETE_TABLE, flags, table.family, |body| {
            body.name(1, &table.name);
        });
    }
    last
}
