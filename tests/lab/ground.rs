//! The lab itself: a fleet, and around its endpoint a router, a container and an attacker, with
//! servers of names and addresses, an administrator's firewall and sessions that stand.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_packaging::lab::{Address, End, Lab, Namespace};
use cordon_packaging::process::Process;

use crate::address::{self, ATTACKER_SIDE, CONTAINER_SIDE, LATE, TUNNEL};
use crate::frame::Mac;
use crate::place::{Family, Place};
use crate::session::{self, Session};
use crate::trial::{CONTROL_PORT, SSH_PORT, TCP_PORT, UDP_PORT};
use crate::witness::Witness;
use crate::{dhcp, listeners};

/// The stage's names of the endpoint and of the peer.
pub(crate) const ENDPOINT: &str = "web-01";
const PEER: &str = "db-01";
/// The default of the setting.
pub(crate) const AGENTS_MARK: u32 = 0x00c0_4d0e;
const PATIENCE: Duration = Duration::from_secs(60);

/// An administrator's own rules: what is established may go on, the container is masqueraded and
/// one of its ports is published.
const ADMIN: &str = "
table inet admin {
    set trusted { type ipv4_addr; flags interval; elements = { 10.77.0.0/24, 10.79.0.66 } }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state established,related accept
        tcp dport { 22, 9000 } ip saddr @trusted accept
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state established,related accept
    }
    chain dstnat {
        type nat hook prerouting priority dstnat; policy accept;
        iifname \"eth0\" meta nfproto ipv4 tcp dport 8080 dnat ip to 10.78.0.2:9000
        iifname \"eth0\" meta nfproto ipv6 tcp dport 8080 dnat ip6 to [fd78::2]:9000
    }
    chain srcnat {
        type nat hook postrouting priority srcnat; policy accept;
        oifname \"eth0\" ip saddr 10.78.0.0/24 masquerade
        oifname \"eth0\" ip6 saddr fd78::/64 masquerade
    }
}
table ip early {
    chain out { type filter hook output priority -400; policy accept; accept; }
}
";

/// Hardware addresses that hand-made frames need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Macs {
    pub(crate) endpoint: Mac,
    pub(crate) container_side: Mac,
    pub(crate) peer: Mac,
    pub(crate) router: Mac,
}

#[derive(Debug)]
pub(crate) struct Ground {
    sessions: Vec<Session>,
    // Processes end before the namespaces they live in.
    _dhcp: [Process; 3],
    renewals: PathBuf,
    pub(crate) macs: Macs,
    pub(crate) witness: Witness,
    router: Namespace,
    attacker: Namespace,
    container: Namespace,
    pub(crate) fleet: Fleet,
}

impl Ground {
    /// Everything is up, the endpoint is online, sessions stand.
    pub(crate) fn make(agent_settings: &str) -> Result<Self> {
        let leases = dhcp::lease_folder()?;
        let agents_by = dhcp::inside(&leases);
        let agent_settings = agent_settings.to_owned();
        let fleet = Fleet::make(Plan { agent_settings, agents_by, ..Plan::default() })?;
        let lab = Lab::new()?;
        let spaces = ["router", "attacker", "container"].map(|name| lab.namespace(name));
        let [router, attacker, container] = spaces;
        let (router, attacker, container) = (router?, attacker?, container?);
        wire(&lab, &fleet, [&router, &attacker, &container])?;
        let endpoint = fleet.namespace(ENDPOINT)?;
        endpoint.output("nft", &[ADMIN])?;
        let macs = Macs {
            endpoint: mac(endpoint, "eth0")?,
            container_side: mac(endpoint, "ctr0")?,
            peer: mac(fleet.namespace(PEER)?, "eth0")?,
            router: mac(&router, "eth0")?,
        };
        let (server, client, renewals) = dhcp::start(&fleet, &leases, &router, endpoint)?;
        let mut ground = Self {
            sessions: Vec::new(),
            _dhcp: [client, server, leases],
            renewals,
            macs,
            witness: Witness::default(),
            router,
            attacker,
            container,
            fleet,
        };
        ground.listen()?;
        // Only now, so that the agent knows from the start who gave the address.
        ground.renews(PATIENCE)?;
        ground.fleet.enrol(ENDPOINT)?;
        ground.fleet.wait_for_state(ENDPOINT, "online", PATIENCE)?;
        ground.sessions =
            session::ALL.iter().map(|plan| Session::open(&ground, plan)).collect::<Result<_>>()?;
        Ok(ground)
    }

    pub(crate) fn space(&self, place: Place) -> &Namespace {
        let stage = |name| self.fleet.namespace(name);
        let found = match place {
            Place::Endpoint => stage(ENDPOINT),
            Place::Peer => stage(PEER),
            Place::Collector => self.fleet.stage().map(|stage| &stage.door),
            Place::Container => Ok(&self.container),
            Place::Router => Ok(&self.router),
            Place::Attacker => Ok(&self.attacker),
        };
        found.unwrap_or(&self.router)
    }

    pub(crate) fn session(&self, at: usize) -> &Session {
        &self.sessions[at]
    }

    fn listen(&self) -> Result<()> {
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let udp = |place, at| listeners::udp(&self.witness, place, self.space(place), at);
        for place in Place::ALL {
            listeners::tcp(self.space(place), TCP_PORT)?;
            udp(place, (any, UDP_PORT))?;
            self.witness.capture(place, self.space(place))?;
        }
        listeners::tcp(self.space(Place::Endpoint), SSH_PORT)?;
        listeners::tcp(self.space(Place::Attacker), CONTROL_PORT)?;
        for place in [Place::Peer, Place::Attacker] {
            udp(place, (any, 67))?;
            udp(place, (any, 547))?;
        }
        // Beside the DHCP client, which has the same port of every address.
        udp(Place::Endpoint, (address::of(Place::Endpoint, Family::V6), 546))?;
        let space = self.space(Place::Endpoint);
        self.witness.know([mac(space, "eth0")?, mac(space, "ctr0")?]);
        Ok(())
    }

    /// What the endpoint hears at the port of its DHCP client; bound once it has its address.
    pub(crate) fn listen_as_dhcp_client(&self) -> Result<()> {
        let at = (address::of(Place::Endpoint, Family::V4), 68);
        listeners::udp(&self.witness, Place::Endpoint, self.space(Place::Endpoint), at)
    }

    /// Does the DHCP client renew its lease from now on?
    pub(crate) fn renews(&self, limit: Duration) -> Result<bool> {
        let known = dhcp::renewals(&self.renewals);
        let more = || anyhow::Ok((dhcp::renewals(&self.renewals) > known).then_some(()));
        Ok(wait_until(limit, more)?.is_some())
    }

    /// Does the agent answer a signed query?
    pub(crate) fn agent_answers(&self) -> Result<bool> {
        let ask = ["query", ENDPOINT, "SELECT host_name FROM os", "--csv"];
        let answer = || anyhow::Ok(self.fleet.cordon(&ask).ok());
        Ok(wait_until(PATIENCE, answer)?.is_some_and(|said| said.contains(ENDPOINT)))
    }

    /// The endpoint's firewall as its administrator sees it, without the kernel's own numbering.
    pub(crate) fn ruleset(&self) -> Result<String> {
        let text = self.space(Place::Endpoint).output("nft", &["-j", "list", "ruleset"])?;
        let mut ruleset: serde_json::Value = serde_json::from_str(&text)?;
        let items = ruleset["nftables"].as_array_mut().context("a list of rules")?;
        for object in items.iter_mut().filter_map(|item| item.as_object_mut()) {
            for value in object.values_mut().filter_map(|value| value.as_object_mut()) {
                value.remove("handle");
            }
        }
        Ok(ruleset.to_string())
    }

    /// The agent's own tables without the counts of their counters.
    pub(crate) fn walls(&self) -> Result<String> {
        let text = self.space(Place::Endpoint).output("nft", &["list", "ruleset"])?;
        let counts = |line: &&str| !line.trim_start().starts_with("counter packets");
        Ok(text.lines().filter(counts).collect::<Vec<_>>().join("\n"))
    }

    /// A new device, wired to the peer, and a tunnel to the peer appear on the endpoint.
    pub(crate) fn add_devices(&self) -> Result<()> {
        let (endpoint, peer) = (self.space(Place::Endpoint), self.space(Place::Peer));
        let wire = ["type", "veth", "peer", "name", LATE, "netns", peer.name()];
        endpoint.ip(&[&["link", "add", "name", LATE], &wire[..]].concat())?;
        for (place, other) in [(Place::Endpoint, Place::Peer), (Place::Peer, Place::Endpoint)] {
            let space = self.space(place);
            let [local, remote] =
                [place, other].map(|place| address::of(place, Family::V4).to_string());
            let vxlan = ["type", "vxlan", "id", "9", "dstport", "4789", "dev", "eth0"];
            let ends = ["local", &local, "remote", &remote];
            space.ip(&[&["link", "add", "name", TUNNEL], &vxlan[..], &ends].concat())?;
            for family in Family::BOTH {
                let bits = if family == Family::V4 { 24 } else { 64 };
                let late = format!("{}/{bits}", address::late(place, family));
                let tunnel = format!("{}/{bits}", address::tunnel(place, family));
                for (device, address) in [(LATE, late), (TUNNEL, tunnel)] {
                    let mut add = vec!["addr", "add", &address, "dev", device];
                    add.extend((family == Family::V6).then_some("nodad"));
                    space.ip(&add)?;
                }
            }
            for device in [LATE, TUNNEL] {
                space.ip(&["link", "set", device, "up"])?;
            }
        }
        self.witness.know([mac(endpoint, LATE)?, mac(endpoint, TUNNEL)?]);
        let closed = wait_until(PATIENCE, || {
            let rules = endpoint.output("nft", &["list", "table", "netdev", "cordon"])?;
            anyhow::Ok((rules.contains(LATE) && rules.contains(TUNNEL)).then_some(()))
        })?;
        closed.context("the devices that appeared were not closed to packet sockets")
    }

    /// What minutes do to a network: addresses renewed twice, neighbours forgotten everywhere.
    pub(crate) fn grow_older(&self) -> Result<()> {
        for place in Place::ALL {
            self.space(place).ip(&["neigh", "flush", "all"])?;
            self.space(place).ip(&["-6", "neigh", "flush", "all"])?;
        }
        for _ in 0..2 {
            ensure!(self.renews(PATIENCE)?, "the lease is not renewed");
        }
        Ok(())
    }

    /// How many connections the endpoint's kernel tracks.
    pub(crate) fn tracked(&self) -> Result<u32> {
        let path = "/proc/sys/net/netfilter/nf_conntrack_count";
        let count = self.space(Place::Endpoint).run(|| std::fs::read_to_string(path))??;
        Ok(count.trim().parse()?)
    }
}

/// Lays wires and routes.
fn wire(lab: &Lab, fleet: &Fleet, [router, attacker, container]: [&Namespace; 3]) -> Result<()> {
    let stage = fleet.stage()?;
    let (endpoint, peer) = (fleet.namespace(ENDPOINT)?, fleet.namespace(PEER)?);
    let own = |place| -> Result<Vec<Address>> {
        let text = |family| address::of(place, family).to_string();
        addresses([&text(Family::V4), &text(Family::V6)])
    };
    let end = |namespace, device, addresses| End { namespace, device, addresses };
    stage.switch.plug(&end(router, "eth0", own(Place::Router)?))?;
    lab.join(
        &end(router, "att0", addresses(ATTACKER_SIDE)?),
        &end(attacker, "eth0", own(Place::Attacker)?),
    )?;
    lab.join(
        &end(endpoint, "ctr0", addresses(CONTAINER_SIDE)?),
        &end(container, "eth0", own(Place::Container)?),
    )?;
    for space in [router, endpoint] {
        space.run(forward)??;
    }
    for space in [endpoint, peer, &stage.door, router, attacker, container] {
        space.run(answer_all)??;
    }
    // The endpoint has its IPv4 address from DHCP.
    endpoint.ip(&["-4", "addr", "flush", "dev", "eth0"])?;
    let (router4, router6) =
        (address::of(Place::Router, Family::V4), address::of(Place::Router, Family::V6));
    let routes = [
        (peer, router4.to_string(), router6.to_string()),
        (&stage.door, router4.to_string(), router6.to_string()),
        (attacker, ATTACKER_SIDE[0].to_owned(), ATTACKER_SIDE[1].to_owned()),
        (container, CONTAINER_SIDE[0].to_owned(), CONTAINER_SIDE[1].to_owned()),
    ];
    for (space, v4, v6) in routes {
        space.ip(&["route", "add", "default", "via", &v4])?;
        space.ip(&["-6", "route", "add", "default", "via", &v6])?;
    }
    endpoint.ip(&["-6", "route", "add", "default", "via", &router6.to_string()])?;
    let behind =
        [address::of(Place::Endpoint, Family::V4), address::of(Place::Endpoint, Family::V6)];
    for space in [router, peer, &stage.door] {
        space.ip(&["route", "add", "10.78.0.0/24", "via", &behind[0].to_string()])?;
        space.ip(&["-6", "route", "add", "fd78::/64", "via", &behind[1].to_string()])?;
    }
    Ok(())
}

fn addresses([v4, v6]: [&str; 2]) -> Result<Vec<Address>> {
    Ok(vec![format!("{v4}/24").parse()?, format!("{v6}/64").parse()?])
}

/// Of the namespace of the calling thread.
fn forward() -> std::io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
}

/// Refusals are told at once and every time, so that a scan sees each; and answers come from the
/// address that was asked, because there is no second one by router advertisement.
fn answer_all() -> std::io::Result<()> {
    std::fs::write("/proc/sys/net/ipv6/conf/eth0/autoconf", "0")?;
    std::fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0")?;
    std::fs::write("/proc/sys/net/ipv6/icmp/ratelimit", "0")
}

fn mac(space: &Namespace, device: &str) -> Result<Mac> {
    let text = space.ip(&["-j", "link", "show", "dev", device])?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    let address = shown[0]["address"].as_str().context("a device without an address")?;
    let bytes: Vec<u8> =
        address.split(':').map(|part| u8::from_str_radix(part, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().ok().with_context(|| format!("{address} is no hardware address"))
}
