//! Stops a service and what would start it again, and keeps it from starting if that was asked for.
//!
//! systemd alone, through `systemctl`. A service is kept from starting by a link to `/dev/null` in
//! `/etc/systemd/system.control`, which counts before all other folders of units and holds over
//! reboots; what is enabled stays enabled beneath it, so that taking the link away is an exact undo.
//! What stops along with it, because it needs it, is started again with it.

mod protected;
mod systemctl;
mod unit;

use std::fs::{Permissions, create_dir_all, set_permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cordon_proto::codec;
use cordon_proto::command::StopService;
use cordon_proto::event::receipt::Probe;
use minicbor::{Decode, Encode};

use super::deed::{Deed, Done, NotDone, Seen};
use systemctl::Systemctl;
use unit::Unit;

/// Where links stand that keep units from starting.
const MASKS: &str = "etc/systemd/system.control";
const NOTHING: &str = "/dev/null";
/// That this is there is how systemd itself tells whether it runs.
const RUNS: &str = "run/systemd/system";
const PROGRAMS: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
/// Units that stop with one.
const UNITS_MAX: usize = 64;

/// A service that is to be stopped.
#[derive(Debug)]
pub struct Service<'a> {
    /// Where the machine's files are.
    pub root: &'a Path,
    /// What speaks to systemd.
    pub program: &'a Path,
    /// Which, and how.
    pub wanted: &'a StopService,
    /// Whether nothing of the machine itself may be touched.
    pub lab: bool,
}

/// What was there before.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
struct Before {
    /// The unit by its own name.
    #[n(0)]
    unit: String,
    /// All its names; those that we keep from starting.
    #[n(1)]
    names: Vec<String>,
    /// What starts it: sockets, timers, paths.
    #[n(2)]
    triggers: Vec<String>,
    /// Of the unit, its triggers and what needs it: those that ran.
    #[n(3)]
    ran: Vec<String>,
}

impl Before {
    /// What ran, in the order in which it can be started: systemd starts no socket of a service that
    /// runs already.
    fn in_order(&self) -> Vec<String> {
        let is_trigger = |unit: &&String| self.triggers.contains(unit);
        let (mut order, rest): (Vec<&String>, Vec<_>) = self.ran.iter().partition(is_trigger);
        order.extend(rest);
        order.into_iter().cloned().collect()
    }
}

impl Deed for Service<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        if self.lab {
            return Err(NotDone::Refused("in a lab, services are not touched".to_owned()));
        }
        if !self.root.join(RUNS).is_dir() {
            let why =
                "systemd does not run on this endpoint; no other manager of services is known";
            return Err(NotDone::Refused(why.to_owned()));
        }
        let name = &self.wanted.unit;
        protected::check_kind(name).map_err(NotDone::Refused)?;
        let unit = self.show_one(name)?;
        if unit.load == "not-found" {
            return Err(NotDone::Refused(format!("there is no unit {name} on this endpoint")));
        }
        if unit.refuses_stop {
            return Err(NotDone::Refused(format!(
                "systemd does not let {name} be stopped by hand"
            )));
        }
        let triggers = self.show(&unit.triggered_by)?;
        let needing = self.needing(&unit)?;
        let own = protected::own_unit();
        let needing: Vec<_> = needing.into_iter().filter(Unit::runs).collect();
        for stopped in std::iter::once(&unit).chain(&triggers).chain(&needing) {
            protected::check(stopped, own.as_deref()).map_err(|why| {
                let with = if stopped.id == unit.id { "" } else { "it would stop another: " };
                NotDone::Refused(format!("{with}{why}"))
            })?;
        }
        let ran = std::iter::once(&unit).chain(&triggers).chain(&needing);
        let ran = ran.filter(|unit| unit.runs()).map(|unit| unit.id.clone()).collect();
        let triggers = triggers.into_iter().map(|unit| unit.id).collect();
        let mut names = unit.names.clone();
        if !names.contains(&unit.id) {
            names.push(unit.id.clone());
        }
        Ok(codec::encode(&Before { unit: unit.id, names, triggers, ran }))
    }

    fn apply(&self, before: &[u8]) -> Result<Done, NotDone> {
        let before = read_before(before)?;
        // What would start it again goes first, and nothing is kept from starting before it has
        // stopped: systemd forgets then how it is to be stopped.
        let mut units = before.triggers.clone();
        units.push(before.unit.clone());
        let mut stopped = self.systemctl().stop(&units);
        if self.wanted.disable {
            self.mask(&before).map_err(NotDone::Failed)?;
            // Somebody may have started it in between.
            if self.show(&units)?.iter().any(Unit::runs) {
                stopped = self.systemctl().stop(&units);
            }
        }
        let probes = self.probes(&before).map_err(NotDone::Failed)?;
        let mut missing: Vec<String> = failed(&probes).collect();
        if let (false, Err(why)) = (missing.is_empty(), stopped) {
            missing.push(why);
        }
        let done = probes.iter().filter(|probe| probe.passed).map(|probe| probe.what.clone());
        Ok(Done { done: done.collect(), probes, missing })
    }

    fn look(&self, before: &[u8]) -> Seen {
        let before = match read_before(before) {
            Ok(before) => before,
            Err(why) => return Seen::CannotLook(why.to_string()),
        };
        match self.probes(&before) {
            Ok(probes) if failed(&probes).next().is_none() => Seen::Holds(probes),
            Ok(probes) => Seen::Drifted(failed(&probes).collect::<Vec<_>>().join("; ")),
            Err(why) => Seen::CannotLook(why),
        }
    }

    fn undo(&self, before: &[u8]) -> Result<Done, NotDone> {
        let before = read_before(before)?;
        let mut missing = Vec::new();
        if self.wanted.disable {
            missing = self.unmask(&before).map_err(NotDone::Failed)?;
        }
        let started = self.systemctl().start(&before.in_order());
        let mut probes = Vec::new();
        for unit in self.show(&before.ran)? {
            let passed = unit.runs();
            probes.push(Probe { what: format!("{} runs", unit.id), passed, seen: unit.active });
        }
        if !before.ran.contains(&before.unit) {
            let unit = self.show_one(&before.unit)?;
            let (what, passed) = (format!("{} is as it was: stopped", unit.id), !unit.runs());
            probes.push(Probe { what, passed, seen: unit.active });
        }
        missing.extend(failed(&probes));
        if let (false, Err(why)) = (missing.is_empty(), started) {
            missing.push(why);
        }
        let done = probes.iter().filter(|probe| probe.passed).map(|probe| probe.what.clone());
        Ok(Done { done: done.collect(), probes, missing })
    }
}

fn failed(probes: &[Probe]) -> impl Iterator<Item = String> {
    let failed = probes.iter().filter(|probe| !probe.passed);
    failed.map(|Probe { what, seen, .. }| format!("not so: {what}; it is {seen}"))
}

fn read_before(before: &[u8]) -> Result<Before, NotDone> {
    let read = codec::decode_strict(before);
    read.map_err(|error| NotDone::Failed(format!("what was there before cannot be read: {error}")))
}

impl<'a> Service<'a> {
    /// One of this machine's.
    pub(super) fn here(wanted: &'a StopService, lab: bool) -> Self {
        let there = PROGRAMS.map(Path::new).into_iter().find(|program| program.exists());
        let program = there.unwrap_or(Path::new(PROGRAMS[0]));
        Self { root: Path::new("/"), program, wanted, lab }
    }

    fn systemctl(&self) -> Systemctl<'_> {
        Systemctl { program: self.program }
    }

    fn show(&self, names: &[String]) -> Result<Vec<Unit>, NotDone> {
        self.systemctl().show(names).map_err(NotDone::Failed)
    }

    fn show_one(&self, name: &str) -> Result<Unit, NotDone> {
        let found = self.show(&[name.to_owned()])?.into_iter().next();
        found.ok_or_else(|| NotDone::Failed(format!("systemd says nothing of {name}")))
    }

    /// What systemd stops along with a unit, and what it stops along with that.
    fn needing(&self, unit: &Unit) -> Result<Vec<Unit>, NotDone> {
        let mut found: Vec<Unit> = Vec::new();
        let mut names = unit.stops_along.clone();
        while !names.is_empty() {
            let next = self.show(&names)?;
            names = next.iter().flat_map(|unit| unit.stops_along.clone()).collect();
            found.extend(next);
            let is_known = |name: &String| found.iter().any(|known| known.id == *name);
            names.retain(|name| !is_known(name) && *name != unit.id);
            names.sort();
            names.dedup();
            if found.len() > UNITS_MAX {
                let why = format!("more than {UNITS_MAX} other units would stop with it");
                return Err(NotDone::Refused(why));
            }
        }
        Ok(found)
    }

    fn link(&self, name: &str) -> PathBuf {
        self.root.join(MASKS).join(name)
    }

    fn mask(&self, before: &Before) -> Result<(), String> {
        let folder = self.root.join(MASKS);
        // Everybody may read units; what the agent makes is otherwise its own alone.
        let made = if folder.is_dir() {
            Ok(())
        } else {
            let readable = Permissions::from_mode(0o755);
            create_dir_all(&folder).and_then(|()| set_permissions(&folder, readable))
        };
        made.map_err(|error| format!("making {}: {error}", folder.display()))?;
        for name in &before.names {
            let link = self.link(name);
            match std::os::unix::fs::symlink(NOTHING, &link) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && is_mask(&link) => {}
                Err(error) => return Err(format!("making {}: {error}", link.display())),
                Ok(()) => {}
            }
        }
        let synced = std::fs::File::open(&folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| format!("syncing {}: {error}", folder.display()))?;
        self.systemctl().reload()
    }

    /// Answers what is there that is not ours.
    fn unmask(&self, before: &Before) -> Result<Vec<String>, String> {
        let mut missing = Vec::new();
        for name in &before.names {
            let link = self.link(name);
            if is_mask(&link) {
                std::fs::remove_file(&link)
                    .map_err(|error| format!("removing {}: {error}", link.display()))?;
            } else if link.symlink_metadata().is_ok() {
                missing.push(format!("{} is not ours any more and stays", link.display()));
            }
        }
        // Only if it is empty, as it was where we made it.
        std::fs::remove_dir(self.root.join(MASKS)).ok();
        self.systemctl().reload()?;
        Ok(missing)
    }

    fn probes(&self, before: &Before) -> Result<Vec<Probe>, String> {
        let mut units = vec![before.unit.clone()];
        units.extend(before.triggers.iter().cloned());
        let mut probes = Vec::new();
        for unit in self.systemctl().show(&units)? {
            if self.wanted.disable && unit.id == before.unit {
                let passed = unit.load == "masked";
                let what = format!("{} is kept from starting", unit.id);
                probes.push(Probe { what, passed, seen: unit.load.clone() });
            }
            let (what, passed) = (format!("{} is stopped", unit.id), unit.is_stopped());
            probes.push(Probe { what, passed, seen: unit.active });
        }
        Ok(probes)
    }
}

fn is_mask(link: &Path) -> bool {
    std::fs::read_link(link).is_ok_and(|target| target == Path::new(NOTHING))
}

#[cfg(test)]
mod tests;
