//! Hears of every change to nf_tables: whether it touched a table of ours, and who made it.

use std::os::fd::{AsRawFd, RawFd};

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;

use super::WALL;
use super::ruleset::HEADER_BYTES;
use crate::platform::linux::netlink::wire::{Malformed, Message};
use crate::platform::linux::netlink::{Netlink, NetlinkError};

/// Notifications of every change to nf_tables.
const GROUP_NFTABLES: u32 = 1 << 6;
/// Ends the messages of one transaction and says whose it was.
const NEW_GENERATION: u16 = 0xa0f;
const SUBSYSTEM: u16 = 0xa;
const GENERATION_PID: u16 = 2;
const GENERATION_NAME: u16 = 3;
/// In whatever is told of (table, chain, rule, set …) the table's name comes first.
const TABLE: u16 = 1;
/// More names at once help nobody.
const AUTHORS_MAX: usize = 4;

/// The process that made a change, as the kernel names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// In the initial process-id namespace.
    pub pid: u32,
    /// At most 15 bytes, of the process's own choice.
    pub name: Vec<u8>,
}

/// What was heard about our tables since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Somebody else changed a table of ours; or messages were missed, and somebody may have.
    pub ours: bool,
    /// Those who did, each once; the first few.
    pub authors: Vec<Author>,
}

/// Hears while it is open.
#[derive(Debug)]
pub struct Watch {
    socket: Netlink,
}

impl Watch {
    /// Opens the namespace of the calling thread.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { socket: Netlink::open(Some(NETFILTER), GROUP_NFTABLES)? })
    }

    /// Takes what is waiting. Changes from the netlink port `own` do not count, nor do those to
    /// anybody else's tables.
    pub fn touched(&mut self, own: Option<u32>) -> Result<Touched, NetlinkError> {
        let mut ear = Ear { own, touched: Touched::default(), open: None };
        let heard =
            self.socket.notifications("hear of changes to nf_tables", |message| ear.hear(message));
        match heard {
            // A full queue: what was missed may have been about us.
            Err(error) if error.errno() == Some(Errno::NOBUFS) => ear.touched.ours = true,
            result => result?,
        }
        Ok(ear.touched)
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Joins a transaction's changes to the message that names its author.
struct Ear {
    own: Option<u32>,
    touched: Touched,
    /// The port that changed a table of ours in the transaction that is being told.
    open: Option<u32>,
}

impl Ear {
    fn hear(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        if message.kind >> 8 != SUBSYSTEM || Some(message.port) == self.own {
            return Ok(());
        }
        if message.kind == NEW_GENERATION {
            if self.open.take() == Some(message.port) {
                self.author(message)?;
            }
            return Ok(());
        }
        for attribute in message.attributes(HEADER_BYTES)? {
            let attribute = attribute?;
            if attribute.kind == TABLE && WALL.contains(&attribute.name()) {
                self.touched.ours = true;
                self.open = Some(message.port);
            }
        }
        Ok(())
    }

    fn author(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let (mut pid, mut name) = (None, Vec::new());
        for attribute in message.attributes(HEADER_BYTES)? {
            let attribute = attribute?;
            match attribute.kind {
                GENERATION_PID => pid = Some(attribute.be32()?),
                GENERATION_NAME => name = attribute.name().to_vec(),
                _ => {}
            }
        }
        let Some(pid) = pid else { return Ok(()) };
        let author = Author { pid, name };
        let known = self.touched.authors.contains(&author);
        if !known && self.touched.authors.len() < AUTHORS_MAX {
            self.touched.authors.push(author);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::netlink::wire::{Encoder, messages};

    const OWN: u32 = 7;
    const NEW_RULE: u16 = 0xa06;

    /// A line each: `PORT table NAME` or `PORT pid NUMBER`.
    #[track_caller]
    fn check(told: &str, ours: bool, authors: &[u32]) {
        let mut ear = Ear { own: Some(OWN), touched: Touched::default(), open: None };
        for line in told.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let mut encoder = Encoder::new(1);
            let kind = if words[1] == "table" { NEW_RULE } else { NEW_GENERATION };
            encoder.message(kind, 0, |body| {
                body.raw(&[1, 0, 0, 0]);
                if kind == NEW_RULE {
                    body.name(TABLE, words[2].as_bytes());
                } else {
                    body.be32(1, 99);
                    body.be32(GENERATION_PID, words[2].parse().unwrap());
                    body.name(GENERATION_NAME, b"nft");
                }
            });
            let (mut bytes, _) = encoder.finish().unwrap();
            let port: u32 = words[0].parse().unwrap();
            bytes[12..16].copy_from_slice(&port.to_ne_bytes());
            for message in messages(&bytes) {
                ear.hear(&message.unwrap()).unwrap();
            }
        }
        let found: Vec<_> = ear.touched.authors.iter().map(|author| author.pid).collect();
        assert_eq!((ear.touched.ours, found.as_slice()), (ours, authors));
    }

    #[test]
    fn a_change_to_our_table_is_heard_with_its_author() {
        check("8 table cordon\n8 table cordon\n8 pid 41", true, &[41]);
        check(
            "8 table cordon-3\n8 pid 41\n8 table cordon\n8 pid 41\n9 table cordon\n9 pid 43",
            true,
            &[41, 43],
        );
    }

    #[test]
    fn what_others_do_elsewhere_is_not_about_us() {
        check("8 table admin\n8 pid 41", false, &[]);
        check("8 table cordons\n8 pid 41", false, &[]);
        check("7 table cordon\n7 pid 40\n8 table admin\n8 pid 41", false, &[]);
    }

    #[test]
    fn many_authors_are_cut_short() {
        let told: Vec<_> = (10..30).map(|at| format!("{at} table cordon\n{at} pid {at}")).collect();
        check(&told.join("\n"), true, &[10, 11, 12, 13]);
    }
}
