//! One network namespace, and doing things inside it.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::{LabError, doing};
use crate::undo::{self, Undo};

/// Where `ip netns` keeps the names.
pub(super) const NAMES: &str = "/run/netns";

/// A handle; the last one dropped ends what still runs inside and deletes the namespace.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    file: File,
    /// Deletes it; nothing for one that was only opened.
    _undo: Option<Undo>,
}

impl Namespace {
    pub(super) fn make(name: &str) -> Result<Self, LabError> {
        let doomed = name.to_owned();
        let making = format!("the network namespace {name}");
        let (file, undo) = undo::make(
            &making,
            move || delete(&doomed),
            || {
                let mut add = Command::new("ip");
                require(name, "ip", &["netns", "add", name], add.args(["netns", "add", name]))?;
                open(&Path::new(NAMES).join(name))
            },
        )?;
        let namespace = Self(Arc::new(Inner { name: name.to_owned(), file, _undo: Some(undo) }));
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// A namespace that somebody else made, by its file; refuses the initial one.
    pub fn open(path: &Path) -> Result<Self, LabError> {
        let name = path.display().to_string();
        Ok(Self(Arc::new(Inner { file: open(path)?, name, _undo: None })))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// For programs that take a namespace as a file.
    pub fn path(&self) -> PathBuf {
        Path::new(NAMES).join(&self.0.name)
    }

    /// Runs the closure on a thread of its own that has entered this namespace, and that namespace
    /// only: files, control groups and /sys stay those of this machine.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let body = || self.enter().map(|()| work());
        std::thread::scope(|scope| match scope.spawn(body).join() {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        })
    }

    /// A listener inside this namespace; whoever holds the descriptor accepts from there,
    /// whichever namespace it lives in itself.
    pub fn listen(&self, address: SocketAddr) -> Result<OwnedFd, LabError> {
        let listener = self.run(|| TcpListener::bind(address))?;
        let what = || format!("listening at {address} in {}", self.name());
        Ok(listener.map_err(doing(what))?.into())
    }

    /// Runs `ip` inside; its output.
    pub fn ip(&self, arguments: &[&str]) -> Result<String, LabError> {
        self.output("ip", arguments)
    }

    /// Runs a short command inside to its end; its output, or what it complained.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<String, LabError> {
        let ran = self.run(|| {
            require(self.name(), program, arguments, Command::new(program).args(arguments))
        })?;
        ran.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn enter(&self) -> Result<(), LabError> {
        move_into_link_name_space(self.0.file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(doing(|| format!("entering {}", self.name())))?;
        // The thread is where it claims to be, or nothing is done at all.
        let here = identity(Path::new("/proc/thread-self/ns/net"))?;
        refuse_initial(self.name(), here)
    }
}

fn open(path: &Path) -> Result<File, LabError> {
    let file = File::open(path).map_err(doing(|| format!("opening {}", path.display())))?;
    let metadata = file.metadata().map_err(doing(|| format!("reading {}", path.display())))?;
    refuse_initial(&path.display().to_string(), (metadata.dev(), metadata.ino()))?;
    Ok(file)
}

/// The initial namespace is the one process 1 lives in, and the one this program was started in:
/// its main thread never leaves that.
fn refuse_initial(what: &str, found: (u64, u64)) -> Result<(), LabError> {
    let own = identity(Path::new("/proc/self/ns/net"))?;
    let first = identity(Path::new("/proc/1/ns/net")).ok();
    if found == own || Some(found) == first {
        return Err(LabError::Initial { what: what.to_owned() });
    }
    Ok(())
}

fn identity(path: &Path) -> Result<(u64, u64), LabError> {
    let metadata = fs::metadata(path)
        .map_err(doing(|| format!("reading which namespace {} is", path.display())))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Ends what still runs inside, then takes the name away.
pub(super) fn delete(name: &str) -> Result<(), String> {
    if !Path::new(NAMES).join(name).exists() {
        return Ok(());
    }
    let pids = ask_ip(&["netns", "pids", name])?;
    for pid in pids.lines().filter_map(|line| line.trim().parse::<u32>().ok()) {
        end(pid).map_err(|error| format!("ending process {pid} inside: {error}"))?;
    }
    ask_ip(&["netns", "delete", name]).map(drop)
}

fn end(pid: u32) -> io::Result<()> {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    if pid == rustix::process::getpid() {
        return Ok(());
    }
    let sent = pidfd_open(pid, PidfdFlags::empty())
        .and_then(|pidfd| pidfd_send_signal(&pidfd, Signal::KILL));
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn ask_ip(arguments: &[&str]) -> Result<String, String> {
    require("this machine", "ip", arguments, Command::new("ip").args(arguments))
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .map_err(|error| error.to_string())
}

fn require(
    namespace: &str,
    program: &str,
    arguments: &[&str],
    command: &mut Command,
) -> Result<Output, LabError> {
    let failed = |complaint: String| LabError::Command {
        command: format!("{program} {}", arguments.join(" ")),
        namespace: namespace.to_owned(),
        complaint,
    };
    let ran = command.stdin(Stdio::null()).output();
    let output = ran.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(format!("{}: {complaint}", output.status)));
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initial_namespace_cannot_be_taken_for_one_of_the_lab() {
        let error = Namespace::open(Path::new("/proc/self/ns/net")).unwrap_err();
        assert!(matches!(error, LabError::Initial { .. }), "{error}");
    }

    #[test]
    fn deleting_a_namespace_that_was_never_made_is_no_error() {
        assert_eq!(delete("cordon-0-0-never-made"), Ok(()));
    }
}
