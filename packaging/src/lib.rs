//! The project's own task runner, and the network namespace lab that the demo and the tests share.

pub mod arguments;
pub mod browser;
pub mod clock;
pub mod console;
pub mod deb;
pub mod demo;
pub mod fleet;
pub mod lab;
pub mod lines;
pub mod measure;
pub mod need;
pub mod pack;
pub mod packages;
pub mod peers;
pub mod probe;
pub mod process;
pub mod programs;
pub mod run_command;
pub mod say;
pub mod schemathesis;
pub mod stage;
pub mod tally;
pub mod undo;
pub mod verify;
pub mod vm;
pub mod workspace;
