//! A lease: it ends by itself though nobody is there to end it, and not because an agent ended.

use std::time::Duration;

use anyhow::{Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::Fleet;
use cordon_proto::event::Body;
use cordon_proto::event::receipt::{EndCause, Outcome};

use crate::scene::{DB, PATIENCE, Stored, WEB, await_some, fleet_of_one, listen, ruleset, traffic};

const LEASE: Duration = Duration::from_secs(20);

pub(crate) fn ends_alone() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = ruleset(fleet.namespace(WEB)?)?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "traffic does not pass to begin with");
    let lease = format!("{}s", LEASE.as_secs());
    let watch = Stopwatch::start();
    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", &lease, "--wait"])?;
    fleet.kill_collector()?;
    closed(&fleet, "cut off, without its collector")?;
    // Longer than the lease would mean that something else than the lease ended it.
    let open = wait_until(LEASE + PATIENCE, || {
        anyhow::Ok((traffic(&fleet, WEB, DB)? == [true; 4]).then(|| watch.elapsed()))
    })?;
    let took = open.ok_or_else(|| anyhow::anyhow!("the endpoint was not let back"))?;
    ensure!(took >= LEASE - Duration::from_secs(2), "let back after {took:?} of {LEASE:?}");
    let after = ruleset(fleet.namespace(WEB)?)?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    fleet.start_collector()?;
    await_some("the end of the lease is told", || {
        let events = Stored::of(&fleet, WEB)?.events()?;
        Ok(events.iter().find_map(|(_, event)| ended(&event.body)))
    })
    .and_then(|gone| {
        ensure!(gone, "the rules were not seen to be gone");
        Ok(())
    })
}

/// Whether the rules were seen to be gone, where this says that a lease ended.
fn ended(body: &Body) -> Option<bool> {
    let Body::Receipt(receipt) = body else { return None };
    if let Outcome::Ended { cause: EndCause::LeaseEnded, observed_gone } = &receipt.outcome {
        return Some(*observed_gone);
    }
    None
}

pub(crate) fn outlives_the_agent() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = ruleset(fleet.namespace(WEB)?)?;
    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--lease", "1h", "--wait"])?;
    closed(&fleet, "isolated")?;
    fleet.stop_agent(WEB)?;
    closed(&fleet, "its agent stopped")?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    closed(&fleet, "its agent started again")?;
    fleet.kill_agent(WEB)?;
    closed(&fleet, "its agent killed")?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    closed(&fleet, "its agent back after a kill")?;
    await_some("signed health tells that it stands", || {
        let shown = fleet.endpoint_json(WEB)?;
        Ok((shown["isolated"] == true).then_some(()))
    })?;
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--wait"])?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "released, and traffic does not pass");
    let after = ruleset(fleet.namespace(WEB)?)?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    Ok(())
}

fn closed(fleet: &Fleet, when: &str) -> Result<()> {
    let passes = traffic(fleet, WEB, DB)?;
    ensure!(passes == [false; 4], "{when}: something passes: {passes:?}");
    Ok(())
}
