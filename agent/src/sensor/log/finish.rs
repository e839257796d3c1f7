//! The last thing that is done to lines before they leave the sensor: what they say is read out of
//! them, and those that say nothing of their own are put together. Pure.

use cordon_proto::event::login::FileOrigin;
use cordon_proto::event::{Body, Encoding, LogLine, Observation, Severity};

use super::lines::Line;
use super::run::Gathering;
use crate::clock::Stamp;
use crate::sensor::parse::{Assumed, Stamped, head as read_head, interpret_below};

/// What one line may become at most, itself and what it tells; the room of a sample is reckoned
/// with it.
pub(super) const OBSERVATIONS_MAX: usize = 2;

/// Takes finished lines of one file and adds what is to be told of them: everything that reads
/// lines or takes something out of them has its place here.
pub(super) struct Finish<'a> {
    /// The file; the offset is each line's own.
    pub(super) origin: FileOrigin,
    pub(super) encoding: Option<Encoding>,
    pub(super) assumed: Assumed,
    pub(super) now: Stamp,
    pub(super) observations: &'a mut Vec<Observation>,
}

impl Finish<'_> {
    pub(super) fn lines(mut self, lines: &[Line<'_>]) {
        let mut run: Option<Gathering<'_>> = None;
        let mut stamped: Option<Stamped<'_>> = None;
        for line in lines {
            let mut head = stamped.as_ref().and_then(|stamped| stamped.head_of(&line.bytes));
            if head.is_none() {
                head = read_head(&line.bytes, &self.assumed);
                stamped = head.as_ref().and_then(|head| Stamped::of(&line.bytes, head));
            }
            let origin = || FileOrigin { offset: line.offset, ..self.origin.clone() };
            let told = head.as_ref().and_then(|head| interpret_below(origin, head));
            let is_alone = told.is_some();
            if !is_alone && run.as_mut().is_some_and(|run| run.take(line, head.as_ref())) {
                continue;
            }
            self.tell(run.replace(Gathering::new(line, head, self.encoding)));
            if is_alone {
                self.tell(run.take());
                self.observations.extend(told.map(|told| self.now.saw(told)));
            }
        }
        self.tell(run);
    }

    fn tell(&mut self, run: Option<Gathering<'_>>) {
        let Some(run) = run else { return };
        let FileOrigin { path, device, inode, .. } = self.origin.clone();
        let line = LogLine { path, device, inode, encoding: self.encoding, ..run.finish() };
        let body = Body::Log(line);
        self.observations.push(self.now.saw((Severity::Informational, body)));
    }
}

impl Stamp {
    fn saw(self, (severity, body): (Severity, Body)) -> Observation {
        let Self { time_ns, boot_ns } = self;
        Observation { time_ns, boot_ns, severity, body }
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::Class;
    use proptest::prelude::*;

    use super::super::join::Join;
    use super::super::lines::{Cut, Tail};
    use super::super::mark::Mark;
    use super::*;

    /// What a file's bytes are told as.
    fn told(bytes: &[u8], one_by_one: bool) -> Vec<Body> {
        let mark = Mark::of(bytes);
        let (mut tail, mut lines) = (Tail::at(mark.bytes()), Vec::new());
        let begin = usize::try_from(mark.bytes()).unwrap();
        tail.feed(&bytes[begin..], Cut { mark, join: &Join::Never }, usize::MAX, &mut lines);
        let mut observations = Vec::new();
        let chunks = lines.chunks(if one_by_one { 1 } else { usize::MAX });
        for lines in chunks {
            let finish = Finish {
                origin: FileOrigin { path: "/l".into(), device: 1, inode: 2, offset: 0 },
                encoding: mark.encoding(),
                assumed: Assumed { now_ns: 1_795_000_000_000_000_000, offset_secs: 3600 },
                now: Stamp { time_ns: 1, boot_ns: 2 },
                observations: &mut observations,
            };
            finish.lines(lines);
        }
        observations.into_iter().map(|seen| seen.body).collect()
    }

    /// How lines travel: each event as how many lines, or as what it is if it is no line.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let show = |body: Body| match body.class() == Class::Log {
            true => body.count().to_string(),
            false => body.class().name().to_owned(),
        };
        let shown: Vec<_> = told(text.as_bytes(), false).into_iter().map(show).collect();
        assert_eq!(shown.join(" "), expected, "{text}");
    }

    #[test]
    fn lines_of_one_head_travel_together() {
        check("a\nb\n\nd\n", "4");
        check("a\r\nb\r\nc\nd\n", "3 1");
        check("a\nb\n\0\0\0c\n", "2 1");
        check("2026-11-22T01:02:03Z h app[1]: a\n2026-11-22T01:02:04Z h app[1]: b\n", "2");
        check("2026-11-22T01:02:03Z h app[1]: a\n2026-11-22T01:02:04Z h app[2]: b\n", "1 1");
        check("2026-11-22T01:02:03Z h app[1]: a\nno head\nnor here\n", "1 2");
        check("Nov 22 01:02:03 h app: a\nNov 22 01:02:02 h app: b\n", "2");
        check("<13>1 - h app - - [a@1 b=\"c\"] x\n<13>1 - h app - - [a@1 b=\"c\"] x\n", "1 1");
        check("\u{feff}a\nb\n", "2");
    }

    #[test]
    fn a_line_that_tells_more_travels_alone_with_what_it_tells() {
        let ssh = "Nov 22 01:02:03 h sshd[9]: ";
        let failed = "Failed password for root from 192.0.2.1 port 22 ssh2";
        let text = format!("{ssh}a\n{ssh}b\n{ssh}{failed}\n{ssh}c\n{ssh}d\n");
        check(&text, "2 1 authentication 2");
    }

    #[test]
    fn a_run_is_bounded_in_lines_and_bytes() {
        check(&"\n".repeat(600), "256 256 88");
        check(&format!("{}\n", "x".repeat(999)).repeat(40), "16 16 8");
        check(&format!("{}\n", "x".repeat(40 << 10)).repeat(2), "1 1");
    }

    proptest! {
        #[test]
        fn lines_that_travelled_together_are_what_they_would_have_been_alone(
            lines in prop::collection::vec((
                prop::sample::select(vec![
                    "", "2026-11-22T01:02:03.5Z h app[1]: ", "2026-11-22T01:02:04Z h app[1]: ",
                    "2026-11-22T01:02:04+01:00 h app[1]: ", "Nov 22 01:02:03 h sshd[9]: ",
                    "Nov 22 01:02:09 h sshd[9]: ", "<34>Nov 22 01:02:09 h app: ", "{\"a\":1}",
                    "Nov 22 01:02:03 h sshd[9]: Failed password for root from 192.0.2.1 port 22 ssh2",
                ]),
                "[a-c \0]{0,6}\r?",
            ), 0..60),
            mark in prop::sample::select(vec!["", "\u{feff}"]),
        ) {
            let text: String = lines.iter().map(|(head, rest)| format!("{head}{rest}\n")).collect();
            let bytes = format!("{mark}{text}").into_bytes();
            let apart = |body: Body| body.apart().unwrap_or_else(|| vec![body]);
            let together: Vec<_> = told(&bytes, false).into_iter().flat_map(apart).collect();
            prop_assert_eq!(together, told(&bytes, true));
        }
    }
}
