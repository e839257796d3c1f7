//! Timelines of watched files: an imagined disk, what is told of it, and what is kept.

use std::collections::BTreeMap;

use cordon_proto::event::file::{FileKind, FileState};
use cordon_proto::id::Hash;

use super::*;

/// A disk with files in one directory that is watched, and a sensor that may be stopped.
struct Scene {
    disk: BTreeMap<String, (String, u64)>,
    kept: BTreeMap<String, Vec<u8>>,
    watch: Option<Watch>,
    now: Stamp,
    changes: u64,
    told: Vec<String>,
    /// Written at the moment when a file is about to be looked at.
    meanwhile: Vec<(&'static str, &'static str)>,
    settings: FileSettings,
}

impl Scene {
    fn new() -> Self {
        let settings = FileSettings {
            watch: vec!["/etc".to_owned()],
            watch_ignore: Vec::new(),
            files_max: 100,
            ..FileSettings::default()
        };
        Self {
            disk: BTreeMap::new(),
            kept: BTreeMap::new(),
            watch: None,
            now: Stamp::default(),
            changes: 0,
            told: Vec::new(),
            meanwhile: Vec::new(),
            settings,
        }
    }

    fn start(&mut self) {
        let kept = self.kept.iter();
        let kept: Vec<Checkpoint> = kept
            .map(|(key, value)| Checkpoint { key: key.clone(), value: Some(value.clone()) })
            .collect();
        let list = WatchList::new(&self.settings);
        self.watch = Some(Watch::new(&self.settings, list, Vec::new(), &kept));
        self.settle();
    }

    fn stop(&mut self) {
        self.watch = None;
    }

    fn write(&mut self, path: &str, content: &str) {
        let acts = self.put(path, content);
        self.change(acts, path, None);
    }

    fn put(&mut self, path: &str, content: &str) -> Acts {
        self.changes += 1;
        let before = self.disk.insert(path.to_owned(), (content.to_owned(), self.changes));
        Acts { created: before.is_none(), ..Acts::WRITTEN }
    }

    fn delete(&mut self, path: &str) {
        self.disk.remove(path);
        self.change(Acts::DELETED, path, None);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let file = self.disk.remove(from).unwrap();
        self.disk.insert(to.to_owned(), file);
        self.change(Acts::NONE, to, Some(from));
    }

    fn change(&mut self, acts: Acts, path: &str, from: Option<&str>) {
        let Some(watch) = &mut self.watch else { return };
        watch.handle_change(&changed(acts, path, from), None, self.now);
    }

    fn found(&self, path: &[u8]) -> Option<Kept> {
        let (content, changed_ns) = self.disk.get(std::str::from_utf8(path).unwrap())?;
        let state = FileState {
            kind: FileKind::Regular,
            bytes: u64::try_from(content.len()).unwrap(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            modified_ns: 0,
            sha256: Some(Hash::of(content.as_bytes())),
            capabilities: None,
        };
        Some(Kept { state, inode: 1, changed_ns: *changed_ns })
    }

    /// Lets time pass until nothing is left to do.
    fn settle(&mut self) {
        self.now.boot_ns += 2_000_000_000;
        let Some(mut watch) = self.watch.take() else { return };
        let mut sample = Sample::default();
        watch.handle_timeout(FileMeans::Fanotify, self.now, &mut sample);
        while let Some(job) = watch.poll_job() {
            match job {
                Job::Look(look) => {
                    for (path, content) in std::mem::take(&mut self.meanwhile) {
                        let acts = self.put(path, content);
                        watch.handle_change(&changed(acts, path, None), None, self.now);
                    }
                    let found = self.found(&look.pending.path);
                    watch.handle_answer(Answer::Looked(look, found), self.now, &mut sample);
                }
                Job::Walk(job) => {
                    let number = job.number;
                    let all = self.disk.keys().filter(|path| path.starts_with("/etc/"));
                    let all = all.map(|path| {
                        (path.as_bytes().to_vec(), self.found(path.as_bytes()).unwrap())
                    });
                    let walked = Answer::Walked(number, all.collect());
                    watch.handle_answer(walked, self.now, &mut sample);
                    let end = Answer::WalkEnded { number, whole: true };
                    watch.handle_answer(end, self.now, &mut sample);
                }
            }
        }
        assert!(watch.is_settled());
        self.watch = Some(watch);
        for Checkpoint { key, value } in sample.checkpoints {
            match value {
                Some(value) => drop(self.kept.insert(key, value)),
                None => drop(self.kept.remove(&key)),
            }
        }
        for observation in sample.observations {
            let Body::File(event) = observation.body else { panic!("not of a file") };
            let sides = (event.before.is_some(), event.after.is_some());
            let known = match sides {
                (true, true) => "",
                (true, false) => " to nothing",
                (false, true) => " from nothing",
                (false, false) => " unknown",
            };
            let how = if event.means == FileMeans::Comparison { " unseen" } else { "" };
            let (path, activity) = (event.path.to_lossy(), event.activity);
            self.told.push(format!("{activity:?} {path}{known}{how}"));
        }
    }

    #[track_caller]
    fn tells(&mut self, expected: &[&str]) {
        self.settle();
        assert_eq!(std::mem::take(&mut self.told), expected);
    }
}

/// A message of the kernel.
fn changed(acts: Acts, path: &str, from: Option<&str>) -> Change {
    let of = |path: &str| path.starts_with("/etc/");
    Change {
        pid: None,
        acts,
        path: path.as_bytes().to_vec(),
        from: from.map(|from| from.as_bytes().to_vec()),
        is_directory: false,
        watched: (of(path), from.is_some_and(of)),
        metered: false,
    }
}

#[test]
fn what_is_there_at_first_is_known_and_not_told() {
    let mut scene = Scene::new();
    scene.write("/etc/a", "one");
    scene.start();
    scene.tells(&[]);
    scene.write("/etc/a", "two");
    scene.tells(&["Modified /etc/a"]);
    scene.write("/etc/a", "two");
    scene.tells(&[]);
    scene.write("/etc/b", "new");
    scene.tells(&["Created /etc/b from nothing"]);
    scene.delete("/etc/a");
    scene.tells(&["Deleted /etc/a to nothing"]);
}

#[test]
fn a_change_while_files_are_first_looked_at_is_told() {
    let mut scene = Scene::new();
    scene.write("/etc/a", "one");
    scene.write("/etc/b", "one");
    scene.meanwhile = vec![("/etc/a", "two")];
    scene.start();
    scene.tells(&["Modified /etc/a from nothing"]);
    scene.write("/etc/a", "three");
    scene.tells(&["Modified /etc/a"]);
}

#[test]
fn what_changed_while_the_sensor_was_stopped_is_found_and_told_as_such() {
    let mut scene = Scene::new();
    for path in ["/etc/a", "/etc/b", "/etc/c"] {
        scene.write(path, "one");
    }
    scene.start();
    scene.stop();
    scene.write("/etc/a", "two");
    scene.delete("/etc/b");
    scene.write("/etc/d", "new");
    scene.start();
    scene.tells(&[
        "Modified /etc/a unseen",
        "Created /etc/d from nothing unseen",
        "Deleted /etc/b to nothing unseen",
    ]);
    scene.stop();
    scene.start();
    scene.tells(&[]);
}

#[test]
fn a_new_entry_of_the_list_begins_with_what_is_there() {
    let mut scene = Scene::new();
    scene.settings.watch = vec!["/etc/x".to_owned()];
    scene.write("/etc/a", "one");
    scene.start();
    scene.stop();
    scene.settings.watch.push("/etc".to_owned());
    scene.start();
    scene.tells(&[]);
    scene.stop();
    scene.write("/etc/b", "new");
    scene.start();
    scene.tells(&["Created /etc/b from nothing unseen"]);
}

#[test]
fn a_renamed_file_keeps_what_is_known_of_it() {
    let mut scene = Scene::new();
    scene.write("/etc/a", "one");
    scene.start();
    scene.rename("/etc/a", "/etc/b");
    scene.tells(&["Renamed /etc/b"]);
    scene.write("/tmp/x", "other");
    scene.rename("/tmp/x", "/etc/b");
    scene.tells(&["Modified /etc/b"]);
    scene.rename("/etc/b", "/tmp/y");
    scene.tells(&["Deleted /etc/b to nothing"]);
    scene.stop();
    scene.start();
    scene.tells(&[]);
}

#[test]
fn after_lost_messages_everything_is_compared() {
    let mut scene = Scene::new();
    scene.write("/etc/a", "one");
    scene.start();
    scene.disk.insert("/etc/a".to_owned(), ("two".to_owned(), 99));
    scene.watch.as_mut().unwrap().handle_loss();
    scene.tells(&["Modified /etc/a unseen"]);
}

#[test]
fn the_names_below_a_directory_that_goes_are_told_too() {
    let mut scene = Scene::new();
    scene.write("/etc/d/a", "one");
    scene.start();
    scene.disk.clear();
    let change = Change {
        pid: None,
        acts: Acts::DELETED,
        path: b"/etc/d".to_vec(),
        from: None,
        is_directory: true,
        watched: (true, false),
        metered: false,
    };
    scene.watch.as_mut().unwrap().handle_change(&change, None, scene.now);
    scene.tells(&["Deleted /etc/d/a to nothing", "Deleted /etc/d unknown"]);
}
