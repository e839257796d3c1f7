//! Takes modules out of the kernel.

use std::ffi::CString;
use std::io;

/// Unloads a module; one that something uses stays, and nobody waits for it.
pub fn unload(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    Ok(rustix::system::delete_module(&name, libc::O_NONBLOCK)?)
}
