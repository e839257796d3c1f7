//! Listens to the kernel's audit records where the administrator's own rules make them.
//!
//! It only listens, on the multicast group for readers: rules, and whether auditing is on, are not
//! Cordon's. Whoever else reads the records is not disturbed. The kernel sends to the initial
//! network namespace alone, and drops what a reader has no room for without telling how much.

use std::os::fd::OwnedFd;

use cordon_proto::event::process::Exec;
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::platform::linux::wait;

use super::audit_record::Assembly;
use super::merge::HOLD_NS;

/// The multicast group of readers.
const READERS: u32 = 1;

/// The kernel cuts its records at this length, and puts a header before them.
const MESSAGE_BYTES_MAX: usize = HEADER_BYTES + 8970;
const HEADER_BYTES: usize = 16;

/// What the kernel may hold for us: some thousands of records.
const RECEIVE_BYTES: usize = 4 << 20;

/// Records taken at a time, so that other work is not kept waiting.
const RECORDS_MAX: usize = 4096;

/// Rules that have made no record of a start for so long are gone.
const SILENCE_NS: u64 = 600_000_000_000;

/// The socket, and events that are not ended yet.
#[derive(Debug)]
pub(super) struct Audit {
    socket: AsyncFd<OwnedFd>,
    assembly: Assembly,
    /// When a start was last told by records, boot-time clock.
    heard_ns: Option<u64>,
    /// Since when they are told without a long silence.
    since_ns: u64,
}

impl Audit {
    /// Begins to listen; needs the right to read audit records.
    pub(super) fn open() -> std::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, protocol) = (AddressFamily::NETLINK, Some(netlink::AUDIT));
        let socket = rustix::net::socket_with(family, SocketType::RAW, flags, protocol)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, READERS))?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BYTES)?;
        let socket = wait::readable(socket)?;
        Ok(Self { socket, assembly: Assembly::default(), heard_ns: None, since_ns: 0 })
    }

    /// Whether rules are at work: a start was told by records lately.
    pub(super) fn is_heard(&self, now_ns: u64) -> bool {
        self.heard_ns.is_some_and(|heard| now_ns.saturating_sub(heard) < SILENCE_NS)
    }

    /// Waits until there are records.
    pub(super) async fn ready(&self) -> std::io::Result<()> {
        self.socket.readable().await?.retain_ready();
        Ok(())
    }

    /// The starts that have become whole. Those of the first moment only show that there are rules:
    /// they were told without them already.
    pub(super) fn starts(&mut self, now_ns: u64) -> std::io::Result<Vec<Exec>> {
        let mut starts = Vec::new();
        for _ in 0..RECORDS_MAX {
            let Self { socket, assembly, .. } = self;
            let taken = socket.try_io(Interest::READABLE, |socket| {
                let mut bytes = [0; MESSAGE_BYTES_MAX];
                let (length, _whole, from) =
                    rustix::net::recvfrom(socket, &mut bytes, RecvFlags::empty())?;
                let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                let is_kernel = from.is_some_and(|from| from.pid() == 0);
                let message = bytes.get(..length).filter(|_| is_kernel);
                Ok(message.and_then(record).and_then(|(kind, text)| assembly.take(kind, text)))
            });
            match taken {
                Ok(start) => starts.extend(start),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // What had no room is gone; the connector has told of the same starts.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !starts.is_empty() {
            self.since_ns = if self.is_heard(now_ns) { self.since_ns } else { now_ns };
            self.heard_ns = Some(now_ns);
        }
        if now_ns.saturating_sub(self.since_ns) < HOLD_NS {
            starts.clear();
        }
        Ok(starts)
    }
}

/// The kind of a record, and its text behind the header.
fn record(message: &[u8]) -> Option<(u16, &[u8])> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    Some((kind, message.get(HEADER_BYTES..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_kind_and_what_follows_the_header() {
        let mut message = vec![0; HEADER_BYTES];
        message[4..6].copy_from_slice(&1320u16.to_ne_bytes());
        assert_eq!(record(&message), Some((1320, &b""[..])));
        message.extend(b"audit(1.2:3): ");
        assert_eq!(record(&message), Some((1320, &b"audit(1.2:3): "[..])));
        assert_eq!(record(&message[..HEADER_BYTES - 1]), None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn listening_takes_what_is_there_and_changes_nothing() {
        match Audit::open() {
            Ok(mut audit) => {
                // Whether something is said here depends on the machine's own rules; what is said
                // first only shows that there are some.
                assert_eq!(audit.starts(5).unwrap(), []);
            }
            // Without the right to read, or in another user namespace.
            Err(error) => assert!(error.raw_os_error().is_some(), "{error}"),
        }
    }
}
