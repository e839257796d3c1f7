//! The machine's first process where removable storage is blocked: mounts a stick, blocks, lets
//! others be plugged in, loads the drivers behind its own back, allows again, and says what it saw.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_agent::action::deed::{Deed, Done, Hand, NotDone, Seen, Tools};
use cordon_agent::identity::StateDir;
use cordon_packaging::clock::wait_until;
use cordon_proto::command::{Action, BlockStorage};
use rustix::mount::MountFlags;

use super::{BLOCKED, MOUNTED, OTHER_BLOCKED, UNBLOCKED};
use crate::guest::println;

const PLACE: &str = "/mnt/stick";
const FILE: &str = "/mnt/stick/file";
/// What is loaded by its name is looked for here; the first process loads it.
const MODPROBE: &str = "/sbin/modprobe";
/// Emulated, on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<()> {
    for folder in ["/etc", "/sbin", PLACE] {
        fs::create_dir_all(folder)?;
    }
    std::os::unix::fs::symlink("/init", MODPROBE)?;
    let disk = until("a stick", || Ok(disks()?.first().cloned()))?;
    let mount = || {
        let (from, flags) = (format!("/dev/{disk}"), MountFlags::NOSUID | MountFlags::NODEV);
        Ok(rustix::mount::mount(from, PLACE, "ext4", flags, c"").ok())
    };
    until("its device file", mount)?;
    // Never synced here: whoever takes the stick away has to.
    fs::write(FILE, "what was written before")?;
    println(MOUNTED);

    let tools = Tools::new(StateDir::open("/state")?, false);
    let hand = Hand::new(tools);
    let action = Action::BlockStorage(BlockStorage { lease_secs: None });
    let deed = hand.deed(&action).map_err(told)?;
    let before = deed.prepare().map_err(told)?;
    whole("blocking", &deed.apply(&before).map_err(told)?)?;
    ensure!(!is_mounted()?, "the stick is still mounted");
    until("no disk", || Ok(disks()?.is_empty().then_some(())))?;
    ensure!(!is_loaded("usb_storage"), "the driver is still loaded");
    holds(&*deed, &before)?;
    println(BLOCKED);
    // A second stick and then a keyboard are plugged in now.
    until("a keyboard", || Ok(count("/sys/bus/hid/devices", |_device| true)?.checked_sub(1)))?;
    until("the second stick, barred", || Ok((barred()? == 2).then_some(())))?;
    ensure!(disks()?.is_empty(), "the second stick has a disk");
    // Somebody with root's rights loads the drivers again, and a third stick is plugged in.
    for name in ["usb_storage", "uas"] {
        load(name)?;
    }
    println(OTHER_BLOCKED);
    until("the third stick, barred", || Ok((barred()? == 3).then_some(())))?;
    ensure!(disks()?.is_empty(), "the driver found a disk: {:?}", disks()?);
    holds(&*deed, &before)?;

    whole("allowing", &deed.undo(&before).map_err(told)?)?;
    ensure!(is_mounted()?, "the stick is not mounted again");
    let content = fs::read_to_string(FILE).context("reading what was written before")?;
    ensure!(content == "what was written before", "another content: {content}");
    fs::write("/mnt/stick/other", "written after").context("writing after")?;
    until("the disks of all three", || Ok((disks()?.len() == 3).then_some(())))?;
    ensure!(barred()? == 0, "some are barred still");
    println(UNBLOCKED);
    // The first process may not end before the machine is switched off.
    rustix::event::pause();
    Ok(())
}

fn told(why: NotDone) -> anyhow::Error {
    anyhow::anyhow!("{why}")
}

fn whole(what: &str, done: &Done) -> Result<()> {
    println(&format!("{what}: {done:?}"));
    ensure!(done.missing.is_empty(), "{what} was not whole: {:?}", done.missing);
    ensure!(!done.probes.is_empty() && done.probes.iter().all(|probe| probe.passed), "not seen");
    Ok(())
}

fn holds(deed: &dyn Deed, before: &[u8]) -> Result<()> {
    let seen = deed.look(before);
    ensure!(matches!(seen, Seen::Holds(_)), "it does not hold: {seen:?}");
    Ok(())
}

fn until<T>(what: &str, seen: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_until(WITHIN, seen)?.with_context(|| format!("waiting for {what}"))
}

fn count(folder: &str, is_it: impl Fn(&Path) -> bool) -> Result<usize> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {folder}"))?;
    Ok(entries.flatten().filter(|entry| is_it(&entry.path())).count())
}

/// Interfaces of storage that no driver may take.
fn barred() -> Result<usize> {
    count("/sys/bus/usb/devices", |device| {
        let says = |name: &str, word: &str| {
            fs::read_to_string(device.join(name)).is_ok_and(|text| text.trim() == word)
        };
        says("bInterfaceClass", "08") && says("authorized", "0")
    })
}

fn disks() -> Result<Vec<String>> {
    let entries = fs::read_dir("/sys/class/block").context("listing disks")?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with("sd")).collect())
}

fn is_mounted() -> Result<bool> {
    Ok(fs::read_to_string("/proc/self/mountinfo")?.contains(&format!(" {PLACE} ")))
}

fn is_loaded(name: &str) -> bool {
    Path::new("/sys/module").join(name).exists()
}

/// What this program does where it is called by modprobe's name: the agent runs that, and this
/// machine has none.
pub(crate) fn modprobe() -> Result<()> {
    let name = std::env::args().next_back().context("a name")?;
    load(&name)
}

fn load(name: &str) -> Result<()> {
    let modules = fs::read_dir("/modules").context("listing modules")?;
    let is_it = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
        stem.split_once('_').is_some_and(|(_number, module)| module == name)
    };
    let path = modules.flatten().map(|entry| entry.path()).find(|path| is_it(path));
    let file = File::open(path.with_context(|| format!("no module {name}"))?)?;
    match rustix::system::finit_module(&file, c"", 0) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        outcome => outcome.with_context(|| format!("loading {name}")),
    }
}
