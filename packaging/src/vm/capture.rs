//! Reads what a machine's network card saw, as qemu writes it down (pcap).
//!
//! Pure.

use std::net::Ipv4Addr;

const FILE_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;

/// One frame, as far as it matters who speaks to whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    pub from: [u8; 6],
    pub what: What,
}

/// What a frame carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    Arp,
    /// Protocol and destination; the ports are nought where there are none.
    Ipv4 {
        protocol: u8,
        to: Ipv4Addr,
        port: u16,
    },
    /// The next header, and the type of ICMPv6.
    Ipv6 {
        next: u8,
        icmp: u8,
    },
    Other(u16),
}

impl What {
    /// Whether it keeps an address alive rather than speaks to somebody: ARP, neighbour discovery,
    /// DHCP to the broadcast address.
    #[must_use]
    pub fn is_upkeep(&self) -> bool {
        match self {
            Self::Arp => true,
            Self::Ipv4 { protocol: 17, to, port: 67 } => *to == Ipv4Addr::BROADCAST,
            Self::Ipv6 { next: 58, icmp } => (133..=136).contains(icmp),
            Self::Ipv4 { .. } | Self::Ipv6 { .. } | Self::Other(_) => false,
        }
    }
}

/// The frames of a capture, from a byte of the file on; a last one that is not there whole is left
/// out.
#[must_use]
pub fn frames(capture: &[u8], from: usize) -> Vec<Frame> {
    let mut found = Vec::new();
    let mut at = from.max(FILE_HEADER_BYTES);
    while let Some(header) = capture.get(at..at.saturating_add(RECORD_HEADER_BYTES)) {
        let length = header.get(8..12).and_then(|bytes| bytes.try_into().ok());
        let length = length.map_or(0, u32::from_le_bytes);
        let begin = at.saturating_add(RECORD_HEADER_BYTES);
        let end = begin.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let Some(bytes) = capture.get(begin..end) else { break };
        found.extend(frame(bytes));
        at = end;
    }
    found
}

fn frame(bytes: &[u8]) -> Option<Frame> {
    let from = bytes.get(6..12)?.try_into().ok()?;
    let kind = number(bytes, 12)?;
    let ip = bytes.get(14..)?;
    let what = match kind {
        0x0806 => What::Arp,
        0x0800 => {
            let header_bytes = usize::from(ip.first()? & 0x0f) * 4;
            let to: [u8; 4] = ip.get(16..20)?.try_into().ok()?;
            let port = number(ip, header_bytes + 2).unwrap_or(0);
            What::Ipv4 { protocol: *ip.get(9)?, to: to.into(), port }
        }
        0x86dd => What::Ipv6 { next: *ip.get(6)?, icmp: ip.get(40).copied().unwrap_or(0) },
        other => What::Other(other),
    };
    Some(Frame { from, what })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; FILE_HEADER_BYTES];
        for frame in frames {
            let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
            bytes.extend([&[0; 8][..], &length, &length, frame].concat());
        }
        bytes
    }

    fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
        [&[1; 6][..], &[2; 6], &kind.to_be_bytes(), payload].concat()
    }

    fn udp(to: [u8; 4], port: u16) -> Vec<u8> {
        let mut ip = vec![0; 20];
        ip[0] = 0x45;
        ip[9] = 17;
        ip[16..20].copy_from_slice(&to);
        ip.extend([&[0, 68][..], &port.to_be_bytes()].concat());
        ethernet(0x0800, &ip)
    }

    #[test]
    fn frames_are_told_apart_by_what_they_are_for() {
        let mut neighbour = vec![0; 41];
        (neighbour[6], neighbour[40]) = (58, 135);
        let mut listener = neighbour.clone();
        listener[40] = 143;
        let file = capture(&[
            ethernet(0x0806, &[0; 28]),
            udp([255; 4], 67),
            ethernet(0x86dd, &neighbour),
            ethernet(0x86dd, &listener),
            udp([192, 0, 2, 77], 9),
            udp([192, 0, 2, 77], 67),
        ]);
        let upkeep: Vec<_> = frames(&file, 0).iter().map(|frame| frame.what.is_upkeep()).collect();
        assert_eq!(upkeep, [true, true, true, false, false, false]);
        let to = Ipv4Addr::new(192, 0, 2, 77);
        let noise = What::Ipv4 { protocol: 17, to, port: 9 };
        assert_eq!(frames(&file, 0)[4], Frame { from: [2; 6], what: noise });
    }

    #[test]
    fn a_frame_that_is_being_written_is_left_out_and_any_bytes_are_borne() {
        let file = capture(&[udp([1; 4], 1), udp([1; 4], 1)]);
        assert_eq!(frames(&file[..file.len() - 1], 0).len(), 1);
        let first = capture(&[udp([1; 4], 1)]).len();
        assert_eq!(frames(&file, first).len(), 1, "from the second on");
        assert!(frames(&[0xff; 100], 0).is_empty());
    }
}
