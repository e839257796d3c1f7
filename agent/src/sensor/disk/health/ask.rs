//! Asks all disks how they are; on a thread that may wait for them.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::disk::DiskHealth;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{nvme_log, smartctl};
use crate::clock::Clock;
use crate::platform::linux::nvme;

/// Disks asked in one round; a machine with more has a controller that watches them.
const DISKS_MAX: usize = 64;

/// How long smartctl may take for one disk. An ATA disk under load takes seconds.
const SMARTCTL_WITHIN: Duration = Duration::from_secs(30);

/// What smartctl says of one disk at most; ten times what it usually says.
const OUTPUT_BYTES_MAX: u64 = 512 << 10;

/// Where smartctl is looked for: never along a path that somebody set.
const SMARTCTL: [&str; 3] = ["/usr/sbin/smartctl", "/usr/local/sbin/smartctl", "/sbin/smartctl"];

/// What the disks said, and what could not be asked although it should be.
#[derive(Debug, Default)]
pub(in crate::sensor::disk) struct Answers {
    pub(in crate::sensor::disk) healths: Vec<DiskHealth>,
    pub(in crate::sensor::disk) problems: Vec<String>,
}

/// Asks them one after the other.
pub(in crate::sensor::disk) fn ask_all() -> Answers {
    let mut answers = Answers::default();
    for name in names("/sys/class/nvme", "nvme") {
        match ask_nvme(&name) {
            Ok(health) => answers.healths.push(health),
            Err(error) => answers.problems.push(format!("asking /dev/{name}: {error}")),
        }
    }
    let Some(program) = SMARTCTL.iter().map(Path::new).find(|path| path.exists()) else {
        return answers;
    };
    for name in names("/sys/block", "sd") {
        match ask_smartctl(program, &name) {
            Ok(output) => answers.healths.extend(smartctl::parse(&name, &output)),
            Err(error) => answers.problems.push(format!("smartctl of /dev/{name}: {error}")),
        }
    }
    answers
}

fn names(folder: &str, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).take(DISKS_MAX).collect();
    names.sort_unstable();
    names
}

fn ask_nvme(name: &str) -> io::Result<DiskHealth> {
    let controller = File::open(Path::new("/dev").join(name))?;
    let log = nvme::health_log(&controller)?;
    let health = nvme_log::parse(&log).ok_or(io::ErrorKind::UnexpectedEof)?;
    let attribute = |attribute: &str| {
        let text = std::fs::read(format!("/sys/class/nvme/{name}/{attribute}")).ok()?;
        let text = text.trim_ascii();
        (!text.is_empty()).then(|| Text::from(text))
    };
    let (model, serial) = (attribute("model"), attribute("serial"));
    Ok(DiskHealth { device: name.into(), model, serial, ..health })
}

fn ask_smartctl(program: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(["--json", "--all", "--nocheck=standby"]).arg(Path::new("/dev").join(name));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let output = read_within(&mut child, SMARTCTL_WITHIN);
    // After its output has ended it ends too; one that takes too long is ended.
    if output.is_err() {
        child.kill()?;
    }
    // The status says what is wrong with the disk; the output says it too.
    child.wait()?;
    output
}

fn read_within(child: &mut Child, within: Duration) -> io::Result<Vec<u8>> {
    let clock = Clock::start();
    let Some(mut pipe) = child.stdout.take() else { return Ok(Vec::new()) };
    let mut output = Vec::new();
    loop {
        let left = within.saturating_sub(clock.now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut watched = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
        if poll(&mut watched, Some(&timeout))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut part = [0; 16 << 10];
        let count = pipe.read(&mut part)?;
        output.extend_from_slice(part.get(..count).unwrap_or_default());
        if count == 0 {
            return Ok(output);
        }
        if u64::try_from(output.len()).is_ok_and(|bytes| bytes > OUTPUT_BYTES_MAX) {
            return Err(io::Error::other("it says more than there can be to say"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_program_is_read_to_its_end() {
        let mut child = shell("echo one; echo two");
        let output = read_within(&mut child, Duration::from_secs(60)).unwrap();
        assert_eq!(output, b"one\ntwo\n");
        child.wait().unwrap();
    }

    #[test]
    fn a_program_that_takes_too_long_or_never_ends_to_talk_is_given_up() {
        let mut child = shell("exec sleep 60");
        let error = read_within(&mut child, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        child.kill().unwrap();
        child.wait().unwrap();
        let mut child = shell("while :; do echo and on and on and on and on and on; done");
        assert!(read_within(&mut child, Duration::from_secs(60)).is_err());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
