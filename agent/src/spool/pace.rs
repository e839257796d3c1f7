//! When the spool is to be written, synced and marked alive.
//!
//! Pure: time comes in as an argument, what is due comes out.

use std::time::Duration;

/// How long the first of some telemetry waits for more at least, so that a batch and its signature
/// are shared by what happens together. What sensors have gathered has waited already, and what
/// comes after a quiet time does not wait again.
const LINGER_MIN: Duration = Duration::from_millis(50);

/// How long it waits at most: while much happens, a batch costs the same however full it is. Also
/// for how long nothing came in a quiet time.
const LINGER_MAX: Duration = Duration::from_millis(240);

/// Much happens when so many events were gathered while the first of them waited.
const MUCH_EVENTS: usize = 12;

/// The longest that telemetry stays unsynced: what a power loss may take. The first after a quiet
/// time is synced as soon as it is stored, and so waits for no wake of its own.
const SYNC_PERIOD: Duration = Duration::from_secs(1);

/// How often a quiet spool notes that the agent is alive: how far back a gap may reach too far.
const ALIVE_PERIOD: Duration = Duration::from_secs(10);

/// How often a spool without room is tried again.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    Store,
    Sync,
    Alive,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    linger: Duration,
    stored_at: Option<Duration>,
    synced_at: Option<Duration>,
    store_at: Option<Duration>,
    sync_at: Option<Duration>,
    alive_at: Duration,
}

impl Pace {
    pub(super) fn new(now: Duration) -> Self {
        let alive_at = now + ALIVE_PERIOD;
        let (stored_at, synced_at) = (None, None);
        Self { linger: LINGER_MIN, stored_at, synced_at, store_at: None, sync_at: None, alive_at }
    }

    /// A sample waits to be stored, of which the first event has waited for so long at its sensor.
    pub(super) fn gathered(&mut self, now: Duration, already: Duration) {
        let busy = self.stored_at.is_some_and(|at| now.saturating_sub(at) < LINGER_MAX);
        let wait = if busy { self.linger.saturating_sub(already) } else { Duration::ZERO };
        self.store_at.get_or_insert(now + wait);
    }

    /// Everything gathered, so many events, was handed to the spool.
    pub(super) fn stored(
        &mut self,
        now: Duration,
        events: usize,
        unsynced: bool,
        waits_for_room: bool,
    ) {
        let next = if events >= MUCH_EVENTS { self.linger * 2 } else { self.linger / 2 };
        self.linger = next.clamp(LINGER_MIN, LINGER_MAX);
        self.stored_at = Some(now);
        self.store_at = waits_for_room.then_some(now + RETRY_PERIOD);
        self.alive_at = now + ALIVE_PERIOD;
        self.noted(now, unsynced);
    }

    /// Whether something is unsynced now.
    pub(super) fn noted(&mut self, now: Duration, unsynced: bool) {
        let next = self.synced_at.map_or(now, |at| now.max(at + SYNC_PERIOD));
        self.sync_at = unsynced.then(|| self.sync_at.unwrap_or(next));
    }

    /// What is due; a deed is due again only after its period, done or not.
    pub(super) fn handle_timeout(&mut self, now: Duration) -> Option<Due> {
        if self.store_at.is_some_and(|at| at <= now) {
            self.store_at = None;
            return Some(Due::Store);
        }
        if self.sync_at.is_some_and(|at| at <= now) {
            self.synced_at = Some(now);
            self.sync_at = Some(now + SYNC_PERIOD);
            return Some(Due::Sync);
        }
        if self.alive_at <= now {
            self.alive_at = now + ALIVE_PERIOD;
            return Some(Due::Alive);
        }
        None
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub(super) fn poll_timeout(&self) -> Duration {
        let soonest = self.store_at.into_iter().chain(self.sync_at).min();
        soonest.map_or(self.alive_at, |at| at.min(self.alive_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is `MILLISECONDS: DEED`; a `gather` may be followed by for how long a sensor did,
    /// a `store` is by how the spool fared.
    #[track_caller]
    fn check(timeline: &str, expected: &str) {
        let mut pace = Pace::new(Duration::ZERO);
        let mut due = Vec::new();
        for line in timeline.lines().map(str::trim) {
            let (at, deed) = line.split_once(": ").unwrap();
            let now = Duration::from_millis(at.parse().unwrap());
            match deed {
                "gather" => pace.gathered(now, Duration::ZERO),
                "gather 20" => pace.gathered(now, Duration::from_millis(20)),
                "gather 240" => pace.gathered(now, Duration::from_millis(240)),
                "store unsynced" => pace.stored(now, 1, true, false),
                "store much" => pace.stored(now, MUCH_EVENTS, false, false),
                "store synced" => pace.stored(now, 1, false, false),
                "store full" => pace.stored(now, 1, false, true),
                "synced" => pace.noted(now, false),
                "wait" => {
                    while let Some(what) = pace.handle_timeout(now) {
                        due.push(format!("{at} {what:?}"));
                    }
                    assert!(pace.poll_timeout() > now, "asks to be called again at once");
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!(due.join(", "), expected);
    }

    #[test]
    fn what_comes_after_a_quiet_time_is_stored_at_once() {
        check("0: gather\n 0: wait", "0 Store");
        check("0: store synced\n 240: gather\n 240: wait", "240 Store");
        check("0: store synced\n 239: gather\n 288: wait\n 289: wait", "289 Store");
    }

    #[test]
    fn what_has_gathered_at_its_sensor_does_not_wait_as_long_again() {
        check("0: store synced\n 1: gather 20\n 30: wait\n 31: wait", "31 Store");
        check("0: store much\n 1: gather 240\n 1: wait", "1 Store");
    }

    #[test]
    fn what_comes_soon_after_waits_a_moment_for_more_and_no_longer() {
        check(
            "0: store synced\n 1: gather\n 20: gather\n 50: wait\n 51: wait\n 60: wait",
            "51 Store",
        );
    }

    #[test]
    fn while_much_happens_batches_are_given_time_to_fill_and_then_not() {
        check(
            "0: store much\n 0: gather\n 99: wait\n 100: wait\n 100: store much\n 100: gather
             299: wait\n 300: wait\n 300: store much\n 300: gather\n 539: wait\n 540: wait",
            "100 Store, 300 Store, 540 Store",
        );
        check("0: store much\n 0: store synced\n 0: gather\n 49: wait\n 50: wait", "50 Store");
    }

    #[test]
    fn telemetry_is_synced_at_once_and_then_no_oftener_than_each_second() {
        check(
            "0: store unsynced\n 0: wait\n 0: synced\n 600: store unsynced\n 999: wait\n 1000: wait
             1000: synced\n 3000: wait",
            "0 Sync, 1000 Sync",
        );
    }

    #[test]
    fn what_a_control_event_synced_is_not_synced_again() {
        check("0: store unsynced\n 0: store synced\n 2000: wait", "");
    }

    #[test]
    fn a_sync_that_failed_is_tried_again() {
        check("0: store unsynced\n 0: wait\n 500: wait\n 1000: wait", "0 Sync, 1000 Sync");
    }

    #[test]
    fn a_quiet_spool_says_that_the_agent_is_alive() {
        check("9999: wait\n 10000: wait\n 20000: wait", "10000 Alive, 20000 Alive");
        check("5000: store synced\n 14999: wait\n 15000: wait", "15000 Alive");
    }

    #[test]
    fn a_spool_without_room_is_tried_again_each_second() {
        check(
            "0: store full\n 999: wait\n 1000: wait\n 1000: store full\n 2000: wait",
            "1000 Store, 2000 Store",
        );
    }
}
