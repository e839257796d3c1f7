//! What the BPF programs write into the ring, and what becomes of it. Pure.
//!
//! All numbers are in native byte order; texts follow the fixed part, the path with its NUL byte
//! first, the arguments after it.

use cordon_proto::Text;
use cordon_proto::event::ProcessEvent;
use cordon_proto::event::process::{Exec, Exit, Fork, Tier};

/// The longest path that exec takes, with its NUL byte: none is ever cut.
pub(super) const IMAGE_BYTES_MAX: i32 = 4096;

/// How much of the arguments is kept; see [`cordon_proto::limits::ARGS_BYTES_MAX`].
pub(super) const ARGS_BYTES_MAX: i32 = 4096;

/// What a record tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RecordKind {
    Exec = 1,
    Fork = 2,
    Exit = 3,
}

impl RecordKind {
    /// Which of the drop counters is this kind's.
    pub(super) fn counter(self) -> i32 {
        self as i32 - 1
    }
}

/// Where fields stand in a record.
pub(super) struct Place;

impl Place {
    pub(super) const KIND: i16 = 0;
    pub(super) const PID: i16 = 4;
    pub(super) const TIME: i16 = 8;
    pub(super) const PARENT: i16 = 16;
    pub(super) const UID: i16 = 20;
    pub(super) const START: i16 = 24;

    /// Exit; eight bytes of which the lower four count.
    pub(super) const WAIT_STATUS: i16 = 32;
    pub(super) const SMALL_END: i16 = 40;

    pub(super) const EUID: i16 = 32;
    pub(super) const IMAGE_BYTES: i16 = 36;
    pub(super) const CGROUP: i16 = 40;
    pub(super) const INODE: i16 = 48;
    pub(super) const FILE_BYTES: i16 = 56;
    pub(super) const ARGS_BYTES: i16 = 64;
    pub(super) const ARGS_KNOWN: i16 = 68;
    pub(super) const ARGS_TOTAL: i16 = 72;
    pub(super) const TEXT: i16 = 80;
}

/// Why a record could not be read; it is counted as lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum RecordError {
    /// It ends too early.
    #[error("a record from the kernel ends after {bytes} bytes, before what it announces")]
    CutOff {
        /// How long it is.
        bytes: usize,
    },
    /// It is of no known kind.
    #[error("a record from the kernel is of the unknown kind {kind}")]
    Kind {
        /// Its kind.
        kind: u32,
    },
}

/// Which file a program was, as far as the kernel's own numbers tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct File {
    pub(super) inode: u64,
    pub(super) bytes: u64,
}

/// One record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Record {
    /// Boot-time clock, nanoseconds.
    pub(super) boot_ns: u64,
    pub(super) event: ProcessEvent,
    /// With an exec: the program's file.
    pub(super) file: Option<File>,
}

impl Record {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        Fields(bytes).record().ok_or(RecordError::CutOff { bytes: bytes.len() })?
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn record(&self) -> Option<Result<Record, RecordError>> {
        const EXEC: u32 = RecordKind::Exec as u32;
        const FORK: u32 = RecordKind::Fork as u32;
        const EXIT: u32 = RecordKind::Exit as u32;
        let (event, file) = match self.word(Place::KIND)? {
            EXEC => (ProcessEvent::Exec(self.exec()?), Some(self.file()?)),
            FORK => (ProcessEvent::Fork(self.fork()?), None),
            EXIT => (ProcessEvent::Exit(self.exit()?), None),
            kind => return Some(Err(RecordError::Kind { kind })),
        };
        Some(Ok(Record { boot_ns: self.double(Place::TIME)?, event, file }))
    }

    fn exec(&self) -> Option<Exec> {
        let image_bytes = self.word(Place::IMAGE_BYTES)?;
        let args_bytes = self.word(Place::ARGS_BYTES)?;
        let is_known = self.word(Place::ARGS_KNOWN)? != 0;
        let total = self.double(Place::ARGS_TOTAL)?;
        let (image, rest) = split(self.0.get(usize_of(Place::TEXT)..)?, image_bytes)?;
        let (args, _rest) = split(rest, args_bytes)?;
        Some(Exec {
            tier: Tier::Bpf,
            pid: self.word(Place::PID)?,
            start_boot_ns: Some(self.double(Place::START)?),
            parent_pid: Some(self.word(Place::PARENT)?),
            uid: Some(self.word(Place::UID)?),
            euid: Some(self.word(Place::EUID)?),
            cgroup_id: Some(self.double(Place::CGROUP)?),
            image: (!image.is_empty()).then(|| image.strip_suffix(b"\0").unwrap_or(image).into()),
            image_resolved: None,
            args: is_known.then(|| Text::from(args)),
            args_bytes: (is_known || total != 0).then_some(total),
            redacted: None,
        })
    }

    fn fork(&self) -> Option<Fork> {
        Some(Fork {
            tier: Tier::Bpf,
            pid: self.word(Place::PID)?,
            start_boot_ns: Some(self.double(Place::START)?),
            parent_pid: Some(self.word(Place::PARENT)?),
            uid: Some(self.word(Place::UID)?),
        })
    }

    fn exit(&self) -> Option<Exit> {
        let [low, _high] = halves(self.double(Place::WAIT_STATUS)?);
        Some(Exit {
            tier: Tier::Bpf,
            pid: self.word(Place::PID)?,
            start_boot_ns: Some(self.double(Place::START)?),
            parent_pid: Some(self.word(Place::PARENT)?),
            uid: Some(self.word(Place::UID)?),
            wait_status: Some(low),
        })
    }

    fn file(&self) -> Option<File> {
        Some(File { inode: self.double(Place::INODE)?, bytes: self.double(Place::FILE_BYTES)? })
    }

    fn word(&self, place: i16) -> Option<u32> {
        let bytes = self.0.get(usize_of(place)..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    }

    fn double(&self, place: i16) -> Option<u64> {
        let bytes = self.0.get(usize_of(place)..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }
}

fn split(bytes: &[u8], at: u32) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(at).ok()?)
}

/// The lower and the upper four bytes.
fn halves(double: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = double.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn usize_of(place: i16) -> usize {
    usize::from(place.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a record as the programs do.
    struct Writer(Vec<u8>);

    impl Writer {
        fn new(kind: u32, bytes: i16) -> Self {
            Self(vec![0; usize_of(bytes)])
                .word(Place::KIND, kind)
                .word(Place::PID, 4711)
                .double(Place::TIME, 5_000_000_123)
                .word(Place::PARENT, 42)
                .word(Place::UID, 1000)
                .double(Place::START, 4_999_000_000)
        }

        fn exec(image: &[u8], args: &[u8], total: u64) -> Self {
            let mut writer = Self::new(1, Place::TEXT)
                .word(Place::EUID, 0)
                .word(Place::IMAGE_BYTES, u32::try_from(image.len()).unwrap())
                .double(Place::CGROUP, 77)
                .double(Place::INODE, 1 << 40)
                .double(Place::FILE_BYTES, 125_640)
                .word(Place::ARGS_BYTES, u32::try_from(args.len()).unwrap())
                .word(Place::ARGS_KNOWN, u32::from(!args.is_empty()))
                .double(Place::ARGS_TOTAL, total);
            writer.0.extend(image);
            writer.0.extend(args);
            writer
        }

        fn word(mut self, place: i16, value: u32) -> Self {
            self.0[usize_of(place)..][..4].copy_from_slice(&value.to_ne_bytes());
            self
        }

        fn double(mut self, place: i16, value: u64) -> Self {
            self.0[usize_of(place)..][..8].copy_from_slice(&value.to_ne_bytes());
            self
        }
    }

    fn parse_exec(writer: &Writer) -> Exec {
        match Record::parse(&writer.0).unwrap().event {
            ProcessEvent::Exec(exec) => exec,
            other @ (ProcessEvent::Fork(_) | ProcessEvent::Exit(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_exec_comes_out_whole() {
        let record = Writer::exec(b"/bin/sh\0", b"sh\0-c\0id\0", 9);
        let parsed = Record::parse(&record.0).unwrap();
        assert_eq!(parsed.boot_ns, 5_000_000_123);
        assert_eq!(parsed.file, Some(File { inode: 1 << 40, bytes: 125_640 }));
        let expected = Exec {
            tier: Tier::Bpf,
            pid: 4711,
            start_boot_ns: Some(4_999_000_000),
            parent_pid: Some(42),
            uid: Some(1000),
            euid: Some(0),
            cgroup_id: Some(77),
            image: Some("/bin/sh".into()),
            image_resolved: None,
            args: Some("sh\0-c\0id\0".into()),
            args_bytes: Some(9),
            redacted: None,
        };
        assert_eq!(parsed.event, ProcessEvent::Exec(expected));
    }

    #[test]
    fn cut_arguments_say_how_long_they_were() {
        let exec = parse_exec(&Writer::exec(b"/a\0", &[b'x'; 4096], 9000));
        assert_eq!(exec.args.unwrap().len(), 4096);
        assert_eq!(exec.args_bytes, Some(9000));
    }

    #[test]
    fn arguments_and_paths_that_could_not_be_read_are_unknown_not_empty() {
        let exec = parse_exec(&Writer::exec(b"", b"", 30));
        assert_eq!((exec.image, exec.args, exec.args_bytes), (None, None, Some(30)));
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_as_they_are() {
        let exec = parse_exec(&Writer::exec(b"/\xff\0", b"\xfe\0\xfd\0", 4));
        assert_eq!(exec.image.unwrap().as_bytes(), b"/\xff");
        assert_eq!(exec.args.unwrap().as_bytes(), b"\xfe\0\xfd\0");
    }

    #[test]
    fn a_fork_and_an_exit_come_out_whole() {
        let fork = Record::parse(&Writer::new(2, Place::SMALL_END).0).unwrap().event;
        let start_boot_ns = Some(4_999_000_000);
        let (tier, pid, parent_pid, uid) = (Tier::Bpf, 4711, Some(42), Some(1000));
        assert_eq!(fork, ProcessEvent::Fork(Fork { tier, pid, start_boot_ns, parent_pid, uid }));
        let exit = Writer::new(3, Place::SMALL_END).double(Place::WAIT_STATUS, 3 << 8);
        let wait_status = Some(3 << 8);
        let expected = Exit { tier, pid, start_boot_ns, parent_pid, uid, wait_status };
        assert_eq!(Record::parse(&exit.0).unwrap().event, ProcessEvent::Exit(expected));
    }

    #[test]
    fn a_record_that_ends_too_early_or_is_unknown_is_an_error() {
        let record = Writer::exec(b"/bin/sh\0", b"sh\0", 3).0;
        for bytes in 0..record.len() {
            assert_eq!(Record::parse(&record[..bytes]), Err(RecordError::CutOff { bytes }));
        }
        let unknown = Writer::new(9, Place::SMALL_END).0;
        assert_eq!(Record::parse(&unknown), Err(RecordError::Kind { kind: 9 }));
    }

    #[test]
    fn the_bound_on_arguments_is_the_wires() {
        assert_eq!(usize::try_from(ARGS_BYTES_MAX), Ok(cordon_proto::limits::ARGS_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            kind in 0u32..5,
            tail in proptest::collection::vec(any::<u8>(), 0..256),
        ) {
            let bytes: Vec<u8> = kind.to_ne_bytes().into_iter().chain(tail).collect();
            let parsed = Record::parse(&bytes);
            prop_assert!(parsed.is_ok() || bytes.len() < 80 || kind == 0 || kind == 4 || kind == 1);
        }
    }
}
