//! The programs that tasks call besides cargo, the packages they come from, and getting them.
//!
//! As root on a machine with apt-get what is missing is installed; elsewhere it is named, and what
//! depends on it skips by name.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::run_command::{find_program, run};
use crate::say;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Need {
    pub program: &'static str,
    pub package: &'static str,
    pub why: &'static str,
}

/// What the demo and the tests that run as root call.
pub const FOR_THE_LAB: [Need; 5] = [
    Need { program: "ip", package: "iproute2", why: "makes the network namespaces of the lab" },
    Need { program: "nft", package: "nftables", why: "reads back what isolation did" },
    Need { program: "sysctl", package: "procps", why: "reads the kernel's settings" },
    Need { program: "python3", package: "python3-minimal", why: "runs the second verifier" },
    Need { program: "zstd", package: "zstd", why: "unpacks batches for the second verifier" },
];

/// What the containment lab tries an isolation with; taken from the machine, or unpacked into the
/// cache (see `peers`), because installing a server would be a change of this machine.
pub const FOR_PROBING: [Need; 3] = [
    Need { program: "nmap", package: "nmap", why: "scans what an isolation must close" },
    Need { program: "dnsmasq", package: "dnsmasq-base", why: "serves names and addresses" },
    Need {
        program: "dhclient",
        package: "isc-dhcp-client",
        why: "renews an address while cut off",
    },
];

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sees to it that the programs are there as far as that can be done here; what is missing
/// afterwards comes back, each with what it would be for.
pub fn provide(needs: &[Need], log_folder: &Path) -> Result<Vec<String>> {
    let is_here = |need: &Need| find_program(need.program).is_some();
    let missing = missing(needs, is_here);
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let packages = packages(&missing);
    if !is_root() || find_program("apt-get").is_none() {
        say::line(&format!("not here, from the packages: {}", packages.join(" ")));
        return Ok(missing.iter().map(describe).collect());
    }
    install(&packages, log_folder)?;
    let still: Vec<Need> = missing.into_iter().filter(|need| !is_here(need)).collect();
    Ok(still.iter().map(describe).collect())
}

fn missing(needs: &[Need], is_here: impl Fn(&Need) -> bool) -> Vec<Need> {
    needs.iter().filter(|need| !is_here(need)).copied().collect()
}

fn packages(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

pub(crate) fn describe(need: &Need) -> String {
    format!("{} (package {}): {}", need.program, need.package, need.why)
}

/// Fetches the package lists once, then all packages in one go.
fn install(packages: &[&str], log_folder: &Path) -> Result<()> {
    let list = packages.join(" ");
    let steps: [(String, &str, Vec<&str>); 2] = [
        ("fetched the package lists".into(), "apt-update", vec!["update", "-q"]),
        (
            format!("installed {list}"),
            "apt-install",
            [&["install", "-q", "-y", "--no-install-recommends"], packages].concat(),
        ),
    ];
    for (what, log, arguments) in steps {
        say::begin(&what);
        let mut command = Command::new("apt-get");
        command.args(&arguments).env("DEBIAN_FRONTEND", "noninteractive");
        let ran = run(&what, &mut command, &log_folder.join(format!("{log}.log")))?;
        if ran.status.success() {
            say::step("ok", ran.took, &what);
        } else {
            // Not the end: what needs the programs says so itself, by name.
            say::step("FAIL", ran.took, &format!("apt-get {}", arguments.join(" ")));
            say::output(&ran.output);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_here_is_wanted() {
        let found = missing(&FOR_THE_LAB, |need| need.program != "nft");
        assert_eq!(packages(&found), ["nftables"]);
    }

    #[test]
    fn a_package_is_named_once() {
        let again = Need { program: "ss", package: "iproute2", why: "shows sockets" };
        let needs = [FOR_THE_LAB[0], FOR_THE_LAB[1], again];
        assert_eq!(packages(&needs), ["iproute2", "nftables"]);
    }

    #[test]
    fn what_is_missing_says_what_it_would_be_for() {
        let text = "nft (package nftables): reads back what isolation did";
        assert_eq!(describe(&FOR_THE_LAB[1]), text);
    }
}
