//! What the browser measured, read from the file that it wrote, and told row by row.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use cordon_tests::measure::{Report, proc_file, whole};

/// The key of a figure, what it is, and its unit.
type Figure = (&'static str, &'static str, &'static str);

/// Of the first page, with nothing kept from before.
pub(crate) const FIRST: [Figure; 3] = [
    ("first_page_kib", "the first page, as it is sent", "KiB"),
    ("first_paint_ms", "until something is painted, with nothing kept", "ms"),
    ("first_figures_ms", "until the overview shows its figures", "ms"),
];

/// Of the list, walked by a steady hand.
pub(crate) const WALK: [Figure; 6] = [
    ("frame_median_ms", "frames while the list rushes by, median", "ms"),
    ("frame_p95_ms", "… 95 of 100 are no longer than", "ms"),
    ("frame_longest_ms", "… the longest", "ms"),
    ("long_tasks", "tasks over 50 ms meanwhile", ""),
    ("long_task_longest_ms", "… the longest", "ms"),
    ("frames_with_a_row_on_its_way_percent", "frames with a row still on its way", "%"),
];

/// Of the list otherwise, and of what it asked of the collector.
pub(crate) const LIST: [Figure; 8] = [
    ("first_rows_ms", "until the list shows its rows", "ms"),
    ("far_row_ms", "to a row far down at once, until it is there", "ms"),
    ("sort_ms", "until another order is shown", "ms"),
    ("filter_ms", "from the last letter until what fits is shown", "ms"),
    ("lists", "lists asked for", ""),
    ("list_server_p50_ms", "GET /endpoints, median, server", "ms"),
    ("list_server_p99_ms", "GET /endpoints, p99, server", "ms"),
    ("counts_server_p99_ms", "GET /endpoints/counts, p99, server", "ms"),
];

/// What one run of the browser measured.
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).context("reading what the browser measured")?;
        serde_json::from_str(&text).map(Self).context("a figure that the browser took is none")
    }

    /// Tells of some; `before` stands before their keys in the browser's file, `told` in the report.
    pub(crate) fn tell(
        &self,
        of: &[Figure],
        before: &str,
        told: &str,
        report: &mut Report,
    ) -> Result<()> {
        for (key, what, unit) in of {
            let figure = self.0.get(&format!("{before}{key}"));
            let figure = figure.with_context(|| format!("{before}{key} was not measured"))?;
            report.figure(&format!("{told}{key}"), what, *figure, unit)?;
        }
        Ok(())
    }
}

/// The collector's memory.
pub(crate) fn memory(pid: Option<u32>, told: &str, report: &mut Report) -> Result<()> {
    let memory = proc_file::memory(pid.context("the collector does not run")?)?;
    let (now, peak) = (whole(memory.rss_kib) / 1024.0, whole(memory.rss_peak_kib) / 1024.0);
    report.figure(&format!("{told}rss_mib"), "memory of the collector afterwards", now, "MiB")?;
    report.figure(&format!("{told}rss_peak_mib"), "… at its peak", peak, "MiB")
}
