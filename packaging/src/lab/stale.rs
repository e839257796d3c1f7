//! Removes what the labs of processes that were killed left behind.

use std::fs;
use std::path::Path;

use super::namespace::{self, NAMES};
use super::{PREFIX, cgroup};
use crate::say;

/// What cannot be removed is said and left: a new lab has names of its own.
pub(super) fn sweep() {
    let names = Path::new(NAMES);
    for name in leftovers(names) {
        told("network namespace", &names.join(&name), namespace::delete(&name));
    }
    let Ok(Some(groups)) = cgroup::own_group() else { return };
    for name in leftovers(&groups) {
        let group = groups.join(&name);
        let removed = cgroup::remove(&group).map_err(|error| error.to_string());
        told("control group", &group, removed);
    }
}

fn told(kind: &str, path: &Path, removed: Result<(), String>) {
    let which = format!("the {kind} {}", path.display());
    match removed {
        Ok(()) => say::line(&format!("removed {which}, left behind by a lab that was killed")),
        // Another lab, starting at the same moment, may have been quicker.
        Err(_) if !path.exists() => {}
        Err(reason) => say::error(&format!("removing {which}, left behind by a lab: {reason}")),
    }
}

/// The entries of a folder that a lab made whose process is gone.
fn leftovers(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| maker(name).is_some_and(|pid| !is_alive(pid))).collect()
}

/// The process that made it, from `cordon-PROCESS-LAB-NAME`.
fn maker(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (lab, _) = rest.split_once('-')?;
    lab.parse::<u32>().ok()?;
    pid.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_lab_gives_are_looked_at() {
        assert_eq!(maker("cordon-4711-0-web-01"), Some(4711));
        assert_eq!(maker("cordon-agent-0-x"), None);
        assert_eq!(maker("cordon-4711"), None);
        assert_eq!(maker("cordon-4711-web-01"), None);
        assert_eq!(maker("docker-4711-0-x"), None);
    }
}
