//! Gives memory that is not needed any more back to the kernel.
#![allow(unsafe_code, reason = "the allocator and the kernel are called directly")]

/// Keeps the heap small: one arena for all threads (what one thread allocates another frees here,
/// which leaves holes in several), and big blocks outside it, given back as soon as they are free.
/// To be called before the first thread; where the C library has no such knobs this does nothing.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers and sets the allocator's own knobs, before there is another thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, BIG_BLOCK_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_BYTES);
    }
}

/// A block from here on is mapped and unmapped by itself.
#[cfg(target_env = "gnu")]
const BIG_BLOCK_BYTES: libc::c_int = 128 << 10;

/// So much of the heap's end may be free. What busy moments take and give back stays below it, or the
/// kernel would take each page back, and clear it again, several times a second.
#[cfg(target_env = "gnu")]
const FREE_BYTES: libc::c_int = 512 << 10;

/// How long one page of memory is.
#[must_use]
pub fn page_bytes() -> usize {
    // SAFETY: takes a number and gives a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// Returns free heap pages to the kernel, and lets go of code that only a start or an inventory
/// needed. Worth its few hundred microseconds after something big was read once and dropped; where
/// the C library has no such call the heap stays as it is.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number and touches only free memory under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
    let_go_of_files();
}

/// Unmaps the pages of all code and constants. They stay in the page cache, from where those that are still
/// needed come back at their next use; the others no longer count as this process's memory, and
/// the kernel may have them.
fn let_go_of_files() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, bytes) in untouched(&maps) {
        // SAFETY: the range is a whole mapping of a file that is not written to: no page of it
        // differs from the file, and the kernel reads it again from there. Should the mapping be gone by now, the call fails and nothing happens.
        unsafe {
            libc::madvise(std::ptr::without_provenance_mut(start), bytes, libc::MADV_DONTNEED);
        }
    }
}

/// Where files' code and constants are mapped, and how long each mapping is. What was written to
/// before it became read-only, addresses that the loader has put in, never begins at the start of a
/// file: the file's own header does.
fn untouched(maps: &str) -> impl Iterator<Item = (usize, usize)> {
    maps.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let is_untouched = match (words.next()?, words.next()?) {
            ("r-xp", _) => true,
            ("r--p", offset) => offset.bytes().all(|digit| digit == b'0'),
            _ => false,
        };
        let is_file = words.next_back()?.starts_with('/');
        let [start, end] = [start, end].map(|at| usize::from_str_radix(at, 16));
        let (start, end) = (start.ok()?, end.ok()?);
        (is_untouched && is_file).then(|| (start, end.saturating_sub(start)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_files_have_unchanged_is_let_go() {
        let maps = "\
5600-5700 r--p 00000000 fe:00 12 /usr/bin/cordon-agent
5700-5f00 r-xp 00001000 fe:00 12 /usr/bin/cordon-agent
5f00-5f80 r--p 00009000 fe:00 12 /usr/bin/cordon-agent
5f00-6000 rw-p 00002000 fe:00 12 /usr/bin/cordon-agent
7000-7100 r-xp 00000000 fe:00 34 /usr/lib/x86_64 linux/libc.so.6 (deleted)
7100-7200 rwxp 00000000 fe:00 34 /usr/lib/patched.so
7200-7300 r-xp 00000000 00:00 0 
7300-7400 r-xp 00000000 00:00 0                          [vdso]
7400-7500 r-xp 00000000 fe:00 34 /usr/lib/libm.so.6
broken";
        let found: Vec<_> = untouched(maps).collect();
        assert_eq!(found, [(0x5600, 0x100), (0x5700, 0x800), (0x7400, 0x100)]);
    }

    #[test]
    fn a_program_goes_on_without_the_pages_of_its_code() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let own = untouched as fn(&'static str) -> _ as usize;
        assert!(untouched(&maps).any(|(start, bytes)| (start..start + bytes).contains(&own)));
        let constant = "1000-3000 r-xp 0 fe:00 1 /a";
        trim();
        assert_eq!(untouched(constant).collect::<Vec<_>>(), [(0x1000, 0x2000)]);
    }
}
