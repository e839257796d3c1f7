//! Live queries: one SELECT over what this endpoint is at the moment, answered and forgotten.
//!
//! The SQL runs in a process of its own, which this program starts as another instance of itself:
//! SQLite's limit on memory is one for a whole process and the spool uses SQLite too, a walk through
//! files cannot be stopped from outside, and whatever a query brings down is then not the agent.
//! That process gets the question and what only the agent knows on its standard input, has hard
//! limits on memory, time and files, and answers in frames on its standard output.

pub mod child;
pub mod engine;
pub mod frame;
pub mod functions;
pub mod refusal;
pub mod table;
pub mod worker;
