//! The supervisor holds and lets back on a disk that is full, and on one that can only be read, where
//! the agent itself cannot start.

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;

use crate::endpoint::{Endpoint, GUEST, WITHIN};

/// To the last block, of which root has more than others.
const FILL: &str = "fallocate -l $(df --output=avail -B1 / | tail -n 1) /fill; \
                    dd if=/dev/zero of=/fill-rest bs=64k 2>/dev/null; \
                    ! echo more >/fill-more && rm -f /fill-more";
const ISOLATED: &str = "nft list ruleset | grep -q cordon";
const HOLDS: &str = "systemctl is-active cordon-hold.service && ! systemctl is-active \
                     cordon-agent.service";

/// The endpoint is isolated, and its agent runs; afterwards it is open, and no agent runs.
pub(crate) fn let_back_on_a_full_disk(here: &mut Endpoint<'_>) -> Result<()> {
    here.system.run(FILL).context("filling the disk")?;
    here.system.run("systemctl stop cordon-agent.service")?;
    here.system.await_success(HOLDS)?;
    // Whoever starts on a full disk holds, too.
    here.system.run("systemctl restart cordon-hold.service")?;
    here.system.run(ISOLATED)?;
    let said = let_back(here)?;
    ensure!(said.contains("the rules are gone"), "it says: {said}");
    here.system.run("rm -f /fill /fill-rest").map(drop)
}

/// The same where nothing can be written at all, and the record of the isolation stays.
pub(crate) fn let_back_on_a_read_only_disk(here: &mut Endpoint<'_>) -> Result<()> {
    here.system.run("systemctl start cordon-agent.service")?;
    here.await_fresh()?;
    // On the full disk it was not noted what was taken, so the agent has begun with a new secret:
    // until its first health is there, the nonce that is shown is void.
    let isolated =
        wait_until(WITHIN, || anyhow::Ok(here.prove(&["isolate", GUEST, "--lease", "1h"]).ok()))?;
    isolated.context("the endpoint does not obey again")?;
    // As the kernel does it after errors: whoever has files open for writing cannot any more.
    here.system.run("sync; echo u >/proc/sysrq-trigger; ! touch /no 2>/dev/null")?;
    here.system.run("systemctl kill -s KILL cordon-agent.service")?;
    here.system.await_success("systemctl is-active cordon-hold.service")?;
    here.system.run(ISOLATED)?;
    here.system.run("systemctl stop cordon-agent.service")?;
    here.system.run("systemctl restart cordon-hold.service")?;
    here.system.run(ISOLATED)?;
    let said = let_back(here)?;
    ensure!(said.contains("isolated again after a reboot"), "it says: {said}");
    here.system.run("mount -o remount,rw /")?;
    // With the disk back the record goes, and what held it ends.
    here.system.await_success("! test -e /var/lib/cordon-agent/isolation.cbor").map(drop)
}

/// A signed release comes by hand; what the supervisor says.
pub(crate) fn let_back(here: &mut Endpoint<'_>) -> Result<String> {
    let file = here.folder().join("release.cordon");
    let Endpoint { system, fleet, .. } = here;
    let shown = file.display().to_string();
    let released = wait_until(WITHIN, || {
        fleet.cordon(&["release", GUEST, "--reason", "vm", "--queued", "--to", &shown])?;
        let hex: String =
            std::fs::read(&file)?.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        system.run(&format!("printf '{hex}' >/run/release.cordon"))?;
        let (status, said) = system.try_run("cordon-agent release /run/release.cordon")?;
        anyhow::Ok((status == 0).then_some(said))
    })?;
    let said = released.context("the supervisor does not let the endpoint back")?;
    system.run("! nft list ruleset | grep cordon")?;
    Ok(said)
}
