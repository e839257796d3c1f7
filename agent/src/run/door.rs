//! What programs of this machine ask of the running agent, and what was done while none ran.

use std::os::unix::net::UnixStream;

use cordon_proto::event::Receipt;
use cordon_proto::id::CommandId;
use tokio::net::UnixListener;

use super::Agent;
use super::jobs::{Done, blocking};
use crate::config::Config;
use crate::control::{self, Answer, Ask};
use crate::hold::only_release;
use crate::kept::{self, UNSENT};
use crate::release;

/// A question, and the connection that waits for its answer.
pub(super) type Heard = std::io::Result<(UnixStream, Ask)>;

/// The socket for programs of this machine.
#[derive(Debug)]
pub(super) struct Door {
    listener: Option<UnixListener>,
    /// Who waits until this release is obeyed. The next one takes the place.
    waiting: Option<(CommandId, UnixStream)>,
    /// Whether the supervisor's receipts were told, and are still on the disk.
    unsent: bool,
}

impl Door {
    pub(super) fn open(config: &Config) -> Self {
        let opened = control::listen(&control::agent_socket(config)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        });
        let opened = opened.inspect_err(|error| {
            tracing::warn!(%error, "`cordon-agent release` cannot ask this agent");
        });
        Self { listener: opened.ok(), waiting: None, unsent: false }
    }

    /// The next who asks; never, where there is no socket.
    pub(super) async fn next(&self) -> UnixStream {
        let Some(listener) = &self.listener else { return std::future::pending().await };
        loop {
            let taken = listener.accept().await.and_then(|(stream, _)| stream.into_std());
            match taken {
                Ok(stream) => return stream,
                Err(error) => tracing::debug!(%error, "somebody who asked is gone again"),
            }
        }
    }
}

impl Agent {
    pub(super) fn asked(&mut self, mut stream: UnixStream) {
        self.jobs.push(async move {
            let heard = blocking(move || control::hear(&mut stream).map(|ask| (stream, ask))).await;
            Done::Heard(Box::new(heard.unwrap_or_else(Err)))
        });
    }

    pub(super) fn heard(&mut self, heard: Heard) {
        let (mut stream, ask) = match heard {
            Ok(heard) => heard,
            Err(error) => return tracing::warn!(%error, "what was asked was not understood"),
        };
        let refused = match ask {
            Ask::StandAside => "the agent runs".to_owned(),
            Ask::MayType => {
                drop(control::answer(&mut stream, &self.may_type().answer()));
                return;
            }
            Ask::Code(code) => return self.try_code(code, stream),
            Ask::Release(bytes) => match only_release(&bytes).and_then(|()| self.command(&bytes)) {
                Ok(id) => {
                    self.door.waiting = Some((id, stream));
                    return;
                }
                Err(reason) => reason,
            },
        };
        drop(control::answer(&mut stream, &Answer::refused(refused)));
    }

    /// Answers who waits for this.
    pub(super) fn answer_door(&mut self, receipt: &Receipt) {
        let waits_for = self.door.waiting.as_ref().map(|(id, _)| *id);
        if waits_for.is_none() || waits_for != receipt.command {
            return;
        }
        let Some(answer) = release::answer(&receipt.outcome) else { return };
        if let Some((_, mut stream)) = self.door.waiting.take() {
            drop(control::answer(&mut stream, &answer));
        }
    }

    /// Signs what the supervisor did while no agent ran.
    pub(super) fn tell_unsent(&mut self) {
        for receipt in kept::load_unsent(&self.dir) {
            self.door.unsent = true;
            self.tell_receipt(receipt);
        }
    }

    /// Forgets it once the spool has it. A crash in between tells it twice.
    pub(super) fn forget_unsent(&mut self) {
        if !self.door.unsent || !self.delivery.is_idle() {
            return;
        }
        match self.dir.remove(UNSENT) {
            Ok(()) => self.door.unsent = false,
            Err(error) => tracing::warn!(%error, "what was told is kept, and will be told again"),
        }
    }
}
