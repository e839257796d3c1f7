//! One line of /proc about a process, as far as it decides what may be done to it.

use std::fs::File;
use std::io::Read;

/// The line is a few hundred bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// Linux shows times in /proc in hundredths of a second, whatever it counts in itself.
const TICK_NS: u64 = 10_000_000;

/// A thread of the kernel itself.
const FLAG_KERNEL: u64 = 0x0020_0000;

/// The line, as far as it is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    /// As it calls itself.
    pub(super) name: Vec<u8>,
    pub(super) parent: u32,
    /// The process group.
    pub(super) group: u32,
    pub(super) session: u32,
    pub(super) start_ticks: u64,
    pub(super) is_kernel: bool,
    /// Stopped by a signal, or by one who traces it.
    pub(super) is_stopped: bool,
    /// It has ended, and all its threads with it.
    pub(super) has_ended: bool,
}

impl Stat {
    /// None if there is no such process, or it cannot be read.
    pub(super) fn read(pid: u32) -> Option<Self> {
        let mut line = Vec::new();
        let file = File::open(format!("/proc/{pid}/stat")).ok()?;
        file.take(LINE_BYTES_MAX).read_to_end(&mut line).ok()?;
        Self::parse(&line)
    }

    /// All processes.
    pub(super) fn all() -> std::io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            all.extend(pid.and_then(Self::read));
        }
        Ok(all)
    }

    /// The name stands in round brackets and may hold any byte, brackets too.
    fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        // The first of these is the third field of the file.
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let state = *fields.first()?;
        // A leader that has ended while its threads run on shows as ended, too.
        let threads = field(20)?;
        Some(Self {
            pid,
            name: line.get(open + 1..close)?.to_vec(),
            parent: u32::try_from(field(4)?).ok()?,
            // Of a process that is in another namespace of numbers these are 0.
            group: field(5).and_then(|group| u32::try_from(group).ok()).unwrap_or(0),
            session: field(6).and_then(|session| u32::try_from(session).ok()).unwrap_or(0),
            start_ticks: field(22)?,
            is_kernel: field(9)? & FLAG_KERNEL != 0,
            is_stopped: matches!(state, "T" | "t"),
            has_ended: matches!(state, "Z" | "X" | "x") && threads <= 1,
        })
    }

    /// Whether it was started at this moment of the boot-time clock, as exactly as /proc tells.
    pub(super) fn started_at(&self, start_boot_ns: u64) -> bool {
        self.start_ticks == start_boot_ns / TICK_NS
    }

    /// For a person: `4242 (sh)`.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.pid, String::from_utf8_lossy(&self.name).escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(name: &str, state: &str, flags: u64, threads: u64) -> Vec<u8> {
        let rest = "1 2 3 4 50 60 0 0 20 0";
        format!("42 ({name}) {state} 7 42 41 0 -1 {flags} {rest} {threads} 0 777 1000 9 1").into()
    }

    #[track_caller]
    fn check(line: &[u8], expected: &str) {
        let said = Stat::parse(line).map(|stat| {
            let mut said = format!(
                "{} of {} in {} at {}",
                stat.title(),
                stat.parent,
                stat.session,
                stat.start_ticks
            );
            let states = [
                (stat.is_kernel, " kernel"),
                (stat.is_stopped, " stopped"),
                (stat.has_ended, " ended"),
            ];
            states.iter().filter(|(is, _)| *is).for_each(|(_, word)| said.push_str(word));
            said
        });
        assert_eq!(said.unwrap_or_default(), expected);
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        check(&line("a) R 1 (b", "S", 0, 1), "42 (a) R 1 (b) of 7 in 41 at 777");
    }

    #[test]
    fn what_it_is_and_how_it_fares_is_told() {
        check(&line("sh", "T", 0, 1), "42 (sh) of 7 in 41 at 777 stopped");
        check(&line("sh", "t", 0, 1), "42 (sh) of 7 in 41 at 777 stopped");
        check(&line("kworker/0", "I", 0x0020_8040, 1), "42 (kworker/0) of 7 in 41 at 777 kernel");
        check(&line("sh", "Z", 0, 1), "42 (sh) of 7 in 41 at 777 ended");
    }

    #[test]
    fn a_leader_that_ended_before_its_threads_is_alive() {
        check(&line("sh", "Z", 0, 3), "42 (sh) of 7 in 41 at 777");
    }

    #[test]
    fn a_start_is_compared_in_hundredths_of_a_second() {
        let stat = Stat::parse(&line("sh", "S", 0, 1)).unwrap();
        for (start_boot_ns, is_it) in [
            (7_770_000_000, true),
            (7_779_999_999, true),
            (7_780_000_000, false),
            (7_769_999_999, false),
        ] {
            assert_eq!(stat.started_at(start_boot_ns), is_it, "{start_boot_ns}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(line: Vec<u8>) {
            let name = Stat::parse(&line).map_or(0, |stat| stat.name.len());
            prop_assert!(name <= line.len());
        }
    }
}
