//! The agent that is measured: enrolled, without its collector, killed and started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::{self as whole, Fleet};
use cordon_tests::measure::fleet::{self, ENDPOINT};
use cordon_tests::measure::proc_file;
use cordon_tests::measure::workload::pause;

/// An agent that used less of a core for so long has nothing to do.
const QUIET: Duration = Duration::from_secs(2);
const QUIET_PERCENT: u32 = 5;

/// How often its CPU time is looked at; so exact is what is measured by it.
const LOOK: Duration = Duration::from_millis(100);

/// How long it may take for everything.
const BUSY_MAX: Duration = Duration::from_secs(900);

pub(crate) struct Agent {
    fleet: Fleet,
}

impl Agent {
    /// Enrols it, stops its collector, and tells it what to read and to leave nothing out. Its
    /// budget is out of its way: what is measured is how fast it can read, not how fast it may.
    pub(crate) fn make() -> Result<Self> {
        let mut fleet = Fleet::make(whole::Plan::default())?;
        fleet::enrol(&mut fleet)?;
        fleet.stop_agent(ENDPOINT)?;
        fleet.stop_collector()?;
        let agent = Self { fleet };
        let state = agent.fleet.agent_state(ENDPOINT);
        let settings = format!(
            "state_dir = {state:?}\nlab = true\n[spool]\nbytes_max = 8589934592\n\
             [budget]\ncpu_percent = 800\nmemory_bytes = 1073741824\n\
             [sensors.process]\nenabled = false\n\
             [sensors.logs]\npaths = [{:?}]\nlines_per_s = 0\nbytes_per_s = 0\n",
            agent.logs().join("*.log"),
        );
        std::fs::write(agent.fleet.agent_config(ENDPOINT), settings)?;
        agent.forget()?;
        Ok(agent)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.fleet.folder()
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.fleet.logs(ENDPOINT)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.fleet.agent_state(ENDPOINT)
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        self.fleet.start_agent(ENDPOINT)
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        self.fleet.stop_agent(ENDPOINT)
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        fleet::agent_cpu(&self.fleet)
    }

    pub(crate) fn rss_peak_kib(&self) -> Result<u64> {
        let pid = self.fleet.agent_pid(ENDPOINT).context("the agent does not run")?;
        Ok(proc_file::memory(pid)?.rss_peak_kib)
    }

    /// Removes what it has spooled, and that it ever had: this is no loss to tell of.
    pub(crate) fn forget(&self) -> Result<()> {
        for entry in std::fs::read_dir(self.state())? {
            let folder = entry?.path();
            for name in ["spool.db", "spool.db-wal", "spool.epochs"] {
                match std::fs::remove_file(folder.join(name)) {
                    Err(error) if folder.is_dir() && folder.join(name).exists() => {
                        return Err(error).context("removing a spool");
                    }
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Waits until it has nothing to do.
    pub(crate) fn settle(&self) -> Result<()> {
        self.busy_until(Stopwatch::start()).map(drop)
    }

    /// Waits until it has nothing to do; answers when it last had, by this watch.
    pub(crate) fn busy_until(&self, watch: Stopwatch) -> Result<Duration> {
        let (mut busy_at, mut cpu) = (watch.elapsed(), self.cpu()?);
        let mut looked_at = busy_at;
        let quiet = wait_until(BUSY_MAX, || {
            pause(LOOK);
            let (now, used) = (watch.elapsed(), self.cpu()?);
            if (used - cpu) * 100 > (now - looked_at) * QUIET_PERCENT {
                busy_at = now;
            }
            (looked_at, cpu) = (now, used);
            anyhow::Ok((now - busy_at >= QUIET).then_some(busy_at))
        })?;
        match quiet {
            Some(busy_at) => Ok(busy_at),
            None => bail!(
                "the agent is busy for ever; its log ends:\n{}",
                self.fleet.log_tail(ENDPOINT)
            ),
        }
    }

    /// Kills it so many times within a span, each time at another moment, and starts it again.
    pub(crate) fn killed_at_random(&mut self, times: u32, span: Duration, seed: u32) -> Result<()> {
        let mut random = seed | 1;
        let share = span / times;
        for _ in 0..times {
            // xorshift: any moments will do.
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let alive = share.mul_f64(f64::from(random % 1000) / 1000.0);
            pause(alive);
            self.fleet.kill_agent(ENDPOINT)?;
            // Long enough for rotations that nobody sees.
            pause(share.saturating_sub(alive) / 2);
            self.fleet.start_agent(ENDPOINT)?;
            pause(share.saturating_sub(alive) / 2);
        }
        Ok(())
    }
}
