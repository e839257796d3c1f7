//! `cargo measure console`: the web console over 25,000 endpoints, in a real browser: what its first
//! page weighs and when it is painted, how long frames take while the list rushes by, how soon a sort
//! or a filter is there, and how long the collector took for each list.
//!
//! The endpoints stand in the collector's state and have no agents. Needs node with the console's
//! packages, the built console and a chromium.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cordon_packaging::programs;
use cordon_tests::console;
use cordon_tests::crowd::Scene;
use cordon_tests::measure::{self, Options, Report, proc_file, whole};

/// What is told of each figure that the browser took, and its unit.
const FIGURES: [(&str, &str, &str); 21] = [
    ("first_page_kib", "the first page, as it is sent", "KiB"),
    ("first_paint_ms", "until something is painted, with nothing kept", "ms"),
    ("first_figures_ms", "until the overview shows its figures", "ms"),
    ("first_rows_ms", "until the list shows its rows", "ms"),
    ("frame_median_ms", "frames while the list rushes by, median", "ms"),
    ("frame_p95_ms", "… 95 of 100 are no longer than", "ms"),
    ("frame_longest_ms", "… the longest", "ms"),
    ("long_tasks", "tasks over 50 ms meanwhile", ""),
    ("long_task_longest_ms", "… the longest", "ms"),
    ("frames_with_a_row_on_its_way_percent", "frames with a row still on its way", "%"),
    ("row_20000_ms", "to row 20,000 at once, until it is there", "ms"),
    ("sort_ms", "until another order is shown", "ms"),
    ("filter_ms", "from the last letter until what fits is shown", "ms"),
    ("lists", "lists asked for", ""),
    ("list_server_p50_ms", "GET /endpoints, median, server", "ms"),
    ("list_server_p99_ms", "GET /endpoints, p99, server", "ms"),
    ("counts_server_p99_ms", "GET /endpoints/counts, p99, server", "ms"),
    ("endpoints", "endpoints at the client", ""),
    ("endpoints_other", "endpoints at another", ""),
    ("rss_mib", "memory of the collector afterwards", "MiB"),
    ("rss_peak_mib", "… at its peak", "MiB"),
];

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
    let counts = if options.quick { [3000, 400] } else { [25_000, 2000] };
    let scene = Scene::make(counts)?;
    let file = scene.fleet().folder().join("figures.json");
    let mut told = scene.told();
    told.push(("CORDON_FIGURES", file.display().to_string()));
    console::run("fluid", told)?;
    let text = std::fs::read_to_string(&file).context("reading what the browser measured")?;
    let mut figures: BTreeMap<String, f64> =
        serde_json::from_str(&text).context("a figure that the browser took is none")?;
    let pid = scene.fleet().collector_pid().context("the collector does not run")?;
    let memory = proc_file::memory(pid)?;
    figures.insert("endpoints".to_owned(), f64::from(counts[0]));
    figures.insert("endpoints_other".to_owned(), f64::from(counts[1]));
    figures.insert("rss_mib".to_owned(), whole(memory.rss_kib) / 1024.0);
    figures.insert("rss_peak_mib".to_owned(), whole(memory.rss_peak_kib) / 1024.0);
    for (key, what, unit) in FIGURES {
        let figure = figures.get(key).with_context(|| format!("{key} was not measured"))?;
        report.figure(key, what, *figure, unit)?;
    }
    let program = programs::find("cordon-collector")?;
    report.not_measured(format!(
        "what a graphics card does: frames are drawn by the CPUs that run {} and the browser, too",
        program.display()
    ));
    report.not_measured(
        "agents that are connected meanwhile: `cargo measure fleet` lists among 5,000",
    );
    Ok(())
}
