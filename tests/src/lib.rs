//! The harness of what only the whole can show.

pub mod connected;
pub mod console;
pub mod crowd;
pub mod guest;
pub mod measure;
pub mod sim;
