//! Whether live queries are answered here: one is asked, of the process that would answer it.

use std::path::Path;

use cordon_proto::id::{ClientId, EndpointId};
use cordon_proto::query::Query;

use super::{Finding, Grade};
use crate::clock::Clock;
use crate::own_program::OWN_PROGRAM;
use crate::query::child::Worker;
use crate::query::frame::{Facts, Frame, Request};

/// Needs a table, and no more of it than that it is read.
const QUESTION: &str = "SELECT count(*) FROM os";

/// As long as the shortest query of a person may take.
const TIME_MS_MAX: u64 = 10_000;

pub(super) fn finding() -> Finding {
    let (grade, found) = match ask(Path::new(OWN_PROGRAM)) {
        Ok(()) => (Grade::Fine, "their process starts and answers".to_owned()),
        Err(why) => (Grade::Less, format!("live queries are not answered: {why}")),
    };
    Finding::of("queries", grade, found)
}

fn ask(program: &Path) -> Result<(), String> {
    let request = request().ok_or("the question could not be put")?;
    let started = Worker::start(program, &request, Clock::start());
    let (mut worker, _brake) = started.map_err(|error| error.to_string())?;
    let mut rows = 0;
    loop {
        match worker.read() {
            Frame::Columns(_) => {}
            Frame::Rows { count, .. } => rows += count,
            Frame::End(ended) => {
                let whole = rows == 1 && ended.error.is_none() && ended.cut.is_none();
                return if whole { Ok(()) } else { Err(format!("{rows} rows, {ended:?}")) };
            }
        }
    }
}

/// The question, with facts that nobody asks for.
fn request() -> Option<Request> {
    let client: ClientId = "doctor".parse().ok()?;
    let facts = Facts::bare(EndpointId::of(b"doctor"), client);
    let (rows_max, bytes_max) = (1, 64 << 10);
    let query = Query { sql: QUESTION.to_owned(), rows_max, bytes_max, time_ms_max: TIME_MS_MAX };
    Some(Request { query, facts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_answer_is_told() {
        let why = ask(Path::new("/nonexistent")).unwrap_err();
        assert!(why.contains("No such file"), "{why}");
        assert!(ask(Path::new("/bin/true")).is_err());
    }
}
