//! nmap as an independent prober: which ports of a few it reached.
//!
//! Reached is whatever answered, be it by a refusal: a port that is shut by nobody is open to the
//! firewall's eyes. What is `filtered` or `open|filtered` gave no sign.

use std::net::IpAddr;
use std::process::Stdio;

use anyhow::{Result, ensure};
use cordon_packaging::lab::Namespace;
use cordon_packaging::peers;

use crate::table::Seen;
use crate::trial::{PUBLISHED_PORT, SSH_PORT, Scan, TCP_PORT, UDP_PORT};

/// Nobody listens there.
const SHUT_PORT: u16 = 81;

/// Scans from the namespace; an error only if nmap itself did not come to its end.
pub(crate) fn scan(space: &Namespace, scan: Scan, to: IpAddr) -> Result<Seen> {
    let (kind, ports): (&[&str], String) = match scan {
        Scan::Connect => (&["-sT"], tcp_ports()),
        Scan::Ack => (&["-sA"], tcp_ports()),
        Scan::FromAgentsPort => (&["-sS", "-g", "7443"], tcp_ports()),
        Scan::SynAndUdp => (&["-sS", "-sU"], format!("T:{},U:{UDP_PORT},{SHUT_PORT}", tcp_ports())),
    };
    let wanted = ports.split(',').count();
    let mut nmap = peers::find("nmap").map_err(anyhow::Error::msg)?.command();
    nmap.args(["-n", "-Pn", "--max-retries", "1", "-T4", "--host-timeout", "20s", "-oX", "-"]);
    nmap.args(kind).args(["-p", &ports]);
    if to.is_ipv6() {
        nmap.arg("-6");
    }
    nmap.arg(to.to_string()).stdin(Stdio::null());
    let output = space.run(|| nmap.output())??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(text.contains("<finished "), "nmap did not finish: {text} {errors}");
    let reached = reached(&text);
    Ok(Seen {
        passed: !reached.is_empty(),
        whole: reached.len() == wanted,
        detail: format!("{} of {wanted}", reached.len()),
        reached: reached.join(" "),
    })
}

fn tcp_ports() -> String {
    [SSH_PORT, SHUT_PORT, TCP_PORT, PUBLISHED_PORT].map(|port| port.to_string()).join(",")
}

/// The ports that answered, each as `tcp/22`.
fn reached(xml: &str) -> Vec<String> {
    let mut reached = Vec::new();
    for part in xml.split("<port ").skip(1) {
        let value = |name: &str| {
            let (_, rest) = part.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let (protocol, port, state) = (value("protocol"), value("portid"), value("state"));
        let answered = matches!(state, Some("open" | "closed" | "unfiltered"));
        if let (true, Some(protocol), Some(port)) = (answered, protocol, port) {
            reached.push(format!("{protocol}/{port}"));
        }
    }
    reached
}

/// A test: the states as nmap 7.93 writes them.
pub(crate) fn reads_states() -> Result<()> {
    let port = |protocol: &str, number: u16, state: &str| {
        format!(
            "<port protocol=\"{protocol}\" portid=\"{number}\"><state state=\"{state}\" \
             reason=\"x\" reason_ttl=\"0\"/><service name=\"y\" method=\"table\" conf=\"3\"/></port>"
        )
    };
    let xml = [
        port("tcp", 22, "open"),
        port("tcp", 80, "closed"),
        port("tcp", 81, "filtered"),
        port("udp", 53, "open|filtered"),
        port("udp", 67, "closed"),
        port("tcp", 82, "unfiltered"),
    ];
    let found = reached(&format!("<ports>{}</ports>", xml.concat()));
    ensure!(found == ["tcp/22", "tcp/80", "udp/67", "tcp/82"], "{found:?}");
    ensure!(reached("<nmaprun><port protocol=\"tcp\" portid=").is_empty());
    Ok(())
}
