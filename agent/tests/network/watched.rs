//! The network and name sensors on a thread of their own, and what they have reported.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::sensor::dns::{self, Names};
use cordon_agent::sensor::network::{self, NetworkSettings};
use cordon_agent::sensor::{Condition, Outlet, Report, Sample};
use cordon_proto::event::network::{Connection, Ended, Listener, Opened, Traffic};
use cordon_proto::event::{Body, Class, DnsEvent, NetworkEvent};
use libtest_mimic::Failed;

use crate::lab;
use crate::watching::Watching;

/// The sensors at work.
pub(crate) struct Sensors {
    /// What the network sensor said of itself first.
    pub(crate) condition: Condition,
    /// What was reported so far.
    pub(crate) found: Found,
    watching: Watching,
}

/// What was reported.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) opened: Vec<Opened>,
    pub(crate) closed: Vec<Ended>,
    pub(crate) failed: Vec<Ended>,
    pub(crate) listening: Vec<Listener>,
    pub(crate) listening_ended: Vec<Listener>,
    pub(crate) traffic: Vec<Traffic>,
    pub(crate) answers: Vec<DnsEvent>,
    /// How often a sensor was shown to see.
    pub(crate) proved: usize,
    /// Events of connections that are counted as lost.
    pub(crate) lost: usize,
}

impl Found {
    fn take(&mut self, sample: Sample) -> Result<(), Failed> {
        for seen in sample.observations {
            if let Body::Network(event) = seen.body {
                match *event {
                    NetworkEvent::Opened(opened) => self.opened.push(opened),
                    NetworkEvent::Closed(ended) => self.closed.push(ended),
                    NetworkEvent::Failed(ended) => self.failed.push(ended),
                    NetworkEvent::Listening(listener) => self.listening.push(listener),
                    NetworkEvent::ListeningEnded(ended) => self.listening_ended.push(ended),
                    NetworkEvent::Traffic(traffic) => self.traffic.push(traffic),
                }
            } else if let Body::Dns(event) = seen.body {
                self.answers.push(*event);
            } else {
                return Err("an event that is of neither sensor".into());
            }
        }
        let counts = sample.losses.iter().flat_map(|loss| &loss.counts);
        for count in counts.filter(|count| count.class == Class::Network) {
            self.lost += usize::try_from(count.count)?;
        }
        Ok(())
    }

    /// Opened connections of a process.
    pub(crate) fn opened_by(&self, pid: u32) -> impl Iterator<Item = &Connection> {
        let opened = self.opened.iter().map(|opened| &opened.connection);
        opened.filter(move |connection| is_of(connection, pid))
    }

    pub(crate) fn closed_by(&self, pid: u32) -> impl Iterator<Item = &Ended> {
        self.closed.iter().filter(move |ended| is_of(&ended.connection, pid))
    }
}

fn is_of(connection: &Connection, pid: u32) -> bool {
    connection.owner.as_ref().is_some_and(|owner| owner.pid == pid)
}

impl Sensors {
    /// Starts both in a namespace and waits for their conditions.
    pub(crate) fn start(namespace: &str, settings: NetworkSettings) -> Result<Self, Failed> {
        let namespace = namespace.to_owned();
        let mut watching = Watching::start(
            move || lab::enter(&namespace),
            async move |sender| {
                let names = Names::default();
                let dns_outlet = Outlet::new(dns::NAME, sender.clone());
                let outlet = Outlet::new(network::NAME, sender);
                tokio::join!(
                    dns::run(clock::stamp, names.clone(), dns_outlet),
                    network::run(settings, clock::stamp, names.clone(), outlet),
                )
            },
        )?;
        let mut found = Found::default();
        let mut conditions = HashMap::new();
        let condition = watching.take(|name, report| {
            match report {
                Report::Condition(condition) => drop(conditions.insert(name, condition)),
                Report::Sample(sample) => found.take(sample)?,
                Report::Proved => found.proved += 1,
            }
            let both = conditions.len() == 2;
            let condition = if both { conditions.remove(network::NAME) } else { None };
            Ok(condition.map_or(ControlFlow::Continue(()), ControlFlow::Break))
        })?;
        Ok(Self { condition, found, watching })
    }

    /// Takes reports until it is there.
    pub(crate) fn look(&mut self, is_there: impl Fn(&Found) -> bool) -> Result<(), Failed> {
        let Self { found, watching, .. } = self;
        if is_there(found) {
            return Ok(());
        }
        watching.take(|_name, report| {
            match report {
                Report::Sample(sample) => found.take(sample)?,
                Report::Proved => found.proved += 1,
                Report::Condition(condition) => {
                    return Err(format!("a sensor fares differently: {condition:?}").into());
                }
            }
            Ok(if is_there(found) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// The processor time that the sensors' thread has taken, in user and kernel.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failed> {
        self.watching.processor_time()
    }
}
