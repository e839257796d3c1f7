//! How the program ends: one number per kind of ending, so that scripts can tell them apart.

use std::error::Error;
use std::io::{self, Write};

use crate::api::ApiError;
use crate::output::text;

/// How the program ended. Of several endpoints the worst counts; later is worse.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Exit {
    /// Everything asked for was done, and where something was to be proved it is.
    Done,
    /// The command needs more signatures than it has.
    NotAuthorised,
    /// Not proved: the endpoint says so, or the time to wait was over.
    Unproved,
    /// The endpoint could not do it.
    ActionFailed,
    /// The endpoint refused the command.
    Refused,
    /// A statement about evidence does not hold.
    DoesNotHold,
    /// The collector cannot be reached, or is not the one pinned.
    Unreachable,
    /// The collector lets this operator do nothing, or not this.
    Denied,
    /// Anything else.
    Error,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Unreachable => 3,
            Self::Denied => 4,
            Self::NotAuthorised => 10,
            Self::Unproved => 11,
            Self::ActionFailed => 12,
            Self::Refused => 13,
            Self::DoesNotHold => 14,
        }
    }
}

/// The table that `cordon help exit-codes` shows.
pub const TABLE: &str =
    "   0  done as asked; with --wait: proved (isolate) or ended and seen to be gone (release)
   1  any error that has no number of its own; the sentence on stderr says which
   2  the arguments are not understood
   3  the collector cannot be reached, is not the one pinned, or the clocks disagree
   4  the collector does not know this operator, or does not allow this
  10  not authorised yet: the command needs more signatures
  11  not proved: the endpoint says so, or the time to wait was over; no answer to a query
  12  failed: the endpoint could not do it; the receipt says why, and what stands; a query with
      a mistake, or cut short by another limit than --rows
  13  refused: the endpoint did not accept the command; the receipt names the check
  14  evidence does not hold, or a receipt or an answer does not verify

Of several endpoints, the highest number from 10 on counts.";

/// Says what went wrong, if anything did, and answers how to end.
pub fn report(ended: anyhow::Result<Exit>) -> Exit {
    let error = match ended {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    if error.chain().any(is_broken_pipe) {
        // Whoever read our output has seen enough (`| head`).
        return Exit::Done;
    }
    let mut sentence = String::from("cordon: ");
    for (depth, cause) in error.chain().enumerate() {
        if depth > 0 {
            sentence.push_str(": ");
        }
        sentence.push_str(&text::plain_lines(&cause.to_string()));
    }
    // If stderr is gone there is nobody left to tell.
    writeln!(io::stderr(), "{sentence}").ok();
    error.chain().find_map(|cause| cause.downcast_ref::<ApiError>()).map_or(Exit::Error, of_api)
}

fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn of_api(error: &ApiError) -> Exit {
    match error {
        ApiError::Unreachable { .. }
        | ApiError::Silent { .. }
        | ApiError::WrongPin { .. }
        | ApiError::Clock { .. }
        | ApiError::Name { .. }
        | ApiError::Tls { .. } => Exit::Unreachable,
        ApiError::NotInRoster { .. } | ApiError::Denied { .. } | ApiError::Token { .. } => {
            Exit::Denied
        }
        ApiError::NotFound { .. }
        | ApiError::Problem { .. }
        | ApiError::Answer { .. }
        | ApiError::SignIn { .. }
        | ApiError::Local(_) => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_in_the_table_that_people_read() {
        let all = [
            Exit::Done,
            Exit::NotAuthorised,
            Exit::Unproved,
            Exit::ActionFailed,
            Exit::Refused,
            Exit::DoesNotHold,
            Exit::Unreachable,
            Exit::Denied,
            Exit::Error,
        ];
        for exit in all {
            let number = format!("\n{:>4}  ", exit.code());
            assert!(format!("\n{TABLE}").contains(&number), "{exit:?}");
        }
    }
}
