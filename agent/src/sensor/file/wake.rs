//! Wakes the sensor's thread out of its wait, from other threads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Rung by others, waited for by the sensor's thread.
#[derive(Debug)]
pub(super) struct Wake {
    rung: OwnedFd,
    stops: AtomicBool,
}

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        let rung = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { rung, stops: AtomicBool::new(false) })
    }

    /// Wakes the thread.
    pub(super) fn ring(&self) {
        // It can only be full, and then it is rung already.
        rustix::io::write(&self.rung, &1_u64.to_ne_bytes()).ok();
    }

    /// Ends the thread, now and for good.
    pub(super) fn stop(&self) {
        self.stops.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn stops(&self) -> bool {
        self.stops.load(Ordering::Acquire)
    }

    /// Waits for the next ring again.
    pub(super) fn clear(&self) {
        let mut count = [0; 8];
        rustix::io::read(&self.rung, &mut count).ok();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.rung.as_fd()
    }
}
