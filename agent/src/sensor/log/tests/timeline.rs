//! Real files, and rounds of reading called by hand: every kind of rotation.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use cordon_proto::limits::LOG_LINE_BYTES_MAX;

use super::scene::{Scene, check, check_losing};
use crate::sensor::log::watch::DRAIN_NS;

#[test]
fn what_is_there_at_the_very_first_start_is_passed_over_and_what_comes_is_read() {
    check(
        "write app.log old|; look; write app.log a|b|; look; look; write app.log c|; look",
        "a b c",
    );
    check("look; write app.log a|; look", "a");
}

#[test]
fn the_first_line_read_is_a_whole_one() {
    check("write app.log old|beg; look; write app.log un|; look", "begun");
}

#[test]
fn all_is_read_from_the_start_where_that_is_set() {
    let mut scene = Scene::new("app.log");
    scene.settings.from_start = true;
    scene.restart();
    scene.act("write app.log a|b|");
    scene.act("look");
    assert_eq!(scene.lines, ["a", "b"]);
}

#[test]
fn a_line_waits_for_its_end_and_comes_without_it_once_the_file_has_gone() {
    check("look; write app.log a|b; look; wait 100; write app.log c|; look", "a bc");
    check("look; write app.log a|b; look; rename app.log x; look; wait 9", "a");
    check("look; write app.log a|b; look; rename app.log x; look; wait 9; wait 1", "a b");
    check("look; write app.log a|b; look; remove app.log; look; wait 10", "a b");
}

#[test]
fn a_renamed_file_is_read_on_while_its_writer_still_has_it() {
    check(
        "look; write app.log a|; look; rename app.log app.log.1; write app.log c|; look
         write app.log.1 b|; wait 5; write app.log d|; wait 5; write app.log.1 e|; wait 5",
        "a c b d e",
    );
}

#[test]
fn a_renamed_file_that_was_quiet_is_let_go_and_remembered_until_it_is_deleted() {
    let mut scene =
        check("look; write app.log a|; look; rename app.log app.log.1; look; wait 10", "a");
    let files = |scene: &Scene| {
        let is_file = |key: &&String| !key.starts_with("log/path/");
        (scene.watch.files.len(), scene.kept.keys().filter(is_file).count())
    };
    assert_eq!(files(&scene), (0, 1));
    scene.play("restart; look");
    assert_eq!(files(&scene), (0, 1));
    scene.play("remove app.log.1; write app.log b|; look");
    assert_eq!(files(&scene), (1, 1));
    // One that has no name of a rotated file is not looked for.
    scene.play("rename app.log other; look; wait 10; write app.log c|; look");
    assert_eq!((files(&scene), scene.lines.join(" ")), ((1, 1), "a b c".to_owned()));
}

#[test]
fn what_is_written_late_to_a_file_that_was_let_go_is_read() {
    check(
        "look; write app.log a|; look; rename app.log app.log.1; look; wait 10
         write app.log.1 late|; wait 10; restart; look; wait 10; write app.log.1 later|; look",
        "a late later",
    );
}

#[test]
fn a_rotated_file_that_gets_its_name_back_is_read_on() {
    check(
        "look; write app.log a|; look; rename app.log app.log.1; look; wait 10
         write app.log.1 b|; rename app.log.1 app.log; look",
        "a b",
    );
}

#[test]
fn what_was_there_before_a_path_was_watched_is_history() {
    check(
        "write app.log.1 old|; write app.log.2 older|; write app.log old|; look
         write app.log a|; rename app.log.1 app.log.3; rename app.log app.log.1; write app.log b|
         restart; look; gzip app.log.2; wait 20; restart; look",
        "a b",
    );
}

#[test]
fn a_log_that_was_never_seen_is_read_from_its_rotated_files() {
    check("look; write app.log a|; rename app.log app.log.1; look", "a");
    check(
        "look; restart; write app.log a|; rename app.log app.log.1; write app.log b|; look",
        "a b",
    );
    let emptied = "look; write app.log a|; copy app.log app.log.1; empty app.log; write app.log b|";
    let mut scene = Scene::new("app.log");
    scene.play(emptied);
    scene.act("look");
    scene.lines.sort();
    assert_eq!(scene.lines, ["a", "b"]);
}

#[test]
fn a_log_that_was_empty_when_it_was_seen_is_read_from_its_copy() {
    let empty = "look; write app.log a|; look; empty app.log; look";
    let copied = "write app.log b|; copy app.log app.log.1; empty app.log; write app.log c|; look";
    check_losing("app.log", &format!("{empty}; {copied}"), "a c b", 2);
    check_losing("app.log", &format!("{empty}; restart; {copied}"), "a c b", 2);
}

#[test]
fn a_file_that_was_copied_emptied_and_renamed_while_nobody_looked_is_read() {
    check_losing(
        "app.log",
        "look; write app.log a|; look; write app.log b|; restart; copy app.log app.log.1
         empty app.log; write app.log c|; rename app.log.1 app.log.2; rename app.log app.log.1
         write app.log d|; look; restart; wait 20; restart; look",
        "a b c d",
        1,
    );
}

#[test]
fn generations_that_came_and_went_between_two_looks_are_read() {
    check(
        "look; write app.log a|; look; write app.log b|; rename app.log app.log.1
         write app.log c|; rename app.log.1 app.log.2; rename app.log app.log.1
         write app.log d|; look; wait 10; wait 10",
        "a b c d",
    );
}

#[test]
fn a_file_emptied_after_it_was_copied_is_read_on_from_the_copy() {
    check_losing(
        "app.log",
        "look; write app.log a|; look; write app.log b|; copy app.log app.log.1; empty app.log
         write app.log c|; look; wait 10; wait 10",
        "a b c",
        1,
    );
}

#[test]
fn a_file_emptied_and_grown_past_the_place_is_read_from_its_beginning() {
    check_losing(
        "app.log",
        "look; write app.log one|two|; look; empty app.log; write app.log three|four|five|; look",
        "one two three four five",
        1,
    );
}

#[test]
fn the_line_under_way_is_told_when_a_file_is_emptied() {
    check_losing(
        "app.log",
        "look; write app.log a|b; look; empty app.log; write app.log c|; look",
        "a b c",
        1,
    );
    check_losing(
        "app.log",
        "look; write app.log a|b; look; write app.log b|; copy app.log app.log.1; empty app.log
         write app.log c|; look; look",
        "a bb c",
        1,
    );
}

#[test]
fn a_file_deleted_and_made_again_is_read_to_its_end_and_from_its_beginning() {
    check(
        "look; write app.log a|; look; write app.log b|; remove app.log; write app.log c|; look",
        "a b c",
    );
}

#[test]
fn reading_resumes_where_it_stood() {
    check(
        "look; write app.log a|b; look; restart; look; write app.log c|d|; restart; look",
        "a bc d",
    );
}

#[test]
fn what_was_read_and_not_kept_is_read_again() {
    check("look; write app.log a|; look; write app.log b|; crash; look; look", "a b");
    check(
        "look; write app.log a|; look; write app.log b|; rename app.log app.log.1
         write app.log c|; crash; crash; look",
        "a b c",
    );
    check_losing(
        "app.log",
        "look; write app.log a|; look; write app.log b|; copy app.log app.log.1; empty app.log
         write app.log c|; crash; look; look",
        "a b c",
        1,
    );
}

#[test]
fn rotations_while_nobody_looked_are_made_up_for() {
    check(
        "look; write app.log a|; look; write app.log b|; restart; rename app.log app.log.1
         write app.log c|; rename app.log.1 app.log.2; rename app.log app.log.1; write app.log d|
         look; restart; wait 20; wait 20; restart; look",
        "a b c d",
    );
    check_losing(
        "app.log",
        "look; write app.log a|; look; write app.log b|; restart; copy app.log app.log.1
         empty app.log; write app.log c|; copy app.log app.log.0; empty app.log; write app.log d|
         look; restart; wait 20; restart; look",
        "a b c d",
        2,
    );
}

#[test]
fn a_file_that_appeared_while_nobody_looked_is_read_from_its_beginning() {
    check("look; restart; write app.log a|b|; look", "a b");
}

#[test]
fn a_path_newly_set_is_read_from_its_end() {
    let mut scene = check("look; write new.log old|", "");
    let path = scene.directory.path().join("new.log").to_str().unwrap().to_owned();
    scene.settings.paths.push(path);
    for line in ["restart", "look", "write new.log a|", "look"] {
        scene.act(line);
    }
    assert_eq!(scene.lines, ["a"]);
}

#[test]
fn what_is_really_gone_is_told() {
    check_losing(
        "app.log",
        "look; write app.log a|; look; restart; remove app.log; write app.log b|; look; restart; look",
        "a b",
        1,
    );
    check_losing(
        "app.log",
        "look; write app.log aaa|; look; restart; empty app.log; look",
        "aaa",
        1,
    );
}

#[test]
fn a_pattern_that_matches_rotated_files_too_reads_each_line_once() {
    let renamed = "look; write app.log a|; look; write app.log b|; rename app.log app.log.1
                   write app.log c|; look; wait 20; write app.log.1 d|; look; restart; look";
    check_losing("app.log*", renamed, "a b c d", 0);
    let copied = "look; write app.log a|; look; write app.log b|; copy app.log app.log.1; look
                  empty app.log; look; write app.log c|; wait 20; wait 20; restart; look";
    check_losing("app.log*", copied, "a b c", 1);
    check_losing("app.log*", "look; write app.log.1.gz zip|; look", "", 0);
}

#[test]
fn long_lines_are_cut_and_many_lines_come_in_samples() {
    let mut scene = Scene::new("app.log");
    scene.act("look");
    let long = "x".repeat(3 * LOG_LINE_BYTES_MAX);
    let many: String = (0..2000).map(|number| format!("{number}\n")).collect();
    fs::write(scene.directory.path().join("app.log"), format!("{long}\n{many}")).unwrap();
    scene.act("look");
    assert_eq!(scene.lines.len(), 2001);
    assert_eq!(scene.lines[0], "x".repeat(LOG_LINE_BYTES_MAX));
    assert!(scene.lines[1..].iter().enumerate().all(|(at, line)| *line == at.to_string()));
}

#[test]
fn a_symbolic_link_is_followed_over_the_rotation_of_what_it_points_to() {
    let mut scene = Scene::new("app.log");
    let elsewhere = scene.directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(elsewhere.join("app.log"), scene.directory.path().join("app.log")).unwrap();
    let timeline = "look; write elsewhere/app.log a|; look; write elsewhere/app.log b|
        restart; rename elsewhere/app.log elsewhere/app.log.1; write elsewhere/app.log c|; look";
    timeline.split([';', '\n']).for_each(|line| scene.act(line.trim()));
    assert_eq!(scene.lines, ["a", "b", "c"]);
    assert!(scene.losses.is_empty());
    let watched = scene.watch.directories.clone();
    assert!(watched.contains(&elsewhere.canonicalize().unwrap()), "{watched:?}");
}

#[test]
fn what_is_no_file_is_passed_over_and_what_is_not_there_is_said() {
    let mut scene = Scene::new("*");
    fs::create_dir(scene.directory.path().join("directory")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.directory.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    scene.act("look");
    let (_state, reason) = scene.watch.condition(None);
    assert_eq!(reason.as_deref(), Some("none of the files is there"));
    scene.act("write a.log a|");
    scene.act("look");
    assert_eq!(scene.watch.condition(None).1, None);
    assert_eq!(scene.lines, ["a"]);
}

#[test]
fn a_file_that_may_not_be_read_is_said() {
    let mut scene = Scene::new("app.log");
    scene.act("write app.log a|");
    let path = scene.directory.path().join("app.log");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    scene.act("look");
    // Root may read all the same.
    let reason = scene.watch.condition(None).1;
    assert!(fs::read(&path).is_ok() || reason.unwrap().contains("app.log"));
}

#[test]
fn a_round_is_due_when_a_rotated_file_may_be_let_go() {
    let scene = check("look; write app.log a|; look; rename app.log x; wait 3", "a");
    assert_eq!(scene.watch.due_ns(), scene.now_ns + DRAIN_NS);
}
