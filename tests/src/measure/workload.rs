//! Short-lived processes, flat out or at a rate, each with an argument by which it is known.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::Stopwatch;

use super::proc_file;

/// The program that does nothing and ends.
pub const PROGRAM: &str = "/bin/true";

/// Threads that start processes.
const SPAWNERS: usize = 2;

/// Processes to be started.
#[derive(Clone, Debug)]
pub struct Burst {
    /// Every process gets this with its number behind it as its one argument.
    pub mark: String,
    pub count: usize,
    /// So many in a second; none for as many as go.
    pub rate_per_s: Option<u32>,
}

/// What a burst cost.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub elapsed: Duration,
    /// CPU time of the processes and of starting them.
    pub cpu: Duration,
}

impl Burst {
    pub fn argument(&self, number: usize) -> String {
        format!("{}{number}", self.mark)
    }

    /// Starts them all and waits for each.
    pub fn run(&self) -> Result<Spent> {
        let next = AtomicUsize::new(0);
        let (watch, cpu_before) = (Stopwatch::start(), proc_file::own_cpu()?);
        std::thread::scope(|scope| {
            let spawners: Vec<_> =
                (0..SPAWNERS).map(|_| scope.spawn(|| self.spawn(&next, watch))).collect();
            spawners.into_iter().try_for_each(|spawner| match spawner.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(Spent { elapsed: watch.elapsed(), cpu: proc_file::own_cpu()? - cpu_before })
    }

    fn spawn(&self, next: &AtomicUsize, watch: Stopwatch) -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return Ok(());
            }
            if let Some(rate) = self.rate_per_s {
                let number = u32::try_from(number).context("too many processes")?;
                pause(watch.left_of(Duration::from_secs(1) * number / rate));
            }
            start(&self.argument(number))?;
        }
    }
}

/// Starts one process with this argument and waits for it.
pub fn start(argument: &str) -> Result<()> {
    let mut command = Command::new(PROGRAM);
    command.arg(argument).stdin(Stdio::inherit());
    let status = command.status().with_context(|| format!("starting {PROGRAM} {argument}"))?;
    ensure!(status.success(), "{PROGRAM} {argument}: {status}");
    Ok(())
}

/// Lets time pass: a rate, and the quiet of an idle machine, are lengths of time.
#[expect(clippy::disallowed_methods, reason = "what is measured here is what happens meanwhile")]
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_of_a_burst_is_waited_for_at_its_rate() {
        let burst = Burst { mark: "test-".to_owned(), count: 10, rate_per_s: Some(100) };
        assert_eq!(burst.argument(3), "test-3");
        assert!(burst.run().unwrap().elapsed >= Duration::from_millis(90));
    }
}
