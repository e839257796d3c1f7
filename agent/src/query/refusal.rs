//! What SQLite says of a question that it cannot answer, as somebody can use it.

use cordon_proto::limits::QUERY_ERROR_BYTES_MAX;
use cordon_proto::query::{Limit, QueryError};
use rusqlite::{Error, ErrorCode};

use super::frame::Ended;

/// How an answer ends with an error of SQLite's. `tables` are those that there are.
#[must_use]
pub fn ended(error: &Error, tables: &[&str]) -> Ended {
    if matches!(error, Error::MultipleStatement) {
        return Ended::failed("a query is one statement; this is more than one");
    }
    let (code, message, offset) = if let Error::SqlInputError { error, msg, offset, .. } = error {
        (error.code, msg.clone(), u64::try_from(*offset).ok())
    } else if let Error::SqliteFailure(error, message) = error {
        (error.code, message.clone().unwrap_or_else(|| error.to_string()), None)
    } else {
        (ErrorCode::Unknown, error.to_string(), None)
    };
    if code == ErrorCode::OperationInterrupted {
        return Ended::cut(Limit::Time);
    }
    if code == ErrorCode::OutOfMemory {
        return Ended::cut(Limit::Memory);
    }
    let mut sentence = message;
    if code == ErrorCode::TooBig {
        "a value would be longer than 1 MiB".clone_into(&mut sentence);
    } else if code == ErrorCode::AuthorizationForStatementDenied {
        sentence.push_str(
            ": a query is one SELECT over the tables that there are, with functions that compute \
             and touch nothing",
        );
    }
    if sentence.starts_with("no such table") {
        sentence = format!("{sentence}; there are: {}", tables.join(", "));
    }
    Ended { cut: None, error: Some(QueryError { sentence: cut(sentence), offset }) }
}

fn cut(mut sentence: String) -> String {
    sentence.truncate(sentence.floor_char_boundary(QUERY_ERROR_BYTES_MAX));
    sentence
}
