//! What the kernel says of a process: CPU time, memory, threads, how often it was switched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process is made of now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    pub rss_kib: u64,
    pub rss_peak_kib: u64,
    pub pss_kib: u64,
    pub threads: u64,
}

/// How often each thread of a process was switched away from, by thread id.
pub type Switches = BTreeMap<u32, u64>;

pub fn memory(pid: u32) -> Result<Memory> {
    let folder = folder(pid);
    let status = read(&folder.join("status"))?;
    let rollup = read(&folder.join("smaps_rollup"))?;
    let of = |text: &str, name: &str| {
        field(text, name).with_context(|| format!("the kernel does not say {name} of {pid}"))
    };
    Ok(Memory {
        rss_kib: of(&status, "VmRSS")?,
        rss_peak_kib: of(&status, "VmHWM")?,
        pss_kib: of(&rollup, "Pss")?,
        threads: of(&status, "Threads")?,
    })
}

/// Switches that the threads asked for and those that they did not.
pub fn switches(pid: u32) -> Result<Switches> {
    let tasks = folder(pid).join("task");
    let listed = std::fs::read_dir(&tasks).with_context(|| format!("listing {tasks:?}"))?;
    let mut switches = Switches::new();
    for task in listed {
        let task = task?;
        // A thread may end between the listing and the reading.
        let Ok(status) = read(&task.path().join("status")) else { continue };
        let thread = task.file_name().to_string_lossy().parse().context("a thread's number")?;
        let mut count = 0;
        for name in ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"] {
            count += field(&status, name).with_context(|| format!("no {name}"))?;
        }
        switches.insert(thread, count);
    }
    Ok(switches)
}

/// Switches between two looks; what threads that ended in between did last is not in it.
#[must_use]
pub fn switched(before: &Switches, after: &Switches) -> u64 {
    let since = |(thread, count): (&u32, &u64)| {
        count.saturating_sub(before.get(thread).copied().unwrap_or_default())
    };
    after.iter().map(since).sum()
}

/// User and system time of a process, threads that have ended included; to a hundredth of a second.
pub fn cpu(pid: u32) -> Result<Duration> {
    let [user, system, ..] = times(&read(&folder(pid).join("stat"))?)?;
    Ok(user + system)
}

/// User and system time of this process and of the children that it has waited for.
pub fn own_cpu() -> Result<Duration> {
    let times = times(&read(Path::new("/proc/self/stat"))?)?;
    Ok(times.iter().sum())
}

/// User, system, and the same of children waited for: fields 14 to 17 of a `stat` file.
fn times(stat: &str) -> Result<[Duration; 4]> {
    // The second field, the name, may hold anything, spaces and parentheses included.
    let (_, after_name) = stat.rsplit_once(')').context("stat without a name")?;
    let ticks = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks: Vec<u64> = ticks.map_while(Result::ok).take(4).collect();
    let ticks: [u64; 4] = ticks.try_into().ok().context("stat without times")?;
    Ok(ticks.map(|ticks| Duration::from_millis(ticks * TICK_MS)))
}

/// USER_HZ, in which the kernel tells times: 100 on every architecture that Linux knows today.
const TICK_MS: u64 = 10;

fn folder(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.next()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmHWMark:\t1 kB\nVmHWM:\t  4300 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmHWM"), Some(4300));
        assert_eq!(field(status, "Threads"), Some(7));
        assert_eq!(field(status, "VmRSS"), None);
    }

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 90 1 0 0 12 34 56 78 20 0 1 0";
        assert_eq!(times(stat).unwrap(), [120, 340, 560, 780].map(Duration::from_millis));
        assert!(times("7 (a) S 1").is_err());
    }

    #[test]
    fn threads_that_began_in_between_count_from_their_beginning() {
        let (before, after) = (Switches::from([(1, 5), (2, 9)]), Switches::from([(1, 8), (3, 4)]));
        assert_eq!(switched(&before, &after), 7);
    }

    #[test]
    fn this_very_process_uses_something() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.rss_kib > 0 && memory.rss_peak_kib >= memory.rss_kib && memory.threads > 0);
        assert!(switched(&Switches::new(), &switches(own).unwrap()) > 0);
        assert!(cpu(own).unwrap() <= own_cpu().unwrap());
    }
}
