//! Reads `/proc/diskstats`.
//!
//! Pure. Counters are 32 or 64 bits wide, by kernel and field, and wrap.

/// Names of what is no disk.
const NO_DISKS: [&str; 5] = ["loop", "ram", "zram", "sr", "fd"];

/// What one disk has done since it is there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counters {
    pub(super) reads: u64,
    pub(super) sectors_read: u64,
    pub(super) read_ms: u64,
    pub(super) writes: u64,
    pub(super) sectors_written: u64,
    pub(super) write_ms: u64,
    pub(super) busy_ms: u64,
}

/// The disks and partitions that have ever done anything.
pub(super) fn parse(text: &[u8]) -> Vec<(&str, Counters)> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// `259 0 nvme0n1 reads merged sectors ms writes merged sectors ms in-flight busy-ms …`
fn parse_line(line: &[u8]) -> Option<(&str, Counters)> {
    let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(2);
    let name = fields.next()?;
    let mut numbers = [0_u64; 10];
    for number in &mut numbers {
        *number = fields.next()?.parse().ok()?;
    }
    let [reads, _, sectors_read, read_ms, writes, _, sectors_written, write_ms, _, busy_ms] =
        numbers;
    let is_disk = !NO_DISKS.iter().any(|kind| is_of_kind(name, kind));
    let counters =
        Counters { reads, sectors_read, read_ms, writes, sectors_written, write_ms, busy_ms };
    (is_disk && counters != Counters::default()).then_some((name, counters))
}

/// `loop0` is a loop; `ramen` is no memory disk.
fn is_of_kind(name: &str, kind: &str) -> bool {
    let number = name.strip_prefix(kind);
    number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How far a counter has come, though it may have wrapped at 32 bits. A counter that went back for
/// another reason (the disk was exchanged) has come nowhere.
pub(super) fn advance(before: u64, after: u64) -> u64 {
    const WRAP: u64 = 1 << 32;
    match after.checked_sub(before) {
        Some(by) => by,
        None if before < WRAP && before - after > WRAP / 2 => after + (WRAP - before),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_of_any_kernel_is_read() {
        // 11 fields before 4.18, 15 with discards, 17 with flushes.
        for rest in ["", " 1 2 3 4", " 1 2 3 4 5 6"] {
            let text = format!(" 259       0 nvme0n1 10 1 80 5 20 2 160 9 0 12 14{rest}\n");
            let expected = Counters {
                reads: 10,
                sectors_read: 80,
                read_ms: 5,
                writes: 20,
                sectors_written: 160,
                write_ms: 9,
                busy_ms: 12,
            };
            assert_eq!(parse(text.as_bytes()), [("nvme0n1", expected)]);
        }
    }

    #[test]
    fn what_is_no_disk_or_never_did_anything_is_left_out() {
        let used = "1 0 0 0 0 0 0 0 0 0 0";
        for name in ["loop0", "ram15", "zram0", "sr0"] {
            assert_eq!(parse(format!("7 0 {name} {used}\n").as_bytes()), [], "{name}");
        }
        assert_eq!(parse(b"8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n8 1 sdb 1 0\nsdc\n\xff\n"), []);
        assert_eq!(parse(format!("253 0 dm-0 {used}\n").as_bytes()).len(), 1);
    }

    #[test]
    fn counters_wrap_and_go_back_only_when_the_disk_is_another() {
        assert_eq!(advance(1, 5), 4);
        assert_eq!(advance(u64::from(u32::MAX), 4), 5);
        assert_eq!(advance(1000, 4), 0);
        assert_eq!(advance(1 << 40, 4), 0);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(text: Vec<u8>, before: u64, after: u64) {
            parse(&text);
            advance(before, after);
        }
    }
}
