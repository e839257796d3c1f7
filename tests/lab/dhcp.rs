//! A real server of addresses and names, and a real DHCP client whose lease is soon renewed.
//!
//! The client's lease lies where Debian's client keeps it, in a mount namespace that the agent
//! shares, so that the agent finds the server on record and nothing of this machine is written.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_packaging::lab::{Launch, Namespace};
use cordon_packaging::peers;
use cordon_packaging::process::Process;

use crate::address;
use crate::place::{Family, Place};

const LEASES: &str = "/var/lib/dhcp";
/// The client asks again after three quarters of this to all of it.
const RENEW_SECS: &str = "4";
/// Until then only the server on record is asked, not everybody.
const REBIND_SECS: &str = "60";

/// A process that keeps a mount namespace, in which the folder of leases is a file system of its
/// own in memory. Only that namespace sees it: mounts made in it do not leave it.
pub(crate) fn lease_folder() -> Result<Process> {
    // Where the folder does not exist, its parent is what is hidden.
    let mount = "mount -t tmpfs -o size=1m cordon-lab";
    let script = format!(
        "set -e; if [ -d {LEASES} ]; then {mount} {LEASES}; else {mount} /var/lib; mkdir {LEASES}; fi; \
         echo ready; exec cat"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = Process::start("the mount namespace of leases", &mut command)?;
    let output = keeper.pipes().stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the folder of leases was not made: {line:?}");
    Ok(keeper)
}

/// What starts a program in that mount namespace.
pub(crate) fn inside(keeper: &Process) -> Vec<OsString> {
    vec!["nsenter".into(), format!("--mount=/proc/{}/ns/mnt", keeper.id()).into()]
}

/// The server at the router, the client at the endpoint, and the file that renewals are noted in.
pub(crate) fn start(
    fleet: &Fleet,
    keeper: &Process,
    router: &Namespace,
    endpoint: &Namespace,
) -> Result<(Process, Process, PathBuf)> {
    let folder = fleet.folder().join("dhcp");
    std::fs::create_dir_all(&folder)?;
    let server = serve(&folder, router)?;
    let renewals = folder.join("renewals");
    std::fs::write(&renewals, "")?;
    let (script, settings) = (folder.join("script"), folder.join("dhclient.conf"));
    std::fs::write(&script, client_script(&renewals))?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let request = "subnet-mask, routers, dhcp-lease-time, dhcp-renewal-time, dhcp-rebinding-time";
    std::fs::write(&settings, format!("request {request}, dhcp-server-identifier;\n"))?;
    let tool = peers::find("dhclient").map_err(anyhow::Error::msg)?;
    let mut words = inside(keeper);
    words.push(tool.path.clone().into());
    words.extend(["-4", "-d", "-lf"].map(OsString::from));
    words.push(format!("{LEASES}/dhclient.eth0.leases").into());
    for (flag, path) in [("-pf", folder.join("pid")), ("-sf", script), ("-cf", settings)] {
        words.extend([flag.into(), path.into()]);
    }
    words.push("eth0".into());
    let log = std::fs::File::create(folder.join("dhclient.log"))?;
    let mut launch = Launch::new("dhclient", &words[0]).arguments(&words[1..]).output(log);
    for (name, value) in &tool.environment {
        launch = launch.environment(name, value);
    }
    let client = launch.start_in(endpoint)?;
    Ok((server, client, renewals))
}

/// How many leases the client has taken or renewed.
pub(crate) fn renewals(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| matches!(*line, "BOUND" | "RENEW" | "REBIND")).count()
}

fn serve(folder: &Path, router: &Namespace) -> Result<Process> {
    let tool = peers::find("dnsmasq").map_err(anyhow::Error::msg)?;
    let attacker = address::of(Place::Attacker, Family::V4);
    let endpoint = address::of(Place::Endpoint, Family::V4);
    // The one address there is: nobody else in the lab asks.
    let range = format!("--dhcp-range={endpoint},{endpoint},2m");
    let arguments = [
        "--keep-in-foreground".to_owned(),
        "--conf-file=/dev/null".into(),
        "--no-resolv".into(),
        "--no-hosts".into(),
        "--interface=eth0".into(),
        "--bind-interfaces".into(),
        format!("--address=/lab.test/{attacker}"),
        range,
        "--dhcp-authoritative".into(),
        "--no-ping".into(),
        format!("--dhcp-option=option:T1,{RENEW_SECS}"),
        format!("--dhcp-option=option:T2,{REBIND_SECS}"),
        format!("--dhcp-leasefile={}", folder.join("server.leases").display()),
        "--dhcp-range=fd77::,ra-only".into(),
        "--enable-ra".into(),
        "--ra-param=eth0,5,120".into(),
        "--user=root".into(),
        "--pid-file=".into(),
        format!("--log-facility={}", folder.join("dnsmasq.log").display()),
    ];
    let log = std::fs::File::create(folder.join("dnsmasq.out"))?;
    let mut launch = Launch::new("dnsmasq", &tool.path).arguments(arguments).output(log);
    for (name, value) in &tool.environment {
        launch = launch.environment(name, value);
    }
    Ok(launch.start_in(router)?)
}

/// Called by the client with what it got; sets the address for as long as the lease, no longer.
fn client_script(renewals: &Path) -> String {
    let life = "valid_lft \"$new_dhcp_lease_time\" preferred_lft \"$new_dhcp_lease_time\"";
    format!(
        "#!/bin/sh\nunset LD_LIBRARY_PATH\ncase \"$reason\" in\nBOUND|RENEW|REBIND|REBOOT)\n  \
         ip addr replace \"$new_ip_address/24\" dev \"$interface\" {life}\n  \
         ip route replace default via {router}\n  ;;\nesac\n\
         echo \"$reason\" >>'{renewals}'\n",
        router = address::of(Place::Router, Family::V4),
        renewals = renewals.display(),
    )
}
