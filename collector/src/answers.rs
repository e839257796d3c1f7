//! Answers to queries on their way from endpoints to the one reader that asked.
//!
//! Nothing of them is stored. What comes while the reader is slow waits here within bounds; an answer
//! that goes beyond them, or that nobody reads, is cut off with a sentence that says so.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::id::{CommandId, EndpointId};
use cordon_proto::query::Rows;
use tokio::sync::Notify;

/// Queries whose answers are waited for at once.
const OPEN_MAX: usize = 64;

/// Bytes of all answers that wait for their readers: eight of the largest.
const BYTES_MAX: usize = 64 << 20;

/// How long an answer waits for a reader to come.
const READER_WITHIN: Duration = Duration::from_secs(60);

/// What a reader is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// A part of an endpoint's answer, encoded as it came.
    Rows(EndpointId, Vec<u8>),
    /// Nothing more comes from an endpoint, though its answer is not whole; why.
    Ended(EndpointId, &'static str),
}

/// All answers that are waited for.
#[derive(Debug, Default)]
pub struct Answers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<CommandId, Open>,
    bytes: usize,
    /// Parts that nobody waited for.
    unasked: u64,
}

/// One query.
#[derive(Debug)]
struct Open {
    /// Who has not finished yet, and the number of the next part.
    left: BTreeMap<EndpointId, u32>,
    parts: VecDeque<Part>,
    bytes: usize,
    /// When it is given up; none once it has a reader.
    until: Option<Duration>,
    news: Arc<Notify>,
}

/// The one who reads an answer. It is forgotten when this is dropped.
#[derive(Debug)]
pub struct Reader {
    answers: Arc<Answers>,
    command: CommandId,
    news: Arc<Notify>,
}

impl Answers {
    /// Waits for answers from now on; false if too many are waited for already.
    pub fn expect(
        &self,
        command: CommandId,
        endpoints: impl IntoIterator<Item = EndpointId>,
        now: Duration,
    ) -> bool {
        let mut state = self.lock();
        state.forget_unread(now);
        if state.open.contains_key(&command) {
            return true;
        }
        if state.open.len() >= OPEN_MAX {
            return false;
        }
        let left = endpoints.into_iter().map(|endpoint| (endpoint, 0)).collect();
        let until = Some(now.saturating_add(READER_WITHIN));
        let (parts, news) = (VecDeque::new(), Arc::default());
        state.open.insert(command, Open { left, parts, bytes: 0, until, news });
        true
    }

    /// Passes a part on that an endpoint sent; its form was checked.
    pub fn handle_rows(&self, endpoint: EndpointId, rows: &Rows) {
        let mut state = self.lock();
        let before = state.bytes;
        let Some(open) = state.open.get_mut(&rows.command) else { return state.count_unasked() };
        let Some(next) = open.left.get(&endpoint).copied() else { return state.count_unasked() };
        let encoded = codec::encode(rows);
        if rows.index != next {
            return state.end(rows.command, endpoint, "a part of its answer is missing");
        }
        if before.saturating_add(encoded.len()) > BYTES_MAX {
            return state.end(rows.command, endpoint, "its answer is not read fast enough");
        }
        if rows.last.is_some() {
            open.left.remove(&endpoint);
        } else {
            open.left.insert(endpoint, next.saturating_add(1));
        }
        open.bytes += encoded.len();
        let bytes = encoded.len();
        open.parts.push_back(Part::Rows(endpoint, encoded));
        open.news.notify_one();
        state.bytes += bytes;
    }

    /// An endpoint cannot answer a query.
    pub fn end(&self, command: CommandId, endpoint: EndpointId, why: &'static str) {
        self.lock().end(command, endpoint, why);
    }

    /// An endpoint has no session any more.
    pub fn handle_gone(&self, endpoint: EndpointId) {
        let mut state = self.lock();
        let open = state.open.iter().filter(|(_, open)| open.left.contains_key(&endpoint));
        let commands: Vec<_> = open.map(|(command, _)| *command).collect();
        for command in commands {
            state.end(command, endpoint, "its connection ended before its answer was whole");
        }
    }

    /// Begins to read an answer; none if nobody asked, or somebody reads it already.
    #[must_use]
    pub fn read(self: &Arc<Self>, command: CommandId, now: Duration) -> Option<Reader> {
        let mut state = self.lock();
        state.forget_unread(now);
        let open = state.open.get_mut(&command)?;
        open.until.take()?;
        let news = Arc::clone(&open.news);
        Some(Reader { answers: Arc::clone(self), command, news })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_unread(&mut self, now: Duration) {
        let unread = |open: &Open| open.until.is_some_and(|until| until <= now);
        let over: Vec<_> = self.open.iter().filter(|(_, open)| unread(open)).collect();
        let over: Vec<_> = over.into_iter().map(|(command, _)| *command).collect();
        for command in over {
            self.forget(command);
        }
    }

    fn forget(&mut self, command: CommandId) {
        if let Some(open) = self.open.remove(&command) {
            self.bytes = self.bytes.saturating_sub(open.bytes);
        }
    }

    fn end(&mut self, command: CommandId, endpoint: EndpointId, why: &'static str) {
        if let Some(open) = self.open.get_mut(&command)
            && open.left.remove(&endpoint).is_some()
        {
            open.parts.push_back(Part::Ended(endpoint, why));
            open.news.notify_one();
        }
    }

    fn count_unasked(&mut self) {
        self.unasked = self.unasked.saturating_add(1);
        let unasked = self.unasked;
        tracing::debug!(unasked, "a part of an answer came that nobody waits for");
    }
}

impl Reader {
    /// The next part; none once every endpoint has finished.
    pub async fn next(&mut self) -> Option<Part> {
        loop {
            if let Some(settled) = self.take() {
                return settled;
            }
            self.news.notified().await;
        }
    }

    /// The next part, or that there is none; nothing while something may still come.
    fn take(&self) -> Option<Option<Part>> {
        let mut state = self.answers.lock();
        let Some(open) = state.open.get_mut(&self.command) else { return Some(None) };
        let Some(part) = open.parts.pop_front() else {
            return open.left.is_empty().then_some(None);
        };
        if let Part::Rows(_, encoded) = &part {
            open.bytes -= encoded.len();
            state.bytes = state.bytes.saturating_sub(encoded.len());
        }
        Some(Some(part))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.answers.lock().forget(self.command);
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::message::Signed;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn command(number: u128) -> CommandId {
        CommandId(uuid::Uuid::from_u128(number))
    }

    fn endpoint(name: &str) -> EndpointId {
        EndpointId::of(name.as_bytes())
    }

    fn part(number: u128, index: u32, bytes: usize) -> Rows {
        Rows { command: command(number), index, content: vec![0; bytes], last: None }
    }

    fn last(number: u128, index: u32) -> Rows {
        Rows { last: Some(Signed { bytes: vec![1] }), ..part(number, index, 0) }
    }

    async fn read(answers: &Arc<Answers>, number: u128) -> Vec<String> {
        let mut reader = answers.read(command(number), NOW).unwrap();
        let mut said = Vec::new();
        while let Some(part) = reader.next().await {
            said.push(match part {
                Part::Rows(_, bytes) => {
                    let rows: Rows = codec::decode_strict(&bytes).unwrap();
                    format!("{}{}", rows.index, if rows.last.is_some() { " last" } else { "" })
                }
                Part::Ended(_, why) => why.to_owned(),
            });
        }
        said
    }

    #[tokio::test]
    async fn parts_come_in_order_until_every_endpoint_has_finished() {
        let answers = Arc::new(Answers::default());
        assert!(answers.expect(command(1), [endpoint("a"), endpoint("b")], NOW));
        answers.handle_rows(endpoint("a"), &part(1, 0, 9));
        answers.handle_rows(endpoint("a"), &last(1, 1));
        answers.handle_rows(endpoint("b"), &part(1, 0, 9));
        answers.handle_gone(endpoint("b"));
        let gone = "its connection ended before its answer was whole";
        assert_eq!(read(&answers, 1).await, ["0", "1 last", "0", gone]);
        assert_eq!(answers.lock().bytes, 0);
        assert!(answers.read(command(1), NOW).is_none(), "read once");
    }

    #[tokio::test]
    async fn nobody_answers_for_another_or_out_of_order() {
        let answers = Arc::new(Answers::default());
        assert!(answers.expect(command(1), [endpoint("a")], NOW));
        answers.handle_rows(endpoint("b"), &last(1, 0));
        answers.handle_rows(endpoint("a"), &last(2, 0));
        assert_eq!(answers.lock().unasked, 2);
        answers.handle_rows(endpoint("a"), &part(1, 1, 9));
        assert_eq!(read(&answers, 1).await, ["a part of its answer is missing"]);
    }

    #[tokio::test]
    async fn an_answer_beyond_all_bounds_is_cut_off() {
        let answers = Arc::new(Answers::default());
        assert!(answers.expect(command(1), [endpoint("a")], NOW));
        for index in 0..200 {
            answers.handle_rows(endpoint("a"), &part(1, index, 500 << 10));
        }
        assert!(answers.lock().bytes <= BYTES_MAX);
        let said = read(&answers, 1).await;
        assert_eq!(said.last().unwrap(), "its answer is not read fast enough");
        assert_eq!(answers.lock().bytes, 0);
    }

    #[tokio::test]
    async fn what_nobody_reads_is_forgotten_and_makes_room() {
        let answers = Arc::new(Answers::default());
        for number in 0..64 {
            assert!(answers.expect(command(number), [endpoint("a")], NOW));
        }
        answers.handle_rows(endpoint("a"), &part(1, 0, 100));
        assert!(!answers.expect(command(99), [endpoint("a")], NOW));
        let later = NOW + READER_WITHIN;
        assert!(answers.expect(command(99), [endpoint("a")], later));
        assert!(answers.read(command(1), later).is_none());
        assert_eq!(answers.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let answers = Arc::new(Answers::default());
        assert!(answers.expect(command(1), [endpoint("a")], NOW));
        let mut reader = answers.read(command(1), NOW).unwrap();
        assert!(answers.read(command(1), NOW).is_none(), "one reader");
        let sender = Arc::clone(&answers);
        let (part, ()) = tokio::join!(reader.next(), async move {
            tokio::task::yield_now().await;
            sender.handle_rows(endpoint("a"), &last(1, 0));
        });
        assert!(matches!(part, Some(Part::Rows(..))));
        assert_eq!(reader.next().await, None);
    }
}
