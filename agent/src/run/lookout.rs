//! Keeps an eye on what an isolation stands on: the rules, the devices, and the endpoint's
//! surroundings (who gave it its addresses, the users that policy names).
//!
//! The kernel says when rules or devices change; a slow look of its own comes on top. Somebody who
//! changes them all the time gets an answer each time at first, and ten a second after that.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

use super::Agent;
use super::contain::locked;
use super::jobs::{Done, blocking};
use crate::action::isolate::drift::Drift;
use crate::action::isolate::{dhcp, users};
use crate::platform::linux::netlink::Netlink;
use crate::platform::linux::nft::{Author, Watch};
use crate::platform::linux::{holder, route, wait};

/// How often the rules are looked at though nothing was heard.
const POLL_PERIOD: Duration = Duration::from_secs(10);
/// The same where the kernel cannot be heard.
const POLL_PERIOD_DEAF: Duration = Duration::from_secs(1);
/// Who gives addresses may change with each renewal.
const AROUND_PERIOD: Duration = Duration::from_secs(60);
/// So many looks in [`PACE_PERIOD`] follow at once; then there is a pause after each.
const LOOKS_FREE: u32 = 50;
const PACE_PERIOD: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
const AUTHORS_MAX: usize = 4;

/// What an isolation has to know of the endpoint's surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    pub(super) dhcp_servers: Vec<IpAddr>,
    pub(super) users: Vec<(String, u32)>,
}

/// Hears while an isolation stands; holds nothing open otherwise.
#[derive(Default)]
pub(super) struct Lookout {
    ears: Option<Ears>,
    /// The netlink port of our own changes.
    own: Option<u32>,
    /// Who changed our rules since the last look.
    authors: Vec<String>,
    looking: bool,
    /// Something was heard while nobody could look.
    again: bool,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
    poll_at: Duration,
    around: Around,
    looking_around: bool,
    around_at: Duration,
}

struct Ears {
    rules: Option<AsyncFd<Watch>>,
    links: Option<AsyncFd<Netlink>>,
}

impl Lookout {
    pub(super) fn around(&self) -> &Around {
        &self.around
    }

    pub(super) fn note_port(&mut self, port: Option<u32>) {
        self.own = port.or(self.own);
    }

    /// Begins to hear when something stands, and ends with it.
    pub(super) fn follow(&mut self, stands: bool) {
        match (stands, self.ears.is_some()) {
            (true, false) => self.ears = Some(Ears::open()),
            (false, true) => {
                self.ears = None;
                self.pause = None;
                self.authors.clear();
                self.again = false;
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Returns when there may be something to hear, or a pause is over; never while nothing stands.
    pub(super) async fn stirred(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.await;
            self.pause = None;
            return;
        }
        let Some(Ears { rules, links }) = &self.ears else { return std::future::pending().await };
        tokio::select! {
            () = readable(rules.as_ref()) => {}
            () = readable(links.as_ref()) => {}
        }
    }

    /// Takes what is waiting; true when the wall must be looked at.
    fn hear(&mut self) -> bool {
        let Some(Ears { rules, links }) = &mut self.ears else { return false };
        let mut look = std::mem::take(&mut self.again);
        if let Some(rules) = rules {
            match rules.get_mut().touched(self.own) {
                Ok(touched) => {
                    look |= touched.ours;
                    for author in touched.authors.iter().map(who) {
                        if self.authors.len() < AUTHORS_MAX && !self.authors.contains(&author) {
                            self.authors.push(author);
                        }
                    }
                }
                // What was not understood may have been about us.
                Err(_) => look = true,
            }
        }
        if let Some(links) = links {
            let mut heard = false;
            let result = links.get_mut().notifications("hear of devices", |_| {
                heard = true;
                Ok(())
            });
            look |= heard || result.is_err();
        }
        look
    }

    /// What somebody changed, with whoever is known to have done it.
    fn blame(&mut self, found: String) -> String {
        if self.authors.is_empty() {
            return found;
        }
        format!("{found}; changed by {}", std::mem::take(&mut self.authors).join(" and "))
    }
}

impl Ears {
    fn open() -> Self {
        let deaf = |what: &str, error: &dyn std::fmt::Display| {
            tracing::warn!(%error, what, "cannot be heard of; the isolation is looked at each second");
        };
        let rules = Watch::open().map_err(|error| deaf("changes of rules", &error)).ok();
        let links = route::open(route::GROUP_LINKS);
        let links = links.map_err(|error| deaf("devices", &error)).ok();
        Self {
            rules: rules.and_then(|rules| wait::readable(rules).ok()),
            links: links.and_then(|links| wait::readable(links).ok()),
        }
    }

    fn are_open(&self) -> bool {
        self.rules.is_some() && self.links.is_some()
    }
}

async fn readable<T: std::os::fd::AsRawFd>(ear: Option<&AsyncFd<T>>) {
    let Some(ear) = ear else { return std::future::pending().await };
    match ear.readable().await {
        // Before it is read, so that what comes meanwhile wakes again.
        Ok(mut ready) => ready.clear_ready(),
        Err(_) => std::future::pending().await,
    }
}

fn who(author: &Author) -> String {
    let name = author.name.escape_ascii();
    match holder::exe_of(author.pid, &author.name) {
        Some(exe) => format!("{name} (process {}, {})", author.pid, exe.display()),
        None => format!("{name} (process {}, gone since)", author.pid),
    }
}

/// Bounds what looking costs.
#[derive(Debug, Default)]
struct Pace {
    since: Duration,
    looks: u32,
}

impl Pace {
    /// The pause that must follow the look that was begun now.
    fn pause(&mut self, now: Duration) -> Option<Duration> {
        if now.saturating_sub(self.since) >= PACE_PERIOD {
            *self = Self { since: now, looks: 0 };
        }
        self.looks = self.looks.saturating_add(1);
        (self.looks > LOOKS_FREE).then_some(PAUSE)
    }
}

impl Agent {
    pub(super) fn stirred(&mut self) {
        if self.lookout.hear() {
            self.look();
        }
    }

    /// Looks though nothing was heard, now and then.
    pub(super) fn keep_watch(&mut self) {
        let now = self.clock.now();
        let Some(ears) = &self.lookout.ears else { return };
        let period = if ears.are_open() { POLL_PERIOD } else { POLL_PERIOD_DEAF };
        if self.lookout.poll_at <= now {
            self.lookout.poll_at = now.saturating_add(period);
            self.look();
        }
        if self.lookout.around_at <= now {
            self.look_around();
        }
    }

    /// Compares the wall with what it must be, unless a look or a step is under way: then
    /// afterwards.
    pub(super) fn look(&mut self) {
        let Some(plan) = self.containment.plan() else { return };
        if self.acting.is_busy() || self.lookout.looking || self.lookout.pause.is_some() {
            self.lookout.again = true;
            return;
        }
        self.lookout.looking = true;
        let pause = self.lookout.pace.pause(self.clock.now());
        self.lookout.pause = pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
        let shell = Arc::clone(&self.shell);
        self.jobs.push(async move {
            // Whatever keeps it from looking is told by the next proof.
            let drift =
                blocking(move || locked(&shell).look(&plan).ok().and_then(|look| look.drift));
            Done::Looked(drift.await.ok().flatten())
        });
    }

    pub(super) fn looked(&mut self, drift: Option<Drift>) {
        self.lookout.looking = false;
        match drift {
            // What a step changes meanwhile is no drift; it is looked at again afterwards.
            Some(_) if self.acting.is_busy() => self.lookout.again = true,
            Some(Drift::Rules(found)) => {
                let found = self.lookout.blame(found);
                tracing::warn!(found, "somebody changed the isolation");
                self.containment.handle_drift(found);
                self.act();
            }
            Some(Drift::Devices) => {
                tracing::info!("devices came or went; the isolation is put up for those of now");
                self.containment.handle_devices();
                self.act();
            }
            None => self.lookout.authors.clear(),
        }
        self.look_again();
    }

    /// Looks if something was heard while nobody could.
    pub(super) fn look_again(&mut self) {
        if self.lookout.again && !self.acting.is_busy() && !self.lookout.looking {
            self.lookout.again = false;
            self.look();
        }
    }

    /// Reads who gave this endpoint its addresses, and which users policy means.
    pub(super) fn look_around(&mut self) {
        self.lookout.around_at = self.clock.now().saturating_add(AROUND_PERIOD);
        if self.lookout.looking_around {
            return;
        }
        self.lookout.looking_around = true;
        let exemptions = self.policy.iter().flat_map(|policy| &policy.exemptions);
        let names: Vec<_> = exemptions.filter_map(|exemption| exemption.user.clone()).collect();
        self.jobs.push(async move {
            let around = blocking(move || Around {
                dhcp_servers: dhcp::servers(),
                users: users::numbers(&names),
            });
            Done::Around(around.await.ok())
        });
    }

    pub(super) fn looked_around(&mut self, around: Option<Around>) {
        self.lookout.looking_around = false;
        if let Some(around) = around {
            self.lookout.around = around;
            self.replan();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_free_at_first_and_paused_in_a_flood() {
        let mut pace = Pace::default();
        let at = Duration::from_millis;
        let first: Vec<_> = (0..60).map(|look| pace.pause(at(20_000 + look))).collect();
        assert!(first[..50].iter().all(Option::is_none));
        assert!(first[50..].iter().all(|pause| *pause == Some(PAUSE)));
        assert_eq!(pace.pause(at(29_999)), Some(PAUSE));
        assert_eq!(pace.pause(at(30_000)), None);
    }
}
