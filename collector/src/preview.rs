//! What an isolation of one endpoint would cut, foretold from what the endpoint told.
//!
//! Pure but for `look`, which reads the log. Nothing of it is part of what an operator signs: a
//! preview that lies misleads a person, and changes no command.

pub mod fate;
pub mod flow;
pub mod look;
pub mod role;
pub mod session;
pub mod stand;

use cordon_proto::Text;
use cordon_proto::event::inventory::Subject;
use cordon_proto::event::network::{Peer, Transport};
use cordon_proto::event::{Body, Event};

use crate::time::Time;
use fate::Ways;
use flow::{Flows, Gathered};
use role::Judged;
use session::{Session, Sessions};
use stand::{Items, Standing};

/// How far back is looked.
pub const SPAN_SECS: u64 = 24 * 3600;

/// An inventory is told whole once a day; one that came late is found all the same.
pub const INVENTORY_SPAN_SECS: u64 = 26 * 3600;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// What it is for others.
    pub roles: Vec<Judged>,
    /// Connections and listeners.
    pub gathered: Gathered,
    /// Who is logged in from elsewhere.
    pub sessions: Vec<Session>,
    /// Logins that did not fit.
    pub sessions_left_out: u64,
    /// When the newest event that was looked at was made, by the endpoint's clock.
    pub newest: Option<Time>,
}

/// Takes an endpoint's events in, the newest first.
#[derive(Debug)]
pub struct Foretell {
    flows: Flows,
    sessions: Sessions,
    /// The latest start of the agent, and of the machine.
    agent_started: Time,
    machine_started: Time,
    newest: Option<Time>,
}

impl Foretell {
    /// Judges by these ways.
    #[must_use]
    pub fn new(ways: Ways) -> Self {
        Self {
            flows: Flows::new(ways),
            sessions: Sessions::default(),
            agent_started: Time(0),
            machine_started: Time(0),
            newest: None,
        }
    }

    /// Takes the next older event.
    pub fn handle(&mut self, event: &Event) {
        let at = Time(event.time_ns);
        if self.newest.is_none() {
            self.newest = Some(at);
            self.machine_started = Time(event.time_ns.saturating_sub(event.boot_ns));
        }
        if let Body::Network(network) = &event.body {
            self.flows.handle_network(network, at);
        } else if let Body::Dns(answer) = &event.body {
            self.flows.handle_dns(answer);
        } else if let Body::Authentication(authentication) = &event.body {
            self.sessions.handle(authentication, at);
        } else if let Body::Lifecycle(_) = &event.body {
            self.agent_started = self.agent_started.max(at);
        }
    }

    /// Puts it together with the inventories.
    #[must_use]
    pub fn finish(mut self, standing: &Standing, settled_by: Time) -> Preview {
        let listeners = standing.items(Subject::Listeners);
        let machine = standing.items(Subject::Machine);
        for (transport, local, program) in listeners.iter().flat_map(listed) {
            self.flows.handle_listed(transport, local, program);
        }
        let roles = role::judge(listeners.as_ref(), machine.as_ref(), settled_by);
        let (sessions, sessions_left_out) = self.sessions.finish(self.machine_started);
        let from = self.agent_started.max(self.machine_started);
        let gathered = self.flows.finish(from);
        Preview { roles, gathered, sessions, sessions_left_out, newest: self.newest }
    }
}

fn listed(items: &Items) -> Vec<(Transport, Peer, Option<Text>)> {
    let one = |(_, item): (&Text, &stand::Item)| {
        let transport = match item.field("protocol")?.as_bytes() {
            b"tcp" => Transport::Tcp,
            b"udp" => Transport::Udp,
            _ => return None,
        };
        let ip = item.field("address")?.as_str()?.parse().ok()?;
        let program = item.field("program").filter(|program| !program.is_empty()).cloned();
        Some((transport, Peer { ip, port: item.number("port")? }, program))
    };
    items.iter().filter_map(one).collect()
}
