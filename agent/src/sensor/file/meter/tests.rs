//! Jobs as the meter sees them, good and bad, with the verdict on each.

use cordon_proto::event::Actor;

use super::touch::{Touch, Want};
use super::{Alarm, Meter};
use crate::clock::Stamp;
use crate::sensor::file::change::Acts;
use crate::sensor::file::content::tests::{prose, random};
use crate::sensor::file::content::{Content, judge};

/// A machine on which jobs run: a clock, and the meter that watches.
#[derive(Default)]
struct Scene {
    meter: Meter,
    now_ms: u64,
    alarms: Vec<(Alarm, usize)>,
    files: usize,
}

/// One process at work.
#[derive(Clone, Copy)]
struct By(u32, u32);

const ALONE: By = By(100, 1);
const REWRITE: Acts = Acts::WRITTEN;
const NEW: Acts = Acts { created: true, written: true, ..Acts::NONE };
const REPLACE: Acts = Acts { deleted: true, ..NEW };

impl Scene {
    fn touch(&mut self, by: Option<By>, acts: Acts, path: &str, from: Option<&str>, sample: &[u8]) {
        let actor = by.map(|By(pid, parent)| Actor {
            pid,
            start_boot_ns: Some(u64::from(pid)),
            parent_pid: Some(parent),
            ..Actor::default()
        });
        let touch = Touch {
            acts,
            path: path.as_bytes(),
            from: from.map(str::as_bytes),
            actor: actor.as_ref(),
        };
        let want = self.meter.want(&touch);
        let content = match want {
            Want::Nothing => Content::Unknown,
            Want::Look(_, promise) => judge(promise, sample),
        };
        let now = Stamp { time_ns: 0, boot_ns: self.now_ms * 1_000_000 };
        let alarm = self.meter.handle(&touch, want, content, now);
        self.alarms.extend(alarm.map(|alarm| (alarm, self.files)));
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
    }
}

const DOCUMENTS: [&str; 5] = ["docx", "pdf", "jpg", "txt", "xlsx"];

fn document(number: usize) -> String {
    format!("/home/ann/{}/letter{number}.{}", number % 7, DOCUMENTS[number % 5])
}

/// Runs a job over 200 files; `pause_ms` after each. Answers after how many files it was told.
#[track_caller]
fn told_after(pause_ms: u64, job: impl Fn(&mut Scene, usize)) -> Option<usize> {
    let mut scene = Scene::default();
    for number in 0..200 {
        scene.files = number + 1;
        job(&mut scene, number);
        scene.wait(pause_ms);
    }
    scene.alarms.first().map(|(_, files)| *files)
}

#[track_caller]
fn silent(job: impl Fn(&mut Scene, usize)) {
    assert_eq!(told_after(1, job), None);
}

fn writes_over(scene: &mut Scene, number: usize) {
    scene.touch(Some(ALONE), REWRITE, &document(number), None, &random(4096));
}

fn writes_over_and_renames(scene: &mut Scene, number: usize) {
    let path = document(number);
    // It has its new name by the time it is looked at.
    scene.touch(Some(ALONE), REWRITE, &path, None, b"");
    let locked = format!("{path}.locked");
    scene.touch(Some(ALONE), Acts::NONE, &locked, Some(&path), &random(4096));
}

fn copies_and_deletes(scene: &mut Scene, number: usize) {
    let path = document(number);
    scene.touch(Some(ALONE), NEW, &format!("{path}.enc"), None, &random(4096));
    scene.touch(Some(ALONE), Acts::DELETED, &path, None, b"");
}

#[test]
fn whoever_scrambles_files_is_told_of_after_a_dozen() {
    assert_eq!(told_after(0, writes_over), Some(12));
    assert_eq!(told_after(0, writes_over_and_renames), Some(12));
    assert_eq!(told_after(0, copies_and_deletes), Some(12));
    let renamed_at_random = |scene: &mut Scene, number: usize| {
        let name = format!("/home/ann/{}/{number:032x}.crypt", number % 7);
        scene.touch(Some(ALONE), NEW, &name, None, &random(4096));
        scene.touch(Some(ALONE), Acts::DELETED, &document(number), None, b"");
    };
    assert_eq!(told_after(0, renamed_at_random), Some(23));
    let put_in_place = |scene: &mut Scene, number: usize| {
        let path = document(number);
        let beside = format!("{path}.tmp");
        scene.touch(Some(ALONE), NEW, &beside, None, &random(4096));
        scene.touch(Some(ALONE), Acts::NONE, &path, Some(&beside), &random(4096));
    };
    assert_eq!(told_after(0, put_in_place), Some(12));
}

#[test]
fn whoever_overwrites_with_nothing_is_told_of_too() {
    let wipe = |scene: &mut Scene, number: usize| {
        scene.touch(Some(ALONE), REWRITE, &document(number), None, &[0; 4096]);
    };
    assert_eq!(told_after(0, wipe), Some(23));
}

#[test]
fn a_slow_hand_is_seen_down_to_a_file_a_minute() {
    assert_eq!(told_after(1_000, writes_over), Some(12));
    assert_eq!(told_after(10_000, writes_over_and_renames), Some(13));
    assert_eq!(told_after(60_000, writes_over_and_renames), Some(22));
    // Slower than that it is not: the price of never crying wolf.
    assert_eq!(told_after(120_000, writes_over_and_renames), None);
}

#[test]
fn notes_bring_the_moment_nearer_and_never_about() {
    let with_notes = |scene: &mut Scene, number: usize| {
        let note = format!("/home/ann/{}/HOW_TO_DECRYPT.txt", number % 7);
        scene.touch(Some(ALONE), NEW, &note, None, &prose(200));
        writes_over_and_renames(scene, number);
    };
    assert_eq!(told_after(0, with_notes), Some(9));
    silent(|scene, number| {
        let note = format!("/home/ann/{number}/RECOVER.txt");
        scene.touch(Some(ALONE), NEW, &note, None, &prose(200));
    });
}

#[test]
fn a_script_that_runs_a_program_for_each_file_is_told_of_as_the_parent() {
    let mut scene = Scene::default();
    for number in 0..200 {
        let path = document(number);
        let pid = 1000 + u32::try_from(number).unwrap() * 2;
        scene.touch(Some(By(pid, 77)), NEW, &format!("{path}.enc"), None, &random(4096));
        scene.touch(Some(By(pid + 1, 77)), Acts::DELETED, &path, None, b"");
        scene.files += 1;
    }
    let (alarm, files) = &scene.alarms[0];
    assert_eq!((alarm.actor.as_ref().unwrap().pid, alarm.through_children), (77, true));
    assert_eq!(*files, 11, "the twelfth");
    assert_eq!(scene.alarms.len(), 1);
}

#[test]
fn processes_that_nobody_could_look_at_are_told_of_together() {
    let nobody = |scene: &mut Scene, number: usize| {
        scene.touch(None, REWRITE, &document(number), None, &random(4096));
    };
    assert_eq!(told_after(0, nobody), Some(23));
}

#[test]
fn unpacking_building_checking_out_backing_up_and_clearing_up_are_silent() {
    // Unpacking a tree of sources, pictures and archives.
    silent(|scene, number| {
        for ending in ["c", "h", "jpg", "xz", "bin", "pak", "locked"] {
            let path = format!("/home/ann/src/{}/{number}.{ending}", number % 20);
            scene.touch(Some(ALONE), NEW, &path, None, &random(4096));
        }
        let readme = format!("/home/ann/src/{number}/README");
        scene.touch(Some(ALONE), NEW, &readme, None, &prose(900));
    });
    // Building: objects are written over, temporary files come and go.
    silent(|scene, number| {
        let path = format!("/home/ann/src/target/{number}.o");
        let sample = [b"\x7fELF".as_slice(), &random(4000)].concat();
        scene.touch(Some(ALONE), REWRITE, &path, None, &sample);
        let part = format!("/home/ann/src/target/{number}.rcgu.tmp");
        scene.touch(Some(ALONE), NEW, &part, None, &random(4096));
        let done = format!("/home/ann/src/target/{number}.rlib");
        scene.touch(Some(ALONE), Acts::NONE, &done, Some(&part), &random(4096));
        scene.touch(Some(ALONE), Acts::DELETED, &format!("/home/ann/src/{number}.d"), None, b"");
    });
    // Checking out another branch: files are deleted and made anew.
    silent(|scene, number| {
        let text = format!("/home/ann/src/{number}.rs");
        scene.touch(Some(ALONE), REPLACE, &text, None, &prose(4096));
        let picture = [b"\x89PNG".as_slice(), &random(4000)].concat();
        scene.touch(Some(ALONE), REPLACE, &format!("/home/ann/src/{number}.png"), None, &picture);
        let object = format!("/home/ann/src/.git/objects/{:02x}/{number:038x}", number % 256);
        scene.touch(
            Some(ALONE),
            NEW,
            &object,
            None,
            &[b"\x78\x01".as_slice(), &random(500)].concat(),
        );
    });
    // An encrypted backup: new packs come, old ones go.
    silent(|scene, number| {
        let pack = format!("/srv/backup/data/{:02x}/{number:064x}", number % 256);
        scene.touch(Some(ALONE), NEW, &format!("{pack}.tmp"), None, &random(4096));
        scene.touch(Some(ALONE), Acts::NONE, &pack, Some(&format!("{pack}.tmp")), &random(4096));
        scene.touch(
            Some(ALONE),
            Acts::DELETED,
            &format!("/srv/backup/data/00/{number}"),
            None,
            b"",
        );
    });
    // A copy that mirrors documents over old ones.
    silent(|scene, number| {
        let path = format!("/home/ann/mirror/{number}.pdf");
        let beside = format!("/home/ann/mirror/.{number}.pdf.Xa8Zk1");
        let sample = [b"%PDF-1.7".as_slice(), &random(4000)].concat();
        scene.touch(Some(ALONE), NEW, &beside, None, &sample);
        scene.touch(Some(ALONE), Acts::NONE, &path, Some(&beside), &sample);
    });
    // Compressing logs; and deleting a tree.
    silent(|scene, number| {
        let log = format!("/srv/logs/{number}.log");
        let packed = [b"\x1f\x8b\x08".as_slice(), &random(4000)].concat();
        scene.touch(Some(ALONE), NEW, &format!("{log}.gz"), None, &packed);
        scene.touch(Some(ALONE), Acts::DELETED, &log, None, b"");
        scene.touch(Some(ALONE), Acts::DELETED, &document(number), None, b"");
    });
    // Giving many files another ending.
    silent(|scene, number| {
        let path = document(number);
        scene.touch(Some(ALONE), Acts::NONE, &format!("{path}.2026"), Some(&path), &prose(4096));
        let other = format!("{path}.archived");
        scene.touch(Some(ALONE), Acts::NONE, &other, Some(&path), &prose(4096));
    });
    // A cache of a browser or a game, written over all the time.
    silent(|scene, number| {
        let path = format!("/home/ann/game/{}.pak", number % 100);
        scene.touch(Some(ALONE), REWRITE, &path, None, &random(4096));
    });
}

#[test]
fn it_is_told_once_then_once_a_minute_and_as_new_only_after_a_calm() {
    let mut scene = Scene::default();
    for number in 0..1000 {
        writes_over(&mut scene, number);
        scene.wait(100);
    }
    let told: Vec<_> = scene.alarms.iter().map(|(a, _)| (a.number, a.repeated)).collect();
    assert_eq!(told, [(1, false), (1, true)]);
    assert_eq!(scene.alarms[1].0.account.victims, 612);
    scene.wait(3 * 3_600_000);
    for number in 0..20 {
        let path = format!("/home/bob/{number}.pdf");
        scene.touch(Some(ALONE), REWRITE, &path, None, &random(4096));
    }
    let (alarm, _) = scene.alarms.last().unwrap();
    assert_eq!((alarm.number, alarm.repeated), (2, false));
}

#[test]
fn what_was_random_before_is_no_victim_and_what_was_not_is() {
    let mut scene = Scene::default();
    let path = |number: usize| format!("/home/ann/vault/{number}.blob");
    for number in 0..100 {
        scene.touch(Some(ALONE), REWRITE, &path(number), None, &random(4096));
    }
    for number in 0..100 {
        scene.touch(Some(By(5, 1)), REWRITE, &path(number), None, &random(4096));
    }
    assert!(scene.alarms.is_empty());
    for number in 100..120 {
        scene.touch(Some(By(6, 1)), REWRITE, &path(number), None, &prose(4096));
    }
    for number in 100..120 {
        scene.touch(Some(By(7, 1)), REWRITE, &path(number), None, &random(4096));
    }
    assert_eq!(scene.alarms[0].0.actor.as_ref().unwrap().pid, 7);
}

#[test]
fn the_meter_stays_within_its_bounds() {
    let mut scene = Scene::default();
    for number in 0..3000 {
        let by = By(u32::try_from(number).unwrap() + 10, 1);
        scene.touch(Some(by), NEW, &format!("/home/ann/{number}.odd"), None, &random(300));
        scene.touch(Some(ALONE), Acts::DELETED, &document(number), None, b"");
    }
    assert!(scene.meter.accounts.len() <= super::ACCOUNTS_MAX);
    assert!(scene.meter.new.iter().all(|half| half.len() <= super::NEW_MAX / 2));
    assert!(scene.meter.accounts.values().all(|account| account.remembered() < 4 * 513));
}
