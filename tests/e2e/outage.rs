//! A collector that is down for long: what happens meanwhile waits on the endpoint's disk.

use std::time::Duration;

use anyhow::Result;

use crate::scene::{PATIENCE, WEB, await_lines, fleet_of_one, pass, write_lines};

/// Long enough that the agent has given up and waits between its attempts.
const DOWN: Duration = Duration::from_secs(15);

pub(crate) fn collector_down() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let mut lines = write_lines(&fleet, WEB, "before", 0..100)?;
    await_lines(&fleet, WEB, &lines)?;
    fleet.kill_collector()?;
    for part in 0..10 {
        lines.extend(write_lines(&fleet, WEB, "down", part * 200..(part + 1) * 200)?);
        pass(DOWN / 10)?;
    }
    // What waits must outlive the agent too.
    fleet.kill_agent(WEB)?;
    fleet.start_agent(WEB)?;
    lines.extend(write_lines(&fleet, WEB, "restarted", 0..200)?);
    fleet.start_collector()?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    await_lines(&fleet, WEB, &lines)
}
