//! The operating system as the agent uses it: the only system calls, and the only unsafe code.

#[cfg(target_os = "linux")]
pub mod linux;
pub mod sqlite;
