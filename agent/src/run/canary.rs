//! Sends canaries through the sensors: does what they are to see.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cordon_proto::event::process::Tier;
use ring::rand::{SecureRandom, SystemRandom};

use super::Agent;
use super::jobs::{Done, blocking};
use crate::canary::Canary;
use crate::sensor::process;

/// The file in the state directory that the log sensor watches for canaries.
pub(super) const LOG: &str = "canary.log";

/// The file begins anew when it is this long.
const LOG_BYTES_MAX: u64 = 64 << 10;

/// How long a canary process lives where only those are seen that a look finds.
const LOOKED_AT: Duration = Duration::from_millis(2500);

impl Agent {
    pub(super) fn send_canary(&mut self) {
        let sees = |sensor: &str| self.sensors.sees(sensor).is_some();
        let Some(canary) = self.canaries.handle_timeout(self.clock.now(), sees, token) else {
            return;
        };
        let tier = self.sensors.sees(process::NAME).flatten();
        let hold = if tier == Some(Tier::Bpf) { Duration::ZERO } else { LOOKED_AT };
        let log = self.dir.path(LOG);
        self.jobs.push(async move {
            let sent = match canary {
                Canary::Process(token) => run(token, hold).await,
                Canary::Log(token) => blocking(move || append(log, &token)).await.flatten(),
            };
            if let Err(error) = sent {
                tracing::warn!(%error, "a canary could not be sent");
            }
            Done::CanarySent
        });
    }
}

/// The process ends once its input does.
async fn run(token: String, hold: Duration) -> io::Result<()> {
    let mut child = blocking(move || start(&token)).await??;
    tokio::time::sleep(hold).await;
    blocking(move || {
        drop(child.stdin.take());
        child.wait().map(|_status| ())
    })
    .await?
}

fn start(token: &str) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["canary", token]).stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(Stdio::null()).env_clear().spawn()
}

fn append(path: PathBuf, token: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() >= LOG_BYTES_MAX {
        file.set_len(0)?;
    }
    writeln!(file, "{token}")
}

/// What nobody else can know.
fn token() -> String {
    let mut bytes = [0; 12];
    // Without randomness no canary comes through, and the sensors count as stalled.
    SystemRandom::new().fill(&mut bytes).ok();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
