//! The `bpf(2)` system call: maps, programs, and hanging programs onto the kernel's trace points.
#![allow(unsafe_code, reason = "the kernel is called with structures of its own layout")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::asm::Instruction;

/// Helpers such as probe reads are open to programs under the GPL only.
const LICENCE: &CStr = c"Dual MIT/GPL";

/// What the verifier says when it refuses; the end of it names the instruction.
const VERIFIER_LOG_BYTES: usize = 1 << 20;

/// How much of the verifier's log goes into an error.
const VERIFIER_TAIL_BYTES: usize = 2048;

/// Why the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum SysError {
    /// A map could not be made.
    #[error("creating the BPF map {name}: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A map could not be read.
    #[error("reading or changing the BPF map {name}: {source}")]
    Lookup {
        /// Its name.
        name: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A program was refused.
    #[error("loading the BPF program {name}: {source}; the verifier said: {log}")]
    Load {
        /// Its name.
        name: &'static str,
        /// Why not.
        source: io::Error,
        /// The end of what the verifier said.
        log: String,
    },
    /// A program could not be hung on.
    #[error("attaching the BPF program {name}: {source}")]
    Attach {
        /// Its name.
        name: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A program's counters could not be read.
    #[error("asking about the BPF program {name}: {source}")]
    Ask {
        /// Its name.
        name: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl SysError {
    /// Whether the kernel said that it is not permitted.
    #[must_use]
    pub fn is_not_permitted(&self) -> bool {
        let (Self::Map { source, .. }
        | Self::Lookup { source, .. }
        | Self::Load { source, .. }
        | Self::Attach { source, .. }
        | Self::Ask { source, .. }) = self;
        source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// What a map is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MapKind {
    /// Values by number.
    Array = 2,
    /// Values by number, one for each processor.
    PerCpuArray = 6,
    /// Values by key; where there is no more room, those not used for longest go.
    LatestHash = 9,
    /// A ring buffer from kernel to user.
    Ring = 27,
}

/// A map; gone when dropped, unless a program still holds it.
#[derive(Debug)]
pub struct Map {
    name: &'static str,
    fd: OwnedFd,
    key_bytes: u32,
    value_bytes: u32,
}

impl Map {
    /// Makes a map. For a ring `entries` is its size in bytes, and `value_bytes` is 0.
    pub fn create(
        kind: MapKind,
        name: &'static str,
        value_bytes: u32,
        entries: u32,
    ) -> Result<Self, SysError> {
        let key_bytes = if kind == MapKind::Ring { 0 } else { 4 };
        Self::keyed(kind, name, key_bytes, value_bytes, entries)
    }

    /// Makes a map with keys of a length of one's own.
    pub fn keyed(
        kind: MapKind,
        name: &'static str,
        key_bytes: u32,
        value_bytes: u32,
        entries: u32,
    ) -> Result<Self, SysError> {
        let mut attr = MapCreate {
            kind: kind as u32,
            key_bytes,
            value_bytes,
            entries,
            name: short_name(name),
            ..MapCreate::default()
        };
        match call_for_fd(Command::MapCreate, &mut attr) {
            Ok(fd) => Ok(Self { name, fd, key_bytes, value_bytes }),
            Err(source) => Err(SysError::Map { name, source }),
        }
    }

    /// Reads the value under a key, where there is one, from a map that is not one for each
    /// processor. Key and value must be of the map's lengths.
    pub fn look_up<const V: usize>(&self, key: &[u8]) -> Result<Option<[u8; V]>, SysError> {
        let mut value = [0u8; V];
        let fits = u32::try_from(V) == Ok(self.value_bytes) && self.is_key(key);
        if !fits {
            return Err(self.failed(io::ErrorKind::InvalidInput.into()));
        }
        match call(Command::MapLookup, &mut self.element(key.as_ptr(), value.as_mut_ptr())) {
            Ok(_) => Ok(Some(value)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Forgets a key; one that is not there is fine.
    pub fn forget(&self, key: &[u8]) -> Result<(), SysError> {
        if !self.is_key(key) {
            return Err(self.failed(io::ErrorKind::InvalidInput.into()));
        }
        match call(Command::MapDelete, &mut self.element(key.as_ptr(), std::ptr::null::<u8>())) {
            Ok(_) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn element<K, V>(&self, key: *const K, value: *const V) -> MapElement {
        let map = number(self.fd.as_raw_fd());
        MapElement { map, _pad: 0, key: address(key), value: address(value), flags: 0 }
    }

    fn is_key(&self, key: &[u8]) -> bool {
        u32::try_from(key.len()) == Ok(self.key_bytes)
    }

    fn failed(&self, source: io::Error) -> SysError {
        SysError::Lookup { name: self.name, source }
    }

    /// Reads `N` counters, from number 0, out of an array of 8-byte values.
    pub fn counters<const N: usize>(&self) -> Result<[u64; N], SysError> {
        let mut counters = [0; N];
        for (key, counter) in (0u32..).zip(&mut counters) {
            let mut attr = self.element(&raw const key, &raw mut *counter);
            call(Command::MapLookup, &mut attr).map_err(|source| self.failed(source))?;
        }
        Ok(counters)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Map {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// When a program of a control group runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CgroupHook {
    /// An IPv4 socket is about to connect.
    Connect4 = 10,
    /// An IPv6 socket is about to connect.
    Connect6 = 11,
    /// A datagram is about to go to an IPv4 address from a socket that is not connected.
    Send4 = 14,
    /// The same for IPv6.
    Send6 = 15,
}

/// A program that runs at a trace point or in a control group until this is dropped.
#[derive(Debug)]
pub struct Attached {
    name: &'static str,
    program: OwnedFd,
    _link: OwnedFd,
}

impl Attached {
    /// Loads a program for the trace point whose `btf_trace_…` type has the number `point`, and
    /// hangs it on.
    pub fn trace_point(
        name: &'static str,
        point: u32,
        code: &[Instruction],
    ) -> Result<Self, SysError> {
        const TRACING: u32 = 26;
        const RAW_TRACE_POINT_WITH_TYPES: u32 = 23;
        let program = load(name, (TRACING, RAW_TRACE_POINT_WITH_TYPES, point), code)?;
        let mut attr = RawTracepoint { name: 0, program: number(program.as_raw_fd()), _pad: 0 };
        match call_for_fd(Command::RawTracepointOpen, &mut attr) {
            Ok(link) => Ok(Self { name, program, _link: link }),
            Err(source) => Err(SysError::Attach { name, source }),
        }
    }

    /// Loads a program for sockets of a control group and those below it, and hangs it on.
    pub fn cgroup(
        name: &'static str,
        hook: CgroupHook,
        code: &[Instruction],
        cgroup: BorrowedFd<'_>,
    ) -> Result<Self, SysError> {
        const SOCKET_ADDRESS: u32 = 18;
        let program = load(name, (SOCKET_ADDRESS, hook as u32, 0), code)?;
        let mut attr = LinkCreate {
            program: number(program.as_raw_fd()),
            target: number(cgroup.as_raw_fd()),
            attach_kind: hook as u32,
            flags: 0,
        };
        match call_for_fd(Command::LinkCreate, &mut attr) {
            Ok(link) => Ok(Self { name, program, _link: link }),
            Err(source) => Err(SysError::Attach { name, source }),
        }
    }

    /// How often the program did not run because it was running already on the same processor.
    /// Zero on kernels before 5.12, which do not count it.
    pub fn misses(&self) -> Result<u64, SysError> {
        let mut answer = ProgramAnswer::default();
        let mut attr = Ask {
            program: number(self.program.as_raw_fd()),
            answer_bytes: u32::try_from(size_of::<ProgramAnswer>()).unwrap_or(0),
            answer: address(&raw mut answer),
        };
        call(Command::ObjectAsk, &mut attr)
            .map_err(|source| SysError::Ask { name: self.name, source })?;
        Ok(answer.misses)
    }
}

/// Loads a program: what kind it is, what it will be hung on, and of which type that is.
fn load(
    name: &'static str,
    (kind, attach_kind, attach_type): (u32, u32, u32),
    code: &[Instruction],
) -> Result<OwnedFd, SysError> {
    let mut attr = ProgramLoad {
        kind,
        instructions: u32::try_from(code.len()).unwrap_or(u32::MAX),
        code: address(code.as_ptr()),
        licence: address(LICENCE.as_ptr()),
        name: short_name(name),
        attach_kind,
        attach_type,
        ..ProgramLoad::default()
    };
    let source = match call_for_fd(Command::ProgramLoad, &mut attr) {
        Ok(program) => return Ok(program),
        Err(source) => source,
    };
    let mut log = vec![0u8; VERIFIER_LOG_BYTES];
    attr.log_level = 1;
    attr.log_bytes = u32::try_from(log.len()).unwrap_or(0);
    attr.log = address(log.as_mut_ptr());
    match call_for_fd(Command::ProgramLoad, &mut attr) {
        Ok(fd) => Ok(fd),
        Err(_the_same_again) => Err(SysError::Load { name, source, log: tail(&log) }),
    }
}

/// The end of the verifier's log: its last lines name the instruction and the reason.
fn tail(log: &[u8]) -> String {
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let start = text.len().saturating_sub(VERIFIER_TAIL_BYTES);
    String::from_utf8_lossy(&text[start..]).trim().to_owned()
}

/// The kernel keeps 15 bytes of a name.
fn short_name(name: &str) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    short
}

/// Descriptors that the kernel gave are never negative.
fn number(fd: RawFd) -> u32 {
    fd.cast_unsigned()
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

#[derive(Clone, Copy)]
enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapDelete = 3,
    ProgramLoad = 5,
    ObjectAsk = 15,
    RawTracepointOpen = 17,
    LinkCreate = 28,
}

/// A command's structure as the kernel lays it out.
///
/// # Safety
///
/// The type is `repr(C)` without padding, and every address in it is either 0 or points to memory
/// that is valid, for as long as the call lasts, for what the command does with it.
unsafe trait Attr {}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct MapElement {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    kind: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_kind: u32,
    btf: u32,
    function_record_bytes: u32,
    functions: u64,
    function_count: u32,
    line_record_bytes: u32,
    lines: u64,
    line_count: u32,
    attach_type: u32,
    attach_program: u32,
    _pad: u32,
}

#[repr(C)]
struct RawTracepoint {
    name: u64,
    program: u32,
    _pad: u32,
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_kind: u32,
    flags: u32,
}

#[repr(C)]
struct Ask {
    program: u32,
    answer_bytes: u32,
    answer: u64,
}

/// `bpf_prog_info` as far as the count of misses. All that comes before it must be sent as zero,
/// so that the kernel copies neither code nor names anywhere.
#[repr(C)]
#[derive(Default)]
struct ProgramAnswer {
    _before: [u64; 26],
    misses: u64,
}

// SAFETY: seven numbers of four bytes and 16 bytes; no addresses.
unsafe impl Attr for MapCreate {}
// SAFETY: no padding; `key` and `value` point to memory of the map's lengths that outlives the
// call (a counter of eight bytes, or what was compared with the lengths before); a deletion reads
// no value.
unsafe impl Attr for MapElement {}
// SAFETY: no padding; `code` points to `instructions` instructions, `licence` to a string that
// ends, `log` to `log_bytes` bytes that may be written; all outlive the call.
unsafe impl Attr for ProgramLoad {}
// SAFETY: no padding; `name` is 0.
unsafe impl Attr for RawTracepoint {}
// SAFETY: four numbers of four bytes; no addresses.
unsafe impl Attr for LinkCreate {}
// SAFETY: no padding; `answer` points to `answer_bytes` bytes that may be written.
unsafe impl Attr for Ask {}

fn call<A: Attr>(command: Command, attr: &mut A) -> io::Result<libc::c_long> {
    let attr: *mut A = attr;
    // SAFETY: `attr` is valid for its size, and `Attr` promises the same of all it points to.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, attr, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn call_for_fd<A: Attr>(command: Command, attr: &mut A) -> io::Result<OwnedFd> {
    let result = call(command, attr)?;
    let fd = RawFd::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the commands this is used with answer with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn structures_lie_as_the_kernel_lays_them_out() {
        assert_eq!(size_of::<MapCreate>(), 44);
        assert_eq!(offset_of!(ProgramLoad, name), 48);
        assert_eq!(offset_of!(ProgramLoad, attach_kind), 68);
        assert_eq!(offset_of!(ProgramLoad, functions), 80);
        assert_eq!(offset_of!(ProgramLoad, attach_type), 108);
        assert_eq!(size_of::<ProgramLoad>(), 120);
        assert_eq!(offset_of!(ProgramAnswer, misses), 208);
    }

    #[test]
    fn names_are_cut_and_ended() {
        assert_eq!(&short_name("cordon_ring"), b"cordon_ring\0\0\0\0\0");
        assert_eq!(&short_name("a_name_that_is_long"), b"a_name_that_is_\0");
    }

    #[test]
    fn a_long_log_keeps_its_end() {
        let mut log = vec![b'x'; 5000];
        log.extend(b" the reason\n\0\0\0");
        assert!(tail(&log).ends_with(" the reason") && tail(&log).len() <= VERIFIER_TAIL_BYTES);
    }
}
