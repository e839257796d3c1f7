//! Sees answers of the domain name system arrive, and gives addresses their names.
//!
//! A packet socket gets copies of arriving datagrams from the ports of DNS, mDNS and LLMNR, and of
//! nothing else. It does not see DNS over TCP, TLS or HTTPS, answers of more than four kilobytes,
//! what a resolver on another machine or in another network namespace keeps to itself, nor what
//! was answered before the agent started. A name is what an answer claims: whoever can send a
//! datagram from such a port to this machine can claim any.

mod cache;
pub mod message;
mod names;
mod told;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::{Class, ClassCount, GapReason, SensorState};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::{Loss, Outlet, SAMPLE_EVENTS_MAX, Sample, Stopping};
use crate::clock::Stamp;
use crate::platform::linux::packet::{Filter, Network, PacketSocket};
use crate::platform::linux::wait;
use names::{ANSWER_BYTES_MAX, Arrived};

pub use names::{Asker, Names, PORTS};

/// The sensor's name in health.
pub const NAME: &str = "dns";

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsSettings {
    /// Whether answers are watched at all.
    pub enabled: bool,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Answers come in pairs, and more at once when a page is opened. Longer than the network sensor
/// takes to know who asked.
const GATHER: Duration = Duration::from_millis(60);

/// Losses of a flood are told so often.
const LOSS_PERIOD_NS: u64 = 10_000_000_000;

/// How often the sockets are looked at when nothing arrives.
const LOOK_PERIOD_NS: u64 = 60_000_000_000;

/// Runs until the agent stops, or until the sockets cannot be had: then the condition says why.
pub async fn run(stamp: fn() -> Stamp, names: Names, outlet: Outlet) -> Result<(), Stopping> {
    let blind = match Watch::open(&names, stamp) {
        Ok(mut watch) => {
            outlet.condition(SensorState::Running, None, None).await?;
            watch.run(stamp, &outlet).await
        }
        Err(error) => Ok(error),
    };
    names.listen(Vec::new());
    let reason = format!("packets of name servers cannot be read: {}", blind?);
    outlet.condition(SensorState::Blind, Some(reason), None).await
}

struct Watch {
    names: Names,
    four: AsyncFd<Arc<PacketSocket>>,
    six: Option<AsyncFd<Arc<PacketSocket>>>,
    lost: Lost,
    proved_ns: u64,
}

/// What was lost since it was last told.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    kernel: u64,
    too_many: u64,
    told: Stamp,
}

impl Watch {
    fn open(names: &Names, stamp: fn() -> Stamp) -> std::io::Result<Self> {
        let four = Arc::new(PacketSocket::open(Network::Ipv4, &filter(Network::Ipv4))?);
        // A kernel without IPv6 has no such packets either.
        let six = PacketSocket::open(Network::Ipv6, &filter(Network::Ipv6)).ok().map(Arc::new);
        names.listen([&four].into_iter().chain(&six).cloned().collect());
        let six = six.map(wait::readable).transpose()?;
        let lost = Lost { told: stamp(), ..Lost::default() };
        Ok(Self { names: names.clone(), four: wait::readable(four)?, six, lost, proved_ns: 0 })
    }

    /// Answers why it cannot go on.
    async fn run(
        &mut self,
        stamp: fn() -> Stamp,
        outlet: &Outlet,
    ) -> Result<std::io::Error, Stopping> {
        loop {
            let wait = if self.lost.is_some() { LOSS_PERIOD_NS } else { LOOK_PERIOD_NS };
            let look_due = tokio::time::sleep(Duration::from_nanos(wait));
            let ready = tokio::select! {
                ready = readable(Some(&self.four)) => ready,
                ready = readable(self.six.as_ref()) => ready,
                () = look_due => Ok(()),
            };
            if let Err(error) = ready {
                return Ok(error);
            }
            tokio::time::sleep(GATHER).await;
            if let Err(error) = self.hand_over(stamp, outlet).await? {
                return Ok(error);
            }
            // Whether nothing came or nobody asked cannot be told apart: the look is the proof.
            let now = stamp().boot_ns;
            if now.saturating_sub(self.proved_ns) >= LOOK_PERIOD_NS {
                self.proved_ns = now;
                outlet.proved().await?;
            }
        }
    }

    async fn hand_over(
        &mut self,
        stamp: fn() -> Stamp,
        outlet: &Outlet,
    ) -> Result<std::io::Result<()>, Stopping> {
        let now = stamp();
        if let Err(error) = self.names.refresh(now) {
            return Ok(Err(error));
        }
        let Arrived { mut observations, too_many } = self.names.arrived();
        self.lost.too_many += too_many;
        for socket in [&self.four].into_iter().chain(&self.six) {
            match socket.get_ref().drops() {
                Ok(drops) => self.lost.kernel += u64::from(drops),
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut losses = self.lost.take(now);
        while !observations.is_empty() || !losses.is_empty() {
            let rest = observations.split_off(observations.len().min(SAMPLE_EVENTS_MAX));
            let losses = std::mem::take(&mut losses);
            outlet.sample(Sample { observations, losses, ..Sample::default() }).await?;
            observations = rest;
        }
        Ok(Ok(()))
    }
}

impl Lost {
    fn is_some(&self) -> bool {
        self.kernel + self.too_many > 0
    }

    /// What is to be told now.
    fn take(&mut self, now: Stamp) -> Vec<Loss> {
        if now.boot_ns.saturating_sub(self.told.boot_ns) < LOSS_PERIOD_NS || !self.is_some() {
            return Vec::new();
        }
        let Self { kernel, too_many, told } =
            std::mem::replace(self, Self { told: now, ..Self::default() });
        let whys = [
            (GapReason::KernelRing, kernel, "packets that the kernel had no room for"),
            (GapReason::RateLimit, too_many, "more different answers than are told in a second"),
        ];
        let loss = |(reason, count, detail): (_, _, &str)| Loss {
            reason,
            counts: vec![ClassCount { class: Class::Dns, count }],
            from_ns: told.time_ns,
            to_ns: now.time_ns,
            detail: Some(detail.to_owned()),
        };
        whys.into_iter().filter(|(_, count, _)| *count > 0).map(loss).collect()
    }
}

/// Waits for packets; for ever where there is no socket.
async fn readable(socket: Option<&AsyncFd<Arc<PacketSocket>>>) -> std::io::Result<()> {
    match socket {
        Some(socket) => {
            socket.readable().await?.clear_ready();
            Ok(())
        }
        None => std::future::pending().await,
    }
}

/// Lets through whole datagrams, or first parts of them, from the ports where names are asked for.
fn filter(network: Network) -> Vec<Filter> {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_HALF_AT_INDEX: u16 = 0x48;
    const INDEX_IS_HEADER: u16 = 0xb1;
    const IF_EQUAL: u16 = 0x15;
    const IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const UDP: u32 = 17;
    let [dns, mdns, llmnr] = PORTS.map(u32::from);
    let copied = u32::try_from(ANSWER_BYTES_MAX).unwrap_or(0);
    // Jumps count from the next instruction; the last two copy the packet and drop it.
    let mut code = match network {
        Network::Ipv4 => vec![
            (LOAD_BYTE, 0, 0, 9),
            (IF_EQUAL, 0, 8, UDP),
            (LOAD_HALF, 0, 0, 6),
            // A later part of a datagram has no ports.
            (IF_ANY_BIT, 6, 0, 0x1fff),
            (INDEX_IS_HEADER, 0, 0, 0),
            (LOAD_HALF_AT_INDEX, 0, 0, 0),
        ],
        Network::Ipv6 => {
            vec![(LOAD_BYTE, 0, 0, 6), (IF_EQUAL, 0, 5, UDP), (LOAD_HALF, 0, 0, 40)]
        }
    };
    code.extend([
        (IF_EQUAL, 2, 0, dns),
        (IF_EQUAL, 1, 0, mdns),
        (IF_EQUAL, 0, 1, llmnr),
        (RETURN, 0, 0, copied),
        (RETURN, 0, 0, 0),
    ]);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as the kernel does.
    fn copied(filter: &[Filter], packet: &[u8]) -> u32 {
        let (mut value, mut index, mut at) = (0u32, 0usize, 0);
        let half = |at: usize| u32::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
        loop {
            let (code, yes, no, k) = filter[at];
            let place = usize::try_from(k).unwrap();
            at += 1;
            match code {
                0x30 => value = u32::from(packet[place]),
                0x28 => value = half(place),
                0x48 => value = half(place + index),
                0xb1 => index = usize::from(packet[place] & 0xf) * 4,
                0x15 => at += usize::from(if value == k { yes } else { no }),
                0x45 => at += usize::from(if value & k != 0 { yes } else { no }),
                0x06 => return k,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[track_caller]
    fn check(network: Network, protocol: u8, fragment: u16, port: u16, passes: bool) {
        let mut packet = vec![0u8; 60];
        match network {
            Network::Ipv4 => {
                packet[0] = 0x46;
                packet[6..8].copy_from_slice(&fragment.to_be_bytes());
                packet[9] = protocol;
                packet[24..26].copy_from_slice(&port.to_be_bytes());
            }
            Network::Ipv6 => {
                packet[0] = 0x60;
                packet[6] = protocol;
                packet[40..42].copy_from_slice(&port.to_be_bytes());
            }
        }
        assert_eq!(copied(&filter(network), &packet) > 0, passes);
    }

    #[test]
    fn only_datagrams_from_the_ports_of_names_pass() {
        for network in [Network::Ipv4, Network::Ipv6] {
            for port in PORTS {
                check(network, 17, 0, port, true);
                check(network, 6, 0, port, false);
            }
            check(network, 17, 0, 54, false);
            check(network, 17, 0, 443, false);
        }
        check(Network::Ipv4, 17, 0x2000, 53, true);
        check(Network::Ipv4, 17, 0x4000, 53, true);
        check(Network::Ipv4, 17, 0x0001, 53, false);
    }

    #[test]
    fn losses_are_told_together_and_seldom() {
        let mut lost = Lost::default();
        let at = |boot_ns| Stamp { time_ns: boot_ns, boot_ns };
        assert!(lost.take(at(LOSS_PERIOD_NS)).is_empty());
        lost.kernel = 5;
        lost.too_many = 7;
        assert!(lost.take(at(LOSS_PERIOD_NS - 1)).is_empty());
        let losses = lost.take(at(LOSS_PERIOD_NS));
        assert_eq!(losses.iter().map(|loss| loss.counts[0].count).collect::<Vec<_>>(), [5, 7]);
        assert!(!lost.is_some());
    }

    #[test]
    fn settings_refuse_what_they_do_not_know() {
        let settings: DnsSettings = toml::from_str("").unwrap();
        assert!(settings.enabled && toml::from_str::<DnsSettings>("port = 5").is_err());
    }
}
