//! Times in heads of lines. A traditional one has neither year nor zone: both are assumed.

use cordon_proto::event::log::Zone;

use super::head::Assumed;

const DAY_SECS: i64 = 86_400;
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Days from 1970 to a day of the calendar that we have.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years counted from March end with the day that leap years add.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_of(year: i64, month: i64) -> i64 {
    let next = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    next - days(year, month, 1)
}

fn year_of(days_since_1970: i64) -> i64 {
    let mut year = 1970 + days_since_1970.div_euclid(366);
    while days(year + 1, 1, 1) <= days_since_1970 {
        year += 1;
    }
    year
}

fn two_digits(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [b' ', ones] if ones.is_ascii_digit() => Some(i64::from(ones - b'0')),
        [tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

/// Reads `Oct 11 22:14:15`. The year is the one that puts it nearest before now, and at most a day
/// behind it: clocks differ.
pub(super) fn traditional(bytes: &[u8], assumed: &Assumed) -> Option<(u64, Zone)> {
    if bytes.len() != 15 || bytes[3] != b' ' || bytes[6] != b' ' {
        return None;
    }
    let month = MONTHS.iter().position(|name| **name == bytes[..3])?;
    let month = i64::try_from(month).ok()? + 1;
    let day = two_digits(&bytes[4..6])?;
    let [hour, minute, second] = [7, 10, 13].map(|at| two_digits(&bytes[at..at + 2]));
    let (hour, minute, second) = (hour?, minute?, second?);
    let colons = bytes[9] == b':' && bytes[12] == b':';
    if !colons || day == 0 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = i64::from(assumed.offset_secs);
    let now = i64::try_from(assumed.now_ns / 1_000_000_000).ok()?;
    let this_year = year_of((now + offset).div_euclid(DAY_SECS));
    let in_year = |year: i64| {
        let at = days(year, month, day);
        let secs = at * DAY_SECS + hour * 3600 + minute * 60 + second - offset;
        (day <= days_of(year, month) && secs <= now + DAY_SECS).then_some(secs)
    };
    // Far enough back for the 29th of February.
    let secs = (this_year - 8..=this_year + 1).rev().find_map(in_year)?;
    let time_ns = u64::try_from(secs).ok()?.checked_mul(1_000_000_000)?;
    Some((time_ns, Zone { offset_secs: assumed.offset_secs, assumed: true }))
}

/// Reads RFC 3339 with its zone.
pub(super) fn iso(bytes: &[u8]) -> Option<(u64, Zone)> {
    usual(bytes).or_else(|| unusual(bytes))
}

/// So many digits as a number.
fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number: i64, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Times as nearly all logs have them, `2026-11-22T01:02:03.4Z` or `+01:00`; none for everything
/// else. A third of what a line costs would else be to read its time.
fn usual(bytes: &[u8]) -> Option<(u64, Zone)> {
    const YEARS: std::ops::RangeInclusive<i64> = 1971..=2500;
    let (at, rest) = bytes.split_first_chunk::<19>()?;
    let signs = [at[4], at[7], at[10], at[13], at[16]];
    let [year, month, day] = [digits(&at[..4])?, digits(&at[5..7])?, digits(&at[8..10])?];
    let [hour, minute, second] = [11, 14, 17].map(|from| digits(&at[from..from + 2]));
    let (hour, minute, second) = (hour?, minute?, second?);
    let is_month = (1..=12).contains(&month) && YEARS.contains(&year);
    let is_day = day >= 1 && (day <= 28 || day <= days_of(year, month));
    if signs != *b"--T::" || !is_month || !is_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let missing = 9_usize.checked_sub(length).filter(|missing| *missing < 9)?;
            let power = 10_i64.pow(u32::try_from(missing).ok()?);
            (digits(&rest[..length])? * power, &rest[length..])
        }
        None => (0, rest),
    };
    let offset = match *rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] => {
            let (hours, minutes) = (digits(&[h1, h0])?, digits(&[m1, m0])?);
            let offset = hours * 3600 + minutes * 60;
            let offset = Some(offset).filter(|_offset| hours <= 23 && minutes <= 59)?;
            if sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let secs = days(year, month, day) * DAY_SECS + hour * 3600 + minute * 60 + second - offset;
    let time_ns = u64::try_from(secs).ok()? * 1_000_000_000 + u64::try_from(nanos).ok()?;
    Some((time_ns, Zone { offset_secs: i32::try_from(offset).ok()?, assumed: false }))
}

fn unusual(bytes: &[u8]) -> Option<(u64, Zone)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let time_ns = cordon_proto::time::from_rfc3339(text)?;
    let offset_secs = match *bytes.last()? {
        b'Z' | b'z' => 0,
        _ => {
            let zone = bytes.len().checked_sub(6).map(|at| &bytes[at..])?;
            let secs =
                i32::try_from(two_digits(&zone[1..3])? * 3600 + two_digits(&zone[4..6])? * 60);
            if zone[0] == b'-' { -secs.ok()? } else { secs.ok()? }
        }
    };
    Some((time_ns, Zone { offset_secs, assumed: false }))
}

#[cfg(test)]
mod tests {
    use cordon_proto::time::{from_rfc3339, rfc3339};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(now: &str, offset_secs: i32, text: &str, expected: Option<&str>) {
        let assumed = Assumed { now_ns: from_rfc3339(now).unwrap(), offset_secs };
        let read = traditional(text.as_bytes(), &assumed);
        let read = read.map(|(ns, _)| rfc3339(ns).replace(".000000000", ""));
        assert_eq!(read.as_deref(), expected, "{text} at {now}");
    }

    #[test]
    fn a_time_without_year_and_zone_is_the_last_such_moment() {
        check("2026-11-22T01:00:00Z", 0, "Nov 22 00:59:58", Some("2026-11-22T00:59:58Z"));
        check("2026-11-22T01:00:00Z", 3600, "Nov 22 01:59:58", Some("2026-11-22T00:59:58Z"));
        check("2026-01-01T00:00:10Z", 0, "Dec 31 23:59:59", Some("2025-12-31T23:59:59Z"));
        check("2025-12-31T23:59:50Z", 0, "Jan  1 00:00:05", Some("2026-01-01T00:00:05Z"));
        check("2026-12-31T23:30:00Z", 3600, "Jan  1 00:29:00", Some("2026-12-31T23:29:00Z"));
        check("2026-03-01T00:00:00Z", 0, "Feb 29 12:00:00", Some("2024-02-29T12:00:00Z"));
        check("2026-03-01T00:00:00Z", 0, "Mar  3 12:00:00", Some("2025-03-03T12:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "Foo 11 22:14:15", "Oct 32 22:14:15", "Oct 11 24:14:15", "Oct 11 22.14.15"]
        {
            check("2026-11-22T01:00:00Z", 0, text, None);
        }
        assert_eq!(iso(b"2026-11-22"), None);
        assert!(usual(b"2026-11-22T01:02:03.000000004+05:30").is_some());
        assert!(usual(b"2026-11-22T01:02:03Z").is_some());
        let zone = |text: &str| iso(text.as_bytes()).unwrap().1;
        assert_eq!(zone("2026-11-22T01:00:00-05:30").offset_secs, -19_800);
        assert_eq!(zone("2026-11-22T01:00:00.5Z"), Zone { offset_secs: 0, assumed: false });
    }

    proptest! {
        #[test]
        fn days_agree_with_the_calendar(secs in 0u64..4_000_000_000) {
            let text = rfc3339(secs * 1_000_000_000);
            let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
            let days_since = i64::try_from(secs).unwrap() / DAY_SECS;
            prop_assert_eq!(days(part(0, 4), part(5, 7), part(8, 10)), days_since);
            prop_assert_eq!(year_of(days_since), part(0, 4));
        }

        #[test]
        fn usual_times_are_read_as_all_others_are(
            year in 1960..2600_u32, month in 0..14_u32, day in 0..33_u32,
            (hour, minute, second) in (0..26_u32, 0..62_u32, 0..62_u32),
            fraction in "(\\.[0-9]{0,10})?", zone in "Z|z||[+-][0-2][0-9]:[0-6][0-9]",
            separator in "[T tt]",
        ) {
            let date = format!("{year:04}-{month:02}-{day:02}{separator}");
            let text = format!("{date}{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            if let Some(read) = usual(text.as_bytes()) {
                prop_assert_eq!(Some(read), unusual(text.as_bytes()), "{}", text);
            }
        }

        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 15), now_ns: u64) {
            traditional(&bytes, &Assumed { now_ns, offset_secs: 0 });
            iso(&bytes);
        }
    }
}
