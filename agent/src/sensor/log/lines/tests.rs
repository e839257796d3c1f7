//! Lines from bytes that come in any pieces.

use proptest::prelude::*;

use super::*;

const PLAIN: Cut<'_> = Cut { mark: Mark::NONE, join: &Join::Never };

fn show(line: &Line<'_>) -> String {
    format!("{} {}", line.offset, String::from_utf8_lossy(&line.bytes))
}

/// Feeds the pieces and compares what comes out, as `offset line`, with `expected`.
#[track_caller]
fn check(cut: Cut<'_>, pieces: &[&str], expected: &[&str], waiting: &[&str]) {
    let (mut tail, mut lines) = (Tail::at(10), Vec::new());
    for piece in pieces {
        assert_eq!(tail.feed(piece.as_bytes(), cut, usize::MAX, &mut lines), piece.len());
    }
    assert_eq!(lines.iter().map(show).collect::<Vec<_>>(), expected);
    assert_eq!(tail.finish(cut).iter().map(show).collect::<Vec<_>>(), waiting);
}

#[test]
fn lines_come_with_the_places_where_they_began() {
    check(PLAIN, &["one\ntwo\n\nfour\n"], &["10 one", "14 two", "18 ", "19 four"], &[]);
}

#[test]
fn a_line_without_its_end_waits_for_it() {
    check(PLAIN, &["one\ntw", "", "o", "\nth"], &["10 one", "14 two"], &["18 th"]);
}

#[test]
fn the_end_of_a_line_may_be_that_of_windows() {
    check(PLAIN, &["one\r\nt\rwo\r", "\n\r\n"], &["10 one", "15 t\rwo", "21 "], &[]);
}

#[test]
fn a_hole_before_a_line_is_passed_over_and_nul_bytes_in_a_line_stay() {
    check(PLAIN, &["\0\0", "\0one\n\0two\nth\0ree\n"], &["13 one", "18 two", "22 th\0ree"], &[]);
    check(PLAIN, &["\0\0\0"], &[], &[]);
}

#[test]
fn lines_that_belong_together_wait_for_the_one_after_them() {
    let cut = Cut { join: &Join::Indented, ..PLAIN };
    check(cut, &["one\n a", "\n b\ntwo\n"], &["10 one\n a\n b"], &["20 two"]);
    check(cut, &["one\n a\n b"], &[], &["10 one\n a\n b"]);
    let (mut tail, mut lines) = (Tail::at(0), Vec::new());
    tail.feed(b"one\n a\ntw", cut, usize::MAX, &mut lines);
    assert_eq!((tail.line_start(), tail.read_at(), tail.is_joining()), (0, 9, true));
    assert_eq!(tail.finish_joined().map(|line| line.lines), Some(2));
    assert_eq!((tail.line_start(), tail.is_joining()), (7, false));
}

#[test]
fn no_more_lines_are_taken_than_there_is_room_for() {
    let (mut tail, mut lines) = (Tail::at(0), Vec::new());
    assert_eq!(tail.feed(b"a\nb\nc\n", PLAIN, 2, &mut lines), 4);
    assert_eq!((lines.len(), tail.read_at()), (2, 4));
    assert_eq!(tail.feed(b"c\n", PLAIN, 0, &mut lines), 0);
}

#[test]
fn a_line_beyond_the_limit_is_cut_and_says_how_long_it_was() {
    let (mut tail, mut lines) = (Tail::at(0), Vec::new());
    let piece = vec![b'x'; LOG_LINE_BYTES_MAX - 1];
    for _ in 0..3 {
        tail.feed(&piece, PLAIN, usize::MAX, &mut lines);
    }
    assert_eq!(tail.line_start(), 0);
    tail.feed(b"\nnext\n", PLAIN, usize::MAX, &mut lines);
    let full = 3 * piece.len() as u64;
    assert_eq!((lines[0].bytes.len(), lines[0].full_bytes), (LOG_LINE_BYTES_MAX, Some(full)));
    assert_eq!((lines[1].offset, lines[1].full_bytes), (full + 1, None));
}

#[test]
fn a_line_of_just_the_limit_is_whole() {
    for more in [0, 1] {
        let (mut tail, mut lines) = (Tail::at(0), Vec::new());
        let line = vec![b'x'; LOG_LINE_BYTES_MAX + more];
        let full = (more > 0).then_some(line.len() as u64);
        let line = [line, b"\n".to_vec()].concat();
        tail.feed(&line, PLAIN, 1, &mut lines);
        assert_eq!((lines[0].bytes.len(), lines[0].full_bytes), (LOG_LINE_BYTES_MAX, full));
    }
}

/// Feeds `text` in pieces of these lengths, with room for so many lines each.
fn in_pieces<'a>(text: &'a [u8], cut: Cut<'_>, pieces: &[(usize, usize)]) -> Vec<Line<'a>> {
    let (mut tail, mut lines) = (Tail::at(cut.mark.bytes()), Vec::new());
    let mut pieces = pieces.iter().cycle();
    loop {
        let from = usize::try_from(tail.read_at()).unwrap();
        let (bytes, lines_max) = pieces.next().unwrap();
        // What is read is at least a whole sign, but at the end of the file.
        let piece = &text[from..text.len().min(from + bytes + 1)];
        let taken = tail.feed(piece, cut, lines_max + 1, &mut lines);
        if taken == 0 && text.len() - from < cut.mark.unit() {
            break;
        }
    }
    lines.extend(tail.finish(cut));
    lines
}

fn marks() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just("".into()),
        Just("\u{feff}".into()),
        Just(b"\xff\xfe".into()),
        Just(b"\xfe\xff".into())
    ]
}

fn joins() -> impl Strategy<Value = Join> {
    prop_oneof![Just(Join::Never), Just(Join::Indented), Just(Join::starts("a"))]
}

proptest! {
    #[test]
    fn however_it_is_read_the_same_lines_come_out(
        text in "[ab \n\r\0]{0,200}",
        join in joins(),
        mark in marks(),
        pieces in prop::collection::vec((1usize..40, 0usize..5), 1..20),
        odd in any::<bool>(),
    ) {
        let (mut bytes, mark) = (mark.clone(), Mark::of(&mark));
        for unit in text.encode_utf16() {
            match (mark.unit(), bytes[..].first()) {
                (2, Some(0xff)) => bytes.extend(unit.to_le_bytes()),
                (2, _) => bytes.extend(unit.to_be_bytes()),
                _ => bytes.extend(u8::try_from(unit)),
            }
        }
        if odd && mark.unit() == 2 {
            bytes.push(b'\n');
        }
        let cut = Cut { mark, join: &join };
        let lines = in_pieces(&bytes, cut, &pieces);
        prop_assert_eq!(&lines, &in_pieces(&bytes, cut, &[(1000, 1000)]));
        // What a plain reading of the text gives, holes and all.
        let whole: Vec<Vec<u8>> = lines.iter().map(|line| line.bytes.to_vec()).collect();
        let plain: Vec<&str> = text.split('\n').map(|line| line.trim_start_matches('\0')).collect();
        let ended = plain.split_last().map_or(&plain[..], |(last, rest)| if last.is_empty() { rest } else { &plain[..] });
        let plain: Vec<&str> = ended.iter().map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        prop_assert_eq!(whole.join(&b'\n'), plain.join("\n").into_bytes());
        let count: usize = lines.iter().map(|line| line.lines as usize).sum();
        prop_assert_eq!(count, plain.len());
    }

    #[test]
    fn any_bytes_at_all_are_cut_the_same_way_however_they_come(
        bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(0u8), any::<u8>()], 0..200),
        pieces in prop::collection::vec((1usize..40, 0usize..5), 1..20),
    ) {
        let cut = Cut { mark: Mark::of(&bytes), join: &Join::Never };
        prop_assert_eq!(in_pieces(&bytes, cut, &pieces), in_pieces(&bytes, cut, &[(1000, 1000)]));
    }
}
