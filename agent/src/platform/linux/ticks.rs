//! A tick by a timer of the kernel's own, which wakes once for each. The runtime's timers go by
//! wheels, whose turns wake as well: a second there is two wakes, and so are 60 ms.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::wait;

/// As good as at once: no time at all would mean never.
const SOON: Duration = Duration::from_nanos(1);

/// Ticks, the first of them at once. Those that nobody waited for count as one.
#[derive(Debug)]
pub struct Ticks(AsyncFd<OwnedFd>);

impl Ticks {
    /// Begins to tick. To be called within a runtime.
    pub fn each(period: Duration) -> io::Result<Self> {
        let ticks = Self::none()?;
        ticks.set(SOON, period)?;
        Ok(ticks)
    }

    /// Does not tick before it is told to. To be called within a runtime.
    pub fn none() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        wait::readable(timerfd_create(TimerfdClockId::Monotonic, flags)?).map(Self)
    }

    /// Ticks once, after this time, and never as it was told before.
    pub fn once(&self, after: Duration) -> io::Result<()> {
        self.set(after.max(SOON), Duration::ZERO)
    }

    fn set(&self, first: Duration, period: Duration) -> io::Result<()> {
        let spec = |length: Duration| Timespec {
            tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: length.subsec_nanos().into(),
        };
        let times = Itimerspec { it_interval: spec(period), it_value: spec(first) };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }

    /// Waits for the next. Nothing is lost if the wait is given up half-way.
    pub async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut passed = [0; 8];
            match rustix::io::read(self.0.get_ref(), &mut passed) {
                Ok(_) => {
                    // One that has come since then is told anew.
                    ready.clear_ready();
                    return Ok(());
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_first_comes_at_once_and_others_follow() {
        let ticks = Ticks::each(Duration::from_millis(1)).unwrap();
        for _ in 0..3 {
            ticks.next().await.unwrap();
        }
        let ticks = Ticks::each(Duration::from_secs(3600)).unwrap();
        ticks.next().await.unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_that_was_told_otherwise_ticks_as_it_was_told_last() {
        let ticks = Ticks::none().unwrap();
        ticks.once(Duration::ZERO).unwrap();
        ticks.next().await.unwrap();
        ticks.once(Duration::ZERO).unwrap();
        ticks.0.readable().await.unwrap().retain_ready();
        ticks.once(Duration::from_secs(3600)).unwrap();
        let next = tokio::time::timeout(Duration::from_millis(1), ticks.next()).await;
        assert!(next.is_err(), "the tick before is taken back");
        ticks.once(Duration::ZERO).unwrap();
        ticks.next().await.unwrap();
    }
}
