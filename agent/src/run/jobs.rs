//! Work beside the loop: what was asked for, and the answers that wake it.

use std::future::Future;
use std::io;
use std::pin::Pin;

use cordon_proto::event::agent::LaneDepth;
use cordon_proto::id::CommandId;
use cordon_proto::policy::Policy;
use cordon_proto::session::AgentEffect;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::break_glass::Turn;
use super::collect::CollectDone;
use super::contain::Outcome;
use super::deeds::DeedDone;
use super::deliver::Spooled;
use super::door::Heard;
use super::lookout::Around;
use super::query::Read;
use crate::action::isolate::drift::Drift;
use crate::collect::worker::Early;
use crate::enrol::EnrolError;
use crate::guard::Authorised;
use crate::identity::{Certificate, StateDirError};
use crate::response::Due;
use crate::spool::{SpoolError, Taken};

/// What a job ends with.
pub(super) enum Done {
    /// The spool has taken a sample.
    Delivered,
    /// The spool has done what the session asked for.
    Spooled(Spooled),
    /// A step of a containment was taken.
    Acted(Outcome),
    /// A step of a deed was taken.
    Deed(Box<DeedDone>),
    /// The id of an authorised command is on disk, or could not be brought there.
    Noted(Box<(Authorised, Result<(), StateDirError>)>),
    /// What responses decided was taken in by the spool, or not.
    Reacted(Box<(Vec<Due>, Result<Taken, SpoolError>)>),
    /// A policy is on disk, or could not be brought there.
    PolicyKept(Box<(Authorised, Policy, Result<(), StateDirError>)>),
    /// Endpoint time is on disk, or could not be brought there.
    TimeKept(Result<u64, StateDirError>),
    /// A session may have more telemetry.
    MayAsk(AgentEffect),
    /// What waits in the spool.
    Depths(Vec<LaneDepth>),
    /// A certificate was asked for.
    Renewed(Box<Result<Certificate, EnrolError>>),
    /// A canary was sent, or could not be.
    CanarySent,
    /// The wall was compared with what it must be.
    Looked(Option<Drift>),
    /// The endpoint's surroundings were read.
    Around(Option<Around>),
    /// The process of a query says something, or has ended.
    Queried(Box<Read>),
    /// Blocked names were followed to where they lead.
    Followed,
    /// A step of a collection was taken.
    Collect(Box<CollectDone>),
    /// What an isolation ends was taken, or its time is over.
    Sockets(CommandId, Early),
    /// An action has waited for its snapshot long enough.
    WaitedEnough(CommandId),
    /// Something that is of no use any more is gone.
    Swept,
    /// Something of the way out is done, or somebody asks for it.
    WayOut(Box<Turn>),
    /// What somebody on this machine asks for.
    Heard(Box<Heard>),
}

type Job = Pin<Box<dyn Future<Output = Done>>>;

/// Jobs under way. Their number is bounded by their kinds: each kind asks for its next only when
/// the one before is done, but for commands, of which a session brings few.
#[derive(Default)]
pub(super) struct Jobs {
    running: FuturesUnordered<Job>,
}

impl Jobs {
    pub(super) fn push(&mut self, job: impl Future<Output = Done> + 'static) {
        self.running.push(Box::pin(job));
    }

    /// The next job that is done; never, while there is none.
    pub(super) async fn next(&mut self) -> Done {
        match self.running.next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }
}

/// Does something that may block on a helper thread. A panic there is an error here.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
