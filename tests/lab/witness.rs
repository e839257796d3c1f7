//! Who saw what arrive: a capture at every machine.
//!
//! Trials carry marks, which are looked for in every frame; and while the endpoint is isolated every
//! frame of its own that arrives elsewhere is held against what it may send.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::wait_until;
use cordon_packaging::lab::Namespace;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, eth, recv, socket_with};

use crate::frame::{Endpoint, Mac};
use crate::place::Place;

const LISTEN_TURN: Duration = Duration::from_millis(50);
/// Frames that come faster than they are looked at wait here.
const BUFFER_BYTES: usize = 8 << 20;
/// A capture that is told to stop, and never comes to rest, has seen enough after this long.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// So many different ones are told.
const STRAYS_MAX: usize = 40;
const MARK: &[u8] = b"cordon-lab-";
const MARK_DIGITS: usize = 6;

static NEXT_MARK: AtomicU32 = AtomicU32::new(1);

/// Something that can be found again wherever it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u32);

impl Mark {
    pub(crate) fn new() -> Self {
        Self(NEXT_MARK.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let Self(number) = self;
        [MARK, format!("{number:0MARK_DIGITS$}").as_bytes()].concat()
    }

    pub(crate) fn find(bytes: &[u8]) -> Option<Self> {
        let at = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
        let digits = std::str::from_utf8(bytes.get(at..at + MARK_DIGITS)?).ok()?;
        digits.parse().ok().map(Self)
    }
}

/// What captures and listeners have seen.
#[derive(Debug, Default)]
struct State {
    marks: BTreeSet<(Place, Mark)>,
    /// What passed the endpoint's own devices, whatever the rules made of it afterwards.
    overheard: BTreeSet<Mark>,
    /// Frames are held against what the endpoint may send.
    strict: bool,
    /// Told to stop being strict, and not quiet since.
    closing: BTreeSet<Place>,
    endpoint: Endpoint,
    /// What should not have been sent, where it arrived, and how often.
    strays: BTreeMap<String, u32>,
    frames: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Witness(Arc<Mutex<State>>);

impl Witness {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at everything that passes a machine, until this program ends.
    pub(crate) fn capture(&self, place: Place, space: &Namespace) -> Result<()> {
        let socket = space.run(|| {
            let flags = SocketFlags::CLOEXEC;
            let socket =
                socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(eth::ALL))?;
            set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES)?;
            set_socket_timeout(&socket, Timeout::Recv, Some(LISTEN_TURN))?;
            Ok::<_, Errno>(socket)
        })?;
        let socket = socket.with_context(|| format!("capturing at {}", place.name()))?;
        let witness = self.clone();
        let body = move || witness.follow(place, &socket);
        std::thread::Builder::new().name(format!("capture-{}", place.name())).spawn(body)?;
        Ok(())
    }

    fn follow(&self, place: Place, socket: &OwnedFd) {
        let mut buffer = vec![0; 1 << 17];
        loop {
            match recv(socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => self.saw(place, &buffer[..length.min(buffer.len())]),
                Err(Errno::AGAIN) => drop(self.state().closing.remove(&place)),
                // Its namespace is gone.
                Err(Errno::NETDOWN | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn saw(&self, place: Place, frame: &[u8]) {
        let mut state = self.state();
        if let Some(mark) = Mark::find(frame) {
            if place == Place::Endpoint {
                state.overheard.insert(mark);
            } else {
                state.marks.insert((place, mark));
            }
        }
        if place == Place::Endpoint || !(state.strict || state.closing.contains(&place)) {
            return;
        }
        state.frames += 1;
        if let Some(stray) = state.endpoint.stray(place, frame) {
            let text = format!("at {}: {stray}", place.name());
            if state.strays.len() < STRAYS_MAX || state.strays.contains_key(&text) {
                *state.strays.entry(text).or_default() += 1;
            }
        }
    }

    /// A listener of a machine heard something.
    pub(crate) fn heard(&self, place: Place, bytes: &[u8]) {
        if let Some(mark) = Mark::find(bytes) {
            self.state().marks.insert((place, mark));
        }
    }

    pub(crate) fn has(&self, place: Place, mark: Mark) -> bool {
        self.state().marks.contains(&(place, mark))
    }

    pub(crate) fn has_overheard(&self, mark: Mark) -> bool {
        self.state().overheard.contains(&mark)
    }

    /// Frames from these devices are the endpoint's.
    pub(crate) fn know(&self, macs: impl IntoIterator<Item = Mac>) {
        self.state().endpoint.macs.extend(macs);
    }

    /// From now on the endpoint may send little.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        (state.strict, state.frames) = (true, 0);
        state.strays.clear();
    }

    /// What it sent that it should not have, and how many frames were looked at.
    pub(crate) fn end(&self) -> Result<(Vec<String>, u64)> {
        {
            let mut state = self.state();
            state.closing = Place::ALL.into_iter().filter(|it| *it != Place::Endpoint).collect();
            state.strict = false;
        }
        // What had arrived by now is still looked at.
        wait_until(QUIET_MAX, || anyhow::Ok(self.state().closing.is_empty().then_some(())))?;
        let mut state = self.state();
        state.closing.clear();
        let strays = state.strays.iter().map(|(what, count)| format!("{what} ({count} times)"));
        Ok((strays.collect(), state.frames))
    }
}
