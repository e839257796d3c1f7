//! The demo's evidence: exported, verified offline, and refused once a copy is tampered with.

use anyhow::{Result, ensure};

use super::step;
use crate::fleet::Fleet;

/// Exports an endpoint's events, checks them without the collector, then changes one byte.
pub(super) fn export_verify_tamper(fleet: &Fleet, name: &str) -> Result<()> {
    let bundle = fleet.folder().join("demo.evidence");
    let copy = fleet.folder().join("tampered.evidence");
    step("exported the evidence of the last hour", || {
        let file = bundle.to_string_lossy();
        fleet.cordon(&["export", "--endpoint", name, "--since", "1h", "-o", &file]).map(drop)
    })?;
    step("verified the bundle offline: every signature, every chain", || {
        let said = fleet.cordon(&["verify", &bundle.to_string_lossy()])?;
        ensure!(said.contains("complete to header"), "it says only: {said}");
        Ok(())
    })?;
    step("tampered with a copy: refused", || {
        let mut bytes = std::fs::read(&bundle)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&copy, bytes)?;
        let mut command = fleet.command("cordon")?;
        let output = command.arg("verify").arg(&copy).output()?;
        ensure!(!output.status.success(), "a changed bundle was called good");
        Ok(())
    })
}
