//! `sockets` and `listeners`: TCP and UDP of the network namespace that the agent is in.

use std::collections::HashMap;

use cordon_proto::query::{Row, Value};

use super::proc::{self, Process};
use super::{INTEGER, TEXT, column, maybe, number, rows, text, word};
use crate::platform::linux::nft::wall::Transport;
use crate::platform::linux::sock_diag::{self, Socket};
use crate::platform::sqlite::{Asked, Column, Rows, Table};

/// Every socket.
pub(super) struct Sockets;

/// Those that anybody may speak to: TCP that listens, UDP that has no other end.
pub(super) struct Listeners;

const ABOUT_PID: &str = "a process that has it open; none for the kernel's own and orphans";

impl Table for Sockets {
    fn name(&self) -> &'static str {
        "sockets"
    }

    fn about(&self) -> &'static str {
        "TCP and UDP sockets, IPv4 and IPv6, of the agent's network namespace"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("protocol", TEXT, "tcp or udp"),
            column("local_address", TEXT, "this end"),
            column("local_port", INTEGER, "this end's port"),
            column("remote_address", TEXT, "the other end; none where there is none"),
            column("remote_port", INTEGER, "the other end's port"),
            column(
                "state",
                TEXT,
                "established, listen, time_wait and so on; udp: established or open",
            ),
            column("pid", INTEGER, ABOUT_PID),
            column("process", TEXT, "that process's name"),
            column("uid", INTEGER, "whose it is"),
            column("inode", INTEGER, "its number"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let mut owners = Owners::find();
        let row = |socket: Socket| {
            let remote = Some(socket.remote).filter(|remote| remote.port() != 0);
            let (pid, process) = owners.of(&socket);
            vec![
                word(protocol(&socket)),
                word(socket.local.ip().to_string()),
                number(socket.local.port()),
                remote.map_or(Value::Null, |remote| word(remote.ip().to_string())),
                maybe(remote.map(|remote| remote.port())),
                word(state(&socket)),
                pid,
                process,
                number(socket.uid),
                number(socket.inode),
            ]
        };
        Ok(rows(list()?.into_iter().map(row).collect()))
    }
}

impl Table for Listeners {
    fn name(&self) -> &'static str {
        "listeners"
    }

    fn about(&self) -> &'static str {
        "ports that are open here: TCP that listens, UDP without another end"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("protocol", TEXT, "tcp or udp"),
            column("address", TEXT, "where; 0.0.0.0 and :: are everywhere"),
            column("port", INTEGER, "the port"),
            column("pid", INTEGER, ABOUT_PID),
            column("process", TEXT, "that process's name"),
            column("path", TEXT, "that process's program"),
            column("uid", INTEGER, "whose it is"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let mut owners = Owners::find();
        let listens = |socket: &Socket| match socket.transport {
            Transport::Tcp => socket.state_name() == "listen",
            Transport::Udp => socket.remote.port() == 0 && socket.local.port() != 0,
        };
        let row = |socket: Socket| -> Row {
            let (pid, process) = owners.of(&socket);
            let path = match pid {
                Value::Integer(pid) => u32::try_from(pid).ok(),
                Value::Null | Value::Real(_) | Value::Text(_) | Value::Bytes(_) => None,
            };
            let path = path.and_then(|pid| Process::new(pid).link("exe"));
            vec![
                word(protocol(&socket)),
                word(socket.local.ip().to_string()),
                number(socket.local.port()),
                pid,
                process,
                path.map_or(Value::Null, |path| text(&path)),
                number(socket.uid),
            ]
        };
        Ok(rows(list()?.into_iter().filter(listens).map(row).collect()))
    }
}

fn list() -> Result<Vec<Socket>, String> {
    let mut sockets = sock_diag::Sockets::open().map_err(|error| error.to_string())?;
    sockets.every().map_err(|error| error.to_string())
}

fn protocol(socket: &Socket) -> &'static str {
    match socket.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn state(socket: &Socket) -> &'static str {
    match socket.transport {
        Transport::Tcp => socket.state_name(),
        Transport::Udp if socket.remote.port() == 0 => "open",
        Transport::Udp => "established",
    }
}

/// Which process has which socket, and what it is called.
struct Owners {
    by_inode: HashMap<u64, u32>,
    names: HashMap<u32, Value>,
}

impl Owners {
    fn find() -> Self {
        Self { by_inode: proc::socket_owners(), names: HashMap::new() }
    }

    fn of(&mut self, socket: &Socket) -> (Value, Value) {
        let pid = self.by_inode.get(&u64::from(socket.inode)).copied();
        let Some(pid) = pid.filter(|_| socket.inode != 0) else {
            return (Value::Null, Value::Null);
        };
        let name = self.names.entry(pid).or_insert_with(|| {
            let stat = Process::new(pid).stat();
            stat.map_or(Value::Null, |stat| text(&stat.name))
        });
        (number(pid), name.clone())
    }
}
