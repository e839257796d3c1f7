//! A service that writes numbered lines, and what rotates its log.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::{Stopwatch, wait_until};

/// How a log is rotated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rotation {
    /// Renamed, and made anew.
    Rename,
    /// Copied and emptied, while the writer waits.
    Copy,
    /// Renamed, made anew, and compressed at once: the writer has let go of it.
    Compress,
}

impl Rotation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::Copy => "copy",
            Self::Compress => "compress",
        }
    }
}

/// What one writer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rotation: Rotation,
    pub(crate) bytes: u64,
    pub(crate) generations: u64,
    /// How long it takes for it.
    pub(crate) span: Duration,
}

/// Lines that are written at once, as a busy service does.
const LINES_AT_ONCE: u64 = 64;

impl Plan {
    /// Writes all lines; answers how many.
    pub(crate) fn write(&self, folder: &Path) -> Result<u64> {
        let Self { rotation, bytes, generations, span } = *self;
        let name = rotation.name();
        let path = folder.join(format!("{name}.log"));
        let open = || OpenOptions::new().append(true).create(true).open(&path);
        let mut file = open()?;
        let (mut number, mut written, mut generation) = (0, 0, 1);
        let watch = Stopwatch::start();
        while written < bytes {
            let mut block = Vec::new();
            for _ in 0..LINES_AT_ONCE {
                line(&mut block, name, number)?;
                number += 1;
            }
            file.write_all(&block)?;
            written += u64::try_from(block.len())?;
            if written >= bytes / generations * generation && generation < generations {
                file = self.rotate(&path, generation, file)?;
                generation += 1;
            }
            keep_pace(watch, span, written, bytes)?;
        }
        Ok(number)
    }

    fn rotate(&self, path: &Path, generation: u64, mut file: File) -> Result<File> {
        let old = PathBuf::from(format!("{}.{generation}", path.display()));
        let open = || OpenOptions::new().append(true).create(true).open(path);
        match self.rotation {
            Rotation::Rename => {
                fs::rename(path, &old)?;
                file = open()?;
            }
            Rotation::Copy => {
                fs::copy(path, &old)?;
                file.set_len(0)?;
            }
            Rotation::Compress => {
                fs::rename(path, &old)?;
                file = open()?;
                let status = Command::new("gzip").arg("-1").arg(&old).status().context("gzip")?;
                ensure!(status.success(), "gzip: {status}");
            }
        }
        Ok(file)
    }
}

/// Waits until it is time for what was written.
fn keep_pace(watch: Stopwatch, span: Duration, written: u64, bytes: u64) -> Result<()> {
    let share = f64::from(u32::try_from(written * 1000 / bytes)?) / 1000.0;
    let due = span.mul_f64(share);
    let is_due = || anyhow::Ok((watch.elapsed() >= due).then_some(()));
    if watch.elapsed() < due {
        wait_until(due.saturating_sub(watch.elapsed()), is_due)?;
    }
    Ok(())
}

/// As services write: a time, a name, words; some 120 bytes. No generation begins like another.
fn line(block: &mut Vec<u8>, name: &str, number: u64) -> Result<()> {
    writeln!(
        block,
        "2026-11-22T01:02:03.{number:09}Z web-01 {name}[4711]: {number} GET /orders/{number:x}/items?page={} HTTP/1.1 200 {}",
        number % 97,
        number * 7919 % 100_000
    )?;
    Ok(())
}

/// One file of about so many bytes; answers how many lines it has.
pub(crate) fn write_one(path: &Path, bytes: u64) -> Result<u64> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut block, mut number, mut written) = (Vec::new(), 0, 0);
    while written < bytes {
        block.clear();
        line(&mut block, "one", number)?;
        file.write_all(&block)?;
        number += 1;
        written += u64::try_from(block.len())?;
    }
    file.into_inner().context("writing a large log")?.sync_all()?;
    Ok(number)
}
