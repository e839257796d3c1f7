//! A machine with the real package, enrolled with a fleet's collector, and the operator who acts on
//! it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::{Fleet, Plan};
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::system::{Image, System, SystemPlan};
use cordon_tests::guest;
use serde_json::Value;

pub(crate) use guest::WITHIN;

/// What the machine calls itself.
pub(crate) const GUEST: &str = "guest";

/// Put behind every command that an operator signs here.
const WHY: [&str; 5] = ["--reason", "vm", "--wait", "--timeout", "3m"];

pub(crate) struct Endpoint<'a> {
    // It ends before the lab that its packets go through.
    pub(crate) system: System,
    pub(crate) fleet: Fleet,
    depot: &'a Depot,
    image: &'a Image,
    plan: SystemPlan,
    folder: tempfile::TempDir,
}

impl<'a> Endpoint<'a> {
    /// Switched on, with nothing of ours on it yet.
    pub(crate) fn start(
        depot: &'a Depot,
        image: &'a Image,
        kernel_arguments: &str,
        hardware: &[&str],
    ) -> Result<Self> {
        let fleet = Fleet::make(Plan::default())?;
        let folder = tempfile::tempdir().context("making a folder for the machine")?;
        let plan = SystemPlan {
            folder: folder.path().to_owned(),
            files: guest::files(folder.path(), &[])?,
            kernel_arguments: format!("mitigations=off {kernel_arguments}"),
            hardware: hardware.iter().map(|&word| word.to_owned()).collect(),
        };
        let system = switch_on(&fleet, depot, image, &plan)?;
        Ok(Self { system, fleet, depot, image, plan, folder })
    }

    /// The machine's own files outside of it: its disk, what its card saw.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Installs the package, enrols, and waits until a command can be obeyed.
    pub(crate) fn install(&mut self) -> Result<()> {
        guest::install(&mut self.system, &self.fleet, GUEST)?;
        self.await_fresh()
    }

    /// Waits until the agent's first health has brought what a command proves its freshness with.
    pub(crate) fn await_fresh(&self) -> Result<()> {
        self.fleet.wait_for_state(GUEST, "online", WITHIN)?;
        guest::await_obedience(&self.fleet, GUEST)
    }

    /// As if somebody had pulled the plug and put it in again, with more hardware than before.
    pub(crate) fn lose_power(self, hardware: &[String]) -> Result<Self> {
        let Self { system, fleet, depot, image, mut plan, folder } = self;
        system.cut_power()?;
        plan.hardware.extend_from_slice(hardware);
        let system = switch_on(&fleet, depot, image, &plan)?;
        Ok(Self { system, fleet, depot, image, plan, folder })
    }

    /// Signs a command for the machine and follows it until its effect is proved.
    pub(crate) fn prove(&self, words: &[&str]) -> Result<String> {
        self.fleet.cordon(&[words, &WHY].concat())
    }

    /// Signs a command that the machine must refuse with this sentence.
    pub(crate) fn refuses(&self, words: &[&str], sentence: &str) -> Result<()> {
        let output = self.fleet.command("cordon")?.args(words).args(WHY).output()?;
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(!output.status.success(), "{words:?} was done:\n{said}");
        ensure!(flat.contains(sentence), "{words:?} does not say '{sentence}':\n{said}");
        Ok(())
    }

    /// What stands on the machine, as the collector lists it.
    pub(crate) fn standing(&self) -> Result<Vec<Value>> {
        self.fleet.cordon_json(&["containment", "list"])
    }

    /// Waits until so many commands of each of these actions were seen otherwise, and hold again.
    pub(crate) fn await_repaired(&self, actions: &[(&str, usize)]) -> Result<()> {
        let mut last = Vec::new();
        let told = wait_until(WITHIN, || {
            last = self.standing()?;
            let are_repaired = |(action, count): &(&str, usize)| {
                let repaired = last.iter().filter(|one| {
                    one["action"] == *action
                        && one["observed"]["state"] == "holds"
                        && one["drifts"].as_u64() >= Some(1)
                });
                repaired.count() == *count
            };
            anyhow::Ok(actions.iter().all(are_repaired).then_some(()))
        })?;
        told.with_context(|| format!("not each of {actions:?} is told as repaired: {last:#?}"))
    }

    /// Events of the machine of a class that have this in one of their texts.
    pub(crate) fn events(&self, class: &str, text: &str) -> Result<Vec<Value>> {
        let filter = ["events", "--endpoint", GUEST, "--class", class, "--limit", "1000"];
        self.fleet.cordon_json(&[&filter[..], &["--text", text]].concat())
    }
}

/// Its packets are sent by qemu from the collector's namespace, which has no way to anybody else;
/// what the card saw is written down before that.
fn switch_on(fleet: &Fleet, depot: &Depot, image: &Image, plan: &SystemPlan) -> Result<System> {
    fleet.stage()?.door.clone().run(|| System::start(depot, image, plan))?
}
