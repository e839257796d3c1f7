//! What this machine says of itself: its names, its system, its boot.

use std::fs;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::clock;

/// The machine, as told to the collector for people to recognise it by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Machine {
    /// The operating system's name.
    pub os: String,
    /// The kernel's name and version.
    pub kernel: String,
    /// The machine's id; `none` where the system keeps none.
    pub machine_id: String,
    /// The kernel's id of this boot.
    pub boot_id: String,
}

/// A line about a machine that is longer says nothing more.
const TEXT_CHARS_MAX: usize = 200;

impl Machine {
    /// Looks at the machine.
    pub fn read() -> std::io::Result<Self> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let uname = rustix::system::uname();
        let kernel = [uname.sysname(), uname.release(), uname.machine()];
        let kernel = kernel.map(|part| part.to_string_lossy().into_owned()).join(" ");
        Ok(Self {
            os: os_name(&release),
            kernel: kernel.chars().take(TEXT_CHARS_MAX).collect(),
            machine_id: machine_id(),
            boot_id: clock::boot_id()?,
        })
    }
}

/// The host name at this moment.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The machine's id; `none` where the system keeps none.
#[must_use]
pub fn machine_id() -> String {
    clock::machine_id().unwrap_or_else(|_absent| "none".to_owned())
}

/// Asking systemd takes milliseconds; the agent is stopping and waits no longer.
const ASK_MAX: Duration = Duration::from_millis(500);

/// Whether the machine is being switched off or started again; none where it cannot be told.
pub async fn is_stopping() -> Option<bool> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let ask = tokio::task::spawn_blocking(|| {
        let mut command = Command::new("systemctl");
        command.arg("is-system-running").stdin(Stdio::null()).stderr(Stdio::null()).output()
    });
    let said = tokio::time::timeout(ASK_MAX, ask).await.ok()?.ok()?.ok()?;
    Some(said.stdout.starts_with(b"stopping"))
}

/// The name that an os-release file gives for people.
fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or("Linux", |name| name.trim_matches(['"', '\'']));
    name.chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_name_is_the_one_for_people() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\n";
        assert_eq!(os_name(release), "Debian GNU/Linux 13 (trixie)");
        assert_eq!(os_name("PRETTY_NAME=Alpine\n"), "Alpine");
        assert_eq!(os_name(""), "Linux");
    }

    #[test]
    fn a_machine_has_a_kernel_a_boot_and_a_name() {
        let machine = Machine::read().unwrap();
        assert!(machine.kernel.starts_with("Linux ") && machine.boot_id.len() == 36);
        assert!(!host_name().is_empty());
    }
}
