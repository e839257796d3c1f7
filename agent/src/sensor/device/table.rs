//! Which devices there are, and what is told of their coming and going.
//!
//! Pure. A device that came is looked at after a moment, when all its parts are there; one that
//! went before is told with what the kernel said.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cordon_proto::event::device::{Device, DeviceKind};
use cordon_proto::event::{DeviceEvent, Severity};

use super::identity;
use super::uevent::{Action, Uevent};

/// How long the kernel takes to put all parts of a device into its tree.
const SETTLE: Duration = Duration::from_millis(300);

/// Devices that are remembered and that are being looked at; each. Of more than that the going is
/// told with less identity, and the coming at once.
pub(super) const DEVICES_MAX: usize = 1024;

/// What the shell must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// Look at a device and answer with [`Table::handle_look`].
    Look(DeviceKind, String),
    /// Report an event; where the device is mounted right now, by its numbers, is to be filled in.
    Report(Severity, DeviceEvent, Option<(u32, u32)>),
}

#[derive(Debug, Default)]
pub(super) struct Table {
    known: BTreeMap<String, Device>,
    coming: BTreeMap<String, (Duration, Uevent)>,
    effects: VecDeque<Effect>,
}

impl Table {
    /// A device that was there from the beginning; those inside the machine are known and not told.
    pub(super) fn handle_present(&mut self, path: String, device: Device) {
        if device.external {
            let event = DeviceEvent::Present(Box::new(device.clone()));
            self.effects.push_back(Effect::Report(Severity::Informational, event, None));
        }
        self.remember(path, device);
    }

    pub(super) fn handle_uevent(&mut self, uevent: Uevent, now: Duration) {
        match uevent.action {
            Action::Add | Action::Media if self.coming.len() < DEVICES_MAX => {
                self.coming.insert(uevent.path.clone(), (now.saturating_add(SETTLE), uevent));
            }
            Action::Add | Action::Media => self.came(&uevent, None),
            Action::Remove => self.went(&uevent),
        }
    }

    /// Begins to look at what has settled.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        for (due, uevent) in self.coming.values_mut().filter(|(due, _)| *due <= now) {
            self.effects.push_back(Effect::Look(uevent.kind, uevent.path.clone()));
            // Not again, unless it comes again.
            *due = Duration::MAX;
        }
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.coming.values().map(|(due, _)| *due).filter(|due| *due < Duration::MAX).min()
    }

    /// What there was to see of a device; none where it was gone.
    pub(super) fn handle_look(&mut self, path: &str, found: Option<Device>) {
        // One that went meanwhile is told already; one that came again is looked at again.
        if self.coming.get(path).is_none_or(|(due, _)| *due < Duration::MAX) {
            return;
        }
        if let Some((_, uevent)) = self.coming.remove(path) {
            self.came(&uevent, found);
        }
    }

    /// What is to be done.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn came(&mut self, uevent: &Uevent, found: Option<Device>) {
        let Uevent { kind, path, variables, action, .. } = uevent;
        let device = found.unwrap_or_else(|| identity::told(*kind, path, variables));
        let before = self.known.get(path);
        let is_empty = device.bytes.is_none_or(|bytes| bytes == 0);
        let event = match (action, before) {
            (Action::Media, Some(before)) if is_empty => {
                DeviceEvent::Removed(Box::new(before.clone()))
            }
            (Action::Media, _) if is_empty => return self.remember(path.clone(), device),
            (Action::Add | Action::Media | Action::Remove, _) => {
                DeviceEvent::Attached(Box::new(device.clone()))
            }
        };
        let is_told_of = match kind {
            DeviceKind::Disk | DeviceKind::Input | DeviceKind::Network => device.external,
            DeviceKind::Usb | DeviceKind::Partition => false,
        };
        let severity = if is_told_of { Severity::Low } else { Severity::Informational };
        self.effects.push_back(Effect::Report(severity, event, variables.numbers()));
        self.remember(path.clone(), device);
    }

    fn went(&mut self, uevent: &Uevent) {
        let coming = self.coming.remove(&uevent.path);
        if let Some((_, came)) = coming.filter(|(_, came)| came.action == Action::Add) {
            self.came(&came, None);
        }
        let known = self.known.remove(&uevent.path);
        let device =
            known.unwrap_or_else(|| identity::told(uevent.kind, &uevent.path, &uevent.variables));
        let event = DeviceEvent::Removed(Box::new(device));
        let numbers = uevent.variables.numbers();
        self.effects.push_back(Effect::Report(Severity::Informational, event, numbers));
    }

    fn remember(&mut self, path: String, device: Device) {
        if self.known.len() < DEVICES_MAX {
            self.known.insert(path, device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::Text;

    const PATH: &str = "/devices/pci/usb1/1-1/block/sdb";

    fn uevent(action: &str) -> Uevent {
        let rest = format!("DEVPATH={PATH} SUBSYSTEM=block DEVTYPE=disk MAJOR=8 MINOR=16");
        Uevent::parse(format!("{action} {rest}").replace(' ', "\0").as_bytes()).unwrap()
    }

    fn device(serial: &str, bytes: u64) -> Device {
        let mut device =
            identity::told(DeviceKind::Disk, PATH, &super::super::uevent::Variables::default());
        device.serial = Some(Text::from(serial));
        (device.bytes, device.external) = (Some(bytes), true);
        device
    }

    fn show(effect: Effect) -> String {
        let (severity, event, numbers) = match effect {
            Effect::Look(_, path) => return format!("look {path}"),
            Effect::Report(severity, event, numbers) => (severity, event, numbers),
        };
        let word = match event {
            DeviceEvent::Attached(_) => "attached",
            DeviceEvent::Removed(_) => "removed",
            DeviceEvent::Present(_) => "present",
        };
        let serial = event.device().serial.as_ref().map_or("?".into(), Text::to_lossy);
        let numbers = numbers.map(|(major, minor)| format!(" {major}:{minor}"));
        format!("{word} {serial} {severity:?}{}", numbers.unwrap_or_default())
    }

    /// `add`, `remove`, `media`, `wait`, `looked SERIAL BYTES` and `gone`, at their milliseconds.
    #[track_caller]
    fn check(timeline: &str, expected: &[&str]) {
        let mut table = Table::default();
        let mut told = Vec::new();
        for line in timeline.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (at, act) = line.split_once(": ").unwrap();
            let now = Duration::from_millis(at.parse().unwrap());
            match act.split(' ').collect::<Vec<_>>()[..] {
                ["add"] => table.handle_uevent(uevent("ACTION=add"), now),
                ["remove"] => table.handle_uevent(uevent("ACTION=remove"), now),
                ["media"] => {
                    table.handle_uevent(uevent("ACTION=change DISK_MEDIA_CHANGE=1"), now);
                }
                ["wait"] => table.handle_timeout(now),
                ["looked", serial, bytes] => {
                    table.handle_look(PATH, Some(device(serial, bytes.parse().unwrap())));
                }
                ["gone"] => table.handle_look(PATH, None),
                ["present", serial] => table.handle_present(PATH.to_owned(), device(serial, 1)),
                _ => panic!("{act}"),
            }
            let effects = std::iter::from_fn(|| table.poll_effect());
            told.extend(effects.map(|effect| format!("{at}: {}", show(effect))));
        }
        assert_eq!(told, expected);
    }

    #[test]
    fn a_device_is_told_when_it_has_settled_and_with_its_identity_when_it_goes() {
        check(
            "0: add\n 299: wait\n 300: wait\n 310: looked A 1\n 900: remove",
            &[
                "300: look /devices/pci/usb1/1-1/block/sdb",
                "310: attached A Low 8:16",
                "900: removed A Informational 8:16",
            ],
        );
    }

    #[test]
    fn one_that_goes_before_it_has_settled_is_told_both_ways() {
        let both = ["attached ? Informational 8:16", "removed ? Informational 8:16"];
        let both: Vec<_> = both.iter().map(|told| format!("50: {told}")).collect();
        check("0: add\n 50: remove\n 300: wait", &[both[0].as_str(), &both[1]]);
        check(
            "0: add\n 300: wait\n 301: remove\n 302: gone",
            &[
                "300: look /devices/pci/usb1/1-1/block/sdb",
                "301: attached ? Informational 8:16",
                "301: removed ? Informational 8:16",
            ],
        );
    }

    #[test]
    fn one_that_was_there_is_told_as_present_and_known_when_it_goes() {
        check(
            "0: present A\n 5: remove",
            &["0: present A Informational", "5: removed A Informational 8:16"],
        );
    }

    #[test]
    fn a_medium_comes_and_goes_while_its_reader_stays() {
        check(
            "0: present A\n 1: media\n 301: wait\n 302: looked A 0\n 400: media\n 700: wait\n 701: looked A 9",
            &[
                "0: present A Informational",
                "301: look /devices/pci/usb1/1-1/block/sdb",
                "302: removed A Low 8:16",
                "700: look /devices/pci/usb1/1-1/block/sdb",
                "701: attached A Low 8:16",
            ],
        );
    }

    #[test]
    fn one_that_comes_again_while_it_is_looked_at_is_looked_at_again() {
        check(
            "0: add\n 300: wait\n 301: remove\n 302: add\n 303: looked A 1\n 602: wait\n 603: looked B 1",
            &[
                "300: look /devices/pci/usb1/1-1/block/sdb",
                "301: attached ? Informational 8:16",
                "301: removed ? Informational 8:16",
                "602: look /devices/pci/usb1/1-1/block/sdb",
                "603: attached B Low 8:16",
            ],
        );
    }
}
