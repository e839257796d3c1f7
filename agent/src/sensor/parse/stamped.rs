//! The head of a line that differs from the one before in nothing but the seconds of its time: where
//! a program says much, nearly every one. To read such a head anew was a sixth of what a line costs.

use super::head::Head;

/// `2026-11-22T01:02:`
const MINUTE_BYTES: usize = 17;

/// A head with its time cut at the minute.
#[derive(Clone, Debug)]
pub struct Stamped<'a> {
    head: Head<'a>,
    minute: &'a [u8],
    minute_ns: u64,
    /// What stands between the seconds and the message: the zone, the host, the tag.
    rest: &'a [u8],
}

impl<'a> Stamped<'a> {
    /// Of a line that begins with an ISO time and has a tag; of others the end of the head depends
    /// on what follows it.
    #[must_use]
    pub fn of(line: &'a [u8], head: &Head<'a>) -> Option<Self> {
        let (minute, seconds) = line.split_at_checked(MINUTE_BYTES)?;
        let (since_ns, rest) = seconds_of(seconds)?;
        let is_plain = head.priority.is_none() && minute.ends_with(b":");
        let rest = rest.get(..rest.len().checked_sub(head.message.len())?)?;
        let ends = rest.ends_with(b": ") && head.app.is_some();
        let minute_ns = head.time_ns()?.checked_sub(since_ns)?;
        (is_plain && minute[0].is_ascii_digit() && ends).then(|| Self {
            head: head.clone(),
            minute,
            minute_ns,
            rest,
        })
    }

    /// The head of a line, if it is this one but for the seconds.
    #[must_use]
    pub fn head_of(&self, line: &'a [u8]) -> Option<Head<'a>> {
        let (since_ns, rest) = seconds_of(line.strip_prefix(self.minute)?)?;
        let message = rest.strip_prefix(self.rest)?;
        let time_ns = self.minute_ns.checked_add(since_ns)?;
        let time = self.head.time.map(|(_ns, zone)| (time_ns, zone));
        Some(Head { time, message: message.into(), ..self.head.clone() })
    }
}

/// `03.25` as nanoseconds, and what follows.
fn seconds_of(text: &[u8]) -> Option<(u64, &[u8])> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let (seconds, rest) = text.split_first_chunk::<2>()?;
    let seconds = digit(&seconds[0]).filter(|tens| *tens <= 5)? * 10 + digit(&seconds[1])?;
    let Some(part) = rest.strip_prefix(b".") else {
        return Some((seconds * 1_000_000_000, rest));
    };
    let (mut nanos, mut length, mut unit) = (0, 0, 1_000_000_000);
    for digit in part.iter().map_while(digit) {
        unit /= 10;
        nanos += digit * unit;
        length += 1;
    }
    // More than nanoseconds, or none at all.
    let is_usual = (1..=9).contains(&length);
    is_usual.then(|| (seconds * 1_000_000_000 + nanos, &part[length..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::head::{Assumed, head};
    use super::*;

    #[test]
    fn the_next_line_of_the_same_program_has_the_same_head() {
        let first = b"2026-11-22T01:02:03.5+01:00 h app[7]: one";
        let assumed = Assumed::default();
        let stamped = Stamped::of(first, &head(first, &assumed).unwrap()).unwrap();
        let next = b"2026-11-22T01:02:59.25+01:00 h app[7]: two";
        assert_eq!(stamped.head_of(next), head(next, &assumed));
        for other in
            ["2026-11-22T01:02:04Z h app[7]: two", "2026-11-22T01:02:04+01:00 h app[8]: two"]
        {
            assert_eq!(stamped.head_of(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_head_that_is_found_so_is_the_one_that_is_read(
            lines in prop::collection::vec(
                ("<3>|", "2026-11-22T01:0[12]:|2026-11-2[12]t01:02:|Nov 22 01:02:", "[0-6][0-9]",
                 "(\\.[0-9]{0,10})?", "Z|z|\\+01:00|", " ?", "h|-", " (app(\\[7\\])?:? ?)?", "[a: \\[]{0,4}"),
                2..6,
            ),
        ) {
            let texts: Vec<String> = lines
                .into_iter()
                .map(|(a, b, c, d, e, f, g, h, i)| [a, b, c, d, e, f, g, h, i].concat())
                .collect();
            let assumed = Assumed { now_ns: 1_795_000_000_000_000_000, offset_secs: 3600 };
            for first in &texts {
                let Some(read) = head(first.as_bytes(), &assumed) else { continue };
                let Some(stamped) = Stamped::of(first.as_bytes(), &read) else { continue };
                prop_assert_eq!(stamped.head_of(first.as_bytes()), Some(read));
                for next in &texts {
                    if let Some(found) = stamped.head_of(next.as_bytes()) {
                        prop_assert_eq!(Some(found), head(next.as_bytes(), &assumed));
                    }
                }
            }
        }
    }
}
