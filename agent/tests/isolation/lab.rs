//! An endpoint, its collector's and attacker's side, and a guest whose traffic the endpoint
//! forwards: three network namespaces joined by veth, IPv4 and IPv6.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use cordon_agent::action::isolate::Check;
use cordon_agent::action::isolate::drift::Drift;
use cordon_agent::action::isolate::proof::{self, Proof};
use cordon_agent::action::isolate::record::Plan;
use cordon_agent::action::isolate::shell::{Cut, Safety, Shell, ShellError};
use cordon_agent::platform::linux::netns::Netns;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Needs;

pub(crate) const MARK: u32 = 0x00c0_4d01;
pub(crate) const COLLECTOR: u16 = 7443;
pub(crate) const ATTACKER: u16 = 4444;
pub(crate) const ENDPOINT4: &str = "10.77.0.1";
pub(crate) const ENDPOINT6: &str = "fd77::1";
pub(crate) const PEER4: &str = "10.77.0.2";
pub(crate) const PEER6: &str = "fd77::2";
/// Longer than any answer takes between namespaces.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_millis(400);

static LABS: AtomicU32 = AtomicU32::new(0);

/// Why a test cannot run here.
pub(crate) fn missing(needs: Needs) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".into());
    }
    let programs: &[&str] = if needs == Needs::Nft { &["ip", "nft"] } else { &["ip"] };
    let absent = programs.iter().find(|program| Command::new(program).arg("-V").output().is_err());
    absent.map(|program| format!("needs the program {program}"))
}

pub(crate) struct Lab {
    pub(crate) endpoint: Space,
    pub(crate) peer: Space,
    pub(crate) guest: Space,
}

/// One namespace; removed when dropped.
pub(crate) struct Space {
    pub(crate) name: String,
}

impl Lab {
    pub(crate) fn build() -> Self {
        let lab = LABS.fetch_add(1, Ordering::Relaxed);
        let space = |role| Space::add(format!("cdn-{role}-{}-{lab}", std::process::id()));
        let lab = Self { endpoint: space("e"), peer: space("p"), guest: space("g") };
        lab.endpoint.veth("e0", [ENDPOINT4, ENDPOINT6], &lab.peer, "p0", [PEER4, PEER6]);
        let guest = ["10.78.0.2", "fd78::2"];
        lab.endpoint.veth("g0", ["10.78.0.1", "fd78::1"], &lab.guest, "c0", guest);
        lab.peer.ip("route add 10.78.0.0/24 via 10.77.0.1");
        lab.peer.ip("-6 route add fd78::/64 via fd77::1");
        lab.guest.ip("route add default via 10.78.0.1");
        lab.guest.ip("-6 route add default via fd78::1");
        lab.endpoint.run(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        });
        for port in [COLLECTOR, ATTACKER] {
            lab.peer.echo(port);
        }
        for space in [&lab.endpoint, &lab.guest] {
            for to in [peer4(ATTACKER), peer6(ATTACKER)] {
                space.until_connected(to);
            }
        }
        lab
    }

    /// Cuts the endpoint off with the usual plan; `live` are the agent's streams.
    pub(crate) fn isolate(&self, live: &[&TcpStream]) -> Isolated<'_> {
        let mut isolated = Isolated { lab: self, shell: shell(), plan: plan() };
        isolated.cut_off(Check::Full, live).unwrap();
        isolated
    }
}

/// The plan of a usual isolation.
pub(crate) fn plan() -> Plan {
    Plan {
        mark: MARK,
        collectors: vec![peer4(COLLECTOR), peer6(COLLECTOR)],
        exemptions: Vec::new(),
        dhcp_servers: Vec::new(),
    }
}

/// An endpoint under a shell of ours.
pub(crate) struct Isolated<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) shell: Shell,
    pub(crate) plan: Plan,
}

impl Isolated<'_> {
    pub(crate) fn cut_off(&mut self, check: Check, live: &[&TcpStream]) -> Result<Cut, ShellError> {
        let live: Vec<_> = live.iter().map(|stream| stream.as_fd()).collect();
        let Self { lab, shell, plan } = self;
        lab.endpoint.run(|| shell.cut_off(plan, check, &live))
    }

    pub(crate) fn prove(&mut self) -> Proof {
        let Self { lab, shell, plan } = self;
        lab.endpoint.run(|| proof::prove(|| shell.look(plan), plan, &[]).unwrap())
    }

    pub(crate) fn drift(&mut self) -> Option<Drift> {
        let Self { lab, shell, plan } = self;
        lab.endpoint.run(|| shell.look(plan).unwrap().drift)
    }

    pub(crate) fn let_back(&mut self) -> bool {
        let Self { lab, shell, .. } = self;
        lab.endpoint.run(|| shell.let_back().unwrap())
    }
}

/// A shell as an agent under test has it: unable to touch the machine's own network.
pub(crate) fn shell() -> Shell {
    let safety = Safety { outside_initial_netns_only: true, plain_tables: false };
    Shell::new(safety, PathBuf::from("/var/lib/cordon-agent"))
}

impl Space {
    fn add(name: String) -> Self {
        succeed(Command::new("ip").args(["netns", "add", &name]));
        let space = Self { name };
        space.ip("link set lo up");
        space
    }

    pub(crate) fn veth(
        &self,
        own: &str,
        addresses: [&str; 2],
        other: &Space,
        peer: &str,
        peer_addresses: [&str; 2],
    ) {
        self.ip(&format!("link add {own} type veth peer name {peer} netns {}", other.name));
        for (space, device, [ipv4, ipv6]) in [(self, own, addresses), (other, peer, peer_addresses)]
        {
            space.ip(&format!("addr add {ipv4}/24 dev {device}"));
            space.ip(&format!("addr add {ipv6}/64 dev {device} nodad"));
            space.ip(&format!("link set {device} up"));
        }
    }

    /// Runs `ip` on this namespace, from the outside.
    pub(crate) fn ip(&self, arguments: &str) {
        succeed(Command::new("ip").args(["-n", &self.name]).args(arguments.split(' ')));
    }

    /// The same for what this kernel may not know; true where it does.
    pub(crate) fn can(&self, arguments: &str) -> bool {
        let mut ip = Command::new("ip");
        let ip = ip.args(["-n", &self.name]).args(arguments.split(' '));
        ip.output().unwrap().status.success()
    }

    /// Runs a program inside.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.run(|| Command::new(program).args(arguments).output().unwrap())
    }

    /// Runs `inside` on a thread of its own that has moved into this namespace.
    pub(crate) fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                inside()
            });
            match thread.join() {
                Ok(value) => value,
                Err(cause) => std::panic::resume_unwind(cause),
            }
        })
    }

    pub(crate) fn enter(&self) {
        let space = File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        assert!(!Netns::own().unwrap().is_initial().unwrap());
    }

    /// Echoes what anybody sends to `port`, IPv4 and IPv6, until the test program ends.
    pub(crate) fn echo(&self, port: u16) {
        let listener = self.run(|| TcpListener::bind(("::", port)).unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || echo(stream));
            }
        });
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> Result<TcpStream, std::io::Error> {
        self.run(|| TcpStream::connect_timeout(&to, ANSWER_WAIT))
    }

    /// A new link takes up to a second until both ends know that it is up.
    #[track_caller]
    pub(crate) fn until_connected(&self, to: SocketAddr) {
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        for _ in 0..200 {
            if self.connect(to).is_ok() {
                return;
            }
            rustix::event::poll(&mut [], Some(&pause)).unwrap();
        }
        panic!("{} does not reach {to}", self.name);
    }

    /// A session that works.
    #[track_caller]
    pub(crate) fn session(&self, to: SocketAddr) -> TcpStream {
        let stream = self.connect(to).unwrap();
        assert!(answers(&stream), "{to} does not echo");
        stream
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // A namespace that is left behind harms nothing; a second panic here would hide the first.
        drop(Command::new("ip").args(["netns", "del", &self.name]).output());
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

/// Does the other end echo?
pub(crate) fn answers(stream: &TcpStream) -> bool {
    exchange(stream).is_ok()
}

pub(crate) fn exchange(mut stream: &TcpStream) -> Result<(), ErrorKind> {
    stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|error| error.kind())?;
    let mut answer = [0; 5];
    stream.write_all(b"hello").map_err(|error| error.kind())?;
    stream.read_exact(&mut answer).map_err(|error| error.kind())?;
    if answer == *b"hello" { Ok(()) } else { Err(ErrorKind::InvalidData) }
}

pub(crate) fn peer4(port: u16) -> SocketAddr {
    SocketAddr::new(PEER4.parse().unwrap(), port)
}

pub(crate) fn peer6(port: u16) -> SocketAddr {
    SocketAddr::new(PEER6.parse().unwrap(), port)
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
