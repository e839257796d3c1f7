//! What the network and name sensors see of real sockets on this kernel. Needs root; watches and
//! talks only in network namespaces that it makes, and hangs programs only on a control group that
//! it makes.

#[path = "support/ensure.rs"]
mod ensure;
#[path = "network/lab.rs"]
mod lab;
#[path = "network/watched.rs"]
mod watched;
#[path = "support/watching.rs"]
mod watching;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::{ffi::OsStrExt, fs::MetadataExt};
use std::process::ExitCode;

use cordon_agent::sensor::network::NetworkSettings;
use cordon_proto::event::SensorState;
use cordon_proto::event::dns::Says;
use cordon_proto::event::network::{Direction, Means, Owner, Peer, Transport};
use cordon_proto::event::process::Tier;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use ensure::{ensure, ensure_eq};
use lab::{ANSWERED, ASKED, Group, HERE, Lab, THERE, ask, done_within, echo, serve, within};
use watched::{Found, Sensors};

type Outcome = Result<(), Failed>;

type Test = fn(&Lab, &Group) -> Outcome;

const CONNECTION_REFUSED: u32 = 111;

const TESTS: [(&str, Test); 9] = [
    ("two thousand short connections are told with their owner", short_connections_are_told),
    ("what is accepted belongs to who listens", accepted_belong_to_the_listener),
    ("a refused attempt is marked", refused_is_marked),
    ("datagrams are told once and counted, and none is held up", datagrams_are_told),
    ("an answer gives a connection its name", answers_give_names),
    ("what stood before is found with its owner", what_stood_is_found),
    ("another namespace is not told", other_namespaces_are_not_told),
    ("what a full ring drops is counted", full_ring_is_counted),
    ("lists of sockets are compared where there is no BPF", lists_are_compared),
];

fn main() -> ExitCode {
    if let Some(code) = lab::play() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // The control group is the whole process's.
    arguments.test_threads = Some(1);
    let mut trials: Vec<Trial> = TESTS
        .into_iter()
        .map(|(name, test)| Trial::ignorable_test(name, move || in_group(test)))
        .collect();
    let name = "no program is hung on the root of the control groups";
    trials.push(Trial::ignorable_test(name, || unless_no_root(root_is_refused)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn in_group(test: Test) -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("needs root"));
    }
    let Some(group) = Group::enter()? else {
        return Ok(Completion::ignored_with("control groups of version 2 are not mounted"));
    };
    test(&Lab::new()?, &group).map(|()| Completion::Completed)
}

fn unless_no_root(test: fn() -> Result<Completion, Failed>) -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("needs root"));
    }
    test()
}

fn peers(ips: [&str; 2], port: u16) -> Result<[SocketAddr; 2], Failed> {
    let [four, six] =
        ips.map(|ip| ip.parse::<std::net::IpAddr>().map(|ip| SocketAddr::new(ip, port)));
    Ok([four?, six?])
}

fn peer(address: SocketAddr) -> Peer {
    Peer { ip: address.ip(), port: address.port() }
}

/// Listeners in a namespace, one of each family.
fn listeners(
    namespace: &str,
    ips: [&'static str; 2],
    port: u16,
) -> Result<[TcpListener; 2], Failed> {
    let [four, six] = peers(ips, port)?;
    done_within(namespace, move || Ok([TcpListener::bind(four)?, TcpListener::bind(six)?]))
}

/// An owner with all that BPF knows.
fn check_owner(owner: Option<&Owner>, pid: u32, uid: u32, group: &Group) -> Outcome {
    let owner = owner.ok_or("an owner")?;
    ensure_eq(&(owner.pid, owner.uid), &(pid, Some(uid)))?;
    ensure_eq(&owner.cgroup_id, &Some(std::fs::metadata(&group.path)?.ino()))?;
    ensure(owner.start_boot_ns.is_some_and(|start| start > 0), "the start of the process")?;
    let program = std::env::current_exe()?;
    let mut name = program.file_name().ok_or("a program's name")?.as_bytes().to_vec();
    name.truncate(15);
    ensure_eq(&owner.name.as_ref().map(|name| name.as_bytes().to_vec()), &Some(name))
}

fn short_connections_are_told(lab: &Lab, group: &Group) -> Outcome {
    const COUNT: usize = 1_000;
    let servers = listeners(&lab.there, THERE, 7001)?;
    let mut sensors = Sensors::start(&lab.here, NetworkSettings::default())?;
    ensure_eq(&sensors.condition.tier, &Some(Tier::Bpf))?;
    // Only a part of the machine's datagrams is seen, and the condition says so.
    let reason = sensors.condition.reason.clone().unwrap_or_default();
    ensure(reason.contains(&*group.path.to_string_lossy()), &reason)?;
    let loaded = sensors.processor_time()?;
    let [four, six] = peers(THERE, 7001)?;
    let serving = servers.map(|server| std::thread::spawn(move || serve(&server, COUNT)));
    let started = tokio::time::Instant::now();
    let child = lab.child(&format!("ask {COUNT} {four} {six}"))?;
    let pid = child.pid();
    let told = sensors.look(|found| {
        found.opened_by(pid).count() + found.lost >= 2 * COUNT
            && found.closed_by(pid).count() + found.lost >= 2 * COUNT
    });
    let (cpu, took) = (sensors.processor_time()?.saturating_sub(loaded), started.elapsed());
    child.finish()?;
    for server in serving {
        server.join().map_err(|_panic| "a server failed")??;
    }
    let found = &sensors.found;
    let (opened, closed) = (found.opened_by(pid).count(), found.closed_by(pid).count());
    let counts = format!("{opened} opened, {closed} closed, {} lost of {}", found.lost, 2 * COUNT);
    ensure(told.is_ok(), &counts)?;
    for connection in found.opened_by(pid) {
        ensure_eq(&(connection.means, connection.transport), &(Means::Bpf, Transport::Tcp))?;
        ensure_eq(&connection.direction, &Some(Direction::Outbound))?;
        ensure([peer(four), peer(six)].contains(&connection.remote), "the other end")?;
        ensure(HERE.contains(&connection.local.ip.to_string().as_str()), "this end")?;
        ensure(connection.local.port != 0 && connection.netns.is_none(), "port and namespace")?;
        check_owner(connection.owner.as_ref(), pid, 1234, group)?;
    }
    for ended in found.closed_by(pid) {
        let bytes = (ended.bytes_sent, ended.bytes_received);
        let expected = (u64::try_from(ASKED.len()).ok(), u64::try_from(ANSWERED.len()).ok());
        ensure_eq(&bytes, &expected)?;
        ensure(ended.duration_ns.is_some_and(|ns| ns > 0), "how long it stood")?;
        ensure_eq(&ended.error, &None)?;
    }
    for address in [four, six] {
        let family = found.opened_by(pid).filter(|connection| connection.remote == peer(address));
        ensure(family.count() + found.lost >= COUNT, &format!("all to {address}"))?;
    }
    let per_10k = cpu.as_secs_f64() * 5.0;
    let rate = f64::from(u32::try_from(2 * COUNT)?) / took.as_secs_f64();
    say(&format!("{counts}; {rate:.0} a second; {per_10k:.4} s of processor time for 10,000"))
}

fn accepted_belong_to_the_listener(lab: &Lab, group: &Group) -> Outcome {
    const COUNT: usize = 200;
    let mut sensors = Sensors::start(&lab.here, NetworkSettings::default())?;
    let servers = listeners(&lab.here, HERE, 7002)?;
    let serving = servers.map(|server| std::thread::spawn(move || serve(&server, COUNT)));
    let [four, six] = peers(HERE, 7002)?;
    done_within(&lab.there, move || {
        for address in [four, six] {
            for _ in 0..COUNT {
                ask(address)?;
            }
        }
        Ok(())
    })?;
    for server in serving {
        server.join().map_err(|_panic| "a server failed")??;
    }
    let pid = std::process::id();
    sensors.look(|found| {
        found.closed_by(pid).count() + found.lost >= 2 * COUNT && found.listening_ended.len() >= 2
    })?;
    let found = &sensors.found;
    for connection in found.opened_by(pid) {
        ensure_eq(&connection.direction, &Some(Direction::Inbound))?;
        ensure([peer(four), peer(six)].contains(&connection.local), "this end")?;
        check_owner(connection.owner.as_ref(), pid, 0, group)?;
    }
    ensure(found.opened_by(pid).count() + found.lost >= 2 * COUNT, "all are told")?;
    for (listener, address) in found.listening.iter().zip([four, six]) {
        ensure_eq(&(listener.local, listener.existing), &(peer(address), false))?;
        check_owner(listener.owner.as_ref(), pid, 0, group)?;
    }
    let ended: Vec<Peer> = found.listening_ended.iter().map(|listener| listener.local).collect();
    ensure(ended.contains(&peer(four)) && ended.contains(&peer(six)), "both ended")
}

fn refused_is_marked(lab: &Lab, group: &Group) -> Outcome {
    let mut sensors = Sensors::start(&lab.here, NetworkSettings::default())?;
    let addresses = peers(THERE, 7003)?;
    for (at, address) in (1..).zip(addresses) {
        let child = lab.child(&format!("refused {address}"))?;
        let pid = child.pid();
        child.finish()?;
        sensors.look(|found| found.failed.len() >= at)?;
        let failed = sensors.found.failed.last().ok_or("the attempt")?;
        ensure_eq(&failed.connection.remote, &peer(address))?;
        ensure_eq(&failed.error, &Some(CONNECTION_REFUSED))?;
        check_owner(failed.connection.owner.as_ref(), pid, 1234, group)?;
    }
    ensure(sensors.found.opened.is_empty(), "none counts as opened")?;
    // The sensor's own canary comes out as a proof, never as an event.
    sensors.look(|found| found.proved > 0)?;
    ensure(sensors.found.listening.is_empty(), "nobody else listens")
}

fn datagrams_are_told(lab: &Lab, group: &Group) -> Outcome {
    const COUNT: usize = 5;
    let settings = NetworkSettings { udp_idle_secs: 1, ..NetworkSettings::default() };
    let mut sensors = Sensors::start(&lab.here, settings)?;
    for (at, address) in (1..).zip(peers(THERE, 7004)?) {
        let socket = done_within(&lab.there, move || UdpSocket::bind(address))?;
        let echoing = std::thread::spawn(move || echo(&socket, COUNT + 1));
        let child = lab.child(&format!("send {COUNT} {address}"))?;
        let pid = child.pid();
        // Every datagram went there and came back: the programs only look.
        child.finish()?;
        echoing.join().map_err(|_panic| "the echo failed")??;
        sensors.look(|found| found.traffic.len() >= at)?;
        let found = &sensors.found;
        let opened: Vec<_> = found.opened_by(pid).collect();
        let [connection] = opened.as_slice() else {
            return Err(format!("told {} times", opened.len()).into());
        };
        ensure_eq(&(connection.transport, connection.remote), &(Transport::Udp, peer(address)))?;
        ensure(connection.local.port != 0, "the local port of a socket that was bound")?;
        check_owner(connection.owner.as_ref(), pid, 1234, group)?;
        let traffic = found.traffic.last().ok_or("what followed")?;
        ensure_eq(&traffic.connection, connection)?;
        ensure_eq(&traffic.sends, &u64::try_from(COUNT + 1)?)?;
    }
    Ok(())
}

fn answers_give_names(lab: &Lab, _group: &Group) -> Outcome {
    let mut sensors = Sensors::start(&lab.here, NetworkSettings::default())?;
    let [web, _] = peers(THERE, 7005)?;
    let [name_server, _] = peers(THERE, 53)?;
    let server = done_within(&lab.there, move || TcpListener::bind(web))?;
    let names = done_within(&lab.there, move || UdpSocket::bind(name_server))?;
    let serving = std::thread::spawn(move || serve(&server, 1));
    let answering = std::thread::spawn(move || lab::name_server(&names, 1, [198, 51, 100, 2]));
    let child = lab.child(&format!("resolve WWW.Cordon.test {name_server} 7005"))?;
    let pid = child.pid();
    child.finish()?;
    serving.join().map_err(|_panic| "the server failed")??;
    answering.join().map_err(|_panic| "the name server failed")??;
    let is_web =
        |found: &Found| found.closed.iter().any(|ended| ended.connection.remote == peer(web));
    sensors.look(|found| is_web(found) && !found.answers.is_empty())?;
    let [answer] = sensors.found.answers.as_slice() else {
        return Err(format!("{:?}", sensors.found.answers).into());
    };
    ensure_eq(&answer.query, &"www.cordon.test".into())?;
    ensure_eq(&(answer.query_type, answer.rcode, answer.records), &(1, 0, 2))?;
    let says: Vec<&Says> = answer.answers.iter().map(|answer| &answer.says).collect();
    let address = Says::Address(web.ip());
    ensure_eq(&says, &vec![&Says::Name("x.www.cordon.test".into()), &address])?;
    ensure_eq(&answer.server, &peer(name_server))?;
    ensure_eq(&answer.owner.as_ref().map(|owner| owner.pid), &Some(pid))?;
    let tcp = sensors.found.opened_by(pid).find(|known| known.transport == Transport::Tcp);
    let name = tcp.ok_or("the connection")?.host_name.clone();
    ensure_eq(&name, &Some("www.cordon.test".into()))
}

fn what_stood_is_found(lab: &Lab, _group: &Group) -> Outcome {
    let [here, _] = peers(HERE, 7006)?;
    let [there, _] = peers(THERE, 7007)?;
    let listener = done_within(&lab.here, move || TcpListener::bind(here))?;
    let datagrams = done_within(&lab.here, move || UdpSocket::bind("0.0.0.0:7008"))?;
    let _far = done_within(&lab.there, move || TcpListener::bind(there))?;
    let stream = done_within(&lab.here, move || TcpStream::connect(there))?;
    let mut sensors = Sensors::start(&lab.here, NetworkSettings::default())?;
    sensors.look(|found| found.listening.len() >= 2 && !found.opened.is_empty())?;
    let pid = Some(std::process::id());
    let found = &sensors.found;
    for (transport, means, port) in
        [(Transport::Tcp, Means::Bpf, 7006), (Transport::Udp, Means::Sampled, 7008)]
    {
        let listener = found.listening.iter().find(|known| known.local.port == port);
        let listener = listener.ok_or("the listener")?;
        ensure_eq(&(listener.transport, listener.means), &(transport, means))?;
        ensure(listener.existing, "it stood before")?;
        ensure_eq(&listener.owner.as_ref().map(|owner| owner.pid), &pid)?;
    }
    let [opened] = found.opened.as_slice() else { return Err("one connection".into()) };
    ensure(opened.existing && opened.connection.remote == peer(there), "the connection")?;
    ensure_eq(&opened.connection.direction, &Some(Direction::Outbound))?;
    ensure_eq(&opened.connection.owner.as_ref().map(|owner| owner.pid), &pid)?;
    drop(stream);
    drop(listener);
    drop(datagrams);
    // The other end has not closed; its listener goes, and with it the connection.
    drop(_far);
    sensors.look(|found| !found.closed.is_empty() && !found.listening_ended.is_empty())?;
    let [ended] = sensors.found.closed.as_slice() else { return Err("one end".into()) };
    ensure_eq(&ended.connection.owner.as_ref().map(|owner| owner.pid), &pid)?;
    ensure_eq(&ended.duration_ns, &None)
}

fn other_namespaces_are_not_told(lab: &Lab, _group: &Group) -> Outcome {
    let settings = NetworkSettings { loopback: true, ..NetworkSettings::default() };
    let mut sensors = Sensors::start(&lab.here, settings)?;
    for (namespace, port) in [(&lab.there, 7009), (&lab.here, 7010)] {
        let [address, _] = peers(["127.0.0.1", "::1"], port)?;
        let server = done_within(namespace, move || TcpListener::bind(address))?;
        let serving = std::thread::spawn(move || serve(&server, 1));
        done_within(namespace, move || ask(address))?;
        serving.join().map_err(|_panic| "the server failed")??;
    }
    sensors.look(|found| found.closed.len() >= 2 && !found.listening_ended.is_empty())?;
    let found = &sensors.found;
    let connections = found.closed.iter().map(|ended| &ended.connection);
    let ports: Vec<[u16; 2]> =
        connections.map(|known| [known.local.port, known.remote.port]).collect();
    ensure(ports.iter().all(|ports| ports.contains(&7010)), &format!("{ports:?}"))?;
    ensure(found.listening.iter().all(|known| known.local.port == 7010), "one listener")
}

fn full_ring_is_counted(lab: &Lab, _group: &Group) -> Outcome {
    const COUNT: usize = 1_000;
    let [four, _] = peers(THERE, 7011)?;
    let server = done_within(&lab.there, move || TcpListener::bind(four))?;
    let serving = std::thread::spawn(move || serve(&server, COUNT));
    // The ring holds some hundred connections.
    let settings = NetworkSettings { ring_bytes: 1, ..NetworkSettings::default() };
    let mut sensors = Sensors::start(&lab.here, settings)?;
    // Nobody takes the sensors' reports meanwhile.
    let child = lab.child(&format!("ask {COUNT} {four}"))?;
    child.finish()?;
    serving.join().map_err(|_panic| "the server failed")??;
    // A connection is told by three records: attempt, standing, end.
    sensors.look(|found| found.lost > 0 && found.lost + 2 * found.closed.len() >= COUNT)?;
    let Found { closed, lost, .. } = &sensors.found;
    ensure(!closed.is_empty(), "some are told")?;
    say(&format!("{} of {COUNT} ends seen, {lost} records counted as lost", closed.len()))
}

fn lists_are_compared(lab: &Lab, _group: &Group) -> Outcome {
    let [there, _] = peers(THERE, 7012)?;
    let [here, _] = peers(HERE, 7013)?;
    let far = done_within(&lab.there, move || TcpListener::bind(there))?;
    let settings = NetworkSettings {
        only: Some(Means::Sampled),
        sample_secs: 1,
        ..NetworkSettings::default()
    };
    let mut sensors = Sensors::start(&lab.here, settings)?;
    ensure_eq(&sensors.condition.state, &SensorState::Degraded)?;
    let reason = sensors.condition.reason.clone().unwrap_or_default();
    ensure(reason.starts_with("sampled"), &reason)?;
    let listener = done_within(&lab.here, move || TcpListener::bind(here))?;
    let stream = done_within(&lab.here, move || TcpStream::connect(there))?;
    let pid = std::process::id();
    sensors.look(|found| found.opened_by(pid).count() > 0 && !found.listening.is_empty())?;
    let opened = &sensors.found.opened[0].connection;
    ensure_eq(&(opened.means, opened.remote), &(Means::Sampled, peer(there)))?;
    ensure_eq(&opened.direction, &Some(Direction::Outbound))?;
    ensure_eq(&sensors.found.listening[0].owner.as_ref().map(|owner| owner.pid), &Some(pid))?;
    drop((stream, listener, far));
    sensors.look(|found| !found.closed.is_empty() && !found.listening_ended.is_empty())
}

/// An agent that is in the root of the control groups hangs no program there, and says so; it must
/// be run where this test was started in the root itself.
fn root_is_refused() -> Result<Completion, Failed> {
    let groups = std::fs::read_to_string("/proc/self/cgroup")?;
    if !groups.lines().any(|line| line == "0::/") {
        return Ok(Completion::ignored_with("was not started in the root of the control groups"));
    }
    let lab = Lab::new()?;
    let mut sensors = Sensors::start(&lab.here, NetworkSettings::default())?;
    ensure_eq(&sensors.condition.state, &SensorState::Degraded)?;
    let reason = sensors.condition.reason.clone().unwrap_or_default();
    ensure(reason.contains("datagrams are not seen"), &reason)?;
    ensure(reason.contains("the agent's own control group is the root"), &reason)?;
    // Datagrams go unseen, connections do not.
    let [datagrams, _] = peers(THERE, 7014)?;
    let [stream, _] = peers(THERE, 7015)?;
    let socket = done_within(&lab.there, move || UdpSocket::bind(datagrams))?;
    let echoing = std::thread::spawn(move || echo(&socket, 2));
    lab.child(&format!("send 1 {datagrams}"))?.finish()?;
    echoing.join().map_err(|_panic| "the echo failed")??;
    let serving = within(&lab.there, move || serve(&TcpListener::bind(stream)?, 1));
    let connected = loop {
        // The listener may not stand yet.
        match lab.child(&format!("ask 1 {stream}"))?.finish() {
            Ok(()) => break true,
            Err(_) if !serving.is_finished() => {}
            Err(_) => break false,
        }
    };
    ensure(connected, "the connection")?;
    serving.join().map_err(|_panic| "the server failed")??;
    sensors.look(|found| !found.closed.is_empty())?;
    let udp = |known: &&cordon_proto::event::network::Opened| {
        known.connection.transport == Transport::Udp
    };
    ensure_eq(&sensors.found.opened.iter().filter(udp).count(), &0)?;
    Ok(Completion::Completed)
}

fn say(line: &str) -> Outcome {
    Ok(writeln!(std::io::stdout(), "    {line}")?)
}
