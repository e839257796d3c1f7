//! Canaries: what the agent does itself, once a minute, so that a sensor shows that it sees.
//!
//! Pure: says which canary to send, and takes it out of what comes back. A canary is known by a
//! random token that only this run of the agent knows, so that nothing else can hide behind it.

use std::time::Duration;

use cordon_proto::event::{Body, Observation, ProcessEvent};
use memchr::memmem;

use crate::sensor::{Sample, log, process};

/// How often each sensor is sent one.
const PERIOD: Duration = Duration::from_secs(60);

/// The first is sent so soon after a sensor began to see.
const FIRST: Duration = Duration::from_secs(5);

/// A canary to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Canary {
    /// A process that starts with the token as its last argument, and ends.
    Process(String),
    /// A line in the canaries' own file.
    Log(String),
}

/// A sensor that needs canaries, because it only waits for what happens.
#[derive(Debug)]
struct Watched {
    sensor: &'static str,
    make: fn(String) -> Canary,
    due: Duration,
    /// The last ones sent; an earlier one may still be under way.
    tokens: [String; 2],
}

/// All canaries.
#[derive(Debug)]
pub struct Canaries {
    watched: [Watched; 2],
    /// The last canary process, whose end is to be taken out, too.
    process: Option<(u32, Option<u64>)>,
}

impl Default for Canaries {
    fn default() -> Self {
        let watch = |sensor, make| Watched { sensor, make, due: FIRST, tokens: Default::default() };
        let watched = [watch(process::NAME, Canary::Process), watch(log::NAME, Canary::Log)];
        Self { watched, process: None }
    }
}

impl Canaries {
    /// The next canary that is due, for a sensor that sees; `token` must be new and random.
    pub fn handle_timeout(
        &mut self,
        now: Duration,
        sees: impl Fn(&str) -> bool,
        token: impl FnOnce() -> String,
    ) -> Option<Canary> {
        let watched = self.watched.iter_mut().find(|one| one.due <= now && sees(one.sensor))?;
        watched.due = now.saturating_add(PERIOD);
        watched.tokens.swap(0, 1);
        watched.tokens[0] = token();
        Some((watched.make)(watched.tokens[0].clone()))
    }

    /// Takes canaries out of what a sensor saw; answers whether one has come through.
    pub fn take(&mut self, sensor: &str, sample: &mut Sample) -> bool {
        let Some(watched) = self.watched.iter().find(|one| one.sensor == sensor) else {
            return false;
        };
        let mut process = self.process;
        let tokens = &watched.tokens;
        let is_token =
            |text: &[u8]| !text.is_empty() && tokens.iter().any(|known| known.as_bytes() == text);
        set_apart(sample, tokens);
        let before = sample.observations.len();
        sample.observations.retain(|seen| !is_canary(seen, is_token, &mut process));
        self.process = process;
        sample.observations.len() < before
    }
}

/// Takes runs of lines apart that a canary is among: those written while the logs were not read.
fn set_apart(sample: &mut Sample, tokens: &[String]) {
    let holds = |text: &[u8], token: &String| {
        !token.is_empty() && memmem::find(text, token.as_bytes()).is_some()
    };
    let mut at = 0;
    while let Some(seen) = sample.observations.get(at) {
        let is_among = matches!(&seen.body, Body::Log(line) if line.run.is_some()
            && tokens.iter().any(|token| holds(line.line.as_bytes(), token)));
        let lines = if is_among { seen.apart() } else { None };
        at += match lines {
            Some(lines) => {
                let count = lines.len();
                sample.observations.splice(at..=at, lines);
                count
            }
            None => 1,
        };
    }
}

/// Whether this is a canary, or the end of one.
fn is_canary(
    seen: &Observation,
    is_token: impl Fn(&[u8]) -> bool,
    process: &mut Option<(u32, Option<u64>)>,
) -> bool {
    if let Body::Process(ProcessEvent::Exec(exec)) = &seen.body {
        let args = exec.args.as_ref().map_or(&[][..], |args| args.as_bytes());
        let args = args.strip_suffix(b"\0").unwrap_or(args);
        let found = args.rsplit(|byte| *byte == 0).next().is_some_and(is_token);
        if found {
            *process = Some((exec.pid, exec.start_boot_ns));
        }
        found
    } else if let Body::Process(ProcessEvent::Exit(exit)) = &seen.body {
        let found = *process == Some((exit.pid, exit.start_boot_ns));
        if found {
            *process = None;
        }
        found
    } else if let Body::Log(line) = &seen.body {
        is_token(line.line.as_bytes())
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::log::Run;
    use cordon_proto::event::process::{Exec, Exit, Tier};
    use cordon_proto::event::{LogLine, Severity};

    use super::*;

    fn exec(pid: u32, args: &str) -> Body {
        Body::Process(ProcessEvent::Exec(Box::new(Exec {
            start_boot_ns: Some(1),
            args: Some(args.into()),
            ..Exec::new(Tier::Bpf, pid)
        })))
    }

    fn exit(pid: u32) -> Body {
        let (start_boot_ns, parent_pid, uid) = (Some(1), None, None);
        let wait_status = Some(0);
        let tier = Tier::Bpf;
        Body::Process(ProcessEvent::Exit(Exit {
            tier,
            pid,
            start_boot_ns,
            parent_pid,
            uid,
            wait_status,
        }))
    }

    fn line(text: &str) -> Body {
        let path = "/var/lib/cordon-agent/canary.log".into();
        Body::Log(LogLine {
            path,
            device: 1,
            inode: 1,
            offset: 0,
            line: text.into(),
            line_bytes: None,
            ..LogLine::default()
        })
    }

    /// What is left of a sample, and whether a canary has come through.
    fn take(canaries: &mut Canaries, sensor: &str, bodies: &[Body]) -> (usize, bool) {
        let observe = |body: &Body| {
            let severity = Severity::Informational;
            Observation { time_ns: 0, boot_ns: 0, severity, body: body.clone() }
        };
        let observations = bodies.iter().map(observe).collect();
        let mut sample = Sample { observations, ..Sample::default() };
        let proved = canaries.take(sensor, &mut sample);
        (sample.observations.len(), proved)
    }

    #[test]
    fn a_canary_among_lines_that_travel_together_is_taken_out_alone() {
        let mut canaries = Canaries::default();
        canaries.handle_timeout(
            Duration::from_secs(5),
            |sensor| sensor == log::NAME,
            || "t1".to_owned(),
        );
        let run = |text: &str, lines| {
            let Body::Log(line) = line(text) else { unreachable!("a line") };
            Body::Log(LogLine { lines: Some(lines), run: Some(Run::default()), ..line })
        };
        assert_eq!(take(&mut canaries, log::NAME, &[run("a\nt11\nb", 3)]), (3, false));
        assert_eq!(
            take(&mut canaries, log::NAME, &[run("a\nb", 2), run("a\nt1\nb", 3)]),
            (3, true)
        );
    }

    fn send(canaries: &mut Canaries, at_secs: u64, token: &str) -> Option<Canary> {
        let now = Duration::from_secs(at_secs);
        canaries.handle_timeout(now, |sensor| sensor == process::NAME, || token.to_owned())
    }

    #[test]
    fn a_sensor_that_sees_is_sent_one_each_minute_and_one_that_does_not_is_sent_none() {
        let mut canaries = Canaries::default();
        let sent: Vec<_> =
            [4, 5, 6, 64, 65, 66].map(|at| send(&mut canaries, at, "t").is_some()).into();
        assert_eq!(sent, [false, true, false, false, true, false]);
    }

    #[test]
    fn a_canary_and_its_end_are_taken_out_and_nothing_else() {
        let mut canaries = Canaries::default();
        assert_eq!(send(&mut canaries, 5, "t1"), Some(Canary::Process("t1".to_owned())));
        let seen = [exec(7, "agent\0canary\0t1\0"), exec(8, "sh\0t1\0x\0"), exit(8)];
        assert_eq!(take(&mut canaries, process::NAME, &seen), (2, true));
        assert_eq!(take(&mut canaries, process::NAME, &[exit(7), exit(7)]), (1, true));
        assert_eq!(
            take(&mut canaries, process::NAME, &[exec(9, "agent\0canary\0t2\0")]),
            (1, false)
        );
    }

    #[test]
    fn the_one_before_still_counts_and_what_was_never_sent_does_not() {
        let mut canaries = Canaries::default();
        assert_eq!(take(&mut canaries, process::NAME, &[exec(7, "\0"), exec(7, "")]), (2, false));
        for (at, token) in [(5, "t1"), (65, "t2"), (125, "t3")] {
            send(&mut canaries, at, token);
        }
        let seen = |token| [exec(7, &format!("agent\0canary\0{token}\0"))];
        let came =
            ["t1", "t2", "t3"].map(|token| take(&mut canaries, process::NAME, &seen(token)).1);
        assert_eq!(came, [false, true, true]);
        assert_eq!(take(&mut canaries, log::NAME, &[line("t3")]), (1, false), "of another sensor");
    }
}
