//! A packet every millisecond from one namespace to another, and when the last one came through.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::Stopwatch;
use cordon_packaging::lab::Namespace;
use cordon_tests::measure::workload;

/// Time between two packets: what is measured is no finer than this.
const PERIOD: Duration = Duration::from_millis(1);

/// How often the receiver looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Seen {
    /// Microseconds after the start of the watch.
    last_us: AtomicU64,
    count: AtomicU64,
    stop: AtomicBool,
}

/// Sends and receives until it is dropped.
#[derive(Debug)]
pub(crate) struct Probe {
    seen: Arc<Seen>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    pub(crate) fn start(
        from: &Namespace,
        to: &Namespace,
        at: SocketAddr,
        watch: Stopwatch,
    ) -> Result<Self> {
        let receiver = to.run(|| UdpSocket::bind(at))?.context("binding the receiver")?;
        receiver.set_read_timeout(Some(LOOK_EVERY))?;
        let sender = from.run(|| UdpSocket::bind("0.0.0.0:0"))?.context("binding the sender")?;
        let seen = Arc::new(Seen::default());
        let (sending, receiving) = (Arc::clone(&seen), Arc::clone(&seen));
        let threads = vec![
            std::thread::spawn(move || send(&sender, at, &sending)),
            std::thread::spawn(move || receive(&receiver, watch, &receiving)),
        ];
        Ok(Self { seen, threads })
    }

    /// When the last packet came through.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_micros(self.seen.last_us.load(Ordering::Acquire))
    }

    /// How many have come through.
    pub(crate) fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Acquire)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, seen: &Seen) {
    let watch = Stopwatch::start();
    let mut number = 0_u32;
    while !seen.stop.load(Ordering::Acquire) {
        // A blocked packet is refused here already: that is what is waited for. A connected socket
        // would be cut for good by the isolation; this one sends again once it may.
        drop(socket.send_to(&number.to_be_bytes(), to));
        number = number.saturating_add(1);
        workload::pause(watch.left_of(PERIOD * number));
    }
}

fn receive(socket: &UdpSocket, watch: Stopwatch, seen: &Seen) {
    let mut packet = [0; 4];
    while !seen.stop.load(Ordering::Acquire) {
        if socket.recv(&mut packet).is_ok() {
            let now_us = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
            seen.last_us.store(now_us, Ordering::Release);
            seen.count.fetch_add(1, Ordering::AcqRel);
        }
    }
}
