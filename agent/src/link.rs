//! The agent's link to its collector: dials, greets, carries the session, dials again.
//!
//! The link is polled by the event loop and has no task of its own: a wake-up comes out of
//! [`Link::next`], answers go in by `handle_*`. It never blocks: what the network does not take
//! waits here, within bounds, and more is fetched from the spool only when it has gone.

pub mod backoff;
pub mod dial;
pub mod proxy;
#[cfg(test)]
pub(crate) mod test_door;
mod wire;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cordon_proto::collection::Piece;
use cordon_proto::event::Lane;
use cordon_proto::message::{Hello, LanePosition, Signed};
use cordon_proto::query::Rows;
use cordon_proto::session::{AgentEffect, AgentSession, SealedBatch};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::version::SESSION_PATH;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{Instant, Sleep};

use crate::clock::Clock;
use backoff::Backoff;
use dial::{DialError, Dialed, Dialer};
use wire::Wire;

/// What the link wants of the event loop.
#[derive(Debug)]
pub enum LinkEvent {
    /// A connection stands; answer with [`Link::greet`].
    Connected,
    /// The session wants something done. Never [`AgentEffect::Send`] or [`AgentEffect::Close`].
    Effect(AgentEffect),
    /// There is no connection; dials again by itself.
    Down {
        /// Why, for the log.
        why: String,
        /// When it dials again.
        wait: Duration,
        /// The collector did not accept this endpoint's certificate.
        certificate_refused: bool,
    },
}

/// The link.
pub struct Link {
    dialer: Dialer,
    clock: Clock,
    state: State,
    backoff: Backoff,
}

enum State {
    Waiting(Pin<Box<Sleep>>),
    Dialing(Pin<Box<dyn Future<Output = Result<Dialed, DialError>>>>),
    Connected(Box<Dialed>),
    Up(Box<Wire>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting(_) => "waiting",
            State::Dialing(_) => "dialing",
            State::Connected(_) => "connected",
            State::Up(_) => "up",
        };
        write!(f, "Link({state})")
    }
}

impl Link {
    /// A link that dials as soon as it is polled.
    #[must_use]
    pub fn new(dialer: Dialer, clock: Clock) -> Self {
        let state = State::Waiting(Box::pin(tokio::time::sleep(Duration::ZERO)));
        Self { dialer, clock, state, backoff: Backoff::default() }
    }

    /// Waits for what comes next. Nothing is lost if the wait is given up half-way.
    pub async fn next(&mut self) -> LinkEvent {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Opens the session on the connection that [`LinkEvent::Connected`] told of. `sealed` is the
    /// last batch that the spool has sealed, per lane.
    pub fn greet(&mut self, hello: &Hello, key: &SigningKey, sealed: Vec<LanePosition>) {
        match std::mem::replace(&mut self.state, Self::wait(Duration::ZERO)) {
            State::Connected(dialed) => {
                let bytes = document::sign(Kind::Hello, hello, &dialed.exporter, key);
                let now = self.clock.now();
                let session = AgentSession::new(Signed { bytes }, key.verifying(), sealed, now);
                self.state = State::Up(Box::new(Wire::new(*dialed, session)));
            }
            other @ (State::Waiting(_) | State::Dialing(_) | State::Up(_)) => self.state = other,
        }
    }

    /// The spool has sealed more of a lane.
    pub fn handle_sealed(&mut self, lane: Lane) {
        if let State::Up(wire) = &mut self.state {
            wire.session.handle_sealed(lane);
        }
    }

    /// The spool's answer to [`AgentEffect::Fetch`].
    pub fn handle_batches(&mut self, lane: Lane, batches: Vec<SealedBatch>) {
        if let State::Up(wire) = &mut self.state {
            wire.session.handle_batches(lane, batches);
        }
    }

    /// Sends a part of an answer; false if there is no session to send it in. The next one may come
    /// with [`AgentEffect::MoreRows`].
    pub fn handle_rows(&mut self, rows: Rows) -> bool {
        match &mut self.state {
            State::Up(wire) => wire.session.handle_rows(rows),
            State::Waiting(_) | State::Dialing(_) | State::Connected(_) => false,
        }
    }

    /// Sends a piece of an archive, or the offer of it; false if there is no session. The next one
    /// may come with [`AgentEffect::Have`].
    pub fn handle_piece(&mut self, piece: Piece) -> bool {
        match &mut self.state {
            State::Up(wire) => wire.session.handle_piece(piece),
            State::Waiting(_) | State::Dialing(_) | State::Connected(_) => false,
        }
    }

    /// Gives the connection up and dials at once: the machine slept, or its network changed.
    pub fn redial(&mut self) {
        self.state = Self::wait(Duration::ZERO);
    }

    /// Ends the session for a reason of the caller's, as if it had ended by itself.
    pub fn give_up(&mut self, why: String) {
        if let State::Up(wire) = &mut self.state {
            wire.give_up(why);
        }
    }

    /// The doors that are dialled: `host:port`.
    #[must_use]
    pub fn doors(&self) -> &[String] {
        &self.dialer.collectors
    }

    /// How it dials.
    #[must_use]
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The other end of the TCP connection that stands: the collector, or the proxy on the way.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Up(wire) => Some(wire.peer),
            State::Connected(dialed) => Some(dialed.peer),
            State::Waiting(_) | State::Dialing(_) => None,
        }
    }

    /// Dials otherwise from the next time on.
    pub fn set_dialer(&mut self, change: impl FnOnce(&mut Dialer)) {
        change(&mut self.dialer);
    }

    /// Whether the collector has let the agent in.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match &self.state {
            State::Up(wire) => wire.live_since.is_some(),
            State::Waiting(_) | State::Dialing(_) | State::Connected(_) => false,
        }
    }

    /// A descriptor of the connection that stands, for marking it.
    pub fn socket(&self) -> io::Result<Option<OwnedFd>> {
        match &self.state {
            State::Up(wire) => wire.fd().try_clone_to_owned().map(Some),
            State::Connected(dialed) => dialed.fd().try_clone_to_owned().map(Some),
            State::Waiting(_) | State::Dialing(_) => Ok(None),
        }
    }

    /// Sends what waits and ends the connection, as far as it goes until the caller gives up.
    pub async fn finish(&mut self) {
        if let State::Up(wire) = &mut self.state {
            wire.finish().await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        loop {
            match &mut self.state {
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    let dialer = self.dialer.clone();
                    let dial = async move { dialer.dial(SESSION_PATH).await };
                    self.state = State::Dialing(Box::pin(dial));
                }
                State::Dialing(dial) => match ready!(dial.as_mut().poll(cx)) {
                    Ok(dialed) => {
                        self.state = State::Connected(Box::new(dialed));
                        return Poll::Ready(LinkEvent::Connected);
                    }
                    Err(error) => {
                        let refused = error.certificate_refused;
                        return Poll::Ready(self.down(error.to_string(), Duration::ZERO, refused));
                    }
                },
                State::Connected(_) => return Poll::Pending,
                State::Up(wire) => {
                    let now = self.clock.now();
                    let why = match ready!(wire.poll(cx, now)) {
                        Ok(effect) => return Poll::Ready(LinkEvent::Effect(effect)),
                        Err(why) => why,
                    };
                    let lived = wire.live_since.map_or(Duration::ZERO, |since| now - since);
                    return Poll::Ready(self.down(why, lived, false));
                }
            }
        }
    }

    fn down(&mut self, why: String, lived: Duration, certificate_refused: bool) -> LinkEvent {
        let mut random = [0; 4];
        // Without random numbers the whole fleet comes back together; it comes back all the same.
        if SystemRandom::new().fill(&mut random).is_err() {
            random = [u8::MAX; 4];
        }
        let wait = self.backoff.handle_failure(lived, u32::from_ne_bytes(random));
        self.state = Self::wait(wait);
        LinkEvent::Down { why, wait, certificate_refused }
    }

    fn wait(wait: Duration) -> State {
        State::Waiting(Box::pin(tokio::time::sleep(wait)))
    }
}

/// A timer that is set anew without being made anew.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    set_for: Option<Duration>,
}

impl Timer {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), set_for: None }
    }

    /// Ready once it is `at`.
    fn poll(&mut self, cx: &mut Context<'_>, at: Duration, now: Duration) -> Poll<()> {
        if self.set_for != Some(at) {
            self.set_for = Some(at);
            let wait = at.saturating_sub(now);
            self.sleep.as_mut().reset(deadline(wait));
        }
        self.sleep.as_mut().poll(cx)
    }
}

fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait
}

#[cfg(test)]
mod tests;
