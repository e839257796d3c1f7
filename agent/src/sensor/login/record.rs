//! One record of utmp, wtmp or btmp, as glibc on x86 writes it: 384 bytes.
//!
//! Pure. Other processors and other C libraries have other layouts; see [`LAYOUT_IS_KNOWN`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cordon_proto::Text;

/// Whether this machine's records have the layout that is read here.
pub const LAYOUT_IS_KNOWN: bool =
    cfg!(any(target_arch = "x86_64", target_arch = "x86")) && cfg!(target_os = "linux");

/// How long a record is.
pub const RECORD_BYTES: usize = 384;

/// What a record is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The system changed its run level; `shutdown` is the one that ends it.
    RunLevel,
    /// The system started.
    Boot,
    /// Somebody was asked for a name.
    Asked,
    /// Somebody logged in.
    User,
    /// Whatever used the terminal has ended.
    Dead,
    /// Nothing of interest.
    Other,
}

/// One record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    pub kind: Kind,
    pub pid: Option<u32>,
    /// The terminal, without `/dev/`.
    pub line: Text,
    pub user: Text,
    /// From where, as the program that wrote it was told.
    pub host: Text,
    /// From where, by number.
    pub address: Option<IpAddr>,
    /// Nanoseconds since 1970 UTC.
    pub time_ns: u64,
}

/// Reads a record. Any bytes are one; what makes no sense is of kind [`Kind::Other`].
pub fn read(bytes: &[u8; RECORD_BYTES]) -> Record {
    let number = |at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
        i32::from_le_bytes(bytes.copied().unwrap_or_default())
    };
    let kind = match bytes.first_chunk::<2>().map_or(0, |kind| i16::from_le_bytes(*kind)) {
        1 => Kind::RunLevel,
        2 => Kind::Boot,
        6 => Kind::Asked,
        7 => Kind::User,
        8 => Kind::Dead,
        _ => Kind::Other,
    };
    let (secs, micros) = (u64::try_from(number(340)), u64::try_from(number(344)));
    let (secs, micros) = (secs.unwrap_or(0), micros.unwrap_or(0).min(999_999));
    Record {
        kind,
        pid: u32::try_from(number(4)).ok().filter(|pid| *pid > 0),
        line: text(bytes, 8, 32),
        user: text(bytes, 44, 32),
        host: text(bytes, 76, 256),
        address: address(bytes),
        time_ns: secs.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000)),
    }
}

/// A field that a zero ends, or the end of its room.
fn text(bytes: &[u8], at: usize, room: usize) -> Text {
    let field = bytes.get(at..at + room).unwrap_or_default();
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(room);
    field.get(..end).unwrap_or_default().into()
}

/// Four bytes of the sixteen are an address of version 4, if the others are zero.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = *bytes.get(348..)?.first_chunk()?;
    let [a, b, c, d, rest @ ..] = octets;
    if rest.iter().any(|byte| *byte != 0) {
        return Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical());
    }
    let short = Ipv4Addr::new(a, b, c, d);
    (!short.is_unspecified()).then_some(IpAddr::V4(short))
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The bytes of a record.
    pub(in super::super) fn bytes(
        kind: i16,
        pid: i32,
        [line, user, host]: [&str; 3],
        secs: i32,
    ) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &kind.to_le_bytes());
        put(4, &pid.to_le_bytes());
        put(8, line.as_bytes());
        put(44, user.as_bytes());
        put(76, host.as_bytes());
        put(340, &secs.to_le_bytes());
        if let Ok(IpAddr::V4(ip)) = host.parse() {
            put(348, &ip.octets());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_login_is_read_with_who_where_and_from_where() {
        let mut bytes = testing::bytes(7, 4242, ["pts/3", "ann", "192.0.2.7"], 1_700_000_000);
        bytes[344..348].copy_from_slice(&250_000_i32.to_le_bytes());
        let record = read(&bytes);
        assert_eq!(record.kind, Kind::User);
        assert_eq!(record.pid, Some(4242));
        let texts = [&record.line, &record.user, &record.host].map(|text| text.to_lossy());
        assert_eq!(texts, ["pts/3", "ann", "192.0.2.7"]);
        assert_eq!(record.address, Some(IpAddr::from([192, 0, 2, 7])));
        assert_eq!(record.time_ns, 1_700_000_000_250_000_000);
    }

    #[test]
    fn an_address_of_version_6_is_read_and_a_mapped_one_as_the_one_it_is() {
        let mut bytes = testing::bytes(7, 1, ["", "", ""], 0);
        let long: Ipv6Addr = "2001:db8::7".parse().unwrap();
        bytes[348..364].copy_from_slice(&long.octets());
        assert_eq!(read(&bytes).address, Some(IpAddr::V6(long)));
        let short = Ipv4Addr::new(192, 0, 2, 7);
        bytes[348..364].copy_from_slice(&short.to_ipv6_mapped().octets());
        assert_eq!(read(&bytes).address, Some(IpAddr::V4(short)));
        bytes[348..364].fill(0);
        assert_eq!(read(&bytes).address, None);
    }

    #[test]
    fn a_field_that_fills_its_room_has_no_zero_at_its_end() {
        let full = "x".repeat(32);
        let record = read(&testing::bytes(6, -1, [&full, &full, ""], -5));
        assert_eq!((record.line.len(), record.user.len()), (32, 32));
        assert_eq!((record.pid, record.time_ns), (None, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record(bytes in proptest::collection::vec(any::<u8>(), RECORD_BYTES)) {
            let record = read(bytes.first_chunk().unwrap());
            prop_assert!(record.line.len() <= 32 && record.user.len() <= 32);
            prop_assert!(record.host.len() <= 256);
        }
    }
}
