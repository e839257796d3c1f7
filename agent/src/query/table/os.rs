//! `os`: what this machine is; one row.

use cordon_proto::query::Value;

use super::{INTEGER, TEXT, column, maybe, number, rows, word};
use crate::clock;
use crate::machine::{Machine, host_name};
use crate::platform::sqlite::{Asked, Column, Rows, Table};
use crate::query::frame::Facts;

/// The machine, with who the agent says that it is.
pub(super) struct Os(pub(super) Facts);

impl Table for Os {
    fn name(&self) -> &'static str {
        "os"
    }

    fn about(&self) -> &'static str {
        "what this machine is; one row"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("host_name", TEXT, "its name now"),
            column("endpoint", TEXT, "its id at the collector"),
            column("client", TEXT, "whose it is"),
            column("name", TEXT, "the operating system"),
            column("kernel", TEXT, "the kernel and its version"),
            column("architecture", TEXT, "the processor's kind"),
            column("machine_id", TEXT, "the machine's id; 'none' where there is none"),
            column("boot_id", TEXT, "the kernel's id of this boot"),
            column("booted_secs", INTEGER, "when it booted, seconds since 1970 UTC"),
            column("time_secs", INTEGER, "its clock, seconds since 1970 UTC"),
            column("cpus", INTEGER, "processors"),
            column("memory_bytes", INTEGER, "memory"),
            column("memory_free_bytes", INTEGER, "memory that can be had now"),
            column("load_1m", TEXT, "load over the last minute"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let machine =
            Machine::read().map_err(|error| format!("looking at the machine: {error}"))?;
        let clock::Stamp { time_ns, boot_ns } = clock::stamp();
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cpus = std::thread::available_parallelism().ok().map(std::num::NonZero::get);
        Ok(rows(vec![vec![
            word(host_name()),
            word(self.0.endpoint.to_string()),
            word(self.0.client.to_string()),
            word(machine.os),
            word(machine.kernel),
            word(std::env::consts::ARCH),
            word(machine.machine_id),
            word(machine.boot_id),
            number(time_ns.saturating_sub(boot_ns) / 1_000_000_000),
            number(time_ns / 1_000_000_000),
            maybe(cpus),
            maybe(kib(&memory, "MemTotal:").map(|kib| kib.saturating_mul(1024))),
            maybe(kib(&memory, "MemAvailable:").map(|kib| kib.saturating_mul(1024))),
            load.split(' ').next().filter(|load| !load.is_empty()).map_or(Value::Null, word),
        ]]))
    }
}

fn kib(memory: &str, name: &str) -> Option<u64> {
    let line = memory.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
