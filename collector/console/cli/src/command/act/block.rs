//! `cordon block` and `cordon unblock`.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::bail;
use cordon_proto::command::{Action, ActionKind, Block, Direction, Network, Peer, Ports, Rule};
use cordon_proto::id::CommandId;
use cordon_proto::policy::Transport;

use super::first::First;
use super::undo::undo_of;
use super::{Whom, Why, act};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;

/// What `block` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon block web-01 --address 203.0.113.7 --reason 'beacon' --wait
  cordon block web-01 web-02 --address 203.0.113.0/24 --address 2001:db8::/48 --reason 'botnet'
  cordon block web-01 --name evil.example --name '*.evil.example' --reason 'phishing' --lease 7d
  cordon block db-01 --port tcp/3306 --direction in --except 10.0.0.5 --reason 'stolen password'
  cordon block web-01 --address 10.0.3.9 --port udp/53 --direction out --reason 'DNS tunnel'

Without ports nothing passes to or from an address, sessions that stand included. With ports,
--direction says on whose side they are: in, at the endpoint; out, at the other side; both, on
either. Loopback is never blocked, and neither is the agent's own connection. Ports alone are about
everybody but those of --except.

A name is its addresses: the endpoint asks for them each minute and hears them in answers of name
servers, except in encrypted ones; addresses count for a day after they were last heard. MANY NAMES
OF A CONTENT NETWORK SHARE ONE ADDRESS: to block one blocks all. Whoever answers for a name decides
what is blocked by it; gateway, name servers and collectors of the endpoint are left out then. To
block these themselves is done as asked, and said in the receipt.")]
pub struct BlockArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    first: First,
    #[command(flatten)]
    why: Why,
    /// How long it stands, in the endpoint's own time
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_length)]
    lease: Duration,
}

/// What may not pass.
#[derive(Debug, clap::Args)]
struct What {
    /// An address, or a network as ADDRESS/BITS; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    address: Vec<Network>,
    /// A host name, or *.NAME for all names below it; may be repeated
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Only these ports, as tcp/445 or udp/137-139; may be repeated
    #[arg(long, value_name = "PORT", value_parser = ports)]
    port: Vec<Ports>,
    /// On whose side the ports are: in (here), out (there) or both
    #[arg(long, value_name = "WAY", default_value = "both", value_parser = direction)]
    direction: Direction,
    /// Leave out an address or network; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    except: Vec<Network>,
}

/// What `unblock` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon containment list
  cordon unblock 0190b5a2-7d3e-7cc2-9f4b-2f1f3a5b6c7d --reason 'false alarm' --wait
  cordon unblock 0190b5a2-7d3e-7cc2-9f4b-2f1f3a5b6c7d --on web-01 --reason 'needed again'

What this command blocked passes again, unless another block that stands covers it too. It is the
same for what `segment` and `lateral` have shut.")]
pub struct UnblockArgs {
    /// The command that blocked, as `cordon containment list` shows it
    #[arg(value_name = "COMMAND")]
    command: CommandId,
    /// Only on these of its endpoints
    #[arg(long, value_name = "ENDPOINT")]
    on: Vec<String>,
    #[command(flatten)]
    why: Why,
}

/// Runs `block`.
pub async fn block(context: &mut Context, args: BlockArgs) -> anyhow::Result<Exit> {
    let block = composed(args.what, args.lease)?;
    let why = args.first.and(args.why);
    act(context, &args.whom.endpoints, why, Action::Block(block)).await
}

/// Runs `unblock`.
pub async fn unblock(context: &mut Context, args: UnblockArgs) -> anyhow::Result<Exit> {
    undo_of(context, args.command, args.on, args.why, Some(ActionKind::Block)).await
}

fn composed(what: What, lease: Duration) -> anyhow::Result<Block> {
    let What { address, name, port, direction, except } = what;
    let peer = |Network { address, bits }| Peer::Network { address, bits };
    let names = name.into_iter().map(|name| Peer::Name(name.to_ascii_lowercase()));
    let mut peers: Vec<_> = address.into_iter().map(peer).chain(names).collect();
    if peers.is_empty() && port.is_empty() {
        bail!("say what to block: --address, --name or --port");
    }
    if port.is_empty() && direction != Direction::Both {
        bail!("--direction needs --port: without ports nothing passes in either");
    }
    if peers.is_empty() {
        peers.push(Peer::Anyone);
    }
    let ports: Vec<_> =
        if port.is_empty() { vec![None] } else { port.into_iter().map(Some).collect() };
    let rule = |peer: &Peer, ports| Rule { peer: peer.clone(), direction, ports, at: None };
    let rules = peers.iter().flat_map(|peer| ports.iter().map(move |ports| rule(peer, *ports)));
    Ok(Block {
        rules: rules.collect(),
        lease_secs: Some(lease.as_secs()),
        except: Some(except).filter(|except| !except.is_empty()),
        groups: None,
    })
}

/// `ADDRESS` or `ADDRESS/BITS`.
pub(super) fn network(text: &str) -> Result<Network, String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let wrong = || format!("'{text}' is no address and no ADDRESS/BITS");
    let address: IpAddr = address.parse().ok().ok_or_else(wrong)?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(bits_max), |bits| bits.parse().ok().ok_or_else(wrong))?;
    if bits == 0 || bits > bits_max {
        return Err(format!("'{text}': the bits are 1 to {bits_max}"));
    }
    Ok(Network { address, bits })
}

/// `tcp/445` or `udp/137-139`.
pub(super) fn ports(text: &str) -> Result<Ports, String> {
    let wrong = || format!("'{text}' is not like tcp/445 or udp/137-139");
    let (name, run) = text.split_once('/').ok_or_else(wrong)?;
    let transport = match name {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return Err(wrong()),
    };
    let (first, last) = run.split_once('-').unwrap_or((run, run));
    let [first, last] = [first, last].map(|port| port.parse().ok().ok_or_else(wrong));
    let (first, last) = (first?, last?);
    if first == 0 || first > last { Err(wrong()) } else { Ok(Ports { transport, first, last }) }
}

fn direction(text: &str) -> Result<Direction, String> {
    match text {
        "both" => Ok(Direction::Both),
        "in" => Ok(Direction::In),
        "out" => Ok(Direction::Out),
        _ => Err("it is 'both', 'in' or 'out'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;

    fn what(addresses: &[&str], names: &[&str], asked: &[&str], way: Direction) -> What {
        What {
            address: addresses.iter().map(|text| network(text).unwrap()).collect(),
            name: names.iter().map(|name| (*name).to_owned()).collect(),
            port: asked.iter().map(|text| ports(text).unwrap()).collect(),
            direction: way,
            except: vec![],
        }
    }

    #[track_caller]
    fn check(what: What, expected: &str) {
        let words = match composed(what, Duration::from_secs(3600)) {
            Ok(block) => summary::action(&Action::Block(block)),
            Err(error) => error.to_string(),
        };
        assert_eq!(words, expected);
    }

    #[test]
    fn every_peer_is_blocked_at_every_port() {
        check(
            what(&["203.0.113.7"], &["Evil.example"], &[], Direction::Both),
            "block: to and from 203.0.113.7/32; to and from evil.example, for 1h",
        );
        check(
            what(&["2001:db8::/48"], &[], &["tcp/445", "udp/137-139"], Direction::In),
            "block: TCP 445 from 2001:db8::/48; UDP 137-139 from 2001:db8::/48, for 1h",
        );
        check(what(&[], &[], &["tcp/22"], Direction::In), "block: TCP 22 from anyone, for 1h");
    }

    #[test]
    fn what_says_nothing_is_refused() {
        check(
            what(&[], &[], &[], Direction::Both),
            "say what to block: --address, --name or --port",
        );
        check(
            what(&["192.0.2.1"], &[], &[], Direction::Out),
            "--direction needs --port: without ports nothing passes in either",
        );
        for text in ["192.0.2.1/33", "192.0.2.0/0", "example", "192.0.2.1/x", "::/129"] {
            assert!(network(text).is_err(), "{text}");
        }
        for text in ["445", "tcp/", "tcp/0", "tcp/9-8", "icmp/1", "tcp/65536"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
