//! A process that dies at each stage of taking a file or putting it back, and what the next one
//! makes of it.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use cordon_agent::action::deed::{Deed, Tools};
use cordon_agent::action::quarantine::{Stage, Taking};
use cordon_agent::identity::StateDir;
use cordon_proto::command::Action;

use crate::platform::{self, Snapshot};
use crate::scene::{FileSystem, Scene, names_in, quarantine, whole};

/// Says to a child what to do and where to die: `verb stage state path before`.
const CHILD: &str = "CORDON_QUARANTINE_CHILD";

const TAKING: [Stage; 6] = [
    Stage::CopyBegun,
    Stage::CopyFinished,
    Stage::CopyKept,
    Stage::Opened,
    Stage::SetAside,
    Stage::TakenAway,
];

const BACK: [Stage; 6] = [
    Stage::BackBegun,
    Stage::BackWritten,
    Stage::BackDressed,
    Stage::BackNamed,
    Stage::BackClosed,
    Stage::CopyRemoved,
];

/// What a child does; false in a process that is none.
pub(crate) fn child() -> bool {
    let Ok(told) = std::env::var(CHILD) else { return false };
    let [verb, stage, state, path, before] =
        told.split('\n').collect::<Vec<_>>().try_into().unwrap();
    assert!(crate::own_mounts::are_entered(), "a child is for its test alone");
    let before = std::fs::read(before).unwrap();
    let tools = Tools::new(StateDir::open(state).unwrap(), false);
    let Action::Quarantine(asked) = quarantine(Path::new(path), None) else { panic!("no deed") };
    let die = |at: Stage| {
        if format!("{at:?}") == stage {
            platform::crash();
        }
    };
    let taking = Taking::told(&tools, &asked, &die);
    if verb == "take" { taking.apply(&before) } else { taking.undo(&before) }.unwrap();
    true
}

pub(crate) fn at_every_stage() {
    let scene = Scene::new(FileSystem::Ext4);
    for closed in [false, true] {
        for stage in TAKING.into_iter().filter(|stage| closed || *stage != Stage::Opened) {
            while_taking(&scene, stage, closed, false);
            while_taking(&scene, stage, closed, true);
        }
        for stage in BACK {
            while_putting_back(&scene, stage, closed, false);
            while_putting_back(&scene, stage, closed, true);
        }
    }
}

/// Dies while taking; then it is taken to the end and put back, or put back at once.
fn while_taking(scene: &Scene, stage: Stage, closed: bool, at_once: bool) {
    let (path, was) = make(scene, closed);
    let action = quarantine(&path, None);
    let before = scene.prepare(&action).unwrap();
    for first in [true, false] {
        let died = dies(scene, "take", stage, &path, &before);
        // On the way again it may not come by this stage.
        assert!(died || !first, "{stage:?} was not reached");
        assert!(is_somewhere(scene, &was, &before, &action), "{stage:?}: neither file nor copy");
    }
    if !at_once {
        whole(scene.apply(&action, &before));
        assert_eq!(names_in(&scene.files), ["lost+found", "tmp"]);
    }
    whole(scene.undo(&action, &before));
    ends(scene, &path, &was);
}

/// Dies while putting back; then that is done anew, or what is there is taken again first, as the
/// ledger does when it looks before it is told.
fn while_putting_back(scene: &Scene, stage: Stage, closed: bool, again: bool) {
    let (path, was) = make(scene, closed);
    let action = quarantine(&path, None);
    let before = scene.prepare(&action).unwrap();
    whole(scene.apply(&action, &before));
    assert!(dies(scene, "put back", stage, &path, &before), "{stage:?} was not reached");
    assert!(is_somewhere(scene, &was, &before, &action), "{stage:?}: neither file nor copy");
    if stage == Stage::CopyRemoved {
        // The ledger still says that it stands; the copy is gone because the file is back.
        assert_eq!(scene.undo(&action, &before).unwrap().missing.len(), 1);
        return ends(scene, &path, &was);
    }
    if again {
        whole(scene.apply(&action, &before));
    }
    whole(scene.undo(&action, &before));
    ends(scene, &path, &was);
}

fn make(scene: &Scene, closed: bool) -> (std::path::PathBuf, Snapshot) {
    let path = scene.path("there");
    let file = std::fs::File::create(&path).unwrap();
    file.write_all_at(&[3; 200_000], 0).unwrap();
    file.set_len(1 << 20).unwrap();
    file.sync_all().unwrap();
    std::fs::hard_link(&path, scene.path("as well")).unwrap();
    assert!(platform::set_xattr(&path, "user.origin", b"web"));
    platform::set_times(&path, 1_111_111_111, 987_654_321);
    assert!(platform::set_closed(&path, closed, false));
    let was = Snapshot::of(&path);
    (path, was)
}

fn ends(scene: &Scene, path: &Path, was: &Snapshot) {
    assert_eq!(names_in(&scene.files), ["as well", "lost+found", "there", "tmp"]);
    assert_eq!(&Snapshot::of(path), was);
    assert_eq!(scene.vault(), [""; 0]);
    platform::set_closed(path, false, false);
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(scene.path("as well")).unwrap();
}

fn dies(scene: &Scene, verb: &str, stage: Stage, path: &Path, before: &[u8]) -> bool {
    let kept = scene.state.join("before");
    std::fs::write(&kept, before).unwrap();
    let (state, path) = (scene.state.to_str().unwrap(), path.to_str().unwrap());
    let told = [verb, &format!("{stage:?}"), state, path, kept.to_str().unwrap()].join("\n");
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.env(CHILD, told).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert!(signal == Some(9) || output.status.success(), "{stage:?}: {}, {said}", output.status);
    signal.is_some()
}

/// The file itself, whatever it is called now, or a copy that is whole.
fn is_somewhere(scene: &Scene, was: &Snapshot, before: &[u8], action: &Action) -> bool {
    let content = |name: &String| {
        let path = scene.path(name);
        path.is_file() && Snapshot::of(&path).has_content_of(was)
    };
    if names_in(&scene.files).iter().any(content) {
        return true;
    }
    matches!(scene.look(action, before), cordon_agent::action::deed::Seen::Holds(_))
}
