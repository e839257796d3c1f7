//! Short connections and datagrams over loopback by BPF: each must be told with its owner.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, Result, ensure};
use cordon_agent::clock;
use cordon_agent::sensor::dns::Names;
use cordon_agent::sensor::network::{self, NetworkSettings};
use cordon_agent::sensor::{Report, Sample};
use cordon_proto::event::network::{Connection, Direction, Means, Transport};
use cordon_proto::event::{Body, NetworkEvent, SensorState};

const COUNT: usize = 200;
const ADDRESSES: [&str; 2] = ["127.0.0.1:7001", "[::1]:7001"];
const DATAGRAMS: [&str; 2] = ["127.0.0.1:7002", "[::1]:7002"];
const ASKED: &[u8] = b"what is it";
const ANSWERED: &[u8] = b"it";

#[derive(Default)]
struct Found {
    opened: usize,
    closed: usize,
    accepted: usize,
    datagrams: Vec<SocketAddr>,
}

pub(super) fn look() -> Result<String> {
    let settings =
        NetworkSettings { loopback: true, only: Some(Means::Bpf), ..NetworkSettings::default() };
    let (mut found, mut began) = (Found::default(), None);
    let sensor = move |outlet| network::run(settings, clock::stamp, Names::default(), outlet);
    super::guest::watch(sensor, network::NAME, |report| {
        match report {
            Report::Condition(condition) => {
                // Running, with nothing left out: the programs hang on the root of the groups.
                let runs = condition.state == SensorState::Running && condition.reason.is_none();
                ensure!(runs, "{condition:?}");
            }
            // What stood before has been listed. A thread of its own: whoever takes the reports
            // must not be held up, or the ring would fill.
            Report::Proved => drop(began.get_or_insert_with(|| std::thread::spawn(connect))),
            Report::Sample(sample) => found.take(sample)?,
        }
        let Found { opened, closed, accepted, datagrams } = &found;
        let all = 2 * COUNT;
        Ok(*opened >= all && *accepted >= all && *closed >= 2 * all && datagrams.len() >= 2)
    })?;
    let began = began.context("nobody connected")?;
    began.join().map_err(|_panic| anyhow::anyhow!("who connects panicked"))??;
    let Found { opened, closed, accepted, datagrams } = found;
    ensure!((opened, accepted, closed) == (2 * COUNT, 2 * COUNT, 4 * COUNT), "told twice");
    let ports: Vec<u16> = datagrams.iter().map(SocketAddr::port).collect();
    ensure!(ports == [7002, 7002], "datagrams to {datagrams:?}");
    Ok(format!("{opened} of {opened} with owner and bytes, both ends; datagrams of both families"))
}

fn connect() -> Result<()> {
    for address in ADDRESSES {
        let listener = TcpListener::bind(address).with_context(|| format!("at {address}"))?;
        let serving = std::thread::spawn(move || -> std::io::Result<()> {
            for _ in 0..COUNT {
                let mut stream = listener.accept()?.0;
                stream.read_exact(&mut [0; ASKED.len()])?;
                stream.write_all(ANSWERED)?;
            }
            Ok(())
        });
        for _ in 0..COUNT {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(ASKED)?;
            stream.read_to_end(&mut Vec::new())?;
        }
        serving.join().map_err(|_panic| anyhow::anyhow!("the server panicked"))??;
    }
    for address in DATAGRAMS {
        let receiver = UdpSocket::bind(address)?;
        let from = if address.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
        UdpSocket::bind(from)?.send_to(ASKED, receiver.local_addr()?)?;
    }
    Ok(())
}

impl Found {
    fn take(&mut self, sample: Sample) -> Result<()> {
        ensure!(sample.losses.is_empty(), "lost: {:?}", sample.losses);
        for seen in sample.observations {
            let Body::Network(event) = seen.body else { continue };
            match *event {
                NetworkEvent::Opened(opened) => self.opened(&opened.connection)?,
                NetworkEvent::Closed(ended) if is_tcp(&ended.connection) => {
                    check(&ended.connection)?;
                    let asked = ended.connection.direction == Some(Direction::Outbound);
                    let sent = if asked { ASKED } else { ANSWERED };
                    let sent = u64::try_from(sent.len()).ok();
                    ensure!(ended.bytes_sent == sent && ended.error.is_none(), "{ended:?}");
                    self.closed += 1;
                }
                NetworkEvent::Failed(ended) => anyhow::bail!("it failed: {ended:?}"),
                NetworkEvent::Closed(_)
                | NetworkEvent::Listening(_)
                | NetworkEvent::ListeningEnded(_)
                | NetworkEvent::Traffic(_) => {}
            }
        }
        Ok(())
    }

    fn opened(&mut self, connection: &Connection) -> Result<()> {
        check(connection)?;
        let remote = SocketAddr::new(connection.remote.ip, connection.remote.port);
        match (connection.transport, connection.direction) {
            (Transport::Tcp, Some(Direction::Outbound)) => self.opened += 1,
            (Transport::Tcp, _) => self.accepted += 1,
            (Transport::Udp, _) => self.datagrams.push(remote),
        }
        Ok(())
    }
}

fn is_tcp(connection: &Connection) -> bool {
    connection.transport == Transport::Tcp
}

/// All of them belong to this very process.
fn check(connection: &Connection) -> Result<()> {
    ensure!(connection.means == Means::Bpf, "{connection:?}");
    let owner = connection.owner.as_ref().with_context(|| format!("no owner: {connection:?}"))?;
    let whole = owner.start_boot_ns.is_some() && owner.cgroup_id.is_some() && owner.name.is_some();
    ensure!((owner.pid, owner.uid) == (1, Some(0)) && whole, "{connection:?}");
    Ok(())
}
