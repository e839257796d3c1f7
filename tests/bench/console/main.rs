//! `cargo measure console`: the web console over very many endpoints, in a real browser: what its first
//! page weighs and when it is painted, how long frames take while the list rushes by, how soon a sort
//! or a filter is there, and how long the collector took for each list.
//!
//! First over 25,000 endpoints that stand in the collector's state and have no agents, then over 5,000
//! simulated agents that are connected. Needs node with the console's packages, the built console and a
//! chromium.

mod connected;
mod figures;

use std::process::ExitCode;

use anyhow::{Result, bail};
use cordon_packaging::programs;
use cordon_tests::console;
use cordon_tests::crowd::Scene;
use cordon_tests::measure::{self, Options, Report};

use figures::{FIRST, Figures, LIST, WALK};

fn main() -> ExitCode {
    measure::main_anywhere("console", fluid)
}

fn fluid(options: Options, report: &mut Report) -> Result<()> {
    if options.seed.is_some() {
        bail!("its rounds are not drawn from seeds");
    }
    if let Some(reason) = console::missing(&["cordon", "cordon-collector"]) {
        bail!("this cannot be measured here: {reason}");
    }
    let (counts, connected) =
        if options.quick { ([3000, 400], 500) } else { ([25_000, 2000], 5000) };
    standing(counts, report)?;
    connected::measure(connected, report)?;
    let program = programs::find("cordon-collector")?;
    report.not_measured(format!(
        "what a graphics card does: frames are drawn by the CPUs that run {} and the browser, too",
        program.display()
    ));
    report.not_measured("a driver on another machine: connected agents share the CPUs with both");
    Ok(())
}

fn standing(counts: [u32; 2], report: &mut Report) -> Result<()> {
    let scene = Scene::make(counts)?;
    let figures = look(&scene, &[])?;
    report.figure("endpoints", "endpoints at the client", f64::from(counts[0]), "")?;
    report.figure("endpoints_other", "endpoints at another", f64::from(counts[1]), "")?;
    for of in [&FIRST[..], &WALK, &LIST] {
        figures.tell(of, "", "", report)?;
    }
    figures::memory(scene.fleet().collector_pid(), "", report)
}

/// What the browser measures over a fleet.
fn look(scene: &Scene, told: &[(&'static str, String)]) -> Result<Figures> {
    let file = scene.fleet().folder().join("figures.json");
    let mut all = scene.told();
    all.push(("CORDON_FIGURES", file.display().to_string()));
    all.extend_from_slice(told);
    console::run("fluid", all)?;
    Figures::read(&file)
}
