//! Where this kernel keeps what the BPF programs read.
//!
//! What identifies a process must be there, or the tier is off. What is told beside it may be
//! missing (a kernel without audit has no login uid): then that field alone is not known.

use crate::platform::linux::bpf::asm::Size;
use crate::platform::linux::bpf::btf::{Btf, BtfError, Kind, Structure};

/// Which of a process's kinds of number is its session: `PIDTYPE_SID`, the same since Linux 4.19.
const SESSION_KIND: i16 = 3;

/// Bytes of a pointer.
const POINTER_BYTES: i16 = 8;

/// The trace points, by the kernel's number for their types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Points {
    pub(super) exec: u32,
    pub(super) fork: u32,
    pub(super) exit: u32,
}

/// Where this kernel keeps what the programs read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offsets {
    pub(super) task: Task,
    pub(super) cred_uid: i16,
    pub(super) cred_euid: i16,
    pub(super) signal_live: i16,
    pub(super) signal_flags: i16,
    pub(super) signal_exit_code: i16,
    pub(super) binary_filename: i16,
    pub(super) binary_file: i16,
    pub(super) file_inode: i16,
    pub(super) inode_number: i16,
    pub(super) inode_bytes: i16,
    pub(super) mm_arg_start: i16,
    pub(super) mm_arg_end: i16,
    pub(super) session: Option<Session>,
    pub(super) tty: Option<Tty>,
    pub(super) login_uid: Option<i16>,
    pub(super) audit_session: Option<i16>,
    pub(super) state: Option<State>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Task {
    pub(super) pid: i16,
    pub(super) tgid: i16,
    pub(super) real_parent: i16,
    pub(super) group_leader: i16,
    pub(super) cred: i16,
    pub(super) start: i16,
    pub(super) signal: i16,
    pub(super) mm: i16,
    pub(super) exit_code: i16,
}

/// From the signals of a process to the number of its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Session {
    pub(super) signal_session: i16,
    pub(super) pid_number: i16,
}

/// From the signals of a process to the device number of its terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tty {
    pub(super) signal_tty: i16,
    pub(super) tty_driver: i16,
    pub(super) tty_index: i16,
    pub(super) driver_major: i16,
    pub(super) driver_minor: i16,
}

/// Device and times of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct State {
    pub(super) inode_super: i16,
    pub(super) super_device: i16,
    pub(super) modified: Time,
    pub(super) changed: Time,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Time {
    pub(super) secs: i16,
    pub(super) nanos: i16,
    pub(super) nanos_size: Size,
}

impl Points {
    pub(super) fn read(btf: &Btf) -> Result<Self, BtfError> {
        Ok(Self {
            exec: btf.find(Kind::Typedef, "btf_trace_sched_process_exec")?,
            fork: btf.find(Kind::Typedef, "btf_trace_sched_process_fork")?,
            exit: btf.find(Kind::Typedef, "btf_trace_sched_process_exit")?,
        })
    }
}

impl Offsets {
    pub(super) fn read(btf: &Btf) -> Result<Self, BtfError> {
        let task = btf.structure("task_struct")?;
        let cred = btf.structure("cred")?;
        let signal = btf.structure("signal_struct")?;
        let binary = btf.structure("linux_binprm")?;
        let inode = btf.structure("inode")?;
        let mm = btf.structure("mm_struct")?;
        Ok(Self {
            task: Task::read(&task)?,
            cred_uid: cred.offset("uid.val")?,
            cred_euid: cred.offset("euid.val")?,
            signal_live: signal.offset("live.counter")?,
            signal_flags: signal.offset("flags")?,
            signal_exit_code: signal.offset("group_exit_code")?,
            binary_filename: binary.offset("filename")?,
            binary_file: binary.offset("file")?,
            file_inode: btf.structure("file")?.offset("f_inode")?,
            inode_number: inode.offset("i_ino")?,
            inode_bytes: inode.offset("i_size")?,
            mm_arg_start: mm.offset("arg_start")?,
            mm_arg_end: mm.offset("arg_end")?,
            session: Session::read(btf, &signal).ok(),
            tty: Tty::read(btf, &signal).ok(),
            login_uid: task.offset("loginuid.val").ok(),
            audit_session: task.offset("sessionid").ok(),
            state: State::read(btf, &inode).ok(),
        })
    }
}

impl Task {
    fn read(task: &Structure<'_>) -> Result<Self, BtfError> {
        Ok(Self {
            pid: task.offset("pid")?,
            tgid: task.offset("tgid")?,
            real_parent: task.offset("real_parent")?,
            group_leader: task.offset("group_leader")?,
            cred: task.offset("cred")?,
            start: task.offset("start_boottime")?,
            signal: task.offset("signal")?,
            mm: task.offset("mm")?,
            exit_code: task.offset("exit_code")?,
        })
    }
}

impl Session {
    fn read(btf: &Btf, signal: &Structure<'_>) -> Result<Self, BtfError> {
        // The first of a number's values is the one in the initial pid namespace.
        let number = btf.structure("upid")?.offset("nr")?;
        Ok(Self {
            signal_session: signal.offset("pids")?.saturating_add(SESSION_KIND * POINTER_BYTES),
            pid_number: btf.structure("pid")?.offset("numbers")?.saturating_add(number),
        })
    }
}

impl Tty {
    fn read(btf: &Btf, signal: &Structure<'_>) -> Result<Self, BtfError> {
        let tty = btf.structure("tty_struct")?;
        let driver = btf.structure("tty_driver")?;
        Ok(Self {
            signal_tty: signal.offset("tty")?,
            tty_driver: tty.offset("driver")?,
            tty_index: tty.offset("index")?,
            driver_major: driver.offset("major")?,
            driver_minor: driver.offset("minor_start")?,
        })
    }
}

impl State {
    fn read(btf: &Btf, inode: &Structure<'_>) -> Result<Self, BtfError> {
        let (int, long) = (Size::Word, Size::Double);
        // The first since Linux 6.11; the others before it.
        let modified =
            [("i_mtime_sec", "i_mtime_nsec", int), ("i_mtime.tv_sec", "i_mtime.tv_nsec", long)];
        let changed = [
            ("i_ctime_sec", "i_ctime_nsec", int),
            ("__i_ctime.tv_sec", "__i_ctime.tv_nsec", long),
            ("i_ctime.tv_sec", "i_ctime.tv_nsec", long),
        ];
        Ok(Self {
            inode_super: inode.offset("i_sb")?,
            super_device: btf.structure("super_block")?.offset("s_dev")?,
            modified: Time::read(inode, &modified)?,
            changed: Time::read(inode, &changed)?,
        })
    }
}

impl Time {
    /// Kernels name and pack times differently; the first pair of names that is there counts.
    fn read(inode: &Structure<'_>, names: &[(&str, &str, Size)]) -> Result<Self, BtfError> {
        let mut missing = BtfError::NoType { name: "time of a file".to_owned() };
        for (secs, nanos, nanos_size) in names {
            let pair = inode.offset(secs).and_then(|secs| Ok((secs, inode.offset(nanos)?)));
            match pair {
                Ok((secs, nanos)) => return Ok(Self { secs, nanos, nanos_size: *nanos_size }),
                Err(error) => missing = error,
            }
        }
        Err(missing)
    }
}

#[cfg(test)]
impl Offsets {
    /// Of a kernel that has everything.
    pub(super) fn sample() -> Self {
        let task = Task {
            pid: 8,
            tgid: 12,
            real_parent: 16,
            group_leader: 24,
            cred: 32,
            start: 40,
            signal: 48,
            mm: 56,
            exit_code: 64,
        };
        let time = |secs| Time { secs, nanos: secs + 8, nanos_size: Size::Word };
        Self {
            task,
            cred_uid: 4,
            cred_euid: 20,
            signal_live: 8,
            signal_flags: 100,
            signal_exit_code: 104,
            binary_filename: 96,
            binary_file: 64,
            file_inode: 32,
            inode_number: 64,
            inode_bytes: 80,
            mm_arg_start: 304,
            mm_arg_end: 312,
            session: Some(Session { signal_session: 384, pid_number: 144 }),
            tty: Some(Tty {
                signal_tty: 408,
                tty_driver: 16,
                tty_index: 4,
                driver_major: 44,
                driver_minor: 48,
            }),
            login_uid: Some(1952),
            audit_session: Some(1956),
            state: Some(State {
                inode_super: 40,
                super_device: 16,
                modified: time(96),
                changed: time(112),
            }),
        }
    }

    /// Of a kernel that has no more than it must.
    pub(super) fn bare() -> Self {
        let (session, tty, login_uid, audit_session, state) = (None, None, None, None, None);
        Self { session, tty, login_uid, audit_session, state, ..Self::sample() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_types_is_named_as_the_reason() {
        let blob = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0].iter().copied().chain([0; 16]).collect();
        let btf = Btf::parse(blob).unwrap();
        let error = Points::read(&btf).unwrap_err().to_string();
        assert_eq!(error, "this kernel's types have no btf_trace_sched_process_exec");
        let error = Offsets::read(&btf).unwrap_err().to_string();
        assert_eq!(error, "this kernel's types have no task_struct");
    }
}
