//! Reads one record of `/dev/kmsg`: `6,339,5140900,-;text`, then lines ` KEY=value`.
//!
//! Pure.

/// A line of the kernel's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// 0 emergency … 7 debug.
    pub level: u8,
    /// Who wrote it: 0 is the kernel itself, which no program can pretend to be.
    pub facility: u32,
    /// Counts from the boot on.
    pub sequence: u64,
    /// Since the boot; stands still while the machine sleeps.
    pub age_us: u64,
    pub text: Vec<u8>,
}

impl Record {
    /// None where it is no record.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let semicolon = bytes.iter().position(|byte| *byte == b';')?;
        let (prefix, text) = bytes.split_at(semicolon);
        let mut fields = std::str::from_utf8(prefix).ok()?.split(',');
        let mut number = || fields.next()?.parse::<u64>().ok();
        let (priority, sequence, age_us) = (number()?, number()?, number()?);
        let text = text.get(1..)?;
        let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
        Some(Self {
            level: u8::try_from(priority & 7).ok()?,
            facility: u32::try_from(priority >> 3).ok()?,
            sequence,
            age_us,
            text: unescape(text.get(..end)?),
        })
    }
}

/// What cannot be printed, and the backslash, is written as `\x5c`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = || {
            let code = behind.strip_prefix(b"x")?.get(..2)?;
            u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()
        };
        match (*first == b'\\').then(escaped).flatten() {
            Some(byte) => {
                plain.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record as `level facility sequence text`.
    #[track_caller]
    fn check(bytes: &str, expected: Option<&str>) {
        let shown = Record::parse(bytes.as_bytes()).map(|record| {
            let text = String::from_utf8_lossy(&record.text).into_owned();
            format!("{} {} {} {text}", record.level, record.facility, record.sequence)
        });
        assert_eq!(shown.as_deref(), expected);
    }

    #[test]
    fn a_record_is_read_without_its_dictionary() {
        check("6,339,5140900,-;NET: Registered\n", Some("6 0 339 NET: Registered"));
        check(
            "3,1,2,-;sd 0:0:0:0: [sda] x\n SUBSYSTEM=scsi\n DEVICE=+scsi:0:0:0:0\n",
            Some("3 0 1 sd 0:0:0:0: [sda] x"),
        );
    }

    #[test]
    fn fields_that_newer_kernels_add_are_passed_over() {
        check("4,7,8,c,caller=T1;text", Some("4 0 7 text"));
    }

    #[test]
    fn a_program_that_writes_to_the_log_is_known_by_its_facility() {
        check(
            "30,9,1,-;systemd[1]: I/O error, dev sda",
            Some("6 3 9 systemd[1]: I/O error, dev sda"),
        );
    }

    #[test]
    fn what_was_escaped_is_read_as_it_was() {
        check(r"6,1,1,-;a\x5cb\x1b[0m\x", Some("6 0 1 a\\b\u{1b}[0m\\x"));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in ["", "6,1,1", ";", "x,1,1,-;t", "6,,1,-;t", "6,1;t"] {
            check(bytes, None);
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(bytes: Vec<u8>) {
            Record::parse(&bytes);
        }

        #[test]
        fn text_without_backslashes_is_left_as_it_is(text in "[^\\\\\n]{0,60}") {
            prop_assert_eq!(unescape(text.as_bytes()), text.as_bytes());
        }
    }
}
