//! Packet sockets, as an intruder with root would use them to go round the firewall.
#![allow(unsafe_code, reason = "rustix knows no addresses of packet sockets")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use cordon_agent::platform::linux::route;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

/// Frames of every protocol.
const ALL: u16 = 0x0003;

pub(crate) struct PacketSocket {
    socket: OwnedFd,
    index: i32,
}

impl PacketSocket {
    /// Opens `device` of the namespace of the calling thread.
    pub(crate) fn open(device: &str) -> Self {
        let links = route::links(&mut route::open(0).unwrap()).unwrap();
        let link = links.iter().find(|link| link.name == device.as_bytes()).unwrap();
        let index = i32::try_from(link.index).unwrap();
        // SAFETY: socket() takes numbers only.
        let raw = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                i32::from(ALL.to_be()),
            )
        };
        assert!(raw >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the descriptor was just made and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let packets = Self { socket, index };
        let address = packets.address(ALL);
        // SAFETY: the address lives through the call and the length is its own.
        let bound =
            unsafe { libc::bind(packets.socket.as_raw_fd(), (&raw const address).cast(), LENGTH) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        packets
    }

    /// Sends past the queue of the device from now on, as packet generators do.
    pub(crate) fn bypass_queue(&self) {
        let on: i32 = 1;
        // SAFETY: the value is an int that lives through the call, and the length is an int's.
        let set = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_QDISC_BYPASS,
                (&raw const on).cast(),
                4,
            )
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }

    /// Sends a frame and tells the kernel that it is of `protocol`, whatever is in it.
    pub(crate) fn send(&self, frame: &[u8], protocol: u16) {
        let address = self.address(protocol);
        // SAFETY: frame and address live through the call and the lengths are their own.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                LENGTH,
            )
        };
        // A frame that is dropped on the way out may be an error (ENOBUFS) or not.
        assert!(sent != 0, "an empty frame was sent");
    }

    /// Does a frame with `mark` in it come by within `wait`?
    pub(crate) fn sees(&self, mark: &[u8], wait: Duration) -> bool {
        set_socket_timeout(&self.socket, Timeout::Recv, Some(wait)).unwrap();
        let mut frame = [0; 2048];
        for _ in 0..64 {
            match rustix::net::recv(&self.socket, &mut frame[..], rustix::net::RecvFlags::empty()) {
                Ok((read, _)) if frame[..read].windows(mark.len()).any(|part| part == mark) => {
                    return true;
                }
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }

    fn address(&self, protocol: u16) -> libc::sockaddr_ll {
        // SAFETY: all zeros is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = self.index;
        address.sll_halen = 6;
        address.sll_addr[..6].copy_from_slice(&[0xff; 6]);
        address
    }
}

#[allow(clippy::cast_possible_truncation, reason = "20 bytes")]
const LENGTH: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// A broadcast UDP frame from the endpoint to `to`, carrying `payload`.
pub(crate) fn udp_frame(ether_type: u16, to: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + payload.len()).unwrap();
    let mut ip = [0; 20];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    ip[8] = 64;
    ip[9] = 17;
    ip[12..16].copy_from_slice(&[10, 77, 0, 1]);
    ip[16..20].copy_from_slice(&to);
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    frame.extend(ether_type.to_be_bytes());
    frame.extend(ip);
    frame.extend(port.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend((length - 20).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}
