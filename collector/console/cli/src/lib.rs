//! Cordon's console in the terminal: the parts of the program `cordon`.
//!
//! Everything that is signed is composed and signed here, and everything that is called proved is
//! verified here; the collector is asked, and never believed.

pub mod answer;
pub mod api;
pub mod archive;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod context;
pub mod exit;
pub mod file;
pub mod follow;
pub mod hex;
pub mod keyfile;
pub mod moment;
pub mod output;
pub mod passphrase;
pub mod resolve;
pub mod roster;
pub mod sealed;
pub mod sealing;
pub mod sign;
pub mod signer;
pub mod summary;
pub mod way_out;
