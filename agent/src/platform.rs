//! Operating-system calls that no library makes for us, and the only unsafe code.

#[cfg(target_os = "linux")]
pub mod linux;
