//! Gives memory that is free again back to the kernel.
#![allow(unsafe_code, reason = "the allocator is called directly")]

/// Returns free heap pages to the kernel. Worth its few hundred microseconds after something big
/// was read once and dropped; where the C library has no such call this does nothing.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number and touches only free memory under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
