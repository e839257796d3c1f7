//! Reads what `smartctl --json --all` prints, of SATA, SAS and NVMe disks.
//!
//! Pure and tolerant: fields differ between versions, disks and bridges, and the output is JSON
//! even where the disk could not be asked. What is not there, or not of the kind expected, is none.

use cordon_proto::Text;
use cordon_proto::event::disk::{DiskHealth, HealthMeans};
use serde_json::Value;

/// Numbers of ATA attributes whose raw value counts sectors.
const REALLOCATED: u64 = 5;
const PENDING: u64 = 197;
const UNCORRECTABLE: u64 = 198;

/// What the disk says; none where it was not asked, because it sleeps or cannot be.
pub(super) fn parse(device: &str, output: &[u8]) -> Option<DiskHealth> {
    let json: Value = serde_json::from_slice(output).ok()?;
    let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_u64);
    let small = |pointer: &str| u8::try_from(number(pointer)?).ok();
    let text = |pointer: &str| {
        let found = json.pointer(pointer).and_then(Value::as_str).map(str::trim);
        found.filter(|text| !text.is_empty()).map(Text::from)
    };
    let nvme = |name: &str| number(&format!("/nvme_smart_health_information_log/{name}"));
    let nvme_small = |name: &str| u8::try_from(nvme(name)?).ok();
    let attribute = |id: u64| attribute(&json, id);
    let either = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    };
    let temperature = json.pointer("/temperature/current").and_then(Value::as_i64);
    let health = DiskHealth {
        device: device.into(),
        means: HealthMeans::Smartctl,
        model: text("/model_name").or_else(|| text("/scsi_model_name")),
        serial: text("/serial_number"),
        problems: Vec::new(),
        passed: json.pointer("/smart_status/passed").and_then(Value::as_bool),
        critical_warning: nvme_small("critical_warning"),
        used_percent: nvme_small("percentage_used")
            .or_else(|| small("/scsi_percentage_used_endurance_indicator")),
        spare_percent: nvme_small("available_spare"),
        spare_min_percent: nvme_small("available_spare_threshold"),
        media_errors: nvme("media_errors"),
        replaced_sectors: attribute(REALLOCATED).or_else(|| number("/scsi_grown_defect_list")),
        bad_sectors: either(attribute(PENDING), attribute(UNCORRECTABLE)),
        temperature_celsius: temperature.and_then(|celsius| i16::try_from(celsius).ok()),
        power_on_hours: number("/power_on_time/hours"),
        unsafe_shutdowns: nvme("unsafe_shutdowns"),
    };
    let says_something = health.passed.is_some()
        || health.critical_warning.is_some()
        || health.replaced_sectors.is_some()
        || health.bad_sectors.is_some();
    says_something.then_some(health)
}

/// An ATA attribute's count. Some disks keep more than the count in the raw value's upper bytes;
/// then what smartctl prints of it begins with the count.
fn attribute(json: &Value, id: u64) -> Option<u64> {
    let table = json.pointer("/ata_smart_attributes/table")?.as_array()?;
    let found = table.iter().find(|row| row.get("id").and_then(Value::as_u64) == Some(id))?;
    let printed = found.pointer("/raw/string").and_then(Value::as_str);
    let first = printed.and_then(|text| text.split_whitespace().next()?.parse().ok());
    first.or_else(|| found.pointer("/raw/value").and_then(Value::as_u64))
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::disk::HealthProblem;
    use proptest::prelude::*;

    use super::super::judge::judge;
    use super::*;

    // `cannot.json` was recorded from smartctl 7.3; for the others no such disk was at hand: they are
    // composed after its format, with serial numbers that nobody has.
    const SATA_GOOD: &[u8] = include_bytes!("smartctl/sata-good.json");
    const SATA_FAILING: &[u8] = include_bytes!("smartctl/sata-failing.json");
    const NVME: &[u8] = include_bytes!("smartctl/nvme.json");
    const SAS: &[u8] = include_bytes!("smartctl/sas.json");
    const ASLEEP: &[u8] = include_bytes!("smartctl/asleep.json");
    const CANNOT: &[u8] = include_bytes!("smartctl/cannot.json");

    #[track_caller]
    fn check(output: &[u8], model: &str, problems: &[HealthProblem]) -> DiskHealth {
        let health = parse("sda", output).unwrap();
        assert_eq!(health.model.as_ref().unwrap().as_str(), Some(model));
        assert_eq!(judge(&health, None), problems);
        health
    }

    #[test]
    fn a_good_sata_disk_has_nothing_to_complain_of() {
        let health = check(SATA_GOOD, "Samsung SSD 860 EVO 500GB", &[]);
        assert_eq!(health.serial, Some("S3Z1NB0K000000A".into()));
        assert_eq!((health.replaced_sectors, health.bad_sectors), (Some(0), None));
        assert_eq!(health.temperature_celsius, Some(31));
        assert_eq!(health.power_on_hours, Some(21_345));
    }

    #[test]
    fn a_failing_sata_disk_says_so_with_its_sectors() {
        use HealthProblem::{BadSectors, Failing, ReplacedSectors};
        let problems = [Failing, BadSectors, ReplacedSectors];
        let health = check(SATA_FAILING, "ST2000DM001-1CH164", &problems);
        assert_eq!((health.replaced_sectors, health.bad_sectors), (Some(3448), Some(112)));
    }

    #[test]
    fn an_nvme_disk_tells_its_wear_and_spare() {
        let health = check(NVME, "Samsung SSD 970 EVO Plus 1TB", &[HealthProblem::NearlyWorn]);
        assert_eq!((health.used_percent, health.spare_percent), (Some(93), Some(87)));
        assert_eq!((health.media_errors, health.unsafe_shutdowns), (Some(0), Some(41)));
    }

    #[test]
    fn a_sas_disk_tells_its_defects() {
        let health = check(SAS, "HITACHI HUS156060VLS600", &[HealthProblem::ReplacedSectors]);
        assert_eq!(health.replaced_sectors, Some(12));
    }

    #[test]
    fn a_disk_that_sleeps_or_cannot_be_asked_says_nothing() {
        assert_eq!(parse("sda", ASLEEP), None);
        assert_eq!(parse("sda", CANNOT), None);
        assert_eq!(parse("sda", b""), None);
        assert_eq!(parse("sda", b"[]"), None);
    }

    proptest! {
        #[test]
        fn output_that_is_cut_or_damaged_makes_nothing_fail(at in 0..SATA_FAILING.len(), byte: u8) {
            let mut damaged = SATA_FAILING.to_vec();
            damaged[at] = byte;
            parse("sda", &damaged);
            parse("sda", &SATA_FAILING[..at]);
        }
    }
}
