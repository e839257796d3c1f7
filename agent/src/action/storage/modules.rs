//! The modules that drive removable storage: barred from loading by a file of ours, unloaded, and
//! loaded again.
//!
//! A module in the initramfs or built into the kernel is not barred; the thread that hears of new
//! devices takes it off them.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rustix::event::Timespec;

use crate::inventory::child;
use crate::platform::linux::module;

/// Where the bar stands, below the root.
pub(super) const FILE: &str = "etc/modprobe.d/cordon-block-storage.conf";

/// In the order in which they are unloaded.
const ALWAYS: [&str; 3] = ["uas", "usb_storage", "firewire_sbp2"];
/// Only where no card is soldered in.
const CARDS: &str = "mmc_block";

const MODPROBE: &str = "/sbin/modprobe";
const MODPROBE_WITHIN: Duration = Duration::from_secs(20);
/// For all together.
const UNLOADED_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Which modules are barred.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    cards: bool,
}

/// Those that are loaded, and not built in.
pub(super) fn loaded(root: &Path) -> Vec<String> {
    let is_loaded = |name: &&str| root.join("sys/module").join(name).join("initstate").exists();
    ALWAYS.into_iter().chain([CARDS]).filter(is_loaded).map(str::to_owned).collect()
}

impl Bar {
    pub(super) fn of(built_in_cards: bool) -> Self {
        Self { cards: !built_in_cards }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        ALWAYS.into_iter().chain(self.cards.then_some(CARDS))
    }

    fn text(self) -> String {
        let mut text =
            "# Written by Cordon, which removes it when the command that blocks removable\n\
                        # storage is undone: `cordon containment list`.\n"
                .to_owned();
        for name in self.names() {
            text.push_str(&format!("blacklist {name}\ninstall {name} /bin/false\n"));
        }
        text
    }

    /// Whether it is there as it was written. With a card that came or went it may be the other.
    pub(super) fn stands(self, root: &Path) -> bool {
        let found = std::fs::read_to_string(root.join(FILE)).unwrap_or_default();
        found == self.text() || found == (Self { cards: !self.cards }).text()
    }

    /// Writes it, synced.
    pub(super) fn put(self, root: &Path) -> Result<(), String> {
        if self.stands(root) {
            return Ok(());
        }
        let path = root.join(FILE);
        let folder = path.parent().unwrap_or(root);
        // No ending that modprobe reads.
        let new = path.with_extension("new");
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&new, self.text()))
            .and_then(|()| std::fs::File::open(&new)?.sync_all())
            .and_then(|()| std::fs::rename(&new, &path))
            .and_then(|()| std::fs::File::open(folder)?.sync_all());
        written.map_err(|error| format!("writing {}: {error}", path.display()))
    }

    pub(super) fn take_away(root: &Path) -> Result<(), String> {
        let path = root.join(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("removing {}: {error}", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Unloads what is loaded and not needed. What a disk leaves behind goes a moment after it.
    pub(super) fn unload(self, root: &Path, now: fn() -> Duration) {
        let deadline = now().saturating_add(UNLOADED_WITHIN);
        let loaded = loaded(root);
        for name in self.names().filter(|name| loaded.iter().any(|known| known == name)) {
            while let Err(error) = module::unload(name) {
                let is_used =
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ResourceBusy);
                if !is_used || now() >= deadline {
                    tracing::info!(name, %error, "a driver of removable storage stays loaded");
                    break;
                }
                let wait = Timespec::try_from(LOOK_EVERY).unwrap_or_default();
                rustix::event::poll(&mut [], Some(&wait)).ok();
            }
        }
    }
}

/// Loads again what was loaded; answers what was not.
pub(super) fn load(names: &[String], now: fn() -> Duration) -> Vec<String> {
    let loaded = loaded(Path::new("/"));
    let mut missing = Vec::new();
    // What another needs comes last when they are unloaded.
    for name in names.iter().rev().filter(|name| !loaded.contains(name)) {
        let arguments = ["-q", "--", name.as_str()];
        if let Err(error) = child::ask(MODPROBE, &arguments, MODPROBE_WITHIN, ANSWER_BYTES_MAX, now)
        {
            missing.push(format!("the driver {name} is not loaded again: {error}"));
        }
    }
    missing
}
