//! Whether a batch continues what is stored of its lane.
//!
//! Pure: positions and headers in, a verdict out. A jump over numbers is accepted only where a
//! signed gap names exactly what was dropped.

use super::batch::Header;
use crate::event::gap::SealedRange;
use crate::id::Hash;
use crate::message::LanePosition;

/// What to do with a batch whose signature and content are already verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is the next one: store it.
    Next,
    /// It is the next one after numbers that a signed gap accounts for: store it.
    NextAfterGap,
    /// It begins a new epoch: store it.
    NewEpoch,
    /// Its numbers are stored already. Whether the content is the same is for the store to say.
    Stored,
    /// It does not continue what is stored.
    Broken(&'static str),
}

/// Judges a batch against the last one stored of its lane, and the gaps that were signed.
#[must_use]
pub fn judge(stored: Option<&LanePosition>, header: &Header, gaps: &[SealedRange]) -> Verdict {
    let starts_epoch = header.first == 1 && header.previous == Hash::default();
    let Some(stored) = stored else {
        return if starts_epoch || gap_before(header, 1, gaps) {
            Verdict::NewEpoch
        } else {
            Verdict::Broken("nothing is stored of this lane, and the batch is not its first")
        };
    };
    if header.epoch > stored.epoch {
        return if starts_epoch || gap_before(header, 1, gaps) {
            Verdict::NewEpoch
        } else {
            Verdict::Broken("the batch is of a new epoch, and not its first")
        };
    }
    if header.epoch < stored.epoch || header.last() <= stored.last {
        return Verdict::Stored;
    }
    let next = stored.last.saturating_add(1);
    if header.first == next {
        return if header.previous == stored.head {
            Verdict::Next
        } else {
            Verdict::Broken("the batch names another predecessor than the one stored")
        };
    }
    if header.first < next {
        return Verdict::Broken("the batch overlaps what is stored");
    }
    if gap_before(header, next, gaps) {
        Verdict::NextAfterGap
    } else {
        Verdict::Broken("numbers are missing before the batch, and no signed gap accounts for them")
    }
}

/// Whether signed gaps cover `from..header.first` without a hole and end at its predecessor.
fn gap_before(header: &Header, from: u64, gaps: &[SealedRange]) -> bool {
    let of_lane = |gap: &&SealedRange| gap.lane == header.lane && gap.epoch == header.epoch;
    let mut covered = from;
    let mut head = None;
    while covered < header.first {
        // Of the gaps that begin at or before the first uncovered number, the one that leads furthest.
        let next = gaps
            .iter()
            .filter(of_lane)
            .filter(|gap| gap.first <= covered && gap.last >= covered && gap.last < header.first)
            .max_by_key(|gap| gap.last);
        let Some(gap) = next else { return false };
        covered = gap.last.saturating_add(1);
        head = Some(gap.head);
    }
    head == Some(header.previous)
}

/// Where a lane stands once a batch is stored.
#[must_use]
pub fn position(header: &Header, hash: Hash) -> LanePosition {
    LanePosition { lane: header.lane, epoch: header.epoch, last: header.last(), head: hash }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lane;
    use crate::id::EndpointId;

    const LANE: Lane = Lane::Telemetry;

    fn head(of: &str) -> Hash {
        if of == "0" { Hash::default() } else { Hash::of(of.as_bytes()) }
    }

    /// Stored: `epoch last head`; batch: `epoch first count previous`; gaps: `epoch first last head`.
    #[track_caller]
    fn check(stored: &str, batch: &str, gaps: &[&str], says: &str) {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        let number = |word: &str| word.parse::<u64>().unwrap();
        let epoch = |word: &str| word.parse::<u32>().unwrap();
        let stored = (!stored.is_empty()).then(|| words(stored)).map(|w| LanePosition {
            lane: LANE,
            epoch: epoch(&w[0]),
            last: number(&w[1]),
            head: head(&w[2]),
        });
        let w = words(batch);
        let header = Header {
            endpoint: EndpointId::default(),
            lane: LANE,
            epoch: epoch(&w[0]),
            first: number(&w[1]),
            count: epoch(&w[2]),
            previous: head(&w[3]),
            root: Hash::default(),
            time_ns: 0,
            cause: None,
        };
        let gaps: Vec<_> = gaps
            .iter()
            .map(|gap| words(gap))
            .map(|w| SealedRange {
                lane: LANE,
                epoch: epoch(&w[0]),
                first: number(&w[1]),
                last: number(&w[2]),
                head: head(&w[3]),
            })
            .collect();
        let verdict = match judge(stored.as_ref(), &header, &gaps) {
            Verdict::Next => "next",
            Verdict::NextAfterGap => "next after gap",
            Verdict::NewEpoch => "new epoch",
            Verdict::Stored => "stored",
            Verdict::Broken(_) => "broken",
        };
        assert_eq!(verdict, says);
    }

    #[test]
    fn a_batch_continues_exactly_what_is_stored() {
        check("1 10 a", "1 11 5 a", &[], "next");
        check("1 10 a", "1 11 5 b", &[], "broken");
        check("1 10 a", "1 12 5 a", &[], "broken");
        check("1 10 a", "1 9 5 a", &[], "broken");
        check("1 10 a", "1 6 5 z", &[], "stored");
        check("2 10 a", "1 90 5 z", &[], "stored");
    }

    #[test]
    fn a_lane_begins_at_one_with_no_predecessor() {
        check("", "1 1 5 0", &[], "new epoch");
        check("", "1 2 5 0", &[], "broken");
        check("", "1 1 5 a", &[], "broken");
        check("1 10 a", "2 1 5 0", &[], "new epoch");
        check("1 10 a", "2 1 5 a", &[], "broken");
    }

    #[test]
    fn a_jump_is_accepted_where_signed_gaps_lead_all_the_way() {
        check("1 10 a", "1 21 5 c", &["1 11 20 c"], "next after gap");
        check("1 10 a", "1 21 5 c", &["1 11 15 b", "1 16 20 c"], "next after gap");
        check("1 10 a", "1 21 5 c", &["1 11 15 b", "1 17 20 c"], "broken");
        check("1 10 a", "1 21 5 d", &["1 11 20 c"], "broken");
        check("1 10 a", "1 21 5 c", &["2 11 20 c"], "broken");
        check("", "1 21 5 c", &["1 1 20 c"], "new epoch");
        check("1 10 a", "1 21 5 c", &["1 5 20 c"], "next after gap");
    }
}
