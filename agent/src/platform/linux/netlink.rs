//! Netlink sockets: requests to the kernel and its answers, each bounded in time and size.

pub mod wire;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, bind,
    getsockname, recvfrom, send, socket_with,
};
use thiserror::Error;

use wire::{
    ACK, DUMP, DUMP_INTERRUPTED, Encoder, KIND_DONE, KIND_ERROR, Malformed, Message, TooLong,
    messages,
};

/// What the kernel fills at most with one part of a dump.
const RECEIVE_BYTES_MAX: usize = 64 * 1024;
/// The kernel answers within microseconds; a longer wait means that it will not.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Bounds a dump that never says that it is done.
const DUMP_PARTS_MAX: usize = 16 * 1024;

#[derive(Debug, Error)]
pub enum NetlinkError {
    #[error("cannot {doing}: {source}")]
    Os { doing: &'static str, source: Errno },
    #[error("the kernel refused to {doing}: {source}")]
    Refused { doing: &'static str, source: Errno },
    #[error("the kernel did not confirm that it did {doing}")]
    Unconfirmed { doing: &'static str },
    #[error("cannot {doing}: the answer changed while it was read")]
    Interrupted { doing: &'static str },
    #[error("cannot {doing}: more than {max} parts")]
    Endless { doing: &'static str, max: usize },
    #[error("cannot {doing}: {source}")]
    Malformed { doing: &'static str, source: Malformed },
    #[error("cannot {doing}: {source}")]
    TooLong { doing: &'static str, source: TooLong },
}

impl NetlinkError {
    /// The kernel's own error, where it gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Os { source, .. } | Self::Refused { source, .. } => Some(*source),
            Self::Unconfirmed { .. }
            | Self::Interrupted { .. }
            | Self::Endless { .. }
            | Self::Malformed { .. }
            | Self::TooLong { .. } => None,
        }
    }
}

/// A netlink socket of the network namespace that the opening thread is in.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket (no protocol is routing); `groups` is the mask of the first 32 notification groups to hear.
    pub fn open(protocol: Option<Protocol>, groups: u32) -> Result<Self, NetlinkError> {
        let os = |doing| move |source| NetlinkError::Os { doing, source };
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
                .map_err(os("open a netlink socket"))?;
        bind(&socket, &SocketAddrNetlink::new(0, groups)).map_err(os("bind a netlink socket"))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WAIT))
            .map_err(os("bound the wait on a netlink socket"))?;
        Ok(Self { socket, sequence: 1, buffer: vec![0; RECEIVE_BYTES_MAX] })
    }

    /// The port by which the kernel knows this socket; its own changes carry it.
    pub fn port(&self) -> Result<u32, NetlinkError> {
        let doing = "read a netlink socket's own port";
        let address =
            getsockname(&self.socket).map_err(|source| NetlinkError::Os { doing, source })?;
        let address = SocketAddrNetlink::try_from(address)
            .map_err(|source| NetlinkError::Os { doing, source })?;
        Ok(address.pid())
    }

    /// Lets one datagram to the kernel be so large. Needs CAP_NET_ADMIN beyond what all may.
    pub fn send_up_to(&mut self, bytes: usize) -> Result<(), NetlinkError> {
        set_socket_send_buffer_size_force(&self.socket, bytes)
            .map_err(|source| NetlinkError::Os { doing: "widen a netlink socket's buffer", source })
    }

    /// Sends `build`'s messages in one datagram and reads the answers that the kernel queued
    /// before the send returned. `build` returns the number of the message whose
    /// acknowledgement says that all is done; the first error of any message wins.
    pub fn transact(
        &mut self,
        doing: &'static str,
        build: impl FnOnce(&mut Encoder) -> u32,
    ) -> Result<(), NetlinkError> {
        self.drain();
        let last = self.send(doing, build)?;
        let mut confirmed = false;
        loop {
            let wait = if confirmed { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
            let Some(length) = self.receive(doing, wait)? else { break };
            for message in messages(&self.buffer[..length]) {
                let message =
                    message.map_err(|source| NetlinkError::Malformed { doing, source })?;
                if message.kind != KIND_ERROR {
                    continue;
                }
                if let Some(source) = refusal(&message, doing)? {
                    return Err(NetlinkError::Refused { doing, source });
                }
                confirmed |= message.sequence == last;
            }
        }
        if confirmed { Ok(()) } else { Err(NetlinkError::Unconfirmed { doing }) }
    }

    /// Asks one question and hands each message of the answer to `each`.
    pub fn dump(
        &mut self,
        doing: &'static str,
        kind: u16,
        body: impl FnOnce(&mut Encoder),
        mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), NetlinkError> {
        self.drain();
        let asked = self.send(doing, |encoder| encoder.message(kind, DUMP, body))?;
        for _ in 0..DUMP_PARTS_MAX {
            let Some(length) = self.receive(doing, RecvFlags::empty())? else {
                return Err(NetlinkError::Unconfirmed { doing });
            };
            for message in messages(&self.buffer[..length]) {
                let message =
                    message.map_err(|source| NetlinkError::Malformed { doing, source })?;
                if message.sequence != asked {
                    continue;
                }
                if message.flags & DUMP_INTERRUPTED != 0 {
                    return Err(NetlinkError::Interrupted { doing });
                }
                match message.kind {
                    KIND_DONE => return Ok(()),
                    KIND_ERROR => {
                        return match refusal(&message, doing)? {
                            Some(source) => Err(NetlinkError::Refused { doing, source }),
                            None => Ok(()),
                        };
                    }
                    _ => each(&message)
                        .map_err(|source| NetlinkError::Malformed { doing, source })?,
                }
            }
        }
        Err(NetlinkError::Endless { doing, max: DUMP_PARTS_MAX })
    }

    /// Asks for all there is of a kind of thing, of every family, and reads each; `header_bytes` is
    /// the length of the header that comes before a question's attributes.
    pub fn list<T>(
        &mut self,
        doing: &'static str,
        kind: u16,
        header_bytes: usize,
        read: impl Fn(&Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut all = Vec::new();
        let everything = |encoder: &mut Encoder| encoder.raw(&vec![0; header_bytes]);
        self.dump(doing, kind, everything, |message| {
            all.extend(read(message)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Asks one question that has one answer.
    pub fn ask<T>(
        &mut self,
        doing: &'static str,
        kind: u16,
        body: impl FnOnce(&mut Encoder),
        read: impl FnOnce(&Message<'_>) -> Result<T, Malformed>,
    ) -> Result<T, NetlinkError> {
        self.drain();
        let asked = self.send(doing, |encoder| encoder.message(kind, ACK, body))?;
        let length =
            self.receive(doing, RecvFlags::empty())?.ok_or(NetlinkError::Unconfirmed { doing })?;
        for message in messages(&self.buffer[..length]) {
            let message = message.map_err(|source| NetlinkError::Malformed { doing, source })?;
            if message.sequence != asked {
                continue;
            }
            if message.kind == KIND_ERROR {
                if let Some(source) = refusal(&message, doing)? {
                    return Err(NetlinkError::Refused { doing, source });
                }
            } else {
                return read(&message).map_err(|source| NetlinkError::Malformed { doing, source });
            }
        }
        Err(NetlinkError::Unconfirmed { doing })
    }

    /// Hands the notifications that are waiting to `each`, without waiting for more.
    pub fn notifications(
        &mut self,
        doing: &'static str,
        mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), NetlinkError> {
        for _ in 0..DUMP_PARTS_MAX {
            let Some(length) = self.receive(doing, RecvFlags::DONTWAIT)? else { return Ok(()) };
            for message in messages(&self.buffer[..length]) {
                message
                    .and_then(|message| each(&message))
                    .map_err(|source| NetlinkError::Malformed { doing, source })?;
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        doing: &'static str,
        build: impl FnOnce(&mut Encoder) -> u32,
    ) -> Result<u32, NetlinkError> {
        let mut encoder = Encoder::new(self.sequence);
        let last = build(&mut encoder);
        let (bytes, next) =
            encoder.finish().map_err(|source| NetlinkError::TooLong { doing, source })?;
        self.sequence = next;
        send(&self.socket, &bytes, SendFlags::empty())
            .map_err(|source| NetlinkError::Os { doing, source })?;
        Ok(last)
    }

    /// One datagram from the kernel; `None` when nothing came in time.
    fn receive(
        &mut self,
        doing: &'static str,
        flags: RecvFlags,
    ) -> Result<Option<usize>, NetlinkError> {
        loop {
            match recvfrom(&self.socket, self.buffer.as_mut_slice(), flags | RecvFlags::TRUNC) {
                // Only the kernel has port 0; another process may write to us, unheard.
                Ok((_, _, Some(from))) if !is_kernel(&from) => {}
                Ok((_, length, _)) if length > RECEIVE_BYTES_MAX => {
                    let source = Malformed::CutShort {
                        what: "datagram",
                        needed: length,
                        left: RECEIVE_BYTES_MAX,
                    };
                    return Err(NetlinkError::Malformed { doing, source });
                }
                Ok((_, length, _)) => return Ok(Some(length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(source) => return Err(NetlinkError::Os { doing, source }),
            }
        }
    }

    /// Forgets what an earlier, broken-off question left behind.
    fn drain(&mut self) {
        while let Ok(Some(_)) = self.receive("forget old answers", RecvFlags::DONTWAIT) {}
    }
}

impl AsFd for Netlink {
    /// For waiting on notifications.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Netlink {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn is_kernel(from: &SocketAddrAny) -> bool {
    SocketAddrNetlink::try_from(from.clone()).is_ok_and(|from| from.pid() == 0)
}

/// The error in an acknowledgement; `None` where it says that all went well.
fn refusal(message: &Message<'_>, doing: &'static str) -> Result<Option<Errno>, NetlinkError> {
    let code = message.body.first_chunk().copied().map(i32::from_ne_bytes).ok_or_else(|| {
        let source =
            Malformed::CutShort { what: "error code", needed: 4, left: message.body.len() };
        NetlinkError::Malformed { doing, source }
    })?;
    Ok((code != 0).then(|| Errno::from_raw_os_error(code.wrapping_neg())))
}
