//! Reads NVMe's health log (page 2): critical warning, temperature, spare, wear, errors.
//!
//! Pure.

use cordon_proto::Text;
use cordon_proto::event::disk::{DiskHealth, HealthMeans};

/// What the log says; the names are for the caller to fill in. None if it is too short to be one.
pub(super) fn parse(log: &[u8]) -> Option<DiskHealth> {
    const ZERO_CELSIUS_KELVIN: i32 = 273;
    let byte = |at: usize| log.get(at).copied();
    let kelvin = u16::from_le_bytes([byte(1)?, byte(2)?]);
    let celsius = i16::try_from(i32::from(kelvin) - ZERO_CELSIUS_KELVIN).ok();
    Some(DiskHealth {
        device: Text::from(""),
        means: HealthMeans::NvmeLog,
        model: None,
        serial: None,
        problems: Vec::new(),
        passed: None,
        critical_warning: byte(0),
        used_percent: byte(5),
        spare_percent: byte(3),
        spare_min_percent: byte(4),
        media_errors: count(log, 160),
        replaced_sectors: None,
        bad_sectors: None,
        // Nothing is that cold: the controller has no thermometer.
        temperature_celsius: celsius.filter(|_| kelvin > 0),
        power_on_hours: count(log, 128),
        unsafe_shutdowns: count(log, 144),
    })
}

/// Counters are 16 bytes long; what passes 8 of them is as good as the most.
fn count(log: &[u8], at: usize) -> Option<u64> {
    let bytes: [u8; 16] = log.get(at..)?.first_chunk().copied()?;
    Some(u64::try_from(u128::from_le_bytes(bytes)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_field_is_where_the_standard_puts_it() {
        let mut log = [0; 512];
        log[..6].copy_from_slice(&[0b101, 0x43, 0x01, 99, 10, 3]);
        log[128] = 7;
        log[145] = 1;
        log[160] = 5;
        let health = parse(&log).unwrap();
        assert_eq!(health.critical_warning, Some(5));
        assert_eq!(health.temperature_celsius, Some(50));
        assert_eq!((health.spare_percent, health.spare_min_percent), (Some(99), Some(10)));
        assert_eq!(health.used_percent, Some(3));
        assert_eq!(health.power_on_hours, Some(7));
        assert_eq!(health.unsafe_shutdowns, Some(256));
        assert_eq!(health.media_errors, Some(5));
    }

    #[test]
    fn a_controller_without_a_thermometer_has_no_temperature() {
        assert_eq!(parse(&[0; 512]).unwrap().temperature_celsius, None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(log: Vec<u8>) {
            prop_assert!(parse(&log).is_some() == (log.len() >= 176) || log.len() < 176);
        }
    }
}
