//! The harness of what only the whole can show.

pub mod guest;
pub mod measure;
pub mod sim;
