//! Reads a BPF ring buffer through the memory that it shares with the kernel.
#![allow(unsafe_code, reason = "the ring is memory shared with the kernel")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::sys::{Map, MapKind, SysError};
use crate::platform::linux::heap::page_bytes;

/// A record that its writer has not finished.
const BUSY: u32 = 1 << 31;

/// A record that its writer gave up.
const DISCARDED: u32 = 1 << 30;

/// Before each record: its length with flags, and a field of the kernel's own.
const HEADER_BYTES: u64 = 8;

/// Rings are no smaller than this, so that a record of a full command line always fits.
pub const BYTES_MIN: usize = 64 << 10;

/// Rings are no larger than this; the kernel never gives the memory back while the agent runs.
pub const BYTES_MAX: usize = 64 << 20;

/// Why a ring could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The kernel refused.
    #[error(transparent)]
    Sys(#[from] SysError),
    /// The memory could not be shared.
    #[error("mapping {bytes} bytes of the ring buffer: {source}")]
    Map {
        /// How much.
        bytes: usize,
        /// Why not.
        source: io::Error,
    },
    /// What stands in the ring makes no sense; nothing after it can be trusted.
    #[error("the ring buffer holds a record of {length} bytes at {at}, which it cannot")]
    Corrupt {
        /// The length that was read.
        length: u32,
        /// Where.
        at: u64,
    },
}

/// A ring buffer and the place up to which it was read.
#[derive(Debug)]
pub struct Ring {
    map: Map,
    consumer: Mapping,
    producer: Mapping,
    page_bytes: usize,
    bytes: u64,
    read: u64,
    /// A record that begins at the ring's end and goes on at its start, put together.
    wrapped: Vec<u8>,
}

/// So many records in one emptying are far from filling any ring: nothing was lost beside them.
pub const LOSSLESS_MAX: usize = 64;

/// What one look into the ring found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drained {
    /// Records handed over.
    pub records: usize,
    /// The room that they took.
    pub bytes: u64,
    /// Whether the ring was found empty; once it is armed the kernel wakes the reader for the next.
    pub emptied: bool,
}

impl Ring {
    /// Makes a ring of about that many bytes: the next power of two within the bounds.
    pub fn new(name: &'static str, bytes: usize) -> Result<Self, RingError> {
        let page_bytes = page_bytes();
        let bytes = bytes.clamp(BYTES_MIN.max(page_bytes), BYTES_MAX).next_power_of_two();
        let entries = u32::try_from(bytes).unwrap_or(u32::MAX);
        let map = Map::create(MapKind::Ring, name, 0, entries)?;
        let consumer = Mapping::new(&map, page_bytes, 0, libc::PROT_READ | libc::PROT_WRITE)?;
        // The kernel would map the records twice in a row, for one that wraps to read in one piece.
        // But each page counts as this process's memory as often as it is mapped.
        let producer = Mapping::new(&map, page_bytes + bytes, page_bytes, libc::PROT_READ)?;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(Self { map, consumer, producer, page_bytes, bytes, read: 0, wrapped: Vec::new() })
    }

    /// How much it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The map that programs write into.
    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Hands over up to `max` records, oldest first, and gives their room back.
    pub fn drain(&mut self, max: usize, mut each: impl FnMut(&[u8])) -> Result<Drained, RingError> {
        let mut drained = Drained { records: 0, bytes: 0, emptied: false };
        loop {
            let more = self.take(max.saturating_sub(drained.records), &mut each)?;
            drained.records += more.records;
            drained.bytes += more.bytes;
            drained.emptied = more.emptied && self.arm();
            if drained.emptied || drained.records >= max {
                return Ok(drained);
            }
        }
    }

    /// The same, but gives the room of the last record back only with the next one's, or by
    /// [`Self::arm`]: the kernel wakes the reader for what comes after a record whose room it has.
    pub fn take(&mut self, max: usize, mut each: impl FnMut(&[u8])) -> Result<Drained, RingError> {
        let (mut records, begin) = (0, self.read);
        while records < max {
            let Some(head) = self.finished() else {
                return Ok(Drained { records, bytes: self.read - begin, emptied: true });
            };
            let length = head & !DISCARDED;
            let step = u64::from(length).saturating_add(HEADER_BYTES).next_multiple_of(8);
            if step > self.bytes {
                return Err(RingError::Corrupt { length, at: self.read });
            }
            if head & DISCARDED == 0 {
                each(self.record(length));
                records += 1;
            }
            self.consumed().store(self.read, Ordering::Release);
            self.read += step;
        }
        Ok(Drained { records, bytes: self.read - begin, emptied: false })
    }

    /// Has the kernel wake the reader for the next record; answers whether none is there yet, for
    /// which it would not.
    pub fn arm(&mut self) -> bool {
        self.consumed().store(self.read, Ordering::Release);
        // Together with the writer's own barrier between finishing a record and looking at the
        // reader's place: either we see the record or the writer sees that we have caught up
        // and wakes us. Without it both could miss the other and the ring would fall silent.
        fence(Ordering::SeqCst);
        self.finished().is_none()
    }

    /// The head of the next record, if its writer has finished one.
    fn finished(&self) -> Option<u32> {
        if self.read == self.written().load(Ordering::Acquire) {
            return None;
        }
        let head = self.head().load(Ordering::Acquire);
        (head & BUSY == 0).then_some(head)
    }

    /// Where the next record stands within the records' memory.
    fn place(&self) -> usize {
        usize::try_from(self.read & (self.bytes - 1)).unwrap_or(0)
    }

    fn head(&self) -> &AtomicU32 {
        // SAFETY: the place is below `bytes` and a multiple of 8, as is `bytes`, which the mapping
        // holds after its first page, and the kernel writes this word atomically.
        unsafe { self.producer.start.add(self.page_bytes + self.place()).cast().as_ref() }
    }

    fn record(&mut self, length: u32) -> &[u8] {
        let [length, bytes] = [u64::from(length), self.bytes];
        let [length, bytes] = [length, bytes].map(|size| usize::try_from(size).unwrap_or(0));
        let start = (self.place() + 8) % bytes.max(1);
        let first = length.min(bytes - start);
        if first == length {
            return self.finished_bytes(start, length);
        }
        let mut wrapped = std::mem::take(&mut self.wrapped);
        wrapped.clear();
        wrapped.extend_from_slice(self.finished_bytes(start, first));
        wrapped.extend_from_slice(self.finished_bytes(0, length - first));
        self.wrapped = wrapped;
        &self.wrapped
    }

    /// Bytes of the record that is read. To be asked only for what lies within it and the ring.
    fn finished_bytes(&self, start: usize, length: usize) -> &[u8] {
        let start = self.page_bytes + start;
        // SAFETY: `record` asks for what is within the `bytes` that the mapping holds after its
        // first page. The record is finished (not busy), so that the kernel does not write to it
        // again before its room is given back, which takes `&mut self`.
        unsafe { std::slice::from_raw_parts(self.producer.start.add(start).as_ptr(), length) }
    }

    fn written(&self) -> &AtomicU64 {
        // SAFETY: the second page of the ring begins with the writer's place, eight bytes that
        // the kernel writes atomically; the mapping lives as long as `self`.
        unsafe { self.producer.start.cast().as_ref() }
    }

    fn consumed(&self) -> &AtomicU64 {
        // SAFETY: the first page of the ring begins with the reader's place, eight bytes mapped
        // for writing that only this reader writes.
        unsafe { self.consumer.start.cast().as_ref() }
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.map.as_raw_fd()
    }
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping is memory of the whole process and belongs to one `Ring` alone.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference only atomics and finished records are read.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(map: &Map, bytes: usize, offset: usize, access: i32) -> Result<Self, RingError> {
        let fd = map.as_raw_fd();
        let offset = libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX);
        // SAFETY: a new mapping at a place of the kernel's choosing touches no other memory.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, fd, offset)
        };
        if start == libc::MAP_FAILED {
            return Err(RingError::Map { bytes, source: io::Error::last_os_error() });
        }
        let nowhere = || RingError::Map { bytes, source: io::ErrorKind::AddrNotAvailable.into() };
        let start = NonNull::new(start.cast()).ok_or_else(nowhere)?;
        Ok(Self { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with these bounds, and no reference into it outlives it.
        // It cannot fail for bounds that the kernel gave.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.bytes);
        }
    }
}
