//! Machines in qemu, for what only a kernel of its own can show: devices that come and go, disks
//! that fail, reboots.
//!
//! qemu and a Debian kernel come from [`depot`]; a guest is a kernel, its modules and one program
//! that runs as the first process ([`initramfs`]); [`machine`] starts it, reads its console, changes
//! its hardware, and resets it. [`system`] is a guest with a whole Debian and a shell, [`capture`]
//! what its network card saw; [`release`] has the kernels of other releases.

pub mod capture;
pub mod cpio;
pub mod depot;
pub mod initramfs;
pub mod machine;
pub mod modules;
pub mod qmp;
pub mod release;
pub mod system;
