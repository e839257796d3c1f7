//! Findings about programs that were to be started though they are denied.

use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::command::Executable;
use cordon_proto::event::actor::Actor;
use cordon_proto::event::finding::{Finding, FindingCount};
use cordon_proto::event::{Body, Observation, Severity};
use cordon_proto::id::Hash;
use tokio::sync::mpsc;

use crate::clock::{self, Clock};
use crate::sensor::{Report, Sample};

/// Findings in one period; what is tried more often is counted in the next one.
const FINDINGS_MAX: u32 = 20;

const PERIOD: Duration = Duration::from_secs(60);

/// Where they come from.
pub(super) const NAME: &str = "deny";

/// Tells them.
#[derive(Debug)]
pub(super) struct Findings {
    reports: Option<mpsc::Sender<(&'static str, Report)>>,
    clock: Clock,
    period: Duration,
    told: u32,
    untold: u64,
}

impl Findings {
    pub(super) fn new(reports: Option<mpsc::Sender<(&'static str, Report)>>) -> Self {
        Self { reports, clock: Clock::start(), period: Duration::ZERO, told: 0, untold: 0 }
    }

    pub(super) fn denied(&mut self, rule: &Executable, path: Text, actor: Actor) {
        let now = self.clock.now();
        if now.saturating_sub(self.period) > PERIOD {
            (self.period, self.told) = (now, 0);
        }
        let tries = self.untold.saturating_add(1);
        let Some(reports) = self.reports.as_ref().filter(|_reports| self.told < FINDINGS_MAX)
        else {
            self.untold = tries;
            return;
        };
        let observations = vec![observation(rule, path, actor, tries)];
        let report = Report::Sample(Sample { observations, ..Sample::default() });
        // What does not fit now is counted in the next one.
        match reports.try_send((NAME, report)) {
            Ok(()) => (self.told, self.untold) = (self.told.saturating_add(1), 0),
            Err(_full) => self.untold = tries,
        }
    }
}

fn observation(rule: &Executable, path: Text, actor: Actor, tries: u64) -> Observation {
    let clock::Stamp { time_ns, boot_ns } = clock::stamp();
    let denied = match rule {
        Executable::Sha256(hash) => format!("the SHA-256 {hash}"),
        Executable::Path(path) => format!("the path {}", path.to_lossy()),
    };
    let known = format!("{rule:?}");
    let finding = Finding {
        rule: "deny.attempt".to_owned(),
        uid: format!("{}-{boot_ns}", Hash::of(known.as_bytes()).short()),
        repeated: false,
        title: "a denied program was to be started".to_owned(),
        detail: format!("An operator denied {denied}; the start failed."),
        techniques: vec!["T1204".to_owned()],
        actor: Some(actor),
        counts: vec![FindingCount { name: "attempts".to_owned(), count: tries }],
        paths: vec![path],
        first_ns: time_ns,
        last_ns: time_ns,
    };
    let body = Body::Finding(Box::new(finding));
    Observation { time_ns, boot_ns, severity: Severity::High, body }
}

/// Who asks; read while it waits for the answer, because afterwards it may be gone.
pub(super) fn actor(pid: u32) -> Actor {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    let folder = format!("/proc/{pid}");
    let link = std::fs::read_link(format!("{folder}/exe")).ok();
    let name = std::fs::read(format!("{folder}/comm")).ok();
    let name = name.map(|name| Text::from(name.strip_suffix(b"\n").unwrap_or(&name)));
    Actor {
        pid,
        start_boot_ns: None,
        parent_pid: None,
        uid: std::fs::metadata(&folder).ok().map(|folder| folder.uid()),
        name,
        image: link.map(|link| Text::from(link.as_os_str().as_bytes())),
    }
}
