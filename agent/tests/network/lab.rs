//! Two network namespaces joined by a wire, a control group of one's own, and the programs that
//! talk there. Nothing of it touches the namespaces that the machine started with.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use libtest_mimic::Failed;
use rustix::thread::LinkNameSpaceType;

/// What a child of this program is to do there.
const ROLE: &str = "CORDON_NETWORK_ROLE";

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one end of a connection sends, and what the other answers.
pub(crate) const ASKED: [u8; 10] = [1; 10];
pub(crate) const ANSWERED: [u8; 20] = [2; 20];

/// The addresses of the namespace that is watched, and of the other one.
pub(crate) const HERE: [&str; 2] = ["198.51.100.1", "2001:db8:c0de::1"];
pub(crate) const THERE: [&str; 2] = ["198.51.100.2", "2001:db8:c0de::2"];

/// Two namespaces, removed when this is dropped.
pub(crate) struct Lab {
    /// The one that is watched.
    pub(crate) here: String,
    pub(crate) there: String,
}

impl Lab {
    pub(crate) fn new() -> Result<Self, Failed> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("cordon-net-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let lab = Self { here: format!("{name}-a"), there: format!("{name}-b") };
        let Self { here, there } = &lab;
        ip(&format!("netns add {here}"))?;
        ip(&format!("netns add {there}"))?;
        ip(&format!("-n {here} link add wire type veth peer name wire netns {there}"))?;
        for (name, [four, six]) in [(here, HERE), (there, THERE)] {
            ip(&format!("-n {name} address add {four}/24 dev wire"))?;
            ip(&format!("-n {name} address add {six}/64 dev wire nodad"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set wire up"))?;
        }
        Ok(lab)
    }

    /// Runs this program in the watched namespace as user 1234.
    pub(crate) fn child(&self, role: &str) -> Result<Running, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, format!("{} {role}", self.here));
        Ok(Running(command.stdin(Stdio::null()).spawn()?))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in [&self.here, &self.there] {
            drop(ip(&format!("netns delete {name}")));
        }
    }
}

fn ip(arguments: &str) -> Result<(), Failed> {
    let status = Command::new("ip").args(arguments.split(' ')).status()?;
    if status.success() { Ok(()) } else { Err(format!("ip {arguments}: {status}").into()) }
}

/// Moves the calling thread into a namespace, and nothing else of the process.
pub(crate) fn enter(name: &str) -> io::Result<()> {
    let namespace = File::open(PathBuf::from("/run/netns").join(name))?;
    let kind = Some(LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)?;
    Ok(())
}

/// Does something on a thread in a namespace.
pub(crate) fn within<T: Send + 'static>(
    name: &str,
    does: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> JoinHandle<io::Result<T>> {
    let name = name.to_owned();
    std::thread::spawn(move || {
        enter(&name)?;
        does()
    })
}

/// The same, until it is done.
pub(crate) fn done_within<T: Send + 'static>(
    name: &str,
    does: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failed> {
    within(name, does).join().map_err(|_panic| "the thread failed")?.map_err(Failed::from)
}

/// A child that is killed when a test ends early.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn finish(mut self) -> Result<(), Failed> {
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the child: {status}").into()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

/// A control group of this test's own that the whole process is in, until this is dropped.
pub(crate) struct Group {
    root: PathBuf,
    pub(crate) path: PathBuf,
    before: String,
}

impl Group {
    /// None where control groups of the second version are not mounted.
    pub(crate) fn enter() -> Result<Option<Self>, Failed> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let Some(root) = mount.and_then(|line| line.split(' ').nth(4)).map(PathBuf::from) else {
            return Ok(None);
        };
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let before = groups.lines().find_map(|line| line.strip_prefix("0::/"));
        let before = before.ok_or("a group before")?.to_owned();
        let path = root.join(format!("cordon-network-test-{}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self { root, path, before };
        fs::write(group.path.join("cgroup.procs"), std::process::id().to_string())?;
        Ok(Some(group))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let procs = self.root.join(&self.before).join("cgroup.procs");
        drop(fs::write(procs, std::process::id().to_string()));
        drop(fs::remove_dir(&self.path));
    }
}

/// Answers as many connections as it is asked to.
pub(crate) fn serve(listener: &TcpListener, count: usize) -> io::Result<()> {
    for _ in 0..count {
        let (mut stream, _) = listener.accept()?;
        let mut asked = [0; ASKED.len()];
        stream.read_exact(&mut asked)?;
        stream.write_all(&ANSWERED)?;
    }
    Ok(())
}

/// Asks over one connection, and waits until the other end has closed it.
pub(crate) fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&ASKED)?;
    let mut answered = Vec::new();
    stream.read_to_end(&mut answered)?;
    if answered == ANSWERED { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Plays the part that this program was started for, if it was.
pub(crate) fn play() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let words: Vec<&str> = role.split(' ').collect();
    let played = match words.as_slice() {
        [here, role @ ..] => enter(here).and_then(|()| part(role)),
        [] => Err(io::ErrorKind::InvalidInput.into()),
    };
    Some(match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "as {role}: {error}"));
            ExitCode::FAILURE
        }
    })
}

fn part(role: &[&str]) -> io::Result<()> {
    let invalid = |_wrong| io::Error::from(io::ErrorKind::InvalidInput);
    let address =
        |text: &str| text.parse::<SocketAddr>().map_err(|_wrong| io::ErrorKind::InvalidInput);
    let user = rustix::process::Uid::from_raw(1234);
    rustix::thread::set_thread_res_uid(user, user, user)?;
    match role {
        ["ask", count, addresses @ ..] => {
            let count: usize = count.parse().map_err(invalid)?;
            let addresses = addresses.iter().map(|text| address(text));
            let addresses: Vec<SocketAddr> = addresses.collect::<Result<_, _>>()?;
            // A thread has a name of its own; what is told is the process.
            let asks =
                move || addresses.iter().try_for_each(|to| (0..count).try_for_each(|_| ask(*to)));
            let thread = std::thread::Builder::new().name("a-worker".to_owned()).spawn(asks)?;
            thread.join().map_err(|_panic| io::Error::other("the thread panicked"))?
        }
        ["refused", to] => match TcpStream::connect_timeout(&address(to)?, PATIENCE) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            other => Err(io::Error::other(format!("{other:?}"))),
        },
        ["send", count, to] => send(count.parse().map_err(invalid)?, address(to)?),
        ["resolve", name, server, port] => {
            let ip = resolve(name, address(server)?)?;
            ask(SocketAddr::new(ip, port.parse().map_err(invalid)?))
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Sends datagrams from a socket that is not connected, then one from a socket that is; each must
/// come back.
fn send(count: usize, to: SocketAddr) -> io::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let mut back = [0; 16];
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..count {
        socket.send_to(b"datagram", to)?;
        socket.recv_from(&mut back)?;
    }
    let connected = UdpSocket::bind(any)?;
    connected.set_read_timeout(Some(PATIENCE))?;
    connected.connect(to)?;
    connected.send(b"datagram")?;
    connected.recv(&mut back)?;
    Ok(())
}

/// Sends every datagram back, for as long as any come in time.
pub(crate) fn echo(socket: &UdpSocket, count: usize) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1500];
    for _ in 0..count {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
    Ok(())
}

/// Asks a name server for an IPv4 address, as a program without a library does.
fn resolve(name: &str, server: SocketAddr) -> io::Result<IpAddr> {
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).map_err(io::Error::other)?);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(&question)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let tail: [u8; 4] = answer[..length].last_chunk().copied().ok_or(io::ErrorKind::InvalidData)?;
    Ok(IpAddr::from(tail))
}

/// Answers questions: whatever name is asked for has one address, by way of another name.
pub(crate) fn name_server(socket: &UdpSocket, count: usize, ip: [u8; 4]) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 512];
    for _ in 0..count {
        let (length, from) = socket.recv_from(&mut buffer)?;
        let mut answer = buffer[..length].to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[6..8].copy_from_slice(&[0, 2]);
        // The name that was asked for is another name for `x` below itself.
        let other = u16::try_from(length).map_err(io::Error::other)? + 12;
        answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 0, 0, 4, 1, b'x', 0xc0, 12]);
        answer.extend((0xc000 | other).to_be_bytes());
        answer.extend([0, 1, 0, 1, 0, 0, 1, 0, 0, 4]);
        answer.extend(ip);
        socket.send_to(&answer, from)?;
    }
    Ok(())
}
