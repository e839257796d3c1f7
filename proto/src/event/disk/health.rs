//! What a disk says of its own health, by SMART or by NVMe's health log.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Text;

/// By which means it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum HealthMeans {
    /// NVMe's own health log (page 2), asked of the kernel.
    #[n(0)]
    NvmeLog,
    /// The program smartctl.
    #[n(1)]
    Smartctl,
}

/// What is wrong with a disk.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum HealthProblem {
    /// It says itself that it fails or is about to.
    #[n(0)]
    Failing,
    /// Its spare blocks are fewer than its maker allows.
    #[n(1)]
    SpareLow,
    /// It is hotter, or colder, than its maker allows.
    #[n(2)]
    Temperature,
    /// Media or internal errors made it unreliable.
    #[n(3)]
    Unreliable,
    /// It takes no writes any more.
    #[n(4)]
    ReadOnly,
    /// What keeps its cache over a loss of power has failed.
    #[n(5)]
    BackupFailed,
    /// It has served as long as its maker promised.
    #[n(6)]
    WornOut,
    /// It has served nine tenths of that.
    #[n(7)]
    NearlyWorn,
    /// Data was found damaged since it was last asked.
    #[n(8)]
    MediaErrors,
    /// Sectors wait to be replaced, or could not be read at all.
    #[n(9)]
    BadSectors,
    /// Sectors had to be replaced.
    #[n(10)]
    ReplacedSectors,
}

/// What a disk says of itself. What it, or the means, does not know is none.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct DiskHealth {
    /// Which device: `sda`, `nvme0`.
    #[n(0)]
    pub device: Text,
    /// By which means it was asked.
    #[n(1)]
    pub means: HealthMeans,
    /// Its model.
    #[n(2)]
    pub model: Option<Text>,
    /// Its serial number.
    #[n(3)]
    pub serial: Option<Text>,
    /// What is wrong; empty where nothing is.
    #[n(4)]
    pub problems: Vec<HealthProblem>,
    /// Its own verdict.
    #[n(5)]
    pub passed: Option<bool>,
    /// NVMe's critical warning, bit by bit.
    #[n(6)]
    pub critical_warning: Option<u8>,
    /// How much of its promised life is used, in percent; may pass 100.
    #[n(7)]
    pub used_percent: Option<u8>,
    /// Spare blocks left, in percent.
    #[n(8)]
    pub spare_percent: Option<u8>,
    /// Fewer spare blocks than this its maker does not allow.
    #[n(9)]
    pub spare_min_percent: Option<u8>,
    /// How often data was found damaged.
    #[n(10)]
    pub media_errors: Option<u64>,
    /// Sectors that had to be replaced.
    #[n(11)]
    pub replaced_sectors: Option<u64>,
    /// Sectors that wait to be replaced, or could not be read at all.
    #[n(12)]
    pub bad_sectors: Option<u64>,
    /// How warm it is, in degrees Celsius.
    #[n(13)]
    pub temperature_celsius: Option<i16>,
    /// How long it has run, in hours.
    #[n(14)]
    pub power_on_hours: Option<u64>,
    /// How often it lost power without notice.
    #[n(15)]
    pub unsafe_shutdowns: Option<u64>,
}
