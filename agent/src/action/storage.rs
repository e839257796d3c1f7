//! Lets no removable storage be used: disks on USB and FireWire, and SD cards.
//!
//! What is mounted is written out, made read-only and unmounted; drivers are taken off the devices,
//! on USB by the kernel's own authorisation of the one interface, so that keyboards and mice go on;
//! the drivers' modules are unloaded and barred from loading by a file in `/etc/modprobe.d`, which
//! holds over reboots; a thread hears of new devices meanwhile and takes those off that a driver
//! took all the same. Phones that hand out files by other means, disks on Thunderbolt and eSATA, and
//! optical drives are no removable storage here.

mod device;
mod modules;
mod mounts;
mod watch;

use std::path::Path;
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::event::receipt::Probe;
use minicbor::{Decode, Encode};

use super::deed::{Deed, Done, NotDone, Seen};
use crate::clock;
use device::{Device, blocks};
use mounts::Mounted;
pub use watch::Watch;

/// What the kernel takes to find a disk again.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// The removable storage of an endpoint.
#[derive(Debug)]
pub struct Storage<'a> {
    /// Where the machine's files are.
    pub root: &'a Path,
    /// Where the agent keeps what it must not lose.
    pub state: &'a Path,
    /// Hears of new devices while it stands.
    pub watch: &'a Watch,
    /// Whether nothing of the machine itself may be touched.
    pub lab: bool,
}

/// What was there before.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
struct Before {
    /// Devices that were not authorised before either.
    #[n(0)]
    unauthorised: Vec<String>,
    /// Modules that were loaded.
    #[n(1)]
    modules: Vec<String>,
    /// What was mounted.
    #[n(2)]
    mounted: Vec<Mounted>,
}

fn now() -> Duration {
    Duration::from_nanos(clock::boot_ns())
}

impl Deed for Storage<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        if self.lab {
            let why = "in a lab, the machine's devices are not touched";
            return Err(NotDone::Refused(why.to_owned()));
        }
        let devices = self.devices()?;
        let mut mounted = Vec::new();
        for device in &devices {
            let blocks = blocks(self.root, device);
            let found = mounts::of(self.root, device, &blocks).map_err(NotDone::Failed)?;
            if let Some(why) = mounts::needed(self.root, self.state, &blocks, &found) {
                let name = &device.name;
                return Err(NotDone::Refused(format!("{why} is on removable storage ({name})")));
            }
            mounted.extend(found);
        }
        let unauthorised = devices.iter().filter(|device| device.authorised == Some(false));
        let unauthorised = unauthorised.map(|device| device.name.clone()).collect();
        let modules = modules::loaded(self.root);
        Ok(codec::encode(&Before { unauthorised, modules, mounted }))
    }

    fn apply(&self, _before: &[u8]) -> Result<Done, NotDone> {
        let bar = self.bar();
        bar.put(self.root).map_err(NotDone::Failed)?;
        let mut missing = Vec::new();
        for device in self.devices()? {
            let blocks = blocks(self.root, &device);
            let found = mounts::of(self.root, &device, &blocks).map_err(NotDone::Failed)?;
            if self.is_machine() {
                missing.extend(found.iter().flat_map(mounts::take_away));
            }
            if let Err(why) = device.block() {
                missing.push(why);
            }
        }
        if self.is_machine() {
            // Not before what is mounted was written out: it takes drivers off at once.
            if let Err(why) = self.watch.begin() {
                missing.push(format!("new devices are found only once a minute: {why}"));
            }
            // One that cannot be unloaded has nothing to drive, and the thread looks after that.
            bar.unload(self.root, now);
        }
        let probes = self.probes(bar)?;
        missing.extend(failed(&probes));
        let done = probes.iter().filter(|probe| probe.passed).map(|probe| probe.what.clone());
        Ok(Done { done: done.collect(), probes, missing })
    }

    fn look(&self, _before: &[u8]) -> Seen {
        // After a restart nobody listens yet.
        if self.is_machine()
            && let Err(why) = self.watch.begin()
        {
            tracing::warn!(why, "new devices are found only once a minute");
        }
        match self.probes(self.bar()) {
            Ok(probes) if failed(&probes).next().is_none() => Seen::Holds(probes),
            Ok(probes) => Seen::Drifted(failed(&probes).collect::<Vec<_>>().join("; ")),
            Err(why) => Seen::CannotLook(why.to_string()),
        }
    }

    fn undo(&self, before: &[u8]) -> Result<Done, NotDone> {
        let read = codec::decode_strict(before);
        let before: Before = read.map_err(|error| {
            NotDone::Failed(format!("what was there before cannot be read: {error}"))
        })?;
        self.watch.end();
        modules::Bar::take_away(self.root).map_err(NotDone::Failed)?;
        let mut missing = Vec::new();
        if self.is_machine() {
            missing.extend(modules::load(&before.modules, now));
        }
        let mut probes = Vec::new();
        for device in self.devices()? {
            if before.unauthorised.contains(&device.name) {
                continue;
            }
            let freed = device.free(self.root);
            let passed = freed.is_ok();
            let seen = freed.err().unwrap_or_else(|| "so it is".to_owned());
            probes.push(Probe { what: format!("{} may be used", device.shown()), passed, seen });
        }
        if self.is_machine() {
            missing.extend(mounts::put_back(&before.mounted, BACK_WITHIN, now));
        }
        missing.extend(failed(&probes));
        let gone = !self.root.join(modules::FILE).exists();
        let seen = if gone { "they are" } else { "they are not" }.to_owned();
        probes.push(Probe { what: "drivers may be loaded".to_owned(), passed: gone, seen });
        let done = probes.iter().filter(|probe| probe.passed).map(|probe| probe.what.clone());
        Ok(Done { done: done.collect(), probes, missing })
    }
}

fn failed(probes: &[Probe]) -> impl Iterator<Item = String> {
    let failed = probes.iter().filter(|probe| !probe.passed);
    failed.map(|Probe { what, seen, .. }| format!("not so: {what}; {seen}"))
}

impl<'a> Storage<'a> {
    /// That of this machine.
    pub(super) fn here(state: &'a Path, watch: &'a Watch, lab: bool) -> Self {
        Self { root: Path::new("/"), state, watch, lab }
    }

    /// Whether the kernel itself may be told what to do.
    fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    fn bar(&self) -> modules::Bar {
        modules::Bar::of(device::built_in_cards(self.root))
    }

    fn devices(&self) -> Result<Vec<Device>, NotDone> {
        device::find(self.root).map_err(NotDone::Failed)
    }

    fn probes(&self, bar: modules::Bar) -> Result<Vec<Probe>, NotDone> {
        let used: Vec<_> =
            self.devices()?.iter().filter(|device| device.is_used()).map(Device::shown).collect();
        let passed = used.is_empty();
        let seen = if passed { "none is".to_owned() } else { used.join(", ") };
        let what = "no removable storage is used by a driver".to_owned();
        let mut probes = vec![Probe { what, passed, seen }];
        let passed = bar.stands(self.root);
        let seen = if passed { "it is as written" } else { "it is another, or gone" }.to_owned();
        let what = format!("/{} bars the drivers from loading", modules::FILE);
        probes.push(Probe { what, passed, seen });
        Ok(probes)
    }
}

#[cfg(test)]
mod tests;
