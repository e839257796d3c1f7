//! A tick by a timer of the kernel's own, which wakes once for each. The runtime's timers go by
//! wheels, whose turns wake as well: a second there is two wakes.

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

/// Ticks, the first of them at once. Those that nobody waited for count as one.
#[derive(Debug)]
pub struct Ticks(AsyncFd<OwnedFd>);

impl Ticks {
    /// Begins to tick. To be called within a runtime.
    pub fn each(period: Duration) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let secs = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
        let it_interval = Timespec { tv_sec: secs, tv_nsec: period.subsec_nanos().into() };
        let it_value = Timespec { tv_sec: 0, tv_nsec: 1 };
        let times = Itimerspec { it_interval, it_value };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        wait::readable(timer).map(Self)
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
}
