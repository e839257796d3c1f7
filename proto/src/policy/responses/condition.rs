//! What must be so of an event: fields that are read of it, and what they are compared with.

use std::net::IpAddr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::event::Class;

/// What is read of an event.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Field {
    /// The path a program was started by.
    #[n(0)]
    ProcessPath,
    /// The path with links and relative parts resolved.
    #[n(1)]
    ProcessResolvedPath,
    /// Its arguments, with spaces between them.
    #[n(2)]
    ProcessArguments,
    /// SHA-256 of its file, in hexadecimal.
    #[n(3)]
    ProcessSha256,
    /// The number of its user.
    #[n(4)]
    ProcessUid,
    /// The rule of a finding: `files.mass_change`.
    #[n(5)]
    FindingRule,
    /// The other side's address.
    #[n(6)]
    PeerAddress,
    /// The other side's port.
    #[n(7)]
    PeerPort,
    /// The port here.
    #[n(8)]
    LocalPort,
    /// The file that changed.
    #[n(9)]
    FilePath,
    /// The line of a log.
    #[n(10)]
    LogLine,
    /// Who logged in, or tried to.
    #[n(11)]
    LoginUser,
    /// From where.
    #[n(12)]
    LoginFrom,
    /// `success` or `failure`.
    #[n(13)]
    LoginStatus,
    /// The kind of a device that was attached: `usb`, `disk`, `partition`, `input`, `network`.
    #[n(14)]
    DeviceKind,
    /// Its maker, as the device says.
    #[n(15)]
    DeviceVendor,
    /// Its model, as the device says.
    #[n(16)]
    DeviceModel,
    /// Its serial number, as the device says.
    #[n(17)]
    DeviceSerial,
    /// SHA-256 of a file's content after the change, in hexadecimal.
    #[n(18)]
    FileSha256,
    /// The program that changed the file.
    #[n(19)]
    FileActorPath,
    /// The program that a finding is about.
    #[n(20)]
    FindingActorPath,
}

impl Field {
    /// The class of the events that have it.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::ProcessPath
            | Self::ProcessResolvedPath
            | Self::ProcessArguments
            | Self::ProcessSha256
            | Self::ProcessUid => Class::Process,
            Self::FindingRule | Self::FindingActorPath => Class::Finding,
            Self::PeerAddress | Self::PeerPort | Self::LocalPort => Class::Network,
            Self::FilePath | Self::FileSha256 | Self::FileActorPath => Class::File,
            Self::LogLine => Class::Log,
            Self::LoginUser | Self::LoginFrom | Self::LoginStatus => Class::Authentication,
            Self::DeviceKind | Self::DeviceVendor | Self::DeviceModel | Self::DeviceSerial => {
                Class::Device
            }
        }
    }

    /// Whether it holds an address.
    fn is_address(self) -> bool {
        matches!(self, Self::PeerAddress | Self::LoginFrom)
    }
}

/// How what was read is compared.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Comparison {
    /// It is the same, byte for byte.
    #[n(0)]
    Is,
    /// It is something else.
    #[n(1)]
    IsNot,
    /// It begins so.
    #[n(2)]
    BeginsWith,
    /// It ends so.
    #[n(3)]
    EndsWith,
    /// It has this within.
    #[n(4)]
    Contains,
    /// It is an address of this network: `192.0.2.0/24`.
    #[n(5)]
    Within,
}

/// One thing that must be so. A field that an event does not have makes it false, whatever the
/// comparison.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What is read.
    #[n(0)]
    pub field: Field,
    /// How it is compared.
    #[n(1)]
    pub comparison: Comparison,
    /// With what.
    #[n(2)]
    pub value: String,
}

impl Test {
    /// Whether what was read is as it must be.
    #[must_use]
    pub fn holds(&self, found: &[u8]) -> bool {
        let value = self.value.as_bytes();
        match self.comparison {
            Comparison::Is => found == value,
            Comparison::IsNot => found != value,
            Comparison::BeginsWith => found.starts_with(value),
            Comparison::EndsWith => found.ends_with(value),
            Comparison::Contains => found.windows(value.len().max(1)).any(|window| window == value),
            Comparison::Within => is_within(found, &self.value),
        }
    }

    /// Whether the comparison can be made with this field and this value.
    pub(super) fn can_be(&self) -> bool {
        let network = || self.field.is_address() && network(&self.value).is_some();
        self.comparison != Comparison::Within || network()
    }
}

fn is_within(found: &[u8], value: &str) -> bool {
    let found = std::str::from_utf8(found).ok().and_then(|text| text.parse::<IpAddr>().ok());
    let (Some(found), Some((address, bits))) = (found, network(value)) else { return false };
    match (found.to_canonical(), address) {
        (IpAddr::V4(found), IpAddr::V4(address)) => {
            let differ = u32::from(found) ^ u32::from(address);
            differ.leading_zeros() >= bits
        }
        (IpAddr::V6(found), IpAddr::V6(address)) => {
            let differ = u128::from(found) ^ u128::from(address);
            differ.leading_zeros() >= bits
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_compared_as_they_are() {
        let holds = |comparison, found: &str| {
            let (field, value) = (Field::ProcessPath, "/tmp/".to_owned());
            Test { field, comparison, value }.holds(found.as_bytes())
        };
        assert!(holds(Comparison::Is, "/tmp/") && !holds(Comparison::Is, "/tmp/x"));
        assert!(holds(Comparison::IsNot, "/tmp/x") && !holds(Comparison::IsNot, "/tmp/"));
        assert!(
            holds(Comparison::BeginsWith, "/tmp/x") && !holds(Comparison::BeginsWith, "/var/tmp/")
        );
        assert!(holds(Comparison::EndsWith, "/var/tmp/") && !holds(Comparison::EndsWith, "/tmp/x"));
        assert!(holds(Comparison::Contains, "/var/tmp/x") && !holds(Comparison::Contains, "/tmp"));
    }

    #[test]
    fn a_network_holds_its_addresses_however_they_are_written() {
        #[track_caller]
        fn check(network: &str, address: &str, expected: bool) {
            let (field, comparison) = (Field::PeerAddress, Comparison::Within);
            let test = Test { field, comparison, value: network.to_owned() };
            assert_eq!(test.holds(address.as_bytes()), expected, "{network} {address}");
        }
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "::ffff:192.0.2.7", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("192.0.2.7/32", "192.0.2.6", false);
        check("0.0.0.0/0", "203.0.113.1", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("2001:db8::/32", "2001:db8:9::1", true);
        check("::/0", "::1", true);
        check("192.0.2.0/24", "web-01", false);
    }
}
