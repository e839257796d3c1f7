//! Hears of new devices while removable storage is blocked, and takes drivers off those that are
//! storage at once: for drivers that cannot be unloaded, or that somebody loads again.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;

use super::device;
use crate::platform::linux::directories::Latch;
use crate::platform::linux::uevent;

/// The kernel says when there is something to be looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// It reads a few files and writes one.
const STACK_BYTES: usize = 256 << 10;

/// The thread that hears, while there is one.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    end: Arc<Latch>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to hear; already hearing is fine.
    pub(super) fn begin(&self) -> Result<(), String> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(|running| !running.thread.is_finished()) {
            return Ok(());
        }
        let socket = uevent::open().map_err(|error| format!("hearing of devices: {error}"))?;
        let end = Arc::new(Latch::new().map_err(|error| error.to_string())?);
        let until = Arc::clone(&end);
        let thread = std::thread::Builder::new().name("cordon-storage".to_owned());
        let thread = thread.stack_size(STACK_BYTES).spawn(move || hear(&socket, &until));
        let thread = thread.map_err(|error| format!("starting a thread: {error}"))?;
        *running = Some(Running { end, thread });
        Ok(())
    }

    /// Hears no more; afterwards nothing is taken off any device.
    pub(super) fn end(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { end, thread }) = running {
            end.close();
            // What it came to grief over is past.
            thread.join().ok();
        }
    }
}

fn hear(socket: &OwnedFd, end: &Latch) {
    loop {
        // What came before it was heard, or was missed, is seen like anything else.
        block_all();
        match end.wait_for(socket.as_fd(), LOOK_EVERY) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "new devices are heard no more");
                return;
            }
        }
        while !matches!(uevent::receive(socket), Err(Errno::AGAIN | Errno::BADF)) {}
    }
}

fn block_all() {
    let devices = device::find(Path::new("/")).unwrap_or_default();
    for device in devices.iter().filter(|device| device.authorised != Some(false)) {
        match device.block() {
            Ok(()) => tracing::info!(device = device.name, "kept removable storage from use"),
            Err(error) => tracing::error!(error, "removable storage is not kept from use"),
        }
    }
}
