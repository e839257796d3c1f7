//! The BPF programs that see processes start, fork and end, emitted for this kernel's structures.
//!
//! They only read and report. Each is a straight line without loops: fields are plain loads that
//! the verifier checks against the kernel's types, and texts are read with a bound.

use std::os::fd::RawFd;

use crate::platform::linux::bpf::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::platform::linux::bpf::asm::{AsmError, Assembler, Instruction, KernelCall, Size, When};

use super::offsets::{Offsets, Time};
use super::record::{ARGS_BYTES_MAX, IMAGE_BYTES_MAX, Known, Place, RecordKind};

/// An exec record at its longest: what the scratch memory of a processor must hold.
pub(super) const SCRATCH_BYTES: u32 = 8352;

/// Which counter of the drops map a program adds to.
pub(super) const DROP_COUNTERS: u32 = 3;

/// The maps that the programs use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    pub(super) ring: RawFd,
    /// With so much unread in the ring its reader is woken, however long it means to wait.
    pub(super) unread_bytes_max: i32,
    pub(super) scratch: RawFd,
    pub(super) drops: RawFd,
}

/// `sched_process_exec(task, old pid, binary)`: a process began to run a program.
pub(super) fn exec(offsets: &Offsets, maps: Maps) -> Result<Vec<Instruction>, AsmError> {
    let mut asm = Assembler::default();
    let have = asm.label();
    asm.load(Size::Double, R6, R1, 0).load(Size::Double, R7, R1, 16);
    // A record of 8 KiB does not fit the stack of 512 bytes.
    asm.store_value(Size::Word, R10, -4, 0).copy(R2, R10).add(R2, -4);
    asm.load_map(R1, maps.scratch).call(KernelCall::MapLookup);
    asm.jump_if(R0, When::Differs, 0, have).set(R0, 0).exit();
    asm.bind(have).copy(R8, R0);
    header(&mut asm, offsets, RecordKind::Exec);
    asm.load(Size::Double, R1, R6, offsets.task.cred);
    asm.load(Size::Word, R2, R1, offsets.cred_euid);
    asm.store(Size::Word, R8, Place::EUID, R2);
    asm.call(KernelCall::CurrentCgroupId).store(Size::Double, R8, Place::CGROUP, R0);
    surroundings(&mut asm, offsets);
    image(&mut asm, offsets);
    args(&mut asm, offsets);
    // R9 and R7 hold the lengths of image and arguments.
    asm.copy(R3, R7).add_reg(R3, R9).add(R3, i32::from(Place::TEXT));
    send(&mut asm, maps, RecordKind::Exec);
    asm.finish()
}

/// `sched_process_fork(parent, child)`: a process (not a thread) was made.
pub(super) fn fork(offsets: &Offsets, maps: Maps) -> Result<Vec<Instruction>, AsmError> {
    let mut asm = Assembler::default();
    let thread = asm.label();
    asm.copy(R7, R1).load(Size::Double, R6, R1, 8);
    asm.load(Size::Word, R1, R6, offsets.task.pid).load(Size::Word, R2, R6, offsets.task.tgid);
    asm.jump_if_reg(R1, When::Differs, R2, thread);
    // Whoever calls fork makes the child, even where it names its own parent as the child's.
    asm.load(Size::Double, R7, R7, 0);
    small(&mut asm, offsets, RecordKind::Fork);
    asm.load(Size::Word, R1, R7, offsets.task.tgid).store(Size::Double, R8, Place::MAKER, R1);
    asm.load(Size::Double, R1, R7, offsets.task.group_leader);
    asm.load(Size::Double, R1, R1, offsets.task.start);
    asm.store(Size::Double, R8, Place::MAKER_START, R1);
    asm.set(R3, i32::from(Place::SMALL_END));
    send(&mut asm, maps, RecordKind::Fork);
    asm.bind(thread).set(R0, 0).exit();
    asm.finish()
}

/// `sched_process_exit(task, …)`: the last thread of a process ended.
///
/// The thread that ends last is not always the first one, and a first thread that ends does not
/// always take the process with it; so the count of living threads decides. Two that end at the
/// same moment can both find it at zero: the reader drops the second record.
pub(super) fn exit(offsets: &Offsets, maps: Maps) -> Result<Vec<Instruction>, AsmError> {
    let mut asm = Assembler::default();
    let others_live = asm.label();
    asm.load(Size::Double, R6, R1, 0);
    asm.load(Size::Double, R1, R6, offsets.task.signal);
    asm.load(Size::Word, R1, R1, offsets.signal_live);
    asm.jump_if(R1, When::Differs, 0, others_live);
    small(&mut asm, offsets, RecordKind::Exit);
    wait_status(&mut asm, offsets);
    asm.store_value(Size::Double, R8, Place::MAKER_START, 0);
    asm.set(R3, i32::from(Place::SMALL_END));
    send(&mut asm, maps, RecordKind::Exit);
    asm.bind(others_live).set(R0, 0).exit();
    asm.finish()
}

/// The fields that all records share, of the task in R6, into the memory at R8.
fn header(asm: &mut Assembler, offsets: &Offsets, kind: RecordKind) {
    let task = &offsets.task;
    asm.store_value(Size::Word, R8, Place::KIND, kind as i32);
    asm.call(KernelCall::BootTime).store(Size::Double, R8, Place::TIME, R0);
    asm.load(Size::Word, R1, R6, task.tgid).store(Size::Word, R8, Place::PID, R1);
    asm.load(Size::Double, R1, R6, task.real_parent).load(Size::Word, R1, R1, task.tgid);
    asm.store(Size::Word, R8, Place::PARENT, R1);
    asm.load(Size::Double, R1, R6, task.cred).load(Size::Word, R1, R1, offsets.cred_uid);
    asm.store(Size::Word, R8, Place::UID, R1);
    asm.load(Size::Double, R1, R6, task.group_leader).load(Size::Double, R1, R1, task.start);
    asm.store(Size::Double, R8, Place::START, R1);
}

/// Parent, session, terminal and sign-in of the task in R6; and which of them this kernel tells.
///
/// The working directory is not read here: the kernel keeps it as a chain of names with a place in
/// a tree of mounts, and both would have to be followed step by step for every process. It is read
/// from /proc while the process lives, where few start at a time.
fn surroundings(asm: &mut Assembler, offsets: &Offsets) {
    let task = &offsets.task;
    asm.store_value(Size::Word, R8, Place::KNOWN, Known::of(offsets).bits());
    asm.load(Size::Double, R1, R6, task.real_parent).load(Size::Double, R1, R1, task.group_leader);
    asm.load(Size::Double, R1, R1, task.start).store(Size::Double, R8, Place::PARENT_START, R1);
    asm.load(Size::Double, R1, R6, task.signal);
    if let Some(session) = offsets.session {
        asm.load(Size::Double, R2, R1, session.signal_session);
        asm.load(Size::Word, R2, R2, session.pid_number);
        asm.store(Size::Word, R8, Place::SESSION, R2);
    }
    if let Some(tty) = offsets.tty {
        // Loads through a pointer to nothing give 0, and no terminal has the major number 0.
        asm.load(Size::Double, R1, R1, tty.signal_tty).load(Size::Double, R2, R1, tty.tty_driver);
        asm.load(Size::Word, R3, R2, tty.driver_major).store(Size::Word, R8, Place::TTY_MAJOR, R3);
        asm.load(Size::Word, R3, R2, tty.driver_minor).load(Size::Word, R1, R1, tty.tty_index);
        asm.add_reg(R3, R1).store(Size::Word, R8, Place::TTY_MINOR, R3);
    }
    if let Some(login_uid) = offsets.login_uid {
        asm.load(Size::Word, R1, R6, login_uid).store(Size::Word, R8, Place::LOGIN_UID, R1);
    }
    if let Some(audit_session) = offsets.audit_session {
        asm.load(Size::Word, R1, R6, audit_session);
        asm.store(Size::Word, R8, Place::AUDIT_SESSION, R1);
    }
}

/// What wait(2) will say: the status that the whole process was ended with, if it was (by
/// `exit_group` or a signal), or else that of its first thread.
fn wait_status(asm: &mut Assembler, offsets: &Offsets) {
    const GROUP_EXIT: i32 = 4;
    let whole = asm.label();
    asm.load(Size::Double, R1, R6, offsets.task.signal);
    asm.load(Size::Word, R2, R1, offsets.signal_flags).and(R2, GROUP_EXIT);
    asm.load(Size::Word, R3, R1, offsets.signal_exit_code);
    asm.jump_if(R2, When::Differs, 0, whole);
    asm.load(Size::Double, R1, R6, offsets.task.group_leader);
    asm.load(Size::Word, R3, R1, offsets.task.exit_code);
    asm.bind(whole).store(Size::Double, R8, Place::WAIT_STATUS, R3);
}

/// A record on the stack: fork and exit fit.
fn small(asm: &mut Assembler, offsets: &Offsets, kind: RecordKind) {
    asm.copy(R8, R10).add(R8, -i32::from(Place::SMALL_END));
    header(asm, offsets, kind);
}

/// The path as executed, and which file it was; leaves the path's length in R9.
fn image(asm: &mut Assembler, offsets: &Offsets) {
    let (positive, bounded) = (asm.label(), asm.label());
    asm.copy(R1, R8).add(R1, i32::from(Place::TEXT)).set(R2, IMAGE_BYTES_MAX);
    asm.load(Size::Double, R3, R7, offsets.binary_filename).call(KernelCall::ReadKernelText);
    asm.jump_if(R0, When::SignedAbove, 0, positive).set(R0, 0).bind(positive);
    asm.jump_if(R0, When::AtMost, IMAGE_BYTES_MAX, bounded).set(R0, IMAGE_BYTES_MAX).bind(bounded);
    asm.store(Size::Word, R8, Place::IMAGE_BYTES, R0).copy(R9, R0);
    asm.load(Size::Double, R1, R7, offsets.binary_file);
    asm.load(Size::Double, R1, R1, offsets.file_inode);
    asm.load(Size::Double, R2, R1, offsets.inode_number);
    asm.store(Size::Double, R8, Place::INODE, R2);
    asm.load(Size::Double, R2, R1, offsets.inode_bytes);
    asm.store(Size::Double, R8, Place::FILE_BYTES, R2);
    let Some(state) = offsets.state else { return };
    let mut time = |time: Time, secs, nanos| {
        asm.load(Size::Double, R2, R1, time.secs).store(Size::Double, R8, secs, R2);
        asm.load(time.nanos_size, R2, R1, time.nanos).store(Size::Word, R8, nanos, R2);
    };
    time(state.modified, Place::MODIFIED_SECS, Place::MODIFIED_NANOS);
    time(state.changed, Place::CHANGED_SECS, Place::CHANGED_NANOS);
    asm.load(Size::Double, R1, R1, state.inode_super);
    asm.load(Size::Word, R1, R1, state.super_device).store(Size::Word, R8, Place::DEVICE, R1);
}

/// The arguments behind the path; leaves their length in R7.
fn args(asm: &mut Assembler, offsets: &Offsets) {
    let (bounded, copied, end) = (asm.label(), asm.label(), asm.label());
    asm.set(R7, 0);
    asm.store_value(Size::Word, R8, Place::ARGS_KNOWN, 0);
    asm.store_value(Size::Double, R8, Place::ARGS_TOTAL, 0);
    asm.load(Size::Double, R1, R6, offsets.task.mm).jump_if(R1, When::Equal, 0, end);
    asm.load(Size::Double, R3, R1, offsets.mm_arg_start);
    asm.load(Size::Double, R2, R1, offsets.mm_arg_end).sub_reg(R2, R3);
    asm.store(Size::Double, R8, Place::ARGS_TOTAL, R2);
    asm.jump_if(R2, When::AtMost, ARGS_BYTES_MAX, bounded).set(R2, ARGS_BYTES_MAX).bind(bounded);
    asm.copy(R7, R2);
    asm.copy(R1, R8).add(R1, i32::from(Place::TEXT)).add_reg(R1, R9).call(KernelCall::ReadUser);
    asm.jump_if(R0, When::Equal, 0, copied).set(R7, 0).jump(end).bind(copied);
    asm.store_value(Size::Word, R8, Place::ARGS_KNOWN, 1);
    asm.bind(end).store(Size::Word, R8, Place::ARGS_BYTES, R7);
}

/// Sends R3 bytes at R8 into the ring; counts the record when there is no room. Uses R7.
///
/// The kernel wakes a reader for the first record after those that it has read; one that lets
/// records gather is woken here as well.
fn send(asm: &mut Assembler, maps: Maps, kind: RecordKind) {
    const UNREAD: i32 = 0;
    const FORCE_WAKE: i32 = 2;
    let (little, end) = (asm.label(), asm.label());
    asm.copy(R7, R3).load_map(R1, maps.ring).set(R2, UNREAD).call(KernelCall::RingQuery);
    asm.set(R4, 0).jump_if(R0, When::Below, maps.unread_bytes_max, little);
    asm.set(R4, FORCE_WAKE).bind(little);
    asm.load_map(R1, maps.ring).copy(R2, R8).copy(R3, R7).call(KernelCall::RingOutput);
    asm.jump_if(R0, When::Equal, 0, end);
    asm.store_value(Size::Word, R10, -4, kind.counter()).copy(R2, R10).add(R2, -4);
    asm.load_map(R1, maps.drops).call(KernelCall::MapLookup).jump_if(R0, When::Equal, 0, end);
    asm.set(R1, 1).atomic_add(R0, 0, R1);
    asm.bind(end).set(R0, 0).exit();
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: Maps = Maps { ring: 3, unread_bytes_max: 1 << 14, scratch: 4, drops: 5 };

    #[track_caller]
    fn check(code: Result<Vec<Instruction>, AsmError>, instructions_max: usize) {
        let code = code.unwrap();
        assert_eq!(code.last().unwrap()[0], 0x95, "it ends with an exit");
        assert!(code.len() <= instructions_max, "{} instructions", code.len());
    }

    #[test]
    fn every_program_is_a_short_straight_line() {
        for offsets in [Offsets::sample(), Offsets::bare()] {
            check(exec(&offsets, MAPS), 192);
            check(fork(&offsets, MAPS), 64);
            check(exit(&offsets, MAPS), 64);
        }
    }

    #[test]
    fn no_jump_goes_back() {
        let offsets = Offsets::sample();
        for code in [exec(&offsets, MAPS), fork(&offsets, MAPS), exit(&offsets, MAPS)] {
            for [op, _, low, high, ..] in code.unwrap() {
                let is_jump = op & 0x07 == 0x05 && op != 0x85 && op != 0x95;
                assert!(!is_jump || i16::from_ne_bytes([low, high]) >= 0);
            }
        }
    }

    #[test]
    fn the_longest_record_fits_the_scratch_memory() {
        let longest = i32::from(Place::TEXT) + IMAGE_BYTES_MAX + ARGS_BYTES_MAX;
        assert!(u32::try_from(longest).unwrap() <= SCRATCH_BYTES);
    }
}
