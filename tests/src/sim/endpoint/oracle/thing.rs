//! One thing that commands make stand: the wall, or the lock of one subject.

use cordon_proto::id::CommandId;

use super::super::Fault;
use super::BOOT_SECS;

/// Ticks and roundings.
const SLACK_SECS: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Obeyed, and nobody was told that it was done: it may stand.
    Pending,
    /// Told as done: it must stand.
    Told,
    /// Somebody ordered its end: it must go.
    Releasing,
    /// Nobody can say: it may stand.
    Doubtful,
}

/// A command because of which something may stand.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) id: CommandId,
    /// What is locked; none for the network.
    pub(super) subject: Option<usize>,
    pub(super) state: State,
    pub(super) from: u64,
    /// None where it stands until it is undone.
    pub(super) lease_secs: Option<u64>,
    pub(super) stays: bool,
    /// Though it is to stay.
    pub(super) may_end: bool,
    /// Somebody with the right to it asked for its end.
    pub(super) was_asked: bool,
    pub(super) lets_go: bool,
    /// The collector was silent for long enough once, and only the kernel kept it from going.
    pub(super) is_going: bool,
    pub(super) reboots: u64,
    pub(super) lost_secs: u64,
    /// By how much it may end later, because somebody had to count it anew.
    pub(super) extra_secs: u64,
    pub(super) ended_at: u64,
}

impl Live {
    /// None where it never ends by itself.
    pub(super) fn earliest_end(&self, reboots: u64) -> Option<u64> {
        let lease_secs = self.lease_secs.filter(|_| !self.stays || self.may_end)?;
        let boots = reboots.saturating_sub(self.reboots);
        // A boot costs a minute on top of the time that runs before anything is taken up.
        let less = boots * (BOOT_SECS + SLACK_SECS) + SLACK_SECS;
        Some((self.from + lease_secs).saturating_sub(less))
    }

    pub(super) fn latest_end(&self, lost_secs: u64) -> Option<u64> {
        let lease_secs = self.lease_secs.filter(|_| !self.stays)?;
        let lost_secs = lost_secs.saturating_sub(self.lost_secs);
        Some(self.from + lease_secs + lost_secs + self.extra_secs + SLACK_SECS)
    }

    /// Its lease may be counted from now on.
    pub(super) fn counted_from(&mut self, now: u64) {
        self.extra_secs = self.extra_secs.max(now.saturating_sub(self.from));
    }
}

#[derive(Debug)]
pub(super) struct Thing {
    name: &'static str,
    grace_secs: u64,
    /// In the order in which they were obeyed.
    pub(super) live: Vec<Live>,
    missing_secs: u64,
    excess_secs: u64,
}

impl Thing {
    pub(super) fn new(name: &'static str, grace_secs: u64) -> Self {
        Self { name, grace_secs, live: Vec::new(), missing_secs: 0, excess_secs: 0 }
    }

    /// Somebody may end these, and asked for it.
    pub(super) fn release(&mut self, which: impl Fn(&Live) -> bool) {
        let which = self.live.iter_mut().filter(|live| which(live));
        which.for_each(|live| (live.state, live.was_asked) = (State::Releasing, true));
    }

    pub(super) fn doubt(&mut self, which: impl Fn(&Live) -> bool) {
        let releasing = |live: &&mut Live| live.state == State::Releasing && which(live);
        self.live.iter_mut().filter(releasing).for_each(|live| live.state = State::Doubtful);
    }

    /// It was done; what stood before it is replaced by it.
    pub(super) fn applied(&mut self, id: CommandId) {
        let Some(at) = self.live.iter().position(|live| live.id == id) else { return };
        self.live.drain(..at);
        if let Some(live) = self.live.first_mut().filter(|live| live.state != State::Releasing) {
            live.state = State::Told;
        }
    }

    /// It was not done, and will not be.
    pub(super) fn refused(&mut self, id: CommandId) {
        self.live.retain(|live| live.id != id || live.state != State::Pending);
    }

    /// Nobody knows what came of it, nor of what it was to replace.
    pub(super) fn interrupted(&mut self, id: CommandId) {
        let Some(at) = self.live.iter().position(|live| live.id == id) else { return };
        self.live.iter_mut().take(at + 1).for_each(|live| live.state = State::Doubtful);
    }

    /// It ended, and so did what it had replaced.
    pub(super) fn ended(&mut self, id: CommandId, now: u64) -> Option<Live> {
        let at = self.live.iter().position(|live| live.id == id)?;
        let live = self.live.drain(..=at).next_back()?;
        Some(Live { ended_at: now, ..live })
    }

    /// Whoever was told to end it has died before it said that it did.
    pub(super) fn forget_releases(&mut self) {
        self.doubt(|_| true);
    }

    /// It is still on the disk, though it ended or was replaced.
    pub(super) fn revive(&mut self, live: Live) {
        self.live.iter_mut().for_each(|live| live.state = State::Doubtful);
        self.live.insert(0, Live { state: State::Doubtful, ..live });
    }

    /// Looks whether it stands as it must. `step` is for how long somebody could have done
    /// something about it; none if nobody could.
    pub(super) fn observe(
        &mut self,
        (now, reboots, lost_secs): (u64, u64, u64),
        (whole, stands): (bool, bool),
        step: Option<u64>,
    ) -> Option<Fault> {
        let must = self.must_stand(now, reboots);
        let may = self.live.iter().any(|live| {
            let runs = live.latest_end(lost_secs).is_none_or(|latest| now <= latest);
            live.state != State::Releasing && runs
        });
        let add = |secs: u64, wrong: bool| match (wrong, step) {
            (true, Some(step)) => secs + step,
            _ => 0,
        };
        self.missing_secs = add(self.missing_secs, must && !whole);
        self.excess_secs = add(self.excess_secs, !may && stands);
        let name = self.name;
        if self.missing_secs > self.grace_secs {
            return Some(Fault::Lost(format!("{name}: what must stand does not")));
        }
        (self.excess_secs > self.grace_secs)
            .then(|| Fault::Stranded(format!("{name}: what must be gone stands")))
    }

    /// The latest that was told must stand, unless something that was obeyed after it may have
    /// ended it.
    fn must_stand(&self, now: u64, reboots: u64) -> bool {
        let Some(told) = self.live.iter().rposition(|live| live.state == State::Told) else {
            return false;
        };
        self.live.iter().skip(told).all(|live| {
            let runs = live.earliest_end(reboots).is_none_or(|earliest| now < earliest);
            matches!(live.state, State::Told | State::Pending) && runs
        })
    }

    pub(super) fn is_uneasy(&self) -> bool {
        self.missing_secs > 0 || self.excess_secs > 0
    }
}
