//! Carries containments out: one step after the other, each on a helper thread.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_proto::event::receipt::Proof;

use super::Agent;
use super::jobs::{Done, blocking};
use crate::action::isolate::record::Plan;
use crate::action::isolate::shell::{Cut, Shell};
use crate::action::isolate::{CutOutcome, Seen, proof};
use crate::containment::{self, COLLECTORS_MAX, Step, Ways};
use crate::kept::ISOLATION;
use crate::platform::linux::socket::mark_socket;

/// What is under way. Steps that change something come one after the other; a proof takes seconds
/// and runs beside them, or nothing could be put back meanwhile.
#[derive(Default)]
pub(super) struct Acting {
    busy: bool,
    proving: bool,
    /// The proof to be made when the one under way is done.
    prove_next: Option<Step>,
}

impl Acting {
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }
}

/// What came of a step.
pub(super) enum Outcome {
    Saved(Result<(), String>),
    /// With the netlink port of our own changes, once it is known.
    Cut(u32, CutOutcome, Duration, Option<u32>),
    Seen(u32, Seen, Option<Box<Proof>>),
    LetBack(u32, Result<(), String>, Duration),
}

impl Agent {
    /// What must stay open, as known now.
    pub(super) fn ways(&self) -> Ways {
        let mut collectors = self.reached.clone();
        let literal = self.link.doors().iter().filter_map(|door| door.parse().ok());
        for door in literal {
            if !collectors.contains(&door) {
                collectors.push(door);
            }
        }
        collectors.truncate(COLLECTORS_MAX);
        let named = self.link.doors().iter().any(|door| door.parse::<SocketAddr>().is_err());
        let around = self.lookout.around();
        Ways {
            mark: self.config.isolation.mark,
            collectors,
            by_name: named || self.config.proxy.address.is_some(),
            dhcp_servers: around.dhcp_servers.clone(),
            users: around.users.clone(),
        }
    }

    /// The policy, the roster or the endpoint's surroundings have changed: so may what must stay
    /// open, if the endpoint is cut off.
    pub(super) fn replan(&mut self) {
        let ways = self.ways();
        self.containment.handle_ways(self.policy.as_ref(), ways);
        self.act();
    }

    /// The ports that the agent dials: of the doors, and of the proxy on the way.
    pub(super) fn door_ports(&self) -> Vec<u16> {
        let dialer = self.link.dialer();
        let doors = self.link.doors().iter().map(String::as_str);
        let all = doors.chain(dialer.proxy.as_ref().map(|proxy| proxy.address.as_str()));
        let named = all.filter_map(|door| door.rsplit(':').next()?.parse().ok());
        let mut ports: Vec<u16> = named.chain(self.reached.iter().map(|at| at.port())).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.truncate(COLLECTORS_MAX);
        ports
    }

    /// Takes the next step, if none is under way.
    pub(super) fn act(&mut self) {
        while !self.acting.busy {
            let Some(step) = self.containment.poll_step(self.secs()) else { break };
            self.step(step);
        }
        self.follow_plan();
        self.lookout.follow(!self.containment.standing().is_empty());
    }

    fn step(&mut self, step: Step) {
        let shell = Arc::clone(&self.shell);
        match step {
            Step::Receipt(receipt) => self.tell_receipt(*receipt),
            Step::Save(kept) => {
                let (dir, bytes) = (self.dir.clone(), kept.to_bytes());
                self.step_job(unsaved, move || {
                    let bytes = bytes.ok_or("the record of the isolation is too long");
                    let written = bytes.map_err(str::to_owned).and_then(|bytes| {
                        dir.write(ISOLATION, &bytes).map_err(|error| error.to_string())
                    });
                    Outcome::Saved(written)
                });
            }
            Step::Forget => {
                let dir = self.dir.clone();
                self.step_job(unsaved, move || {
                    Outcome::Saved(dir.remove(ISOLATION).map_err(|error| error.to_string()))
                });
            }
            Step::CutOff { turn, plan, check } => {
                let (live, clock) = (self.link.socket(), self.clock);
                let lost =
                    move |why| Outcome::Cut(turn, CutOutcome::Failed(why), Duration::ZERO, None);
                self.step_job(lost, move || match live {
                    Ok(live) => {
                        let live: Vec<_> = live.iter().map(AsFd::as_fd).collect();
                        let (mut shell, began) = (locked(&shell), clock.now());
                        let cut = shell.cut_off(&plan, check, &live);
                        let took = clock.now().saturating_sub(began);
                        let outcome = cut.map_or_else(|error| error.outcome(), done);
                        Outcome::Cut(turn, outcome, took, shell.port())
                    }
                    Err(error) => lost(format!("the connection cannot be marked: {error}")),
                });
            }
            prove @ Step::Prove { .. } if self.acting.proving => {
                self.acting.prove_next = Some(prove);
            }
            Step::Prove { turn, plan } => self.prove(turn, plan),
            Step::LetBack { turn } => {
                let lost = move |why| Outcome::LetBack(turn, Err(why), Duration::ZERO);
                let clock = self.clock;
                self.step_job(lost, move || {
                    let began = clock.now();
                    let gone = locked(&shell).let_back();
                    let took = clock.now().saturating_sub(began);
                    let gone = gone.map(drop).map_err(|error| error.to_string());
                    Outcome::LetBack(turn, gone, took)
                });
            }
        }
    }

    fn prove(&mut self, turn: u32, plan: Plan) {
        self.acting.proving = true;
        let shell = Arc::clone(&self.shell);
        self.jobs.push(async move {
            let lost = move |why| Outcome::Seen(turn, Seen::CannotLook(why), None);
            let seen = blocking(move || {
                let look = || locked(&shell).look(&plan);
                match proof::prove(look, &plan, &resolvers()) {
                    Ok(proof) => {
                        let told = Box::new(containment::proof(&proof));
                        Outcome::Seen(turn, proof.seen(), Some(told))
                    }
                    Err(error) => lost(error.to_string()),
                }
            });
            Done::Acted(seen.await.unwrap_or_else(|error| lost(error.to_string())))
        });
    }

    /// `lost` is the outcome where the helper thread did not live to tell one.
    fn step_job(
        &mut self,
        lost: impl FnOnce(String) -> Outcome + 'static,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) {
        self.acting.busy = true;
        self.jobs.push(async move {
            let outcome = blocking(work).await;
            Done::Acted(outcome.unwrap_or_else(|error| lost(error.to_string())))
        });
    }

    pub(super) fn acted(&mut self, outcome: Outcome) {
        if matches!(outcome, Outcome::Seen(..)) {
            self.acting.proving = false;
        } else {
            self.acting.busy = false;
        }
        let secs = self.secs();
        match outcome {
            Outcome::Saved(saved) => {
                if let Err(error) = &saved {
                    tracing::error!(error, "the record of the isolation could not be written");
                }
                self.containment.handle_saved(saved);
            }
            Outcome::Cut(turn, outcome, took, port) => {
                let change_us = micros(took);
                self.lookout.note_port(port);
                tracing::info!(?outcome, change_us, "cut off");
                self.containment.handle_cut(turn, outcome, change_us, secs);
            }
            Outcome::Seen(turn, seen, proof) => {
                tracing::debug!(?seen, "looked at the isolation");
                self.containment.handle_seen(turn, seen, proof.map(|proof| *proof), secs);
                if let Some(prove) = self.acting.prove_next.take() {
                    self.step(prove);
                }
            }
            Outcome::LetBack(turn, gone, took) => {
                let change_us = micros(took);
                tracing::info!(?gone, change_us, "let back");
                self.ledger.handle_let_back(gone.clone());
                self.containment.handle_let_back(turn, gone, change_us, secs);
            }
        }
        self.act();
        self.keep_way_out();
        self.look_again();
        self.act_deeds();
    }

    /// Sockets are marked before they connect, so that blocks let them pass; where that cannot be,
    /// nothing can be blocked either. While the endpoint is cut off they must be, and go to the
    /// addresses that are open: names cannot be resolved.
    fn follow_plan(&mut self) {
        let plan = self.containment.plan();
        let mark = self.config.isolation.mark;
        self.link.set_dialer(|dialer| match plan {
            None if dialer.prepare.is_none() || !dialer.known.is_empty() => {
                dialer.known.clear();
                dialer.prepare = Some(Arc::new(move |socket| {
                    mark_socket(socket, mark).unwrap_or_else(|error| {
                        tracing::debug!(%error, "the connection is not marked");
                    });
                    Ok(())
                }));
            }
            None => {}
            Some(plan) if dialer.known.is_empty() || dialer.known != plan.collectors => {
                dialer.known = plan.collectors;
                dialer.prepare = Some(Arc::new(move |socket| {
                    mark_socket(socket, plan.mark).map_err(std::io::Error::other)
                }));
            }
            Some(_) => {}
        });
    }

    /// Puts up again what stood when the agent last ran, before the link dials.
    pub(super) async fn restore(&mut self) {
        self.act();
        while self.acting.busy {
            let done = self.jobs.next().await;
            self.done(done);
        }
    }
}

/// What was done besides putting the wall up is told here or with the next proof.
fn done(cut: Cut) -> CutOutcome {
    let Cut { owned, packet_sockets_closed, sockets, sockets_error, held } = cut;
    let (ended, refused) = (sockets.ended, sockets.refused);
    tracing::info!(owned, packet_sockets_closed, ended, refused, "the wall stands");
    if let Some(error) = sockets_error {
        tracing::warn!(error, "foreign sockets could not be ended; their packets are dropped");
    }
    held.map_or(CutOutcome::Done, CutOutcome::Beside)
}

pub(super) fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn unsaved(why: String) -> Outcome {
    Outcome::Saved(Err(why))
}

/// A panic in an earlier step leaves nothing half done here: every call looks at the kernel anew.
pub(super) fn locked(shell: &Mutex<Shell>) -> std::sync::MutexGuard<'_, Shell> {
    shell.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name servers that programs here would ask.
fn resolvers() -> Vec<IpAddr> {
    read_resolvers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn read_resolvers(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|server| server.trim().parse().ok()).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_those_that_the_resolver_reads() {
        let text = "# nameserver 192.0.2.1\nsearch example\nnameserver 192.0.2.2\n \
                    nameserver\t2001:db8::1\nnameserver fe80::1%eth0\n";
        let found: Vec<_> = read_resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.2", "2001:db8::1"]);
    }
}
