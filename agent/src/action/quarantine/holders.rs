//! Who runs a file that was taken away, and who has it open for writing. Told, and left alone.

use std::path::Path;

use cordon_proto::event::receipt::Probe;

use crate::platform::linux::place::{self, Inode};

/// Processes that are named; more are counted.
const NAMED_MAX: usize = 16;

/// Open files looked at in one process.
const OPEN_FILES_MAX: usize = 4096;

/// What can be said about processes that still have the file; empty where none has.
pub(super) fn probes(file: Inode) -> Vec<Probe> {
    let holders = holders(Path::new("/proc"), file);
    let probe = |what: &str, pids: Vec<u32>, then: &str| {
        let seen = format!("{}; {then}", named(&pids));
        (!pids.is_empty()).then_some(Probe { what: what.to_owned(), passed: true, seen })
    };
    let running =
        probe("processes that run it", holders.running, "they go on until they are killed");
    let writing = probe(
        "processes that have it open for writing",
        holders.writing,
        "what they write from now on is in no copy",
    );
    running.into_iter().chain(writing).collect()
}

#[derive(Debug, Default)]
struct Holders {
    running: Vec<u32>,
    writing: Vec<u32>,
}

/// Processes come and go meanwhile; what cannot be looked at is not told.
fn holders(proc: &Path, file: Inode) -> Holders {
    let mut holders = Holders::default();
    let is_it = |path: &Path| place::facts_at(path).is_some_and(|facts| facts.inode == file);
    for entry in std::fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let process = entry.path();
        if is_it(&process.join("exe")) {
            holders.running.push(pid);
        }
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let writes = open.take(OPEN_FILES_MAX).any(|fd| {
            is_it(&fd.path()) && is_for_writing(&process.join("fdinfo").join(fd.file_name()))
        });
        if writes {
            holders.writing.push(pid);
        }
    }
    holders
}

/// The flags stand in octal; the last two bits say for what it was opened.
fn is_for_writing(fdinfo: &Path) -> bool {
    let text = std::fs::read_to_string(fdinfo).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 0b11 != 0)
}

fn named(pids: &[u32]) -> String {
    let named: Vec<_> = pids.iter().take(NAMED_MAX).map(u32::to_string).collect();
    let more = pids.len().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("pid {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_file_open_for_writing_is_found_and_a_reader_is_not() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        let file = place::facts_at(temp.path()).unwrap().inode;
        assert_eq!(holders(Path::new("/proc"), file).writing, [std::process::id()]);
        let path = temp.into_temp_path();
        assert!(probes(file).is_empty());
        let reader = std::fs::File::open(&path).unwrap();
        assert!(probes(file).is_empty());
        drop(reader);
    }

    #[test]
    fn who_runs_a_file_is_found() {
        let own = place::facts_at(Path::new("/proc/self/exe")).unwrap().inode;
        assert!(holders(Path::new("/proc"), own).running.contains(&std::process::id()));
        let seen = probes(own).remove(0).seen;
        assert!(seen.starts_with("pid ") && seen.ends_with("until they are killed"), "{seen}");
    }

    #[test]
    fn of_many_processes_some_are_named_and_the_rest_counted() {
        let pids: Vec<u32> = (1..=18).collect();
        assert!(named(&pids).ends_with("15, 16 and 2 more"), "{}", named(&pids));
    }
}
