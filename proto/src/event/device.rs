//! A device was attached or removed (class of Cordon's own OCSF extension).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Text;

/// What happened to a device.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum DeviceEvent {
    /// It came.
    #[n(0)]
    Attached(#[n(0)] Box<Device>),
    /// It went; identity as it was known while it was there.
    #[n(1)]
    Removed(#[n(0)] Box<Device>),
    /// It was there when the agent began to look.
    #[n(2)]
    Present(#[n(0)] Box<Device>),
}

impl DeviceEvent {
    /// Which device.
    #[must_use]
    pub fn device(&self) -> &Device {
        match self {
            Self::Attached(device) | Self::Removed(device) | Self::Present(device) => device,
        }
    }
}

/// What kind of device.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum DeviceKind {
    /// A device on the USB, whatever it can do.
    #[n(0)]
    Usb,
    /// A disk.
    #[n(1)]
    Disk,
    /// A partition of a disk.
    #[n(2)]
    Partition,
    /// A keyboard, a mouse, or what says that it is one.
    #[n(3)]
    Input,
    /// A network interface.
    #[n(4)]
    Network,
}

/// A device with its identity. What the kernel does not know of it is none.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Device {
    /// What kind.
    #[n(0)]
    pub kind: DeviceKind,
    /// Its name: `sdb1`, `1-2`, `eth1`.
    #[n(1)]
    pub name: Text,
    /// Its place in the kernel's tree of devices.
    #[n(2)]
    pub path: Text,
    /// Its maker, as the device says.
    #[n(3)]
    pub vendor: Option<Text>,
    /// Its model, as the device says.
    #[n(4)]
    pub model: Option<Text>,
    /// Its serial number, as the device says.
    #[n(5)]
    pub serial: Option<Text>,
    /// Its maker's number, where it is on the USB.
    #[n(6)]
    pub usb_vendor: Option<u16>,
    /// Its product number, where it is on the USB.
    #[n(7)]
    pub usb_product: Option<u16>,
    /// The USB classes of all its interfaces, each once: 3 input, 8 storage, 224 wireless …
    #[n(8)]
    pub usb_classes: Vec<u8>,
    /// Size in bytes, of disks and partitions.
    #[n(9)]
    pub bytes: Option<u64>,
    /// Whether the medium can be taken out.
    #[n(10)]
    pub removable: Option<bool>,
    /// Whether the device itself hangs on a bus for things that come and go, such as the USB.
    #[n(11)]
    pub external: bool,
    /// The disk that a partition is of.
    #[n(12)]
    pub disk: Option<Text>,
    /// The hardware address of a network interface.
    #[n(13)]
    pub address: Option<Text>,
    /// Where it is mounted right now.
    #[n(14)]
    pub mounted: Vec<Text>,
}
