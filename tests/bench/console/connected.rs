//! The list over agents that are connected and report their health, first in calm, then while all of
//! them are cut off at once and come back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use cordon_packaging::clock::wait_until;
use cordon_tests::connected::{self, Crowd};
use cordon_tests::crowd::Scene;
use cordon_tests::measure::{Report, whole};

use crate::figures::{self, Figures, LIST, WALK};
use crate::look;

/// How long any one step may take before the benchmark gives up.
const STEP_MAX: Duration = Duration::from_secs(300);

pub(crate) fn measure(count: u32, report: &mut Report) -> Result<()> {
    let (fleet, enrolled, _took) = connected::fleet(count)?;
    let crowd = Crowd::start(enrolled)?;
    let all = usize::try_from(count)?;
    crowd.wait("connecting", STEP_MAX, |seen| seen.live == all)?;

    let scene = Scene::over(fleet, [count, 0])?;
    let wish = scene.fleet().folder().join("storm");
    let figures =
        stormy(&crowd, &wish, || look(&scene, &[("CORDON_STORM", wish.display().to_string())]))?;
    let begun = crowd.seen().begun;
    crowd.wait("coming back", STEP_MAX, |seen| seen.live == all)?;
    report.figure("connected_endpoints", "agents that are connected", f64::from(count), "")?;
    figures.tell(&WALK, "", "connected_", report)?;
    figures.tell(&LIST, "", "connected_", report)?;
    report.row("sessions that began while the list was walked again", whole(begun - all), "");
    figures.tell(&WALK, "storm_", "storm_", report)?;
    figures::memory(scene.fleet().collector_pid(), "connected_", report)
}

/// Does something; meanwhile, once a file is there, all connections are cut.
fn stormy(crowd: &Crowd, wish: &Path, act: impl FnOnce() -> Result<Figures>) -> Result<Figures> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let wished = || {
                let ends = wish.exists() || over.load(Ordering::Relaxed);
                anyhow::Ok(ends.then_some(()))
            };
            if matches!(wait_until(STEP_MAX, wished), Ok(Some(()))) && wish.exists() {
                crowd.cut();
            }
        });
        let done = act();
        over.store(true, Ordering::Relaxed);
        done
    })
}
