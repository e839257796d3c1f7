//! The event: one fact that a sensor saw, with where it stands in its lane.
//!
//! Names of classes and fields follow OCSF 1.8.0.

pub mod actor;
pub mod agent;
pub mod container;
pub mod device;
pub mod disk;
pub mod dns;
pub mod file;
pub mod finding;
pub mod gap;
pub mod inventory;
pub mod json;
pub mod log;
pub mod login;
pub mod network;
pub mod process;
pub mod receipt;
pub mod redaction;
pub mod response;
pub mod way_out;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec;

pub use actor::Actor;
pub use agent::{Health, Notice, ReasonCount, SensorHealth, SensorState, Started};
pub use device::DeviceEvent;
pub use disk::DiskEvent;
pub use dns::DnsEvent;
pub use file::FileEvent;
pub use finding::Finding;
pub use gap::{ClassCount, Gap, GapReason};
pub use inventory::Inventory;
pub use log::{Encoding, LogLine};
pub use login::{AccountChange, Authentication};
pub use network::NetworkEvent;
pub use process::ProcessEvent;
pub use receipt::Receipt;
pub use redaction::Redaction;
pub use response::Reacted;
pub use way_out::WayOut;

/// One of the agent's two ordered streams.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Lane {
    /// Findings, receipts, health, gaps: little, and dropped last.
    #[n(0)]
    Control,
    /// Everything that sensors see.
    #[n(1)]
    Telemetry,
}

impl Lane {
    /// Both, in the order in which they are served.
    pub const ALL: [Self; 2] = [Self::Control, Self::Telemetry];

    /// The lane's name in text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Telemetry => "telemetry",
        }
    }
}

/// How grave an event is: OCSF `severity_id`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    PartialEq,
    Ord,
    PartialOrd,
    Hash,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Severity {
    /// Nothing to do.
    #[default]
    #[n(1)]
    Informational,
    /// Worth a look some day.
    #[n(2)]
    Low,
    /// Worth a look soon.
    #[n(3)]
    Medium,
    /// Act now.
    #[n(4)]
    High,
    /// Act now, and wide.
    #[n(5)]
    Critical,
}

/// What kind of fact an event is; counts of what was dropped are kept by it.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Class {
    /// A process started or ended.
    #[n(0)]
    Process,
    /// A line was appended to a log.
    #[n(1)]
    Log,
    /// A file system's or a disk's space, state, errors, load or health.
    #[n(2)]
    Disk,
    /// The agent about itself.
    #[n(3)]
    Health,
    /// Events were dropped.
    #[n(4)]
    Gap,
    /// An answer about an action.
    #[n(5)]
    Receipt,
    /// The agent started, stops, or its machine sleeps.
    #[n(6)]
    Lifecycle,
    /// A connection, a listener, datagrams.
    #[n(7)]
    Network,
    /// An answer of the domain name system.
    #[n(8)]
    Dns,
    /// A watched file changed.
    #[n(9)]
    File,
    /// A log says that somebody logged in, or tried to.
    #[n(10)]
    Authentication,
    /// A log says that an account was changed.
    #[n(11)]
    Account,
    /// What is on the machine, and what of it has changed.
    #[n(12)]
    Inventory,
    /// A device was attached or removed.
    #[n(13)]
    Device,
    /// Something that should be looked at.
    #[n(14)]
    Finding,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Process,
        Self::Log,
        Self::Disk,
        Self::Health,
        Self::Gap,
        Self::Receipt,
        Self::Lifecycle,
        Self::Network,
        Self::Dns,
        Self::File,
        Self::Authentication,
        Self::Account,
        Self::Inventory,
        Self::Device,
        Self::Finding,
    ];

    /// The name used in filters and settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Log => "log",
            Self::Disk => "disk",
            Self::Health => "health",
            Self::Gap => "gap",
            Self::Receipt => "receipt",
            Self::Lifecycle => "lifecycle",
            Self::Network => "network",
            Self::Dns => "dns",
            Self::File => "file",
            Self::Authentication => "authentication",
            Self::Account => "account",
            Self::Inventory => "inventory",
            Self::Device => "device",
            Self::Finding => "finding",
        }
    }

    /// The number under which events of this class stand on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Process => 0,
            Self::Log => 1,
            Self::Disk => 2,
            Self::Health => 3,
            Self::Gap => 4,
            Self::Receipt => 5,
            Self::Lifecycle => 6,
            Self::Network => 7,
            Self::Dns => 8,
            Self::File => 9,
            Self::Authentication => 10,
            Self::Account => 11,
            Self::Inventory => 12,
            Self::Device => 13,
            Self::Finding => 14,
        }
    }

    /// The number of the class that an event's body belongs to, by the number of the body.
    #[must_use]
    pub fn number_of_body(body: u32) -> u32 {
        match body {
            NOTICE_BODY | WAY_OUT_BODY => Self::Lifecycle.number(),
            RESPONSE_BODY => Self::Finding.number(),
            own => own,
        }
    }

    /// The lane that events of this class travel in.
    #[must_use]
    pub fn lane(self) -> Lane {
        match self {
            Self::Process
            | Self::Log
            | Self::Disk
            | Self::Network
            | Self::Dns
            | Self::File
            | Self::Authentication
            | Self::Account
            | Self::Inventory
            | Self::Device => Lane::Telemetry,
            Self::Health | Self::Gap | Self::Receipt | Self::Lifecycle | Self::Finding => {
                Lane::Control
            }
        }
    }
}

/// Bodies that have no class of their own.
const NOTICE_BODY: u32 = 15;
const WAY_OUT_BODY: u32 = 16;
const RESPONSE_BODY: u32 = 18;

/// The fact itself.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum Body {
    /// A process started or ended.
    #[n(0)]
    Process(#[n(0)] ProcessEvent),
    /// A line was appended to a log.
    #[n(1)]
    Log(#[n(0)] LogLine),
    /// A file system's or a disk's space, state, errors, load or health.
    #[n(2)]
    Disk(#[n(0)] DiskEvent),
    /// The agent about itself.
    #[n(3)]
    Health(#[n(0)] Box<Health>),
    /// Events were dropped.
    #[n(4)]
    Gap(#[n(0)] Gap),
    /// An answer about an action.
    #[n(5)]
    Receipt(#[n(0)] Box<Receipt>),
    /// The agent started.
    #[n(6)]
    Lifecycle(#[n(0)] Started),
    /// A connection, a listener, datagrams.
    #[n(7)]
    Network(#[n(0)] Box<NetworkEvent>),
    /// An answer of the domain name system.
    #[n(8)]
    Dns(#[n(0)] Box<DnsEvent>),
    /// A watched file changed.
    #[n(9)]
    File(#[n(0)] Box<FileEvent>),
    /// A log says that somebody logged in, or tried to.
    #[n(10)]
    Authentication(#[n(0)] Box<Authentication>),
    /// A log says that an account was changed.
    #[n(11)]
    Account(#[n(0)] Box<AccountChange>),
    /// What is on the machine, and what of it has changed.
    #[n(12)]
    Inventory(#[n(0)] Inventory),
    /// A device was attached or removed.
    #[n(13)]
    Device(#[n(0)] DeviceEvent),
    /// Something that should be looked at.
    #[n(14)]
    Finding(#[n(0)] Box<Finding>),
    /// The agent stops, or its machine sleeps.
    #[n(15)]
    Notice(#[n(0)] Notice),
    /// A break-glass code was made, and sealed to operators.
    #[n(16)]
    WayOut(#[n(0)] Box<WayOut>),
    /// The endpoint reacted by itself to what it saw.
    #[n(18)]
    Response(#[n(0)] Box<Reacted>),
}

impl Body {
    /// What was dropped, if that is what this tells.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        if let Self::Gap(gap) = self { Some(gap) } else { None }
    }

    /// How many facts this tells, for counting: more than one for lines of a log that travel
    /// together.
    #[must_use]
    pub fn count(&self) -> u64 {
        if let Self::Log(line) = self { line.count() } else { 1 }
    }

    /// What kind of fact this is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Process(_) => Class::Process,
            Self::Log(_) => Class::Log,
            Self::Disk(_) => Class::Disk,
            Self::Health(_) => Class::Health,
            Self::Gap(_) => Class::Gap,
            Self::Receipt(_) => Class::Receipt,
            Self::Lifecycle(_) | Self::Notice(_) | Self::WayOut(_) => Class::Lifecycle,
            Self::Network(_) => Class::Network,
            Self::Dns(_) => Class::Dns,
            Self::File(_) => Class::File,
            Self::Authentication(_) => Class::Authentication,
            Self::Account(_) => Class::Account,
            Self::Inventory(_) => Class::Inventory,
            Self::Device(_) => Class::Device,
            Self::Finding(_) | Self::Response(_) => Class::Finding,
        }
    }
}

/// A fact as a sensor hands it over, before it has a place in its lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observation {
    /// Wall clock, nanoseconds since 1970 UTC.
    pub time_ns: u64,
    /// Boot-time clock (runs through suspend), nanoseconds.
    pub boot_ns: u64,
    /// How grave.
    pub severity: Severity,
    /// What.
    pub body: Body,
}

impl Observation {
    /// Gives the observation its place; the result is what gets signed.
    #[must_use]
    pub fn at(self, seq: u64) -> Event {
        let Self { time_ns, boot_ns, severity, body } = self;
        Event { seq, time_ns, boot_ns, severity, body }
    }

    /// Each line of a run of lines as it would have been handed over alone. None for all that stands
    /// alone.
    #[must_use]
    pub fn apart(&self) -> Option<Vec<Self>> {
        let bodies = self.body.apart()?.into_iter();
        Some(bodies.map(|body| Self { body, ..*self }).collect())
    }

    /// Adds the bytes of the event to others, under the number 0:
    /// [`Sealer`](crate::sign::batch::Sealer) puts its own in.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        let Self { time_ns, boot_ns, severity, body } = self;
        // As the fields of an event follow each other.
        codec::append(&(0_u64, time_ns, boot_ns, severity, body), bytes);
    }
}

/// One fact with its place in its lane.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Event {
    /// Place in the lane, from 1, without holes.
    #[n(0)]
    pub seq: u64,
    /// Wall clock, nanoseconds since 1970 UTC.
    #[n(1)]
    pub time_ns: u64,
    /// Boot-time clock (runs through suspend), nanoseconds.
    #[n(2)]
    pub boot_ns: u64,
    /// How grave.
    #[n(3)]
    pub severity: Severity,
    /// What.
    #[n(4)]
    pub body: Body,
}
