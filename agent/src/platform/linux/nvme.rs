//! Asks an NVMe controller for its health log.
#![allow(unsafe_code, reason = "the kernel's structure for admin commands goes through ioctl")]

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};

/// How long the health log is.
pub const HEALTH_LOG_BYTES: usize = 512;

const GET_LOG_PAGE: u8 = 0x02;
const HEALTH_LOG: u32 = 0x02;
/// Of the whole controller, not of one namespace.
const ALL_NAMESPACES: u32 = u32::MAX;
/// A controller that is well answers within milliseconds.
const WITHIN_MS: u32 = 5000;

/// The kernel's `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Default)]
struct Command {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    words_2_3: [u32; 2],
    metadata: u64,
    address: u64,
    metadata_bytes: u32,
    data_bytes: u32,
    words_10_15: [u32; 6],
    timeout_ms: u32,
    result: u32,
}

/// Reads the health log of the controller (`/dev/nvme0`). May wait for as long as the device does.
pub fn health_log(controller: &File) -> io::Result<[u8; HEALTH_LOG_BYTES]> {
    let mut log = [0_u8; HEALTH_LOG_BYTES];
    let dwords_less_one = 512_u32 / 4 - 1;
    let mut command = Command {
        opcode: GET_LOG_PAGE,
        namespace: ALL_NAMESPACES,
        address: log.as_mut_ptr().expose_provenance() as u64,
        data_bytes: 512,
        words_10_15: [dwords_less_one << 16 | HEALTH_LOG, 0, 0, 0, 0, 0],
        timeout_ms: WITHIN_MS,
        ..Command::default()
    };
    // SAFETY: the command names a buffer of just the length it says, which outlives the call, and
    // reading a log changes nothing in the device.
    let status = unsafe { rustix::ioctl::ioctl(controller.as_fd(), Admin(&mut command)) }?;
    match status {
        0 => Ok(log),
        status => Err(io::Error::other(format!("the controller answered with status {status:#x}"))),
    }
}

struct Admin<'a>(&'a mut Command);

// SAFETY: the opcode takes a `Command`, which is what the pointer is to; what comes back is the
// controller's status.
unsafe impl Ioctl for Admin<'_> {
    type Output = i32;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Command>(b'N', 0x41)
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(
        output: IoctlOutput,
        _: *mut rustix::ffi::c_void,
    ) -> rustix::io::Result<i32> {
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_as_long_as_the_kernel_expects() {
        assert_eq!(size_of::<Command>(), 72);
        assert_eq!(opcode::read_write::<Command>(b'N', 0x41), 0xc048_4e41);
    }

    #[test]
    fn what_is_no_controller_refuses() {
        assert!(health_log(&File::open("/dev/null").unwrap()).is_err());
    }
}
