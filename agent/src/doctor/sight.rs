//! What each sensor will see on this machine. Whatever is opened to find out is given back at once.

use std::io;
use std::path::Path;

use cordon_proto::event::SensorState;
use cordon_proto::event::inventory::Subject;
use rustix::fs::inotify::{self, CreateFlags};
use rustix::fs::{Mode, OFlags};

use super::{Finding, Grade};
use crate::config::{Config, Sensors};
use crate::platform::linux::bpf::btf::Btf;
use crate::platform::linux::bpf::ring::Ring;
use crate::platform::linux::cgroup_scope::{self, CgroupError, Scope};
use crate::platform::linux::fanotify;
use crate::platform::linux::netns::Netns;
use crate::platform::linux::packet::{Network, PacketSocket};
use crate::platform::linux::sock_diag::Sockets;
use crate::platform::linux::uevent;
use crate::redact::Redactor;
use crate::sensor::journal::{Follows, Presence, presence};
use crate::sensor::{device, login};
use crate::{clock, inventory};

/// Where the kernel describes its types.
const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// The smallest that the sensors take.
const RING_BYTES: usize = 64 << 10;

/// Named of what an inventory cannot look at; a sentence that names more is not read.
const PROBLEMS_MAX: usize = 3;

/// A finding for each sensor.
pub(super) fn all(config: &Config) -> Vec<Finding> {
    let Sensors { process, network: net, dns, files: file, journal: follow, .. } = &config.sensors;
    let Sensors { kernel, devices: device, inventory: items, logins: login, .. } = &config.sensors;
    vec![
        when(process.enabled, "processes", processes),
        when(net.enabled, "network", || network(config)),
        when(dns.enabled, "names", names),
        when(file.enabled, "files", files),
        when(follow.enabled != Follows::Never, "journal", || journal(config)),
        when(kernel.enabled, "kernel log", || kernel_log(Path::new("/dev/kmsg"))),
        when(device.enabled, "devices", devices),
        when(items.enabled, "inventory", || inventories(Path::new("/"))),
        when(login.enabled, "logins", || logins(Path::new("/"))),
    ]
}

fn when(enabled: bool, check: &'static str, look: impl FnOnce() -> (Grade, String)) -> Finding {
    let off = || (Grade::Fine, "switched off in the settings".to_owned());
    let (grade, found) = if enabled { look() } else { off() };
    Finding::of(check, grade, found)
}

fn fine(found: &str) -> (Grade, String) {
    (Grade::Fine, found.to_owned())
}

fn less(found: impl Into<String>) -> (Grade, String) {
    (Grade::Less, found.into())
}

/// Type information and a ring are what the programs need that a kernel, a container or a missing
/// capability may refuse.
fn bpf() -> Result<(), String> {
    Btf::read(Path::new(KERNEL_TYPES)).map(drop).map_err(|error| error.to_string())?;
    Ring::new("cordon_doctor", RING_BYTES).map(drop).map_err(|error| error.to_string())
}

fn processes() -> (Grade, String) {
    match bpf() {
        Ok(()) => fine("BPF: every process is seen, whole"),
        Err(error) => less(format!(
            "no BPF ({error}); processes that live for milliseconds are seen in part or not"
        )),
    }
}

fn network(config: &Config) -> (Grade, String) {
    let is_initial = Netns::own().and_then(Netns::is_initial).ok();
    if let Err(error) = bpf() {
        let secs = config.sensors.network.sample_secs;
        return less(match Sockets::open() {
            Ok(_) => format!(
                "no BPF ({error}); sockets are listed every {secs} s, and what is shorter is not \
                 seen"
            ),
            Err(lists) => format!("no BPF ({error}), no lists ({lists}): no connection is seen"),
        });
    }
    let own = if is_initial == Some(true) && !config.lab { "" } else { " of this namespace" };
    let tcp = format!("BPF: every TCP connection{own}");
    match cgroup_scope::group(is_initial, config.lab).map(|group| group.scope) {
        Ok(Scope::Machine) => (Grade::Fine, format!("{tcp}, and who sends datagrams to whom")),
        Ok(Scope::Own) => less(format!("{tcp}; datagrams of the agent's own control group only")),
        // A shell in a container may be there; systemd puts every service into one of its own.
        Err(error @ CgroupError::OwnIsRoot) => {
            less(format!("{tcp}; datagrams only if the agent runs as a service ({error})"))
        }
        Err(error) => less(format!("{tcp}; no datagrams: {error}")),
    }
}

/// The filter lets nothing through.
fn names() -> (Grade, String) {
    const NOTHING: [(u16, u8, u8, u32); 1] = [(0x06, 0, 0, 0)];
    match PacketSocket::open(Network::Ipv4, &NOTHING) {
        Ok(_) => fine("packet socket: answers of name servers are heard"),
        Err(error) => less(format!(
            "no packet socket ({error}); name servers' answers are not told, and connections have \
             no names"
        )),
    }
}

fn files() -> (Grade, String) {
    let fanotify = match fanotify::Group::open() {
        Ok(_) => return fine("fanotify: changes are told with their process"),
        Err(error) => error,
    };
    less(match inotify::init(CreateFlags::CLOEXEC) {
        Ok(_) => {
            format!("no fanotify ({fanotify}); changes of files are told without their process")
        }
        Err(inotify) => {
            format!("no fanotify ({fanotify}), no inotify ({inotify}): no change is seen at once")
        }
    })
}

fn journal(config: &Config) -> (Grade, String) {
    let Sensors { journal, logs, .. } = &config.sensors;
    let syslog = if logs.enabled { logs.paths.as_slice() } else { &[] };
    match presence(journal, syslog, clock::stamp().time_ns) {
        Presence::Follow => fine("journalctl is there: entries are followed"),
        Presence::Not { state: SensorState::Off, reason } => {
            (Grade::Fine, format!("not followed: {reason}"))
        }
        Presence::Not { reason, .. } => less(format!("asked for, and cannot be: {reason}")),
    }
}

fn kernel_log(path: &Path) -> (Grade, String) {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from) {
        Ok(_) => fine("it can be read, errors of disks in it are told"),
        Err(error) => less(format!(
            "{} cannot be opened ({error}); neither its lines nor errors of disks are told",
            path.display()
        )),
    }
}

fn devices() -> (Grade, String) {
    match (uevent::open(), device::condition()) {
        (Err(error), _) => less(format!("none is heard: the kernel's messages: {error}")),
        (Ok(_), (_, Some(reason))) => less(format!("not all are heard: {reason}")),
        (Ok(_), (_, None)) => fine("the kernel tells of all that come and go"),
    }
}

/// Takes all of them, and keeps none.
fn inventories(root: &Path) -> (Grade, String) {
    let look = |subject| match inventory::collect(subject, root, &Redactor::default()) {
        Ok(found) => found.problems,
        Err(error) => vec![format!("{}: {error}", subject.name())],
    };
    let problems: Vec<_> = Subject::ALL.into_iter().flat_map(look).collect();
    if problems.is_empty() {
        return (Grade::Fine, format!("all {} can be taken, whole", Subject::ALL.len()));
    }
    let shown = problems.iter().take(PROBLEMS_MAX).map(String::as_str).collect::<Vec<_>>();
    let more = problems.len() - shown.len();
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    less(format!("rows may be missing: {}{more}", shown.join("; ")))
}

fn logins(root: &Path) -> (Grade, String) {
    let login::Sources { found, has_failed } = login::sources(root);
    match (found.as_slice(), has_failed) {
        ([], _) => less("nothing on this machine records logins; only logs may tell of them"),
        (found, true) => (Grade::Fine, format!("read from {}", found.join(", "))),
        (found, false) => less(format!(
            "read from {}; no btmp: of failed logins only logs may tell",
            found.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_switched_off_is_not_looked_at_and_not_amiss() {
        let finding = when(false, "devices", || unreachable!("it is off"));
        assert_eq!((finding.grade, finding.check), (Grade::Fine, "devices"));
        let mut config = Config::default();
        config.sensors.journal.enabled = Follows::Never;
        let all = all(&config);
        let journal = all.iter().find(|finding| finding.check == "journal").unwrap();
        assert_eq!(journal.found, "switched off in the settings");
    }

    #[test]
    fn a_log_that_cannot_be_opened_says_what_is_not_told() {
        let temp = tempfile::tempdir().unwrap();
        let (grade, found) = kernel_log(&temp.path().join("kmsg"));
        assert_eq!(grade, Grade::Less);
        assert!(found.contains("nor errors of disks"), "{found}");
    }

    #[test]
    fn a_journal_that_is_asked_for_and_not_there_is_less() {
        let mut config = Config::default();
        let temp = tempfile::tempdir().unwrap();
        config.sensors.journal.directory = Some(temp.path().join("none"));
        assert_eq!(journal(&config).0, Grade::Fine);
        config.sensors.journal.enabled = Follows::Always;
        assert_eq!(journal(&config).0, Grade::Less);
    }

    #[test]
    fn records_of_logins_are_named_and_missing_ones_have_consequences() {
        let temp = tempfile::tempdir().unwrap();
        assert!(logins(temp.path()).1.contains("nothing on this machine"));
        std::fs::create_dir_all(temp.path().join("run/systemd/sessions")).unwrap();
        let (grade, found) = logins(temp.path());
        assert_eq!((grade, found.contains("read from logind; no btmp")), (Grade::Less, true));
    }

    #[test]
    fn inventories_of_an_empty_root_say_what_is_missing() {
        let temp = tempfile::tempdir().unwrap();
        let (grade, found) = inventories(temp.path());
        assert_eq!(grade, Grade::Less, "{found}");
        assert!(found.contains("etc/passwd"), "{found}");
    }
}
