//! The thread that owns the spool, so that a slow disk holds up nobody who does not wait for it.
//!
//! What arrives within a moment is stored in one transaction; control events at once. Samples wait
//! in an inbox that wakes the thread for the first of them only: a busy machine brings fifty a
//! second, and to wake it for each would cost more than to store them.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};

use cordon_proto::event::Lane;
use cordon_proto::event::agent::LaneDepth;
use cordon_proto::message::LanePosition;
use cordon_proto::session::{Cursor, SealedBatch};
use cordon_proto::sign::batch::EpochCause;
use tokio::sync::{mpsc, oneshot, watch};

use super::board::Board;
use super::inbox::{Inbox, Taking, Waits};
use super::pace::{Due, Pace};
use super::{Spool, SpoolError, SpoolLimits, Taken};
use crate::clock::{self, Clock, Stamp};
use crate::sensor::Sample;

/// Orders that may wait for the thread; whoever finds it full waits.
const ORDERS_MAX: usize = 64;

/// How far the spool has sealed, and how it fares. A new value is there before the answer to any
/// later question, so that who looks here first learns of a gap before the jump it explains.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// The end of the control lane.
    pub control: Cursor,
    /// The end of the telemetry lane.
    pub telemetry: Cursor,
    /// How often the spool was lost since the start, with every checkpoint and note.
    pub times_lost: u32,
    /// Why nothing can be stored at the moment.
    pub trouble: Option<String>,
}

impl Progress {
    /// The end of a lane.
    #[must_use]
    pub fn end(&self, lane: Lane) -> Cursor {
        match lane {
            Lane::Control => self.control,
            Lane::Telemetry => self.telemetry,
        }
    }
}

type Work = Box<dyn FnOnce(&mut Spool, Stamp) + Send>;

/// Who waits for the end.
type Ended = oneshot::Sender<Result<(), SpoolError>>;

enum Order {
    /// Look into the inbox.
    Gather,
    /// Take a sample in; answer once it is on disk.
    Keep(Sample, oneshot::Sender<Taken>),
    /// Store what was gathered, then do this.
    Then(Work),
    /// Do this.
    Now(Work),
    /// End.
    Close(Ended),
}

/// Speaks to the thread.
#[derive(Clone, Debug)]
pub struct SpoolHandle {
    orders: mpsc::Sender<Order>,
    inbox: Inbox,
    board: Board,
}

/// Starts the thread. It ends when it is told to, or when the last handle is gone; either way what
/// was handed over is stored first.
pub fn start(
    spool: Spool,
    clock: Clock,
) -> io::Result<(SpoolHandle, watch::Receiver<Progress>, JoinHandle<()>)> {
    let (orders, queue) = mpsc::channel(ORDERS_MAX);
    let (progress, seen) = watch::channel(progress_of(&spool, None));
    let pace = Pace::new(clock.now());
    let (samples, answers) = (Vec::new(), Vec::new());
    let (taking, inbox) = Inbox::new();
    let (board, trouble) = (Board::default(), None);
    let handle = SpoolHandle { orders, inbox, board: board.clone() };
    let keeper = Keeper { spool, clock, pace, taking, samples, answers, board, progress, trouble };
    let thread =
        std::thread::Builder::new().name("spool".to_owned()).spawn(move || keeper.run(queue))?;
    Ok((handle, seen, thread))
}

impl SpoolHandle {
    /// Hands a sample over; waits only for room in the inbox. It will be stored within moments.
    pub async fn append(&self, sample: Sample) -> Result<(), SpoolError> {
        match self.inbox.put(sample).await {
            Some(true) => self.order(Order::Gather).await,
            Some(false) => Ok(()),
            None => Err(SpoolError::Closed),
        }
    }

    /// The same without waiting; gives the sample back where there is no room.
    pub fn try_append(&self, sample: Sample) -> Result<(), Box<Sample>> {
        if self.inbox.try_put(sample)? {
            // A thread with a full queue is awake, and looks into the inbox after each order.
            self.orders.try_send(Order::Gather).ok();
        }
        Ok(())
    }

    /// Hands a sample over and waits until it is on disk, or could not be brought there.
    pub async fn keep(&self, sample: Sample) -> Result<Taken, SpoolError> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Keep(sample, answer)).await?;
        answered.await.map_err(|_ended| SpoolError::Closed)
    }

    /// Sealed batches after a place, oldest first; always one if there is one.
    pub async fn fetch(
        &self,
        lane: Lane,
        after: Cursor,
        batches_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<SealedBatch>, SpoolError> {
        self.now(move |spool, _| spool.sealed_after(lane, after, batches_max, bytes_max)).await?
    }

    /// The same for telemetry that was sealed just now, without asking the thread; none where it has
    /// to be asked.
    #[must_use]
    pub fn fetch_fresh(
        &self,
        lane: Lane,
        after: Cursor,
        batches_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<SealedBatch>> {
        match lane {
            Lane::Control => None,
            Lane::Telemetry => self.board.take(after, batches_max, bytes_max),
        }
    }

    /// Deletes what is durable at the collector: with what is written next, within ten seconds, and
    /// before anything is dropped for want of room. Waits for nothing; what a crash keeps from being
    /// deleted is told apart by its place at the next connection.
    pub fn forget(&self, lane: Lane, upto: Cursor) {
        self.board.forget(lane, upto);
    }

    /// Other limits from now on; what is over them goes when something is stored next.
    pub async fn limit(&self, bytes_max: u64) -> Result<(), SpoolError> {
        self.now(move |spool, _| spool.set_limits(SpoolLimits::of(bytes_max))).await
    }

    /// Begins a new epoch; see [`Spool::begin_epoch`].
    pub async fn begin_epoch(
        &self,
        lane: Lane,
        above: u32,
        cause: EpochCause,
        reseal_after: Option<Cursor>,
    ) -> Result<(), SpoolError> {
        self.then(move |spool, now| spool.begin_epoch(lane, above, cause, reseal_after, now))
            .await?
    }

    /// What waits in each lane.
    pub async fn depths(&self) -> Result<[LaneDepth; 2], SpoolError> {
        self.then(|spool, _| spool.depths()).await
    }

    /// Where each lane stands.
    pub async fn positions(&self) -> Result<[LanePosition; 2], SpoolError> {
        self.now(|spool, _| spool.positions()).await
    }

    /// The checkpoints whose key begins so.
    pub async fn checkpoints(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, SpoolError> {
        let prefix = prefix.to_owned();
        self.then(move |spool, _| spool.checkpoints(&prefix)).await?
    }

    /// What the agent noted for itself.
    pub async fn note(&self, key: &'static str) -> Result<Option<Vec<u8>>, SpoolError> {
        self.now(move |spool, _| spool.note(key)).await?
    }

    /// Notes something and waits until it is on disk; none forgets it.
    pub async fn put_note(
        &self,
        key: &'static str,
        value: Option<Vec<u8>>,
    ) -> Result<(), SpoolError> {
        self.now(move |spool, _| spool.put_note(key, value.as_deref())).await?
    }

    /// Stores what was handed over and waits until it is on disk, telemetry too.
    pub async fn flush(&self) -> Result<(), SpoolError> {
        self.then(|spool, now| spool.sync(now)).await?
    }

    /// Stores what was handed over, says goodbye, and ends the thread.
    pub async fn close(&self) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Close(answer)).await?;
        answered.await.map_err(|_ended| SpoolError::Closed)?
    }

    async fn now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool, Stamp) -> T + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (work, answered) = answering(work);
        self.order(Order::Now(work)).await?;
        answered.await.map_err(|_ended| SpoolError::Closed)
    }

    async fn then<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool, Stamp) -> T + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (work, answered) = answering(work);
        self.order(Order::Then(work)).await?;
        answered.await.map_err(|_ended| SpoolError::Closed)
    }

    async fn order(&self, order: Order) -> Result<(), SpoolError> {
        self.orders.send(order).await.map_err(|_ended| SpoolError::Closed)
    }
}

fn answering<T: Send + 'static>(
    work: impl FnOnce(&mut Spool, Stamp) -> T + Send + 'static,
) -> (Work, oneshot::Receiver<T>) {
    let (answer, answered) = oneshot::channel();
    let work = Box::new(move |spool: &mut Spool, now: Stamp| {
        // Whoever asked may have gone; the work is done all the same.
        answer.send(work(spool, now)).ok();
    });
    (work, answered)
}

fn progress_of(spool: &Spool, trouble: Option<String>) -> Progress {
    let [control, telemetry] =
        spool.positions().map(|at| Cursor { epoch: at.epoch, last: at.last });
    Progress { control, telemetry, times_lost: spool.times_lost(), trouble }
}

/// What the thread's wait ended with.
enum Waited {
    Order(Order),
    /// Until something is due.
    Long,
    /// Nobody can order anything any more.
    Ended,
}

/// Wakes the thread that waits.
struct Bell(Thread);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

struct Keeper {
    spool: Spool,
    clock: Clock,
    pace: Pace,
    taking: Taking,
    samples: Vec<Sample>,
    answers: Vec<oneshot::Sender<Taken>>,
    board: Board,
    progress: watch::Sender<Progress>,
    trouble: Option<String>,
}

impl Keeper {
    fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let asked = loop {
            match self.wait(&mut queue) {
                Waited::Order(order) => {
                    if let Some(answer) = self.obey(order) {
                        break Some(answer);
                    }
                }
                Waited::Ended => break None,
                Waited::Long => {}
            }
            self.handle_timeout();
        };
        // Nothing more can be handed over; what was before is stored too.
        self.taking.close();
        queue.close();
        while let Some(order) = queue.blocking_recv() {
            self.obey(order);
        }
        let closed = self.close();
        if let Err(error) = &closed {
            tracing::error!(%error, "the spool did not close cleanly");
        }
        if let Some(answer) = asked {
            answer.send(closed).ok();
        }
    }

    /// Carries an order out; answers who waits for the end, if it is that.
    fn obey(&mut self, order: Order) -> Option<Ended> {
        match order {
            Order::Gather => {}
            Order::Keep(sample, answer) => self.keep(sample, answer),
            Order::Then(work) => {
                self.store();
                if let Err(error) = self.spool.forget_noted() {
                    tracing::warn!(%error, "what the collector has could not be deleted");
                }
                self.work(work);
            }
            Order::Now(work) => self.work(work),
            Order::Close(answer) => return Some(answer),
        }
        self.gather();
        None
    }

    /// Waits for an order, or until something is due. Not by a runtime: its timers go by wheels whose
    /// turns wake as well, and each of these waits would be two.
    fn wait(&self, queue: &mut mpsc::Receiver<Order>) -> Waited {
        let bell = Waker::from(Arc::new(Bell(std::thread::current())));
        let mut context = Context::from_waker(&bell);
        loop {
            match queue.poll_recv(&mut context) {
                Poll::Ready(Some(order)) => return Waited::Order(order),
                Poll::Ready(None) => return Waited::Ended,
                Poll::Pending => {}
            }
            let left = self.pace.poll_timeout().saturating_sub(self.clock.now());
            if left.is_zero() {
                return Waited::Long;
            }
            std::thread::park_timeout(left);
        }
    }

    /// Looks into the inbox; what cannot wait is stored at once, with all that came before it.
    fn gather(&mut self) {
        match self.taking.waits() {
            Some(Waits::No) => self.store(),
            Some(Waits::Gathered(length)) => self.pace.gathered(self.clock.now(), length),
            None => {}
        }
    }

    fn keep(&mut self, sample: Sample, answer: oneshot::Sender<Taken>) {
        // Before it comes what was handed over before it.
        self.samples.extend(self.taking.take());
        self.samples.push(sample);
        self.answers.push(answer);
        self.store();
    }

    /// What is durable at the collector goes with the next that is written.
    fn forget_later(&mut self) {
        let forgets = self.board.take_forgets();
        self.spool.forget_later(forgets);
    }

    /// Sees to it that whatever is unsynced is synced in time.
    fn note(&mut self) {
        self.pace.noted(self.clock.now(), self.spool.is_unsynced());
    }

    /// Brings what was gathered to disk.
    fn store(&mut self) {
        self.forget_later();
        let mut samples = std::mem::take(&mut self.samples);
        samples.extend(self.taking.take());
        let seen = samples.iter().flat_map(|sample| &sample.observations);
        let events =
            seen.map(|seen| usize::try_from(seen.body.count()).unwrap_or(usize::MAX)).sum();
        let taken = self.spool.append(samples, clock::stamp());
        let trouble = match &taken {
            Taken::Stored => None,
            Taken::Waiting(why) => Some(why.clone()),
        };
        if let (Some(why), None) = (&trouble, &self.trouble) {
            tracing::error!(why, "the spool cannot store events; it counts them");
        }
        let waits = trouble.is_some();
        self.trouble = trouble;
        for answer in std::mem::take(&mut self.answers) {
            answer.send(taken.clone()).ok();
        }
        self.board.show(self.spool.take_sealed());
        self.pace.stored(self.clock.now(), events, self.spool.is_unsynced(), waits);
        self.note();
        self.publish();
    }

    fn work(&mut self, work: Work) {
        self.forget_later();
        // Another epoch or another spool may be what comes of it.
        self.board.show(Vec::new());
        work(&mut self.spool, clock::stamp());
        self.note();
        self.publish();
    }

    fn handle_timeout(&mut self) {
        while let Some(due) = self.pace.handle_timeout(self.clock.now()) {
            let done = match due {
                Due::Store => {
                    self.store();
                    Ok(())
                }
                Due::Sync => self.spool.sync(clock::stamp()),
                Due::Alive => {
                    self.forget_later();
                    self.spool.alive(clock::stamp())
                }
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the spool could not be kept up");
            }
            self.note();
        }
    }

    fn publish(&self) {
        let progress = progress_of(&self.spool, self.trouble.clone());
        self.progress.send_if_modified(|known| {
            let news = *known != progress;
            *known = progress;
            news
        });
    }

    fn close(mut self) -> Result<(), SpoolError> {
        self.store();
        self.spool.close(clock::stamp())
    }
}
