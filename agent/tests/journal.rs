//! What the journal sensor reads of real journal files, with the real journalctl.
//!
//! There is no journald in most places where tests run: the files are written by
//! `systemd-journal-remote`, as journals of other machines are. It is taken from the machine or, as
//! `CORDON_JOURNAL_REMOTE`, from where the package `systemd-journal-remote` was unpacked. Without
//! both programs every test is skipped by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "every line of this program is a test; clippy knows only #[test]"
)]

#[path = "journal/writer.rs"]
mod writer;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::sensor::journal::{self, Follows, JournalSettings};
use cordon_agent::sensor::{Checkpoint, Loss, Outlet, Report};
use cordon_proto::event::log::{Journal, LogSource};
use cordon_proto::event::{Body, GapReason, LogLine, SensorState};
use libtest_mimic::{Arguments, Completion, Trial};
use tokio::sync::mpsc;
use tokio::time::timeout;

use writer::Writer;

/// Longer than any test needs; what takes so long is not coming.
const PATIENCE: Duration = Duration::from_secs(30);

const TESTS: [(&str, fn()); 6] = [
    ("entries_are_told_once_over_a_restart", told_once),
    ("rotated_files_are_read_on", rotated),
    ("a_place_that_was_vacuumed_is_a_gap", vacuumed),
    ("bytes_that_are_no_text_and_long_messages_come_whole", odd_messages),
    ("a_journalctl_that_is_killed_is_started_again_without_loss", killed),
    ("what_a_unit_writes_beyond_its_limit_is_counted", limited),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = TESTS.map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if !Path::new("/usr/bin/journalctl").exists() && !Path::new("/bin/journalctl").exists()
            {
                return Ok(Completion::ignored_with("needs journalctl"));
            }
            if writer::program().is_none() {
                return Ok(Completion::ignored_with("needs systemd-journal-remote"));
            }
            test();
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// What a sensor has said since it was started.
struct Sensor {
    said: mpsc::Receiver<(&'static str, Report)>,
    lines: Vec<LogLine>,
    losses: Vec<Loss>,
    kept: Vec<Checkpoint>,
    states: Vec<SensorState>,
}

impl Sensor {
    /// Waits until what was said is enough.
    async fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let said = timeout(PATIENCE, self.said.recv()).await;
            let said = said.unwrap_or_else(|_late| panic!("{what}: {:?}", self.texts())).unwrap();
            match said.1 {
                Report::Proved => {}
                Report::Condition(condition) => self.states.push(condition.state),
                Report::Sample(sample) => {
                    for seen in sample.observations {
                        if let Body::Log(line) = seen.body {
                            self.lines.push(line);
                        }
                    }
                    self.losses.extend(sample.losses);
                    for place in sample.checkpoints {
                        self.kept.retain(|kept| kept.key != place.key);
                        self.kept.push(place);
                    }
                }
            }
        }
    }

    fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.line.to_lossy().into_owned()).collect()
    }

    fn journal(&self, index: usize) -> &Journal {
        match &self.lines[index].source {
            Some(LogSource::Journal(journal)) => journal,
            None => panic!("not of the journal"),
        }
    }
}

fn settings(directory: &Path) -> JournalSettings {
    let directory = Some(directory.to_owned());
    let enabled = Follows::Always;
    JournalSettings { enabled, from_start: true, directory, ..JournalSettings::default() }
}

/// Runs a test beside a sensor that resumes where another left off; answers what that one kept.
fn beside<F: Future<Output = Sensor>>(
    settings: JournalSettings,
    kept: Vec<Checkpoint>,
    test: impl FnOnce(Sensor) -> F,
) -> Vec<Checkpoint> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (say, said) = mpsc::channel(64);
        let outlet = Outlet::new(journal::NAME, say);
        let sensor =
            Sensor { said, lines: vec![], losses: vec![], kept: kept.clone(), states: vec![] };
        let runs = journal::run(settings, Vec::new(), clock::stamp, outlet, kept);
        tokio::select! {
            _ = runs => panic!("the sensor has ended"),
            sensor = test(sensor) => sensor.kept,
        }
    })
}

fn told_once() {
    let (temp, mut writer) = writer::scene();
    writer.write(&["one", "two"]);
    let kept = beside(settings(temp.path()), vec![], |mut sensor| async {
        sensor.until("what is there", |sensor| sensor.lines.len() == 2).await;
        writer.write(&["three"]);
        sensor.until("what comes", |sensor| sensor.lines.len() == 3).await;
        assert_eq!(sensor.texts(), ["one", "two", "three"]);
        let Journal { unit, identifier, pid, uid, priority, comm, .. } = sensor.journal(2);
        assert_eq!(unit.as_ref().unwrap().as_str(), Some("app.service"));
        assert_eq!(identifier.as_ref().unwrap().as_str(), Some("app"));
        assert_eq!((*pid, *uid, *priority), (Some(7), Some(0), Some(6)));
        assert_eq!(comm.as_ref().unwrap().as_str(), Some("app"));
        sensor
    });
    writer.write(&["four", "five"]);
    beside(settings(temp.path()), kept, |mut sensor| async {
        sensor.until("what came meanwhile", |sensor| sensor.lines.len() == 2).await;
        assert_eq!(sensor.texts(), ["four", "five"]);
        assert!(sensor.losses.is_empty(), "{:?}", sensor.losses);
        sensor
    });
}

fn rotated() {
    let (temp, mut writer) = writer::scene();
    writer.write(&["one"]);
    beside(settings(temp.path()), vec![], |mut sensor| async {
        sensor.until("the first file", |sensor| sensor.lines.len() == 1).await;
        writer.rotate();
        writer.write(&["two", "three"]);
        writer.rotate();
        writer.write(&["four"]);
        sensor.until("the others", |sensor| sensor.lines.len() == 4).await;
        let mut texts = sensor.texts();
        texts.sort();
        assert_eq!(texts, ["four", "one", "three", "two"]);
        assert!(sensor.losses.is_empty(), "{:?}", sensor.losses);
        sensor
    });
}

fn vacuumed() {
    let (temp, mut writer) = writer::scene();
    writer.write(&["one", "two"]);
    let kept = beside(settings(temp.path()), vec![], |mut sensor| async {
        sensor.until("what is there", |sensor| sensor.lines.len() == 2).await;
        sensor
    });
    writer.write(&["lost", "lost too"]);
    writer.rotate();
    writer.write(&["left"]);
    writer.vacuum();
    beside(settings(temp.path()), kept, |mut sensor| async {
        sensor.until("what is left", |sensor| !sensor.lines.is_empty()).await;
        assert_eq!(sensor.texts(), ["left"]);
        assert_eq!(sensor.losses.len(), 1, "{:?}", sensor.losses);
        let Loss { reason, from_ns, to_ns, .. } = &sensor.losses[0];
        assert_eq!(*reason, GapReason::SourceGone);
        assert!(from_ns < to_ns);
        sensor
    });
}

fn odd_messages() {
    let (temp, mut writer) = writer::scene();
    let long = "long ".repeat(4000);
    writer.write_bytes(&[b"\xff\x00\xfe \x1b[2J\n\"quoted\"", long.as_bytes(), "ä😀".as_bytes()]);
    beside(settings(temp.path()), vec![], |mut sensor| async {
        sensor.until("all three", |sensor| sensor.lines.len() == 3).await;
        let line = |index: usize| sensor.lines[index].line.as_bytes();
        assert_eq!(line(0), b"\xff\x00\xfe \x1b[2J\n\"quoted\"");
        assert_eq!(line(1), long.as_bytes());
        assert_eq!(line(2), "ä😀".as_bytes());
        sensor
    });
}

fn killed() {
    let (temp, mut writer) = writer::scene();
    writer.write(&["one"]);
    beside(settings(temp.path()), vec![], |mut sensor| async {
        sensor.until("what is there", |sensor| sensor.lines.len() == 1).await;
        writer::kill_reader(temp.path());
        sensor.until("that it ended", |s| s.states.contains(&SensorState::Blind)).await;
        writer.write(&["two"]);
        sensor.until("what comes", |sensor| sensor.lines.len() == 2).await;
        assert_eq!(sensor.texts(), ["one", "two"]);
        assert_eq!(sensor.states.last(), Some(&SensorState::Running));
        assert!(sensor.losses.is_empty(), "{:?}", sensor.losses);
        sensor
    });
    assert!(writer::readers_end(temp.path()), "journalctl outlives its sensor");
}

fn limited() {
    let (temp, mut writer) = writer::scene();
    let many: Vec<String> = (0..3000).map(|number| format!("n{number}")).collect();
    writer.write(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let settings = JournalSettings { unit_lines_per_min_max: 1000, ..settings(temp.path()) };
    let kept = beside(settings.clone(), vec![], |mut sensor| async {
        sensor.until("a thousand", |sensor| sensor.lines.len() == 1000).await;
        writer.write_unit("other.service", &["calm"]);
        sensor.until("another unit", |sensor| sensor.lines.len() == 1001).await;
        sensor
    });
    // What was held is told at the start of the next, whose minute has not begun.
    beside(settings, kept, |mut sensor| async {
        sensor.until("the count", |sensor| !sensor.losses.is_empty()).await;
        let Loss { reason, counts, .. } = &sensor.losses[0];
        assert_eq!((*reason, counts[0].count), (GapReason::RateLimit, 2000));
        sensor
    });
}

impl Drop for Writer {
    fn drop(&mut self) {
        for pid in writer::readers(self.directory()) {
            writer::kill(pid);
        }
    }
}
