//! Lines that travel together: one event for many lines that stand one behind the other in a file,
//! so that numbering, hashing and storing are paid once for all of them. Pure.
//!
//! Nothing is lost by it: each line can be taken out again as the event that it would have been
//! alone. What proves a line is the proof of the event that carries it.

use std::ops::Range;

use minicbor::{Decode, Encode};

use super::{LogLine, Parsed};
use crate::event::{Body, Event};
use crate::limits::LOG_RUN_LINES_MAX;

/// That the lines of an event are each a line of its own. They are of one file and follow each
/// other without a hole; their heads differ in nothing but the time.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Run {
    /// By how much each line's own time is later than that of the line before, in nanoseconds, from
    /// the second on; that of the first stands in the head. None where the lines have no time.
    #[n(0)]
    pub times: Option<Vec<i64>>,
    /// How many bytes ended each line in the file, where it was not one.
    #[n(1)]
    pub end_bytes: Option<u8>,
}

/// A run whose lines were found in its text.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    line: &'a LogLine,
    run: &'a Run,
    /// Where each line begins in the text, and where one more would.
    starts: Vec<usize>,
}

impl LogLine {
    /// The lines of a run. None for a line that stands alone, and for a run that does not hold what
    /// it says: such a one is shown as it is.
    #[must_use]
    pub fn as_run(&self) -> Option<Lines<'_>> {
        let run = self.run.as_ref()?;
        let count =
            usize::try_from(self.lines?).ok().filter(|count| *count <= LOG_RUN_LINES_MAX)?;
        let text = self.line.as_bytes();
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at.saturating_add(1)));
        let mut starts: Vec<usize> = starts.take(count.saturating_add(1)).collect();
        let differences = run.times.as_ref().map(Vec::len);
        let is_whole = starts.len() == count && self.line_bytes.is_none();
        let has_times = differences.is_none_or(|known| known.saturating_add(1) == count);
        starts.push(text.len().saturating_add(1));
        (is_whole && has_times).then_some(Lines { line: self, run, starts })
    }

    /// How many lines this is that stand on their own: one, but for a run.
    #[must_use]
    pub fn count(&self) -> u64 {
        let of_run = self.run.as_ref().and(self.lines);
        of_run.map_or(1, |lines| u64::from(lines.max(1)))
    }
}

impl Lines<'_> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The text of each.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count()).map(|at| self.text(at..at.saturating_add(1)))
    }

    /// Some of them that follow each other, as if they had come without the others: one is a line
    /// that stands alone.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> LogLine {
        let Self { line, run, .. } = self;
        let count = range.len();
        let before = self.start(range.start) as u64;
        // An end in the text takes one byte, in the file it may take more.
        let ends = (range.start as u64).saturating_mul(u64::from(run.end_bytes.unwrap_or(1)));
        let shift = before.saturating_sub(range.start as u64).saturating_add(ends);
        let times = run.times.as_ref().filter(|_times| count > 1);
        let times = times.map(|times| {
            let inner = range.start..range.end.saturating_sub(1);
            times.get(inner).unwrap_or_default().to_vec()
        });
        let parsed = line.parsed.as_ref().map(|parsed| {
            let time_ns = parsed.time_ns.map(|first| self.time_ns(first, range.start));
            Parsed { time_ns, ..parsed.clone() }
        });
        LogLine {
            offset: line.offset.saturating_add(shift),
            line: self.text(range).into(),
            parsed,
            lines: (count > 1).then(|| u32::try_from(count).unwrap_or(u32::MAX)),
            run: (count > 1).then_some(Run { times, end_bytes: run.end_bytes }),
            path: line.path.clone(),
            source: line.source.clone(),
            redacted: line.redacted.clone(),
            ..**line
        }
    }

    fn start(&self, at: usize) -> usize {
        self.starts.get(at).copied().unwrap_or_default()
    }

    /// Without the end of the last of them.
    fn text(&self, range: Range<usize>) -> &[u8] {
        let end = self.start(range.end).saturating_sub(1);
        self.line.line.as_bytes().get(self.start(range.start)..end).unwrap_or_default()
    }

    fn time_ns(&self, first: u64, at: usize) -> u64 {
        let later = self.run.times.iter().flatten().take(at);
        later.fold(first, |time, by| time.saturating_add_signed(*by))
    }
}

impl Body {
    /// What the lines of a run would have been alone. None for all that stands alone.
    #[must_use]
    pub fn apart(&self) -> Option<Vec<Self>> {
        let Self::Log(line) = self else { return None };
        let lines = line.as_run()?;
        let single = |at: usize| Self::Log(lines.part(at..at.saturating_add(1)));
        Some((0..lines.count()).map(single).collect())
    }
}

impl Event {
    /// The same, under the number of the event that carries them.
    #[must_use]
    pub fn apart(&self) -> Option<Vec<Self>> {
        let bodies = self.body.apart()?.into_iter();
        Some(bodies.map(|body| Self { body, ..*self }).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{decode_strict, encode};
    use crate::event::log::LogFormat;
    use crate::event::{Redaction, Severity};

    fn run(texts: &[&[u8]], times: &[u64], end_bytes: Option<u8>) -> LogLine {
        let later = times.windows(2).map(|two| two[1].wrapping_sub(two[0]).cast_signed());
        let times_of_run = (!times.is_empty()).then(|| later.collect());
        let parsed = Parsed {
            app: Some("app".into()),
            time_ns: times.first().copied(),
            ..Parsed::new(LogFormat::Rfc5424)
        };
        LogLine {
            path: "/l".into(),
            device: 1,
            inode: 2,
            offset: 100,
            line: texts.join(&b'\n').into(),
            parsed: (!times.is_empty()).then_some(parsed),
            lines: u32::try_from(texts.len()).ok(),
            run: Some(Run { times: times_of_run, end_bytes }),
            ..LogLine::default()
        }
    }

    /// What each line is alone: `OFFSET text TIME`.
    #[track_caller]
    fn check(line: &LogLine, expected: &[(u64, &str, Option<u64>)]) {
        let lines = line.as_run().unwrap();
        assert_eq!((lines.count(), line.count()), (expected.len(), expected.len() as u64));
        for (at, (offset, text, time_ns)) in expected.iter().enumerate() {
            let single = lines.part(at..at + 1);
            assert_eq!((single.offset, single.line.as_str()), (*offset, Some(*text)));
            assert_eq!(single.parsed.as_ref().and_then(|parsed| parsed.time_ns), *time_ns);
            let app = single.parsed.as_ref().map(|parsed| parsed.app.clone().unwrap());
            assert_eq!(app, line.parsed.as_ref().map(|_| "app".into()));
            assert_eq!((single.lines, &single.run, single.count()), (None, &None, 1));
            assert_eq!((&single.path, single.device, single.inode), (&line.path, 1, 2));
        }
    }

    #[test]
    fn each_line_has_its_own_place_and_time() {
        check(
            &run(&[b"a", b"", b"ccc", b"d"], &[50, 50, 45, 1000], None),
            &[
                (100, "a", Some(50)),
                (102, "", Some(50)),
                (103, "ccc", Some(45)),
                (107, "d", Some(1000)),
            ],
        );
        check(
            &run(&[b"a", b"", b"ccc"], &[], Some(2)),
            &[(100, "a", None), (103, "", None), (105, "ccc", None)],
        );
    }

    #[test]
    fn a_run_that_does_not_hold_what_it_says_is_none() {
        let good = run(&[b"a", b"b"], &[1, 2], None);
        assert!(good.as_run().is_some());
        let of = |change: fn(&mut LogLine)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad
        };
        for bad in [
            of(|line| line.run = None),
            of(|line| line.lines = None),
            of(|line| line.lines = Some(3)),
            of(|line| line.lines = Some(1)),
            of(|line| line.lines = Some(u32::MAX)),
            of(|line| line.line = "a\nb\nc".into()),
            of(|line| line.line_bytes = Some(9)),
            of(|line| line.run = Some(Run { times: Some(vec![1, 2]), end_bytes: None })),
        ] {
            assert!(bad.as_run().is_none(), "{bad:?}");
        }
        let mut endless = run(&[b"a"], &[], None);
        (endless.line, endless.lines) = ("\n".repeat(LOG_RUN_LINES_MAX).as_str().into(), Some(257));
        assert!(endless.as_run().is_none());
    }

    #[test]
    fn an_event_comes_apart_under_its_own_number() {
        let mut line = run(&[b"a", b"b"], &[1, 2], None);
        line.redacted = Some(vec![Redaction { rule: "r".to_owned(), times: 1, bytes: 1 }]);
        let event = |body| Event { seq: 7, time_ns: 1, boot_ns: 2, severity: Severity::Low, body };
        let apart = event(Body::Log(line.clone())).apart().unwrap();
        assert_eq!(apart.len(), 2);
        assert!(apart.iter().all(|single| single.seq == 7 && single.apart().is_none()));
        let body: Event = decode_strict(&encode(&event(Body::Log(line.clone())))).unwrap();
        assert_eq!(body.body, Body::Log(line));
    }

    proptest! {
        #[test]
        fn parts_of_a_run_are_what_its_lines_are(
            lines in prop::collection::vec(("[a-z]{0,4}", 0..1_000_u64), 2..30),
            cut in 0..30_usize,
            end_bytes in prop::option::of(2..3_u8),
        ) {
            let texts: Vec<_> = lines.iter().map(|(text, _)| text.as_bytes()).collect();
            let times: Vec<_> = lines.iter().map(|(_, time)| *time).collect();
            let whole = run(&texts, &times, end_bytes);
            let whole = whole.as_run().unwrap();
            let singles = |lines: &Lines<'_>| -> Vec<LogLine> {
                (0..lines.count()).map(|at| lines.part(at..at + 1)).collect()
            };
            let cut = cut.min(lines.len());
            let mut of_parts = Vec::new();
            for range in [0..cut, cut..lines.len()] {
                let len = range.len();
                let part = whole.part(range);
                match len {
                    0 => {}
                    1 => of_parts.push(part),
                    _ => of_parts.extend(singles(&part.as_run().unwrap())),
                }
            }
            prop_assert_eq!(of_parts, singles(&whole));
        }
    }
}
