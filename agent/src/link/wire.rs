//! Drives one session over one websocket: bytes in, bytes out, timeouts.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use cordon_proto::session::{AgentEffect, AgentSession};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Timer;
use super::dial::{Dialed, Socket};

/// What may wait for the network before more is fetched from the spool.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// What is fetched from the spool at once: the session allows more, memory does not.
const FETCH_BYTES_MAX: usize = 512 << 10;

pub(super) struct Wire {
    socket: Socket,
    pub(super) peer: SocketAddr,
    given_up: Option<String>,
    pub(super) session: AgentSession,
    outgoing: VecDeque<Vec<u8>>,
    outgoing_bytes: usize,
    unflushed: bool,
    /// Fetches, of batches, rows and pieces, that wait until what was fetched before has gone out.
    held: VecDeque<AgentEffect>,
    timer: Timer,
    pub(super) live_since: Option<Duration>,
}

/// An effect for the event loop, or why the session is over.
type Outcome = Result<AgentEffect, String>;

impl Wire {
    pub(super) fn new(dialed: Dialed, session: AgentSession) -> Self {
        Self {
            socket: dialed.socket,
            peer: dialed.peer,
            given_up: None,
            session,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            unflushed: false,
            held: VecDeque::new(),
            timer: Timer::new(),
            live_since: None,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().get_ref().0.as_fd()
    }

    pub(super) fn give_up(&mut self, why: String) {
        self.given_up = Some(why);
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<Outcome> {
        if let Some(why) = self.given_up.take() {
            return Poll::Ready(Err(why));
        }
        loop {
            if let Some(outcome) = self.effect(now) {
                return Poll::Ready(outcome);
            }
            if let Poll::Ready(Err(error)) = self.write(cx) {
                return Poll::Ready(Err(format!("sending failed: {error}")));
            }
            if self.outgoing_bytes < WAITING_BYTES_MAX
                && let Some(fetch) = self.held.pop_front()
            {
                return Poll::Ready(Ok(fetch));
            }
            match self.read(cx, now) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(why)) => return Poll::Ready(Err(why)),
                Poll::Pending => {}
            }
            let Some(at) = self.session.poll_timeout() else { return Poll::Pending };
            if at > now && self.timer.poll(cx, at, now).is_pending() {
                return Poll::Pending;
            }
            // The runtime's timer may be a little early by the agent's clock; never go round twice.
            self.session.handle_timeout(now.max(at));
        }
    }

    /// Takes what the session wants sent; answers the first thing it wants of the event loop.
    fn effect(&mut self, now: Duration) -> Option<Outcome> {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                AgentEffect::Send(bytes) => {
                    self.outgoing_bytes += bytes.len();
                    self.outgoing.push_back(bytes);
                }
                AgentEffect::Close(why) => return Some(Err(why)),
                AgentEffect::Fetch { lane, after, batches_max, bytes_max } => {
                    let bytes_max = bytes_max.min(FETCH_BYTES_MAX);
                    let fetch = AgentEffect::Fetch { lane, after, batches_max, bytes_max };
                    self.held.push_back(fetch);
                }
                AgentEffect::MoreRows | AgentEffect::Have(_) => self.held.push_back(effect),
                AgentEffect::Live { .. } => {
                    self.live_since = Some(now);
                    return Some(Ok(effect));
                }
                AgentEffect::Forget { .. }
                | AgentEffect::BeginEpoch { .. }
                | AgentEffect::Command(_)
                | AgentEffect::Roster(_) => return Some(Ok(effect)),
            }
        }
        None
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.outgoing.is_empty() {
            if self.socket.poll_ready_unpin(cx)?.is_pending() {
                return Poll::Pending;
            }
            if let Some(bytes) = self.outgoing.pop_front() {
                self.outgoing_bytes -= bytes.len();
                self.socket.start_send_unpin(Message::binary(bytes))?;
                self.unflushed = true;
            }
        }
        if self.unflushed && self.socket.poll_flush_unpin(cx)?.is_ready() {
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Duration) -> Poll<Result<(), String>> {
        let message = match self.socket.poll_next_unpin(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => Err("the collector ended the connection".to_owned()),
            Poll::Ready(Some(Err(error))) => Err(super::dial::socket_sentence(&error)),
            Poll::Ready(Some(Ok(message))) => Ok(message),
        };
        Poll::Ready(match message? {
            Message::Binary(bytes) => {
                self.session.handle_message(&bytes, now);
                Ok(())
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
            Message::Text(_) => Err("the collector sent text, which has no meaning".to_owned()),
            Message::Close(None) => Err("the collector closed the session".to_owned()),
            Message::Close(Some(frame)) => {
                Err(format!("the collector closed the session: {}", frame.reason))
            }
        })
    }

    /// Sends what waits, then says goodbye.
    pub(super) async fn finish(&mut self) {
        let sent = poll_fn(|cx| {
            let written = self.write(cx);
            let waits = self.unflushed && matches!(written, Poll::Ready(Ok(())));
            if waits { Poll::Pending } else { written }
        });
        if sent.await.is_ok()
            && let Err(error) = self.socket.close(None).await
        {
            tracing::debug!(%error, "the connection was gone before goodbye");
        }
    }
}
