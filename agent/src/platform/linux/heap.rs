//! Gives memory that is free again back to the kernel.
#![allow(unsafe_code, reason = "the allocator is called directly")]

/// Keeps the heap small: one arena for all threads (what one thread allocates another frees here,
/// which leaves holes in several), and big blocks outside it, given back as soon as they are free.
/// To be called before the first thread; where the C library has no such knobs this does nothing.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers and sets the allocator's own knobs, before there is another thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, BIG_BLOCK_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, BIG_BLOCK_BYTES);
    }
}

/// A block from here on is mapped and unmapped by itself.
#[cfg(target_env = "gnu")]
const BIG_BLOCK_BYTES: libc::c_int = 128 << 10;

/// Returns free heap pages to the kernel. Worth its few hundred microseconds after something big
/// was read once and dropped; where the C library has no such call this does nothing.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number and touches only free memory under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
