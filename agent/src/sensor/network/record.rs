//! What the BPF programs write into the ring, and what becomes of it. Pure.
//!
//! All numbers are in native byte order but addresses and the remote port, which are as on the
//! wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use cordon_proto::Text;
use cordon_proto::event::network::{Owner, Peer};

/// States of a TCP socket, as the kernel numbers them.
pub(super) const STATE_ESTABLISHED: i32 = 1;
pub(super) const STATE_SYN_SENT: i32 = 2;
pub(super) const STATE_SYN_RECEIVED: i32 = 3;
pub(super) const STATE_CLOSE: i32 = 7;
pub(super) const STATE_LISTEN: i32 = 10;

/// What a record tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RecordKind {
    /// A TCP socket changed its state.
    Tcp = 1,
    /// A process named an address for a datagram.
    Udp = 2,
    /// The same as [`Self::Tcp`], with counts of bytes.
    TcpCounted = 3,
}

/// Where fields stand in a record.
pub(super) struct Place;

impl Place {
    pub(super) const KIND: i16 = 0;
    pub(super) const NETNS: i16 = 4;
    pub(super) const TIME: i16 = 8;
    pub(super) const SOCKET: i16 = 16;
    pub(super) const START: i16 = 24;
    pub(super) const CGROUP: i16 = 32;
    pub(super) const PID: i16 = 40;
    pub(super) const UID: i16 = 44;
    pub(super) const NAME: i16 = 48;
    pub(super) const OLD: i16 = 64;
    pub(super) const NEW: i16 = 68;
    pub(super) const FAMILY: i16 = 72;
    pub(super) const ERROR: i16 = 76;
    pub(super) const LOCAL_PORT: i16 = 80;
    pub(super) const REMOTE_PORT: i16 = 84;
    pub(super) const LOCAL: i16 = 88;
    pub(super) const REMOTE: i16 = 104;
    pub(super) const SENT: i16 = 120;
    pub(super) const RESENT: i16 = 128;
    pub(super) const RECEIVED: i16 = 136;
    /// At a socket's end: whether the other end said that it is done.
    pub(super) const FINISHED: i16 = 144;
    /// At a socket's end: its own port once more, as on the wire; the other field is empty then.
    pub(super) const OWN_PORT: i16 = 152;
    pub(super) const END: i16 = 160;
}

/// Why a record could not be read; it is counted as lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum RecordError {
    /// It ends too early.
    #[error("a record from the kernel ends after {bytes} bytes, before what it announces")]
    CutOff {
        /// How long it is.
        bytes: usize,
    },
    /// It is of no known kind or family.
    #[error("a record from the kernel is of the unknown kind {kind} or family {family}")]
    Kind {
        /// Its kind.
        kind: u32,
        /// Its family.
        family: u32,
    },
}

/// A change of a TCP socket, or the first datagram in a while from a process to an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Record {
    Tcp(Change),
    Udp(Named),
}

/// A TCP socket changed its state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// Boot-time clock, nanoseconds.
    pub(super) boot_ns: u64,
    /// The kernel's address of the socket: the same from its beginning to its end.
    pub(super) socket: u64,
    pub(super) netns: u32,
    pub(super) old: i32,
    pub(super) new: i32,
    pub(super) local: Peer,
    pub(super) remote: Peer,
    /// Where the socket began to listen or to connect.
    pub(super) owner: Option<Arc<Owner>>,
    /// At its end: bytes sent, and received.
    pub(super) content: Option<(u64, u64)>,
    pub(super) error: Option<u32>,
}

/// A process named an address for a datagram.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Named {
    /// Boot-time clock, nanoseconds.
    pub(super) boot_ns: u64,
    pub(super) netns: u32,
    pub(super) six: bool,
    /// Unspecified, and port 0, where the socket was not bound yet.
    pub(super) local: Peer,
    pub(super) remote: Peer,
    pub(super) owner: Arc<Owner>,
}

impl Record {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let cut_off = RecordError::CutOff { bytes: bytes.len() };
        let fields: &[u8; Place::END as usize] = bytes.first_chunk().ok_or(cut_off)?;
        Fields(fields).record()
    }
}

struct Fields<'a>(&'a [u8; Place::END as usize]);

impl Fields<'_> {
    fn record(&self) -> Result<Record, RecordError> {
        const TCP: u32 = RecordKind::Tcp as u32;
        const UDP: u32 = RecordKind::Udp as u32;
        const TCP_COUNTED: u32 = RecordKind::TcpCounted as u32;
        let (kind, family) = (self.word(Place::KIND), self.word(Place::FAMILY));
        let unknown = RecordError::Kind { kind, family };
        let six = match family {
            2 => false,
            10 => true,
            _ => return Err(unknown),
        };
        match kind {
            TCP => Ok(Record::Tcp(self.change(six, false))),
            TCP_COUNTED => Ok(Record::Tcp(self.change(six, true))),
            UDP => Ok(Record::Udp(self.named(six))),
            _ => Err(unknown),
        }
    }

    fn change(&self, six: bool, counted: bool) -> Change {
        let state = |place| i32::try_from(self.word(place)).unwrap_or(0);
        let (old, new) = (state(Place::OLD), state(Place::NEW));
        let sent = self.double(Place::SENT).saturating_sub(self.double(Place::RESENT));
        // The kernel counts the mark of an end as a byte.
        let finished = u64::from(self.double(Place::FINISHED) != 0);
        let received = self.double(Place::RECEIVED).saturating_sub(finished);
        let error = self.word(Place::ERROR);
        Change {
            boot_ns: self.double(Place::TIME),
            socket: self.double(Place::SOCKET),
            netns: self.word(Place::NETNS),
            old,
            new,
            local: self.local(six),
            remote: self.remote(six),
            owner: matches!(new, STATE_LISTEN | STATE_SYN_SENT).then(|| Arc::new(self.owner())),
            content: counted.then_some((sent, received)),
            error: (error != 0).then_some(error),
        }
    }

    fn named(&self, six: bool) -> Named {
        Named {
            boot_ns: self.double(Place::TIME),
            netns: self.word(Place::NETNS),
            six,
            local: self.local(six),
            remote: self.remote(six),
            owner: Arc::new(self.owner()),
        }
    }

    fn owner(&self) -> Owner {
        let start = self.double(Place::START);
        let name: [u8; 16] = self.bytes(Place::NAME);
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Owner {
            pid: self.word(Place::PID),
            start_boot_ns: (start != 0).then_some(start),
            uid: Some(self.word(Place::UID)),
            cgroup_id: Some(self.double(Place::CGROUP)),
            name: (!name.is_empty()).then(|| Text::from(name)),
        }
    }

    fn local(&self, six: bool) -> Peer {
        let held = u16::try_from(self.word(Place::LOCAL_PORT)).unwrap_or(0);
        let own = u16::from_be_bytes(self.bytes(Place::OWN_PORT));
        let port = if own != 0 { own } else { held };
        Peer { ip: self.ip(Place::LOCAL, six), port }
    }

    fn remote(&self, six: bool) -> Peer {
        let [high, low, ..]: [u8; 4] = self.bytes(Place::REMOTE_PORT);
        let [.., big_high, big_low]: [u8; 4] = self.bytes(Place::REMOTE_PORT);
        let little = u16::from_be_bytes([high, low]);
        let big = u16::from_be_bytes([big_high, big_low]);
        let port = if cfg!(target_endian = "little") { little } else { big };
        Peer { ip: self.ip(Place::REMOTE, six), port }
    }

    fn ip(&self, place: i16, six: bool) -> IpAddr {
        if six {
            IpAddr::V6(Ipv6Addr::from(self.bytes::<16>(place))).to_canonical()
        } else {
            IpAddr::V4(Ipv4Addr::from(self.bytes::<4>(place)))
        }
    }

    fn word(&self, place: i16) -> u32 {
        u32::from_ne_bytes(self.bytes(place))
    }

    fn double(&self, place: i16) -> u64 {
        u64::from_ne_bytes(self.bytes(place))
    }

    /// Places are constants within the record; beyond it everything is zero.
    fn bytes<const N: usize>(&self, place: i16) -> [u8; N] {
        let rest = self.0.get(usize::from(place.unsigned_abs())..).unwrap_or_default();
        rest.first_chunk().copied().unwrap_or([0; N])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a record as the programs do.
    pub(in super::super) struct Writer(Vec<u8>);

    impl Writer {
        fn new(kind: RecordKind, family: u32) -> Self {
            Self(vec![0; usize::try_from(Place::END).unwrap()])
                .put(Place::KIND, &(kind as u32).to_ne_bytes())
                .put(Place::FAMILY, &family.to_ne_bytes())
                .put(Place::TIME, &5_000_000_123u64.to_ne_bytes())
                .put(Place::NETNS, &0xefff_fff9u32.to_ne_bytes())
                .put(Place::SOCKET, &0xffff_8880_0000_1000u64.to_ne_bytes())
                .put(Place::START, &4_999_000_000u64.to_ne_bytes())
                .put(Place::CGROUP, &77u64.to_ne_bytes())
                .put(Place::PID, &4711u32.to_ne_bytes())
                .put(Place::UID, &1000u32.to_ne_bytes())
                .put(Place::NAME, b"curl\0left over")
                .put(Place::LOCAL_PORT, &40_000u32.to_ne_bytes())
                .put(Place::REMOTE_PORT, &u32::from(443u16.to_be()).to_ne_bytes())
        }

        fn put(mut self, place: i16, bytes: &[u8]) -> Self {
            self.0[usize::try_from(place).unwrap()..][..bytes.len()].copy_from_slice(bytes);
            self
        }
    }

    fn owner() -> Owner {
        Owner {
            pid: 4711,
            start_boot_ns: Some(4_999_000_000),
            uid: Some(1000),
            cgroup_id: Some(77),
            name: Some("curl".into()),
        }
    }

    #[test]
    fn an_attempt_over_ipv4_comes_out_whole() {
        let record = Writer::new(RecordKind::Tcp, 2)
            .put(Place::OLD, &7u32.to_ne_bytes())
            .put(Place::NEW, &2u32.to_ne_bytes())
            .put(Place::LOCAL, &[192, 0, 2, 9])
            .put(Place::REMOTE, &[192, 0, 2, 1]);
        let expected = Change {
            boot_ns: 5_000_000_123,
            socket: 0xffff_8880_0000_1000,
            netns: 0xefff_fff9,
            old: STATE_CLOSE,
            new: STATE_SYN_SENT,
            local: Peer { ip: [192, 0, 2, 9].into(), port: 40_000 },
            remote: Peer { ip: [192, 0, 2, 1].into(), port: 443 },
            owner: Some(Arc::new(owner())),
            content: None,
            error: None,
        };
        assert_eq!(Record::parse(&record.0), Ok(Record::Tcp(expected)));
    }

    #[test]
    fn an_end_carries_its_bytes_and_its_error_and_no_owner() {
        let record = Writer::new(RecordKind::TcpCounted, 10)
            .put(Place::OLD, &1u32.to_ne_bytes())
            .put(Place::NEW, &7u32.to_ne_bytes())
            .put(Place::ERROR, &104u32.to_ne_bytes())
            .put(Place::SENT, &1000u64.to_ne_bytes())
            .put(Place::RESENT, &100u64.to_ne_bytes())
            .put(Place::RECEIVED, &u64::MAX.to_ne_bytes())
            .put(Place::FINISHED, &2u64.to_ne_bytes())
            .put(Place::LOCAL_PORT, &0u32.to_ne_bytes())
            .put(Place::OWN_PORT, &22u16.to_be_bytes())
            .put(Place::REMOTE, &Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
        let Ok(Record::Tcp(change)) = Record::parse(&record.0) else { panic!("a change") };
        assert_eq!(change.content, Some((900, u64::MAX - 1)));
        assert_eq!((change.error, change.owner), (Some(104), None));
        assert_eq!(change.remote.ip, IpAddr::from([192, 0, 2, 1]), "mapped addresses are IPv4");
        assert_eq!(change.local, Peer { ip: Ipv6Addr::UNSPECIFIED.into(), port: 22 });
    }

    #[test]
    fn a_datagrams_address_comes_out_whole() {
        let record =
            Writer::new(RecordKind::Udp, 10).put(Place::REMOTE, &Ipv6Addr::LOCALHOST.octets());
        let Ok(Record::Udp(named)) = Record::parse(&record.0) else { panic!("a datagram") };
        assert_eq!(named.remote, Peer { ip: Ipv6Addr::LOCALHOST.into(), port: 443 });
        assert_eq!(*named.owner, owner());
        assert!(named.six);
    }

    #[test]
    fn a_record_that_ends_too_early_or_is_unknown_is_an_error() {
        let record = Writer::new(RecordKind::Tcp, 2).0;
        for bytes in 0..record.len() {
            assert_eq!(Record::parse(&record[..bytes]), Err(RecordError::CutOff { bytes }));
        }
        let other = Writer::new(RecordKind::Tcp, 16);
        assert_eq!(Record::parse(&other.0), Err(RecordError::Kind { kind: 1, family: 16 }));
        let other = Writer::new(RecordKind::Tcp, 2).put(Place::KIND, &9u32.to_ne_bytes());
        assert_eq!(Record::parse(&other.0), Err(RecordError::Kind { kind: 9, family: 2 }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Record::parse(&bytes).is_err() || bytes.len() >= 160);
        }
    }
}
