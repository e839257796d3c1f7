//! A session that stands already: its caller sits elsewhere, and what was called sends it a small
//! segment every millisecond.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::Stopwatch;
use cordon_packaging::lab::Namespace;
use cordon_tests::measure::workload;

const PERIOD: Duration = Duration::from_millis(1);
const SEGMENT: [u8; 64] = [b'x'; 64];
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CALL_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    stop: AtomicBool,
}

/// Sends and receives until it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Session {
    pub(crate) fn start(from: &Namespace, to: &Namespace, at: SocketAddr) -> Result<Self> {
        let listener = TcpListener::from(to.listen(at)?);
        let caller = from.run(|| TcpStream::connect_timeout(&at, CALL_MAX))?;
        let caller = caller.with_context(|| format!("calling {at}"))?;
        let (called, _) = listener.accept().context("accepting the session")?;
        called.set_nodelay(true)?;
        // What the far end no longer takes is not waited for.
        called.set_nonblocking(true)?;
        caller.set_read_timeout(Some(LOOK_EVERY))?;
        let shared = Arc::new(Shared::default());
        let (sending, receiving) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || send(called, &sending)),
            std::thread::spawn(move || receive(caller, &receiving)),
        ];
        Ok(Self { shared, threads })
    }

    /// How many segments' worth has come through.
    pub(crate) fn count(&self) -> u64 {
        self.shared.bytes.load(Ordering::Acquire) / SEGMENT.len() as u64
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn send(mut stream: TcpStream, shared: &Shared) {
    let watch = Stopwatch::start();
    let mut number = 0_u32;
    while !shared.stop.load(Ordering::Acquire) {
        match stream.write_all(&SEGMENT) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // The session was cut, which is what is waited for.
            Err(_) => return,
        }
        number = number.saturating_add(1);
        workload::pause(watch.left_of(PERIOD * number));
    }
}

fn receive(mut stream: TcpStream, shared: &Shared) {
    let mut taken = [0; 4096];
    while !shared.stop.load(Ordering::Acquire) {
        match stream.read(&mut taken) {
            Ok(0) => return,
            Ok(count) => {
                shared.bytes.fetch_add(count as u64, Ordering::AcqRel);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
