//! When the kernel's messages about files are read. Pure.
//!
//! The first after a quiet time at once, while the process behind it most likely still lives; after
//! that messages are gathered. While they keep coming they are not even waited for: to be woken by
//! the first and again to take them all costs twice as much as to look at one's own times.

/// How long messages are gathered after some.
const GATHER_NS: u64 = 20_000_000;

/// They keep coming when so many rounds followed at once. What one deed brings is often told in two.
const KEEP_COMING: u8 = 3;

/// What is done next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Messages are waited for.
    Listen,
    /// They are read at this time, whether there are any or not.
    ReadAt(u64),
}

#[derive(Debug)]
pub(super) struct Pace {
    /// Not sooner is anything read again.
    not_before_ns: u64,
    /// Rounds that followed at once.
    followed: u8,
    next: Next,
}

impl Pace {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { not_before_ns: now_ns, followed: 0, next: Next::Listen }
    }

    pub(super) fn next(&self) -> Next {
        self.next
    }

    /// There is something to be read.
    pub(super) fn ready(&mut self) {
        self.next = Next::ReadAt(self.not_before_ns);
    }

    /// All that was there was read, if anything was.
    pub(super) fn read(&mut self, was_any: bool, now_ns: u64) {
        let follows = was_any && now_ns.saturating_sub(self.not_before_ns) < GATHER_NS;
        self.followed = if follows { self.followed.saturating_add(1) } else { 0 };
        if was_any {
            self.not_before_ns = now_ns.saturating_add(GATHER_NS);
        }
        let again = self.followed >= KEEP_COMING;
        self.next = if again { Next::ReadAt(self.not_before_ns) } else { Next::Listen };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which milliseconds messages come, and when they are read.
    #[track_caller]
    fn check(messages: &[u64], expected: &[u64]) {
        let mut pace = Pace::new(0);
        let (mut reads, mut waits) = (Vec::new(), false);
        for ms in 0..1000 {
            waits |= messages.contains(&ms);
            if pace.next() == Next::Listen && waits {
                pace.ready();
            }
            if matches!(pace.next(), Next::ReadAt(at) if at <= ms * 1_000_000) {
                pace.read(std::mem::take(&mut waits), ms * 1_000_000);
                reads.push(ms);
            }
        }
        assert_eq!(reads, expected, "{messages:?}");
    }

    #[test]
    fn what_comes_after_a_quiet_time_is_read_at_once() {
        check(&[100, 200, 300], &[100, 200, 300]);
    }

    #[test]
    fn what_comes_soon_after_is_gathered() {
        check(&[100, 101, 119, 600], &[100, 120, 600]);
        check(&[100, 101, 121, 700], &[100, 120, 140, 700]);
    }

    #[test]
    fn what_keeps_coming_is_not_waited_for_until_nothing_comes() {
        check(&[100, 101, 121, 141, 700], &[100, 120, 140, 160, 180, 700]);
        check(&[100, 101, 121, 141, 161, 700], &[100, 120, 140, 160, 180, 200, 700]);
    }
}
