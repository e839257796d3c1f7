//! `cordon segment` and `cordon lateral`: containment of many endpoints at once.

use std::time::Duration;

use anyhow::{Context as _, bail};
use cordon_proto::command::{Action, ActionKind, Block, Direction, Network, Peer, Ports, Rule};
use cordon_proto::id::EndpointId;
use cordon_proto::limits;
use cordon_proto::policy::Transport;
use cordon_proto::roster::{Grant, Roster};

use super::block::{network, ports};
use super::{Why, act_on};
use crate::api::model::Endpoint;
use crate::command::find;
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;
use crate::output::text::plain;
use crate::sign;

/// Ports by which intruders move from one machine to the next: SSH, RPC, NetBIOS, SMB, RDP, VNC,
/// WinRM.
const LATERAL: [(u16, u16); 8] = [
    (22, 22),
    (135, 135),
    (139, 139),
    (445, 445),
    (3389, 3389),
    (5900, 5900),
    (5985, 5985),
    (5986, 5986),
];

/// What `segment` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon segment --between web-01=10.0.1.5 --and db-01=10.0.2.7,2001:db8:2::7 --reason 'worm' --wait
  cordon segment --between web-01=10.0.1.5 --between web-02=10.0.1.6 --and db-01=10.0.2.7 \\
      --reason 'case 7' --lease 4h

One signed command for both groups: each endpoint drops what comes from and goes to the addresses of
the other group, and keeps its traffic within its own. The addresses are those that you name, as the
collector is not believed about them; the endpoint's inventory tells them: `cordon events --class
inventory`. An endpoint that gets another address later has to be named anew. `cordon unblock` ends
it.")]
pub struct SegmentArgs {
    /// An endpoint of the one group, with its addresses or networks; may be repeated
    #[arg(long, required = true, value_name = "ENDPOINT=ADDRESS,…", value_parser = member)]
    between: Vec<Member>,
    /// An endpoint of the other group; may be repeated
    #[arg(long, required = true, value_name = "ENDPOINT=ADDRESS,…", value_parser = member)]
    and: Vec<Member>,
    #[command(flatten)]
    why: Why,
    /// How long it stands, in the endpoints' own time
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_length)]
    lease: Duration,
}

/// What `lateral` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon lateral --client acme --except 10.0.0.5 --reason 'ransomware moves by SMB' --wait
  cordon lateral --client acme --except 10.0.0.0/28 --port tcp/8443 --reason 'case 7' --lease 4h
  cordon lateral --client acme --except 10.0.0.5 --reason 'drill' --dry-run

Shuts what comes in to SSH (22), RPC (135), NetBIOS (139), SMB (445), RDP (3389), VNC (5900) and
WinRM (5985, 5986) over TCP, and to --port, on every endpoint of the client, from everybody but
--except: name your jump hosts there, or nobody can sign in. Sessions that stand are cut, yours too.
What an endpoint forwards at these ports is shut in both directions. One command is for so many
endpoints as the roster and the protocol (256) allow; for more there are several, which is said, and
each may need its own signatures. Endpoints that join later are not covered.")]
pub struct LateralArgs {
    /// A network that still may come in; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    except: Vec<Network>,
    /// Ports beside the usual ones, as tcp/8443; may be repeated
    #[arg(long, value_name = "PORT", value_parser = ports)]
    port: Vec<Ports>,
    #[command(flatten)]
    why: Why,
    /// How long it stands, in the endpoints' own time
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_length)]
    lease: Duration,
}

/// An endpoint and where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Member {
    name: String,
    networks: Vec<Network>,
}

fn member(text: &str) -> Result<Member, String> {
    let (name, addresses) =
        text.split_once('=').ok_or_else(|| format!("'{text}' is not ENDPOINT=ADDRESS"))?;
    let networks: Result<Vec<_>, _> = addresses.split(',').map(network).collect();
    if name.is_empty() {
        Err("the endpoint's name is missing".to_owned())
    } else {
        Ok(Member { name: name.to_owned(), networks: networks? })
    }
}

/// Runs `segment`.
pub async fn segment(context: &mut Context, args: SegmentArgs) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = args.why.client.as_ref();
    let names = |members: &[Member]| members.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
    let between = find::endpoints(&api, &context.output, &names(&args.between), client).await?;
    let and = find::endpoints(&api, &context.output, &names(&args.and), client).await?;
    let ids = |found: &[Endpoint]| found.iter().map(|e| e.id).collect::<Vec<_>>();
    let block = segmented([ids(&between), ids(&and)], [&args.between, &args.and], args.lease)?;
    let all: Vec<_> = between.into_iter().chain(and).collect();
    act_on(context, &desk, &api, &all, args.why, Action::Block(block)).await
}

/// Each group has the other's addresses in its rules.
fn segmented(
    groups: [Vec<EndpointId>; 2],
    members: [&[Member]; 2],
    lease: Duration,
) -> anyhow::Result<Block> {
    if groups[0].iter().any(|one| groups[1].contains(one)) {
        bail!("an endpoint is in both groups; it cannot be shut off from itself");
    }
    let mut rules: Vec<Rule> = Vec::new();
    for (at, others) in [(0, members[1]), (1, members[0])] {
        for Network { address, bits } in others.iter().flat_map(|member| &member.networks) {
            let peer = Peer::Network { address: *address, bits: *bits };
            let rule = Rule { peer, direction: Direction::Both, ports: None, at: Some(at) };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    let lease_secs = Some(lease.as_secs());
    Ok(Block { rules, lease_secs, except: None, groups: Some(groups.into()) })
}

/// Runs `lateral`.
pub async fn lateral(context: &mut Context, args: LateralArgs) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = args.why.client.clone().or_else(|| desk.profile.client.clone());
    let client = client.context("say whose endpoints: --client")?;
    let (ready, silent): (Vec<_>, Vec<_>) = find::all(&api, &context.output, &client)
        .await?
        .into_iter()
        .partition(|endpoint| endpoint.nonce.is_some());
    for endpoint in &silent {
        let name = plain(&endpoint.host_name);
        context.output.warn(&format!(
            "{name} has not reported its health yet and is LEFT OUT; nothing is shut there"
        ))?;
    }
    if ready.is_empty() {
        return Err(sign::ComposeError::Nobody.into());
    }
    if args.except.is_empty() {
        context.output.warn("nobody is left out by --except: nobody can sign in by these ports")?;
    }
    let (roster, _) = desk.roster(&api, &client).await?;
    let most = targets_most(&roster.roster);
    let parts: Vec<_> = split(&ready, most).collect();
    if parts.len() > 1 {
        context.output.note(&format!(
            "{} endpoints, and one command may name {most}: there will be {} commands",
            ready.len(),
            parts.len()
        ))?;
    }
    let block = shut(&args.port, &args.except, args.lease);
    let mut worst = Exit::Done;
    for part in parts {
        let action = Action::Block(block.clone());
        // One that is refused must not keep the others from being shut.
        match act_on(context, &desk, &api, part, args.why.clone(), action).await {
            Ok(exit) => worst = worst.max(exit),
            Err(error) if worst == Exit::Done && part.len() == ready.len() => return Err(error),
            Err(error) => {
                let from = part.first().map(|first| plain(&first.host_name).into_owned());
                let from = from.unwrap_or_default();
                context.output.warn(&format!("the command from {from} on failed: {error:#}"))?;
                worst = worst.max(Exit::ActionFailed);
            }
        }
    }
    Ok(if silent.is_empty() { worst } else { worst.max(Exit::Unproved) })
}

fn shut(more: &[Ports], except: &[Network], lease: Duration) -> Block {
    let usual = LATERAL.map(|(first, last)| Ports { transport: Transport::Tcp, first, last });
    let rule = |ports: &Ports| Rule {
        peer: Peer::Anyone,
        direction: Direction::In,
        ports: Some(*ports),
        at: None,
    };
    Block {
        rules: usual.iter().chain(more).map(rule).collect(),
        lease_secs: Some(lease.as_secs()),
        except: Some(except.to_vec()).filter(|except| !except.is_empty()),
        groups: None,
    }
}

/// How many endpoints one command to block may name, with as many signatures as there are people
/// for.
fn targets_most(roster: &Roster) -> usize {
    let people = |role| roster.operators.iter().filter(|o| o.roles.contains(&role)).count();
    let enough = |grant: &&Grant| people(grant.role) >= usize::from(grant.approvals);
    let grants = roster.grants.iter().filter(|grant| grant.action == ActionKind::Block);
    let widest = grants.filter(enough).map(|grant| usize::try_from(grant.targets_max));
    let widest = widest.filter_map(Result::ok).max();
    widest.unwrap_or(limits::TARGETS_MAX).clamp(1, limits::TARGETS_MAX)
}

/// Parts that are as even as can be, none longer than `most`.
fn split<T>(all: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let parts = all.len().div_ceil(most).max(1);
    all.chunks(all.len().div_ceil(parts).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary;

    fn endpoint(number: u8) -> EndpointId {
        EndpointId([number; 32])
    }

    #[test]
    fn each_group_is_shut_off_from_the_addresses_of_the_other() {
        let web = member("web-01=10.0.1.5,2001:db8::5").unwrap();
        let db = [member("db-01=10.0.2.7").unwrap(), member("db-02=10.0.2.7").unwrap()];
        let groups = [vec![endpoint(1)], vec![endpoint(2), endpoint(3)]];
        let hour = Duration::from_secs(3600);
        let block = segmented(groups.clone(), [std::slice::from_ref(&web), &db], hour).unwrap();
        assert_eq!(
            summary::action(&Action::Block(block.clone())),
            "block: group 1: to and from 10.0.2.7/32; group 2: to and from 10.0.1.5/32; group 2: \
             to and from 2001:db8::5/128, for 1h; group 1 is 1 endpoint(s), group 2 is 2"
        );
        assert_eq!(block.rules_at(endpoint(1)).count(), 1);
        assert_eq!(block.rules_at(endpoint(3)).count(), 2);
        let same = [vec![endpoint(1)], vec![endpoint(1)]];
        assert!(segmented(same, [std::slice::from_ref(&web), &db], hour).is_err());
        for text in ["web-01", "=10.0.0.1", "web-01=", "web-01=x"] {
            assert!(member(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_is_split_evenly_into_as_few_commands_as_may_be() {
        let lengths =
            |count: usize, most| split(&vec![(); count], most).map(<[()]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(256, 256), [256]);
        assert_eq!(lengths(257, 256), [129, 128]);
        assert_eq!(lengths(5, 2), [2, 2, 1]);
    }

    #[test]
    fn a_command_names_as_many_as_there_are_people_to_sign_for() {
        use cordon_proto::roster::{Operator, Role};
        let person = |name: &str| Operator {
            id: name.parse().unwrap(),
            keys: vec![],
            roles: vec![Role::Responder],
            sealing: None,
        };
        let roster =
            |people: Vec<Operator>| crate::roster::first("acme".parse().unwrap(), people, 0);
        assert_eq!(targets_most(&roster(vec![person("ann")])), 5);
        assert_eq!(targets_most(&roster(vec![person("ann"), person("bob")])), 100);
    }

    #[test]
    fn jump_hosts_are_left_out_of_every_port() {
        let block = shut(
            &[ports("tcp/8443").unwrap()],
            &[network("10.0.0.5").unwrap()],
            Duration::from_secs(3600),
        );
        let words = summary::action(&Action::Block(block));
        for part in ["TCP 22 from anyone", "TCP 445", "TCP 5986", "TCP 8443", "BUT NOT 10.0.0.5/32"]
        {
            assert!(words.contains(part), "{words}");
        }
    }
}
