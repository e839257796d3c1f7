//! What is mounted from removable storage: written out, made read-only, taken away, and mounted
//! again when the disk is back.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_proto::Text;
use minicbor::{Decode, Encode};
use rustix::event::Timespec;
use rustix::mount::{MountFlags, UnmountFlags};

use super::device::{self, Block, Device};
use crate::sensor::disk::mountinfo::{self, Line};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Without these there is no machine, or none that its people could use.
const NEEDED: [&str; 12] = [
    "/",
    "/boot",
    "/boot/efi",
    "/boot/firmware",
    "/efi",
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
    "/etc",
    "/opt",
    "/home",
];

/// One mount, as it was.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct Mounted {
    /// The device that its disk is on.
    #[n(0)]
    device: String,
    /// The partition's number; none for a whole disk.
    #[n(1)]
    partition: Option<u32>,
    /// Whether it is mounted from the device itself: what is encrypted or joined is not put
    /// together again here.
    #[n(2)]
    is_direct: bool,
    #[n(3)]
    place: Text,
    #[n(4)]
    fs_type: Text,
    #[n(5)]
    options: Text,
    #[n(6)]
    fs_options: Text,
    /// Whether the root of the file system is mounted, and not a folder in it.
    #[n(7)]
    is_whole: bool,
}

/// What is mounted from the disks of a device, the latest last.
pub(super) fn of(root: &Path, device: &Device, blocks: &[Block]) -> Result<Vec<Mounted>, String> {
    let path = root.join("proc/self/mountinfo");
    let text = std::fs::read(&path).map_err(|e| format!("reading {}: {e}", path.display()))?;
    let found = mountinfo::parse(&text, |_any| true).lines.into_iter().filter_map(|line| {
        let block = blocks.iter().find(|block| is_on(block, &line))?;
        let Line { mount, root, options, fs_options, .. } = line;
        Some(Mounted {
            device: device.name.clone(),
            partition: block.partition,
            is_direct: block.is_direct,
            place: mount.path,
            fs_type: mount.fs_type,
            options,
            fs_options,
            is_whole: root.as_bytes() == b"/",
        })
    });
    Ok(found.collect())
}

/// By the device's numbers, or by its name where a file system hides them (btrfs).
fn is_on(block: &Block, line: &Line) -> bool {
    let name = line.mount.source.as_bytes().strip_prefix(b"/dev/");
    line.device == block.numbers || name == Some(block.name.as_bytes())
}

/// What the machine needs that is on these disks.
pub(super) fn needed(
    root: &Path,
    state: &Path,
    blocks: &[Block],
    mounted: &[Mounted],
) -> Option<String> {
    let places: Vec<_> = mounted.iter().map(|mounted| mounted.place.to_lossy()).collect();
    if let Some(place) = places.iter().find(|place| NEEDED.contains(&place.as_ref())) {
        return Some(place.to_string());
    }
    if places.iter().any(|place| state.starts_with(place.as_ref())) {
        return Some("the agent's own state".to_owned());
    }
    let swaps = std::fs::read_to_string(root.join("proc/swaps")).unwrap_or_default();
    let mut swaps = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let is_swap = |path: &str| {
        let on_disk = path.strip_prefix("/dev/");
        blocks.iter().any(|block| on_disk == Some(block.name.as_str()))
            || places.iter().any(|place| Path::new(path).starts_with(place.as_ref()))
    };
    swaps.find(|path| is_swap(path)).map(|path| format!("swap ({path})"))
}

/// Writes it out, makes it read-only and takes it away; answers what was not possible.
pub(super) fn take_away(mounted: &Mounted) -> Vec<String> {
    let place = mounted.path();
    let mut missing = Vec::new();
    let written = File::open(&place).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
    if let Err(error) = written {
        missing.push(format!("{} could not be written out: {error}", place.display()));
    }
    let flags = mounted.flags() | MountFlags::RDONLY;
    if let Err(error) = rustix::mount::mount_remount(&place, flags, c"") {
        missing.push(format!(
            "{} could not be made read-only before it was taken away ({error}): what programs were \
             writing there is lost",
            place.display()
        ));
    }
    if let Err(error) = rustix::mount::unmount(&place, UnmountFlags::DETACH) {
        missing.push(format!("{} could not be unmounted: {error}", place.display()));
    }
    missing
}

/// Mounts again what was mounted, once its disks are there; answers what was not.
pub(super) fn put_back(all: &[Mounted], within: Duration, now: fn() -> Duration) -> Vec<String> {
    let deadline = now().saturating_add(within);
    let mut missing = Vec::new();
    for mounted in all {
        let place = mounted.path();
        let mut tell = |why: &str| {
            missing.push(format!("{} is not mounted again: {why}", place.display()));
        };
        if !mounted.is_direct || !mounted.is_whole {
            tell("it was encrypted, joined or a folder elsewhere; that is not put together here");
            continue;
        }
        let Some(block) = mounted.wait_for(deadline, now) else {
            tell("its disk is not there");
            continue;
        };
        let is_there = std::fs::read("/proc/self/mountinfo").is_ok_and(|text| {
            let lines = mountinfo::parse(&text, |_any| true).lines;
            lines.iter().any(|line| {
                is_on(&block, line) && line.mount.path.as_bytes() == mounted.place.as_bytes()
            })
        });
        // The machine's own automatic mounting may have been faster.
        if !is_there && let Err(error) = mounted.mount(&block) {
            tell(&error.to_string());
        }
    }
    missing
}

impl Mounted {
    fn path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(self.place.as_bytes()))
    }

    fn flags(&self) -> MountFlags {
        flags(&self.options.to_lossy())
    }

    /// Its disk, which may have another name now.
    fn wait_for(&self, deadline: Duration, now: fn() -> Duration) -> Option<Block> {
        loop {
            let devices = device::find(Path::new("/")).unwrap_or_default();
            let device = devices.iter().find(|device| device.name == self.device);
            let blocks = device.map(|device| device::blocks(Path::new("/"), device));
            let is_it = |block: &Block| {
                block.is_direct
                    && block.partition == self.partition
                    && Path::new("/dev").join(&block.name).exists()
            };
            if let Some(block) = blocks.unwrap_or_default().into_iter().find(is_it) {
                return Some(block);
            }
            if now() >= deadline {
                return None;
            }
            let wait = Timespec::try_from(LOOK_EVERY).unwrap_or_default();
            rustix::event::poll(&mut [], Some(&wait)).ok();
        }
    }

    fn mount(&self, block: &Block) -> std::io::Result<()> {
        let fs_options = self.fs_options.to_lossy();
        let is_read_only = fs_options.split(',').any(|option| option == "ro");
        let mut flags = self.flags() | flags(&fs_options);
        flags.set(MountFlags::RDONLY, is_read_only || flags.contains(MountFlags::RDONLY));
        let own = CString::new(fs_own_options(&fs_options))?;
        let disk = Path::new("/dev").join(&block.name);
        let fs_type = self.fs_type.to_lossy();
        Ok(rustix::mount::mount(disk, self.path(), fs_type.as_ref(), flags, own.as_c_str())?)
    }
}

/// Words of options that are flags to the kernel.
fn flags(options: &str) -> MountFlags {
    let mut flags = MountFlags::empty();
    for option in options.split(',') {
        flags |= match option {
            "ro" => MountFlags::RDONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            "sync" => MountFlags::SYNCHRONOUS,
            "dirsync" => MountFlags::DIRSYNC,
            "lazytime" => MountFlags::LAZYTIME,
            _ => MountFlags::empty(),
        };
    }
    flags
}

/// What is the file system's own: all but the kernel's words and marks of security modules.
fn fs_own_options(options: &str) -> String {
    let is_own = |option: &&str| {
        !matches!(*option, "rw" | "ro" | "sync" | "dirsync" | "lazytime" | "mand" | "seclabel" | "")
    };
    options.split(',').filter(is_own).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_kernel_and_of_the_file_system_are_told_apart() {
        let flags = flags("rw,nosuid,nodev,relatime");
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RELATIME);
        let own = fs_own_options("rw,sync,seclabel,fmask=0022,codepage=437,errors=remount-ro");
        assert_eq!(own, "fmask=0022,codepage=437,errors=remount-ro");
        assert_eq!(fs_own_options("ro"), "");
    }
}
