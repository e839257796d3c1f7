//! One endpoint with its operators: who runs, what happens, and what is left in the end.

use cordon_agent::endpoint_time::EndpointTime;
use cordon_agent::hold::only_release;
use cordon_agent::kept::{GUARD, ISOLATION, LEDGER, TIME};
use cordon_proto::codec;

use super::agent::Agent;
use super::event::{Event, Forgery, Health, Order};
use super::holder::Holder;
use super::machine::{Machine, Wall};
use super::operators::{Message, Published};
use super::{Broken, Fault};

/// After so many seconds the service manager starts the agent again.
const RESTART_SECS: u64 = 10;
/// How long the machine runs before anybody can start.
const BOOT_SECS: u64 = 8;
/// The longest that passes between two looks while nothing is under way.
const STEP_SECS_MAX: u64 = 20;
/// Longer than anything that is tried again takes.
const CALM_SECS: u64 = 300;

enum Runs {
    Nobody,
    Agent(Box<Agent>),
    Holder(Box<Holder>),
}

pub(super) struct World {
    machine: Machine,
    runs: Runs,
    mailbox: Vec<Message>,
    agent_broken: bool,
    /// For how long the agent has not run.
    without_agent_secs: u64,
}

impl World {
    pub(super) fn new(broken: Option<Broken>) -> Self {
        let mut machine = Machine::new(broken);
        machine.enrol();
        let mut world = Self {
            machine,
            runs: Runs::Nobody,
            mailbox: Vec::new(),
            agent_broken: false,
            without_agent_secs: 0,
        };
        world.start_agent();
        world.run(1);
        world
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.machine.oracle.first_fault.clone()
    }

    pub(super) fn story(self) -> Vec<String> {
        self.machine.story
    }

    pub(super) fn happen(&mut self, event: &Event) {
        self.machine.say(format!("{event:?}"));
        let now = self.machine.clock.true_secs;
        match event {
            Event::Run(secs) => self.run(*secs),
            Event::Sleep(secs) => self.pass(*secs, false),
            Event::ClockBack(secs) => {
                let secs = (*secs).min(self.machine.clock.boot_secs);
                self.machine.clock.boot_secs -= secs;
                self.machine.oracle.clock_set_back(secs, now);
            }
            Event::Work { steps, pick } => {
                if let Runs::Agent(agent) = &mut self.runs {
                    (0..*steps).for_each(|_| agent.work(&mut self.machine, *pick));
                }
            }
            Event::Order(order) => self.order(*order),
            Event::Deliver(back) => self.deliver(*back),
            Event::Hand(back) => self.hand(*back),
            Event::Forge(how, order) => self.forge(*how, *order),
            Event::Kill(after) => self.machine.fuse = Some(*after),
            Event::StartAgent => self.start_agent(),
            Event::StartHolder => self.start_holder(),
            Event::AgentBroken(broken) => self.agent_broken = *broken,
            Event::Reboot => self.reboot(),
            Event::Disk(health) => self.machine.health = *health,
            Event::Tear(name) => {
                if let Some(bytes) = self.machine.files.get_mut(name) {
                    bytes.truncate(bytes.len() / 2);
                }
                if *name == GUARD {
                    self.machine.oracle.guard_lost();
                }
            }
            Event::EnrolAnew => self.enrol_anew(),
            Event::Kernel(how, count) => self.machine.refusals = Some((*how, *count)),
            Event::Tamper(how) => self.machine.tamper(*how),
            Event::Collector(answers) => {
                self.machine.collector_answers = *answers;
                self.machine.oracle.collector(*answers, now);
            }
            Event::Addresses(addresses) => self.machine.addresses = *addresses,
            Event::WayOut(open) => self.machine.way_out = *open,
        }
        self.bury();
        self.observe(0);
    }

    /// Whoever was killed is gone.
    fn bury(&mut self) {
        if !std::mem::take(&mut self.machine.dead) {
            return;
        }
        self.machine.fuse = None;
        self.nobody_runs();
    }

    fn nobody_runs(&mut self) {
        if matches!(self.runs, Runs::Nobody) {
            return;
        }
        if let Runs::Holder(holder) = std::mem::replace(&mut self.runs, Runs::Nobody) {
            holder.unnoted().for_each(|id| self.machine.oracle.unnoted(id));
        }
        self.without_agent_secs = 0;
        let (isolation, deeds) = self.machine.on_disk();
        self.machine.oracle.died(isolation, &deeds);
    }

    fn start_agent(&mut self) {
        if matches!(self.runs, Runs::Agent(_)) || self.agent_broken {
            return;
        }
        self.nobody_runs();
        self.runs = Agent::start(&mut self.machine)
            .map_or(Runs::Nobody, |agent| Runs::Agent(Box::new(agent)));
        self.bury();
    }

    fn start_holder(&mut self) {
        if matches!(self.runs, Runs::Nobody) {
            self.runs = Holder::open(&mut self.machine)
                .map_or(Runs::Nobody, |holder| Runs::Holder(Box::new(holder)));
            self.bury();
        }
    }

    /// The power fails and comes back; the supervisor starts before the network.
    fn reboot(&mut self) {
        self.nobody_runs();
        let now = self.machine.clock.true_secs;
        self.machine.oracle.rebooted(now);
        self.machine.wall = Wall::Absent;
        self.machine.fuse = None;
        self.machine.clock.boot += 1;
        self.machine.clock.boot_secs = BOOT_SECS;
        self.machine.clock.true_secs += BOOT_SECS;
        self.start_holder();
    }

    fn enrol_anew(&mut self) {
        if self.machine.health != Health::Good {
            return;
        }
        self.nobody_runs();
        self.machine.enrol();
        self.machine.counted_anew = vec![ISOLATION, LEDGER];
    }

    fn run(&mut self, secs: u64) {
        let mut left = secs;
        while left > 0 && self.fault().is_none() {
            let waits = match &self.runs {
                Runs::Nobody => true,
                Runs::Agent(agent) => agent.is_busy(),
                Runs::Holder(_) => false,
            };
            let closely = waits || self.machine.oracle.is_uneasy();
            let step = if closely { 1 } else { left.min(STEP_SECS_MAX) };
            left -= step;
            self.pass(step, true);
        }
    }

    /// Time passes; asleep nobody does anything until it has.
    fn pass(&mut self, secs: u64, awake: bool) {
        self.machine.clock.boot_secs += secs;
        self.machine.clock.true_secs += secs;
        if awake && !matches!(self.runs, Runs::Agent(_)) {
            self.without_agent_secs += secs;
            if self.without_agent_secs >= RESTART_SECS {
                self.without_agent_secs = 0;
                self.start_agent();
                self.start_holder();
            }
        }
        match &mut self.runs {
            Runs::Nobody => {}
            Runs::Agent(agent) => {
                agent.tick(&mut self.machine);
                if !agent.settle(&mut self.machine) {
                    let endless = Fault::Stranded("the agent runs in circles".to_owned());
                    self.machine.fault(endless);
                }
            }
            Runs::Holder(holder) => {
                holder.tick(&mut self.machine);
                if holder.is_over() {
                    self.nobody_runs();
                }
            }
        }
        self.bury();
        self.observe(if awake { secs } else { 0 });
    }

    fn observe(&mut self, step: u64) {
        let machine = &mut self.machine;
        let now = machine.clock.true_secs;
        let failing = machine.failed_at.is_some_and(|at| at + STEP_SECS_MAX > now);
        let ready = matches!(&self.runs, Runs::Agent(agent) if agent.is_ready());
        let somebody = ready || matches!(self.runs, Runs::Holder(_));
        let able = (somebody && !failing, ready && !failing);
        let seen = (&machine.wall, &machine.locked);
        if let Some(fault) = machine.oracle.observe((now, step), seen, able) {
            machine.fault(fault);
        }
    }

    fn seen_by_operators(&self) -> Option<Published> {
        self.machine.published.last().copied()
    }

    fn order(&mut self, order: Order) {
        let Some(published) = self.seen_by_operators() else { return };
        let message = self.machine.operators.sign(order, published);
        self.mailbox.push(message);
    }

    fn forge(&mut self, how: Forgery, order: Order) {
        let Some(published) = self.seen_by_operators() else { return };
        let message = self.machine.operators.forge(how, order, published);
        if let Runs::Agent(agent) = &mut self.runs {
            agent.command(&mut self.machine, &message);
        }
        self.mailbox.push(message);
    }

    fn sent(&self, back: usize) -> Option<Message> {
        self.mailbox.iter().rev().nth(back).cloned()
    }

    fn deliver(&mut self, back: usize) {
        let Some(message) = self.sent(back) else { return };
        if let (Runs::Agent(agent), true) = (&mut self.runs, self.machine.collector_answers) {
            agent.command(&mut self.machine, &message);
        }
    }

    fn hand(&mut self, back: usize) {
        let Some(message) = self.sent(back) else { return };
        match &mut self.runs {
            Runs::Agent(agent) if only_release(&message.bytes).is_ok() => {
                agent.command(&mut self.machine, &message);
            }
            Runs::Holder(holder) => holder.release(&mut self.machine, &message),
            Runs::Agent(_) | Runs::Nobody => {}
        }
    }

    /// Everything is mended, every lease ends, and what has none is released.
    pub(super) fn calm_down(&mut self) {
        self.machine.say("everything is mended");
        self.machine.mend();
        let now = self.machine.clock.true_secs;
        self.machine.oracle.collector(true, now);
        self.agent_broken = false;
        self.run(CALM_SECS);
        if !matches!(self.runs, Runs::Agent(_)) {
            self.machine.say("the agent cannot start; it is enrolled anew");
            self.enrol_anew();
            self.run(CALM_SECS);
        }
        if let Some(end) = self.machine.oracle.last_end() {
            let now = self.machine.clock.true_secs;
            self.pass(end.saturating_sub(now), false);
            self.run(CALM_SECS);
        }
        self.machine.say("what has no lease is released");
        self.order(Order::ReleaseAll);
        self.deliver(0);
        self.run(CALM_SECS);
        if self.fault().is_none()
            && let Some(left) = self.left()
        {
            self.machine.fault(Fault::Stranded(left));
        }
    }

    /// What is left when nothing may be.
    fn left(&self) -> Option<String> {
        let Runs::Agent(agent) = &self.runs else { return Some("no agent runs".to_owned()) };
        let machine = &self.machine;
        let left = [
            (machine.wall != Wall::Absent, "the wall"),
            (machine.locked.contains(&true), "a lock"),
            (machine.files.contains_key(ISOLATION), "the record of an isolation"),
            (!machine.deeds_on_disk().is_empty(), "a deed on the disk"),
            (!agent.containment.standing().is_empty(), "an isolation in health"),
            (!agent.ledger.standing().is_empty(), "a deed in health"),
        ];
        let left = left.into_iter().find(|(is_left, _)| *is_left);
        left.map(|(_, what)| format!("{what} is left"))
            .or_else(|| Some(format!("{} was never answered", machine.oracle.unanswered()?)))
    }
}

impl Machine {
    /// Endpoint time and nonces begin.
    fn enrol(&mut self) {
        let (boot_id, boot_ns) = (self.clock.boot_id(), self.clock.boot_ns());
        let time = EndpointTime::resume(None, &boot_id, boot_ns).keep(boot_ns);
        self.files.insert(TIME, codec::encode(&time));
        let memory = self.new_memory();
        self.files.insert(GUARD, memory.to_bytes().to_vec());
        self.published.clear();
        self.answered = None;
        self.oracle.guard_lost();
        self.oracle.guard_kept();
        self.oracle.time_kept(self.clock.true_secs);
    }

    fn mend(&mut self) {
        self.health = Health::Good;
        self.refusals = None;
        self.fuse = None;
        self.collector_answers = true;
        self.way_out = true;
    }
}
