//! Child processes that end when the agent does, however that ends.
#![allow(unsafe_code, reason = "what runs between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the kernel kill the child when the thread that started it ends.
pub fn ends_with_us(command: &mut Command) {
    let parent = rustix::process::getpid().as_raw_pid();
    let bind = move || {
        // SAFETY: takes no pointers.
        let bound = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: takes nothing and cannot fail.
        if unsafe { libc::getppid() } == parent {
            return Ok(());
        }
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    };
    // SAFETY: the closure calls only what may be called between fork and exec, and allocates
    // nothing.
    unsafe { command.pre_exec(bind) };
}
