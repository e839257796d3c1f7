//! Kinds of logs on real files: compressed ones, several lines in one, other encodings, holes,
//! limits, links that are switched.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;

use cordon_proto::event::Encoding;

use super::scene::{Scene, check, check_losing};
use crate::sensor::log::FileSettings;
use crate::sensor::log::wake::{Name, Woken};

#[test]
fn a_file_compressed_under_the_reader_is_read_to_its_end() {
    check(
        "look; write app.log a|; look; write app.log b|; rename app.log app.log.1
         write app.log c|; gzip app.log.1; look; wait 10; restart; look",
        "a b c",
    );
}

#[test]
fn files_compressed_while_nobody_looked_are_read_on() {
    check(
        "look; write app.log a|; look; write app.log b|; restart; rename app.log app.log.1
         age app.log.1 1; gzip app.log.1; write app.log c|; look; restart; look; wait 20; look",
        "a b c",
    );
    // Later generations, too, in their order.
    check(
        "look; write app.log a|; look; write app.log b|; restart
         age app.log 1; rename app.log app.log.2; gzip app.log.2; write app.log c|
         age app.log 2; rename app.log app.log.1; gzip app.log.1; write app.log d|
         look; wait 20; restart; look; wait 20",
        "a b c d",
    );
    check_losing(
        "app.log",
        "look; write app.log a|; look; write app.log b|; restart; copy app.log app.log.1
         age app.log.1 1; gzip app.log.1; empty app.log; write app.log c|; look; wait 20; look",
        "a b c",
        1,
    );
}

#[test]
fn a_compressed_file_is_read_on_after_another_restart() {
    check(
        "look; write app.log a|; look; write app.log b|; restart; rename app.log app.log.1
         age app.log.1 1; gzip app.log.1; write app.log c|; crash; crash; look; restart; look; wait 20",
        "a b c",
    );
}

#[test]
fn what_came_before_is_not_read_again_from_its_compressed_file() {
    check(
        "look; write app.log a|; look; rename app.log app.log.1; write app.log b|; look; wait 20
         gzip app.log.1; restart; rename app.log app.log.0; age app.log.0 5; write app.log c|
         look; wait 20; restart; look",
        "a b c",
    );
}

#[test]
fn several_files_under_way_are_each_read_on_from_their_own_compressed_file() {
    // The first is still read to its end when the reader ends; so are then both.
    check(
        "look; write app.log a|; look; age app.log 1; rename app.log app.log.2; write app.log b|
         look; write app.log c|; age app.log 3; restart; rename app.log app.log.1
         gzip app.log.2; gzip app.log.1; write app.log d|; look; wait 20; restart; look; wait 20",
        "a b c d",
    );
}

#[test]
fn while_a_file_is_being_compressed_the_original_is_read() {
    check(
        "look; write app.log a|; look; rename app.log app.log.1; write app.log b|; look; wait 20
         restart; copy app.log.1 spare; gzip app.log.1; rename spare app.log.1
         age app.log.1.gz 100; rename app.log app.log.0; write app.log c|
         look; wait 20; remove app.log.1.gz; restart; look",
        "a b c",
    );
}

#[test]
fn a_compressed_file_that_is_damaged_is_told() {
    let mut scene = Scene::new("app.log");
    scene.play("look; write app.log a|; look; write app.log b|; restart; rename app.log app.log.1");
    scene.play("age app.log.1 1; gzip app.log.1; write app.log c|");
    let path = scene.directory.path().join("app.log.1.gz");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    let times = path.metadata().unwrap().modified().unwrap();
    fs::write(&path, bytes).unwrap();
    File::open(&path).unwrap().set_modified(times).unwrap();
    scene.play("look; wait 20");
    assert!(scene.lines.contains(&"c".to_owned()));
    assert_eq!(scene.losses.len(), 1, "{:?}", scene.losses);
}

#[test]
fn what_came_after_a_file_that_is_gone_is_read() {
    check_losing(
        "app.log",
        "look; write app.log a|; look; restart; write app.log b|; rename app.log app.log.1
         write app.log c|; remove app.log.1; rename app.log app.log.1; write app.log d|
         look; wait 20; restart; look",
        "a c d",
        1,
    );
}

#[test]
fn a_number_that_is_used_again_is_another_file() {
    let mut scene = Scene::new("app.log");
    scene.play("look; write app.log one|two|; look; restart");
    let path = scene.directory.path().join("app.log");
    let inode = path.metadata().unwrap().ino();
    // Whether a file system gives a number out again is its own affair: the same file with another
    // content is the same to a reader.
    fs::write(&path, "three\nfour\nfive\n").unwrap();
    assert_eq!(path.metadata().unwrap().ino(), inode);
    scene.play("look; restart; look");
    assert_eq!(scene.lines, ["one", "two", "three", "four", "five"]);
    assert_eq!(scene.losses.len(), 1);
}

#[test]
fn a_link_that_is_switched_is_followed_and_what_it_led_to_is_read_to_its_end() {
    check(
        "look; write a-1 a|; link a-1 app.log; look; write a-1 b|; write a-2 c|
         link a-2 app.log; look; write a-1 d|; write a-2 e|; look",
        "a b c d e",
    );
}

/// A scene in which the log has settings of its own.
fn scene_with(file: FileSettings) -> Scene {
    let mut scene = Scene::new("app.log");
    let paths = std::mem::take(&mut scene.settings.paths);
    scene.settings.files = vec![FileSettings { paths, ..file }];
    scene.restart();
    scene
}

fn indented() -> Scene {
    scene_with(FileSettings { indented: true, ..FileSettings::default() })
}

#[test]
fn lines_that_belong_together_are_one_event_once_the_next_begins_or_they_have_waited() {
    let append = |scene: &Scene, text: &str| {
        let path = scene.directory.path().join("app.log");
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let mut scene = indented();
    scene.act("look");
    append(&scene, "one\n at a\n");
    scene.act("look");
    assert!(scene.lines.is_empty());
    append(&scene, "\tat b\ntwo\n");
    scene.act("look");
    assert_eq!(scene.lines, ["one\n at a\n\tat b"]);
    assert_eq!(scene.events[0].lines, Some(3));
    assert_eq!(scene.watch.due_ns(), scene.now_ns + 1_000_000_000);
    scene.act("wait-ms 999");
    append(&scene, " at c\n");
    scene.act("wait-ms 1");
    assert_eq!(scene.lines.len(), 1, "it has grown");
    // What waits is not forgotten over a restart.
    scene.play("restart; look; wait 1");
    assert_eq!(scene.lines[1..], ["two\n at c"]);
    scene.play("restart; look; wait 1");
    assert_eq!(scene.lines.len(), 2);
}

#[test]
fn lines_that_wait_for_more_come_when_the_file_is_rotated() {
    let mut scene = indented();
    scene.play("look; write app.log a|; look; rename app.log app.log.1; write app.log b|; look");
    scene.play("wait 1; write app.log.1 c|; wait 1; write app.log.1 d; wait 20; wait 20");
    assert_eq!(scene.lines, ["a", "b", "c", "d"]);
    let mut scene = indented();
    scene.play("look; write app.log a|; look; copy app.log app.log.1; empty app.log");
    scene.play("write app.log b|; look; wait 20; wait 20");
    scene.lines.sort();
    assert_eq!(scene.lines, ["a", "b"]);
    assert_eq!(scene.losses.len(), 1);
}

#[test]
fn a_mark_at_the_beginning_says_what_the_text_is() {
    let mut scene = Scene::new("*.log");
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let write = |scene: &Scene, name: &str, bytes: &[u8]| {
        let path = scene.directory.path().join(name);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    };
    scene.act("look");
    // The mark itself comes in two pieces, and so does a sign.
    let text = utf16("\u{feff}grün\r\nzwei\u{a0a}\n");
    for piece in [&text[..1], &text[1..9], &text[9..]] {
        write(&scene, "a.log", piece);
        scene.act("look");
    }
    write(&scene, "b.log", b"\xef\xbb\xbfeins\n");
    write(&scene, "c.log", b"gr\xfcn\n");
    scene.act("look");
    assert_eq!(scene.lines, ["grün", "zwei\u{a0a}", "eins", "gr\u{fffd}n"]);
    let encodings: Vec<_> = scene.events.iter().map(|event| event.encoding).collect();
    let (le, utf8) = (Some(Encoding::Utf16Le), Some(Encoding::Utf8));
    assert_eq!(encodings, [le, le, utf8, None]);
    assert_eq!(scene.events[3].line.as_bytes(), b"gr\xfcn");
    assert_eq!([0, 1, 2].map(|at| scene.events[at].offset), [2, 14, 3]);
    // And where reading begins at the end, or anew, the same.
    write(&scene, "a.log", &utf16("drei\n"));
    scene.play("restart; look");
    assert_eq!(scene.lines[4..], ["drei"]);
    scene.kept.clear();
    write(&scene, "a.log", &utf16("vi")[..3]);
    scene.play("restart; look");
    write(&scene, "a.log", &utf16("vier\n")[3..]);
    scene.act("look");
    assert_eq!(scene.lines[5..], ["vier"]);
}

#[test]
fn a_hole_that_emptying_left_is_passed_over() {
    let mut scene = Scene::new("app.log");
    scene.act("look");
    let path = scene.directory.path().join("app.log");
    // It does not append: after the file was emptied it goes on where it was.
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"one\ntwo\n").unwrap();
    scene.act("look");
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    writer.seek(SeekFrom::Start(3 << 20)).unwrap();
    writer.write_all(b"three\n").unwrap();
    scene.play("look; look");
    writer.write_all(b"four\n").unwrap();
    scene.play("restart; look");
    assert_eq!(scene.lines, ["one", "two", "three", "four"]);
    assert_eq!(scene.events[2].offset, 3 << 20);
}

#[test]
fn what_is_over_the_limit_is_counted_and_the_log_rests() {
    let mut scene = Scene::new("*.log");
    (scene.settings.lines_per_s, scene.settings.burst_secs) = (2, 2);
    scene.restart();
    scene.play("look; write a.log 1|2|3|4|5|6|; write auth.log a|b|c|d|e|f|; look");
    assert_eq!(scene.lines.join(" "), "1 2 3 4 a b c d e f");
    assert_eq!((scene.over, scene.losses.len()), (2, 0));
    scene.play("write a.log 7|; look");
    assert_eq!((scene.lines.len(), scene.over), (10, 2), "it rests");
    assert_eq!(scene.watch.due_ns(), scene.now_ns + 1_000_000_000);
    scene.play("wait 1; restart; look");
    assert_eq!((scene.lines[10..].join(" "), scene.over), ("7".to_owned(), 2));
    // A new file in its place has no new reserve.
    scene.play("write a.log 8|9|0|1|; look; rename a.log a.log.1; write a.log x|; look");
    assert_eq!((scene.lines[11..].join(" "), scene.over), ("8 9 0 1".to_owned(), 3));
}

#[test]
fn a_file_that_is_emptied_in_place_is_read_in_a_hurry() {
    let gather_ms = |scene: &Scene| {
        let path = scene.directory.path().join("app.log");
        let files = [Name::of(&path)].into();
        scene.watch.gather(&Woken { files, everything: false }).as_millis()
    };
    let mut scene = Scene::new("app.log");
    scene.play("look; write app.log a|; look");
    assert_eq!(gather_ms(&scene), 20);
    scene.play("copy app.log app.log.1; restart; look");
    assert_eq!(gather_ms(&scene), 20, "a copy of the first minute may be anything");
    scene.play("age app.log.1 100; restart; look");
    assert_eq!(gather_ms(&scene), 5, "a copy lies beside it");
    scene.play("remove app.log.1; restart; look");
    assert_eq!(gather_ms(&scene), 20);
    scene.play("empty app.log; look");
    assert_eq!(gather_ms(&scene), 5, "it was seen");
}

#[test]
fn thousands_of_files_are_followed_and_those_beyond_are_said() {
    let mut scene = Scene::new("*.log");
    scene.act("look");
    for number in 0..1200 {
        fs::write(scene.directory.path().join(format!("{number}.log")), "a\n").unwrap();
    }
    scene.act("look");
    let (open, reason) = (scene.watch.files.len(), scene.watch.condition(None).1);
    assert_eq!(open, scene.lines.len());
    match open {
        1200 => assert_eq!(reason, None),
        // A machine that allows fewer descriptors than there are files.
        _ => assert!(reason.unwrap().contains(".log"), "{open}"),
    }
}
