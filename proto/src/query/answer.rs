//! Putting an answer together, and believing it only whole. Pure.
//!
//! Nothing of an answer counts before its summary verifies: under the key that the endpoint is
//! named by, about the command and the SQL that were asked, over exactly the parts that came.

use super::{Row, Rows, RowsFormError, Summary, read_chunk};
use crate::command::Command;
use crate::id::{CommandId, EndpointId, Hash};
use crate::limits;
use crate::query::Query;
use crate::sign::document::DocumentError;
use crate::sign::merkle;

/// An answer that was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What the endpoint signed.
    pub summary: Summary,
    /// Its rows; each has as many values as there are columns.
    pub rows: Vec<Row>,
}

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A part is malformed.
    #[error(transparent)]
    Form(#[from] RowsFormError),
    /// A part of something else, or in another order.
    #[error("a part of the answer is missing, doubled, or of another answer")]
    Order,
    /// More than was asked for.
    #[error("the answer is longer than was asked for")]
    TooLong,
    /// The signature.
    #[error("the answer's signed summary: {0}")]
    Summary(#[from] DocumentError),
    /// The signature is about something else.
    #[error("the signed summary is about {0}")]
    About(&'static str),
    /// The rows are not those that were signed.
    #[error("the rows are not those that the endpoint signed")]
    Rows,
}

/// Takes in the parts of one endpoint's answer.
#[derive(Debug)]
pub struct Gather {
    endpoint: EndpointId,
    command: CommandId,
    query: Query,
    contents: Vec<Vec<u8>>,
    bytes: u64,
}

impl Gather {
    /// Waits for an endpoint's answer to a command that carries this query.
    #[must_use]
    pub fn new(endpoint: EndpointId, command: &Command, query: &Query) -> Self {
        let (command, query) = (command.id, query.clone());
        Self { endpoint, command, query, contents: Vec::new(), bytes: 0 }
    }

    /// Takes the next part; the whole answer with the last one.
    pub fn handle_rows(&mut self, rows: Rows) -> Result<Option<Answer>, AnswerError> {
        rows.check_form()?;
        let next = u32::try_from(self.contents.len()).ok();
        if rows.command != self.command || Some(rows.index) != next {
            return Err(AnswerError::Order);
        }
        if let Some(last) = &rows.last {
            return self.whole(Summary::verify(last, self.endpoint)?).map(Some);
        }
        let bytes = u64::try_from(rows.content.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.query.bytes_max || self.contents.len() >= limits::ROWS_PARTS_MAX {
            return Err(AnswerError::TooLong);
        }
        self.contents.push(rows.content);
        Ok(None)
    }

    fn whole(&self, summary: Summary) -> Result<Answer, AnswerError> {
        if summary.command != self.command {
            return Err(AnswerError::About("another command"));
        }
        if summary.sql_hash != Hash::of(self.query.sql.as_bytes()) {
            return Err(AnswerError::About("other SQL than was asked"));
        }
        let leaves: Vec<Hash> = self.contents.iter().map(|bytes| merkle::leaf(bytes)).collect();
        let parts = u32::try_from(leaves.len()).ok();
        if summary.root != merkle::root(&leaves) || Some(summary.parts) != parts {
            return Err(AnswerError::Rows);
        }
        let mut rows = Vec::new();
        for content in &self.contents {
            rows.extend(read_chunk(content).map_err(RowsFormError::from)?);
        }
        let wide = |row: &Row| row.len() == summary.columns.len();
        if u64::try_from(rows.len()).ok() != Some(summary.rows) || !rows.iter().all(wide) {
            return Err(AnswerError::Rows);
        }
        if summary.rows > self.query.rows_max {
            return Err(AnswerError::TooLong);
        }
        Ok(Answer { summary, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Action;
    use crate::message::Signed;
    use crate::query::{Value, write_chunk};
    use crate::roster::RosterRef;
    use crate::sign::SigningKey;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(&[number; 32]).unwrap()
    }

    fn endpoint() -> EndpointId {
        EndpointId(key(1).id().0)
    }

    fn query() -> Query {
        let sql = "SELECT 1".to_owned();
        Query { sql, rows_max: 4, bytes_max: 64, time_ms_max: 1000 }
    }

    fn command() -> Command {
        Command {
            id: CommandId(uuid::Uuid::from_u128(7)),
            client: "acme".parse().unwrap(),
            targets: vec![],
            action: Action::Query(query()),
            age_max_secs: 60,
            queued: false,
            roster_min: RosterRef::default(),
            reason: "test".to_owned(),
            incident: None,
            snapshot: None,
        }
    }

    /// An answer of two parts and its summary, which a test may spoil before it is signed.
    fn parts(change: impl FnOnce(&mut Summary), signer: u8) -> Vec<Rows> {
        let one = |number| vec![Value::Integer(number)];
        let contents = [write_chunk(&[one(1), one(2)]), write_chunk(&[one(3)])];
        let leaves: Vec<_> = contents.iter().map(|bytes| merkle::leaf(bytes)).collect();
        let mut summary = Summary {
            endpoint: endpoint(),
            key: key(signer).verifying(),
            command: command().id,
            command_hash: Hash::of(b"command"),
            sql_hash: Hash::of(b"SELECT 1"),
            columns: vec!["1".to_owned()],
            rows: 3,
            parts: 2,
            root: merkle::root(&leaves),
            cut: None,
            error: None,
            time_ns: 1,
            took_ms: 2,
        };
        change(&mut summary);
        let part = |(index, content)| Rows { command: command().id, index, content, last: None };
        let mut rows: Vec<_> = (0..).zip(contents).map(part).collect();
        let last = Some(summary.sign(&key(signer)));
        rows.push(Rows { command: command().id, index: 2, content: vec![], last });
        rows
    }

    #[track_caller]
    fn check(parts: Vec<Rows>, says: &str) {
        let mut gather = Gather::new(endpoint(), &command(), &query());
        let mut said = "unfinished".to_owned();
        for part in parts {
            match gather.handle_rows(part) {
                Ok(None) => {}
                Ok(Some(answer)) => said = format!("{} rows", answer.rows.len()),
                Err(error) => {
                    said = error.to_string();
                    break;
                }
            }
        }
        assert_eq!(said, says);
    }

    const MISSING: &str = "a part of the answer is missing, doubled, or of another answer";
    const CHANGED: &str = "the rows are not those that the endpoint signed";

    #[test]
    fn an_answer_counts_whole_and_signed() {
        check(parts(|_| (), 1), "3 rows");
        check(parts(|_| (), 1)[..2].to_vec(), "unfinished");
    }

    #[test]
    fn rows_that_were_changed_left_out_or_doubled_do_not_count() {
        let good = || parts(|_| (), 1);
        let mut changed = good();
        changed[1].content = write_chunk(&[vec![Value::Integer(4)]]);
        check(changed, CHANGED);
        let mut cut = good();
        cut.remove(1);
        check(cut, MISSING);
        let mut cut = good();
        cut.remove(1);
        cut[1].index = 1;
        check(cut, CHANGED);
        let mut doubled = good();
        doubled.insert(1, doubled[0].clone());
        check(doubled, MISSING);
        let mut other = good();
        other[0].command = CommandId(uuid::Uuid::from_u128(8));
        check(other, MISSING);
        let mut both = good();
        both[2].content = write_chunk(&[]);
        check(both, "the last part of an answer carries rows beside its summary");
    }

    #[test]
    fn a_summary_of_another_key_command_or_sql_does_not_count() {
        let other = "the answer's signed summary: is not a signed document of this protocol: it is \
                     not the endpoint's own";
        check(parts(|_| (), 2), other);
        let claimed = |summary: &mut Summary| summary.key = key(1).verifying();
        let mut forged = parts(claimed, 2);
        check(forged.clone(), "the answer's signed summary: the signature does not verify");
        forged[2].last = Some(Signed { bytes: vec![1, 2, 3] });
        check(
            forged,
            "the answer's signed summary: is not a signed document of this protocol: it is not \
             COSE_Sign1",
        );
        let elsewhere = |summary: &mut Summary| summary.command = CommandId(uuid::Uuid::nil());
        check(parts(elsewhere, 1), "the signed summary is about another command");
        let sql = |summary: &mut Summary| summary.sql_hash = Hash::of(b"SELECT 2");
        check(parts(sql, 1), "the signed summary is about other SQL than was asked");
    }

    #[test]
    fn a_summary_that_does_not_fit_its_rows_does_not_count() {
        check(parts(|summary| summary.rows = 2, 1), CHANGED);
        check(parts(|summary| summary.parts = 3, 1), CHANGED);
        check(parts(|summary| summary.columns.clear(), 1), CHANGED);
    }

    #[test]
    fn more_than_was_asked_for_does_not_count() {
        let mut gather = Gather::new(endpoint(), &command(), &Query { rows_max: 2, ..query() });
        let taken: Result<Vec<_>, _> =
            parts(|_| (), 1).into_iter().map(|part| gather.handle_rows(part)).collect();
        assert!(matches!(taken, Err(AnswerError::TooLong)));
        let mut gather = Gather::new(endpoint(), &command(), &Query { bytes_max: 3, ..query() });
        let taken = gather.handle_rows(parts(|_| (), 1).remove(0));
        assert!(matches!(taken, Err(AnswerError::TooLong)));
    }
}
