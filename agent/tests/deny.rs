//! Programs that may not start, on this kernel. Needs root; every test is in a mount namespace of
//! its own, with a file system of its own, so that nobody else's programs are asked about.

#[path = "support/ensure.rs"]
mod ensure;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use cordon_agent::action::deed::{Done, Hand, NotDone, Seen, Tools};
use cordon_agent::action::deny;
use cordon_agent::identity::StateDir;
use cordon_agent::sensor::Report;
use cordon_proto::Text;
use cordon_proto::command::{Action, Deny, Executable};
use cordon_proto::event::Body;
use cordon_proto::event::finding::Finding;
use cordon_proto::id::Hash;
use cordon_proto::policy::Policy;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::{WaitId, WaitIdOptions};
use tokio::sync::mpsc;

use ensure::{ensure, until};

type Outcome = Result<(), Failed>;

type Test = (&'static str, fn(&Scene) -> Outcome);

const TESTS: [Test; 8] = [
    ("a content is denied wherever it is, and told", by_hash),
    ("a path is denied whatever is there, and a copy is not", by_path),
    ("a changed file is another content", changed),
    ("what an interpreter reads is not asked about", interpreted),
    ("a file system that comes later is watched", later_mount),
    ("whoever is asked and falls silent is ended, and all starts again", silent),
    ("many starts at once are all answered", storm),
    ("what the endpoint needs is refused", refused),
];

/// By this the program knows that it is in the namespace, and which test it is.
const INSIDE: &str = "CORDON_DENY_INSIDE";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(deny::WORD) {
        return deny::worker::run().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if let Ok(name) = std::env::var(INSIDE) {
        return inside(&name);
    }
    let mut trials: Vec<_> =
        TESTS.iter().map(|(name, _)| Trial::ignorable_test(*name, move || outside(name))).collect();
    trials.push(Trial::ignorable_test("a lab in the machine's own mounts is refused", || {
        unless_root(|| {
            let scene = Scene::new(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
            let refused = scene.act(Executable::Path("/tmp/nobody".into()));
            let words = "is in the machine's own mount namespace";
            match refused {
                Err(NotDone::Refused(why)) if why.contains(words) => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        })
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn unless_root(test: impl FnOnce() -> Outcome) -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("needs root"));
    }
    test().map(|()| Completion::Completed)
}

/// Runs one test in a mount namespace of its own.
fn outside(name: &str) -> Result<Completion, Failed> {
    unless_root(|| {
        let folder = tempfile::tempdir()?;
        let line = "mount -t tmpfs -o mode=0700 cordon-deny \"$1\" && cd \"$1\" && exec \"$0\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", line]).arg(std::env::current_exe()?);
        command.arg(folder.path()).env(INSIDE, name).stdin(Stdio::null());
        let output = command.output()?;
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        ensure(output.status.success(), &String::from_utf8_lossy(&said))
    })
}

fn inside(name: &str) -> ExitCode {
    let found = TESTS.iter().find(|(known, _)| *known == name);
    let ran = std::env::current_dir().map_err(Failed::from).and_then(|folder| {
        let (_, test) = found.ok_or("no such test")?;
        test(&Scene::new(&folder)?)
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let said = writeln!(std::io::stderr(), "{}", error.message().unwrap_or("it failed"));
            if said.is_ok() { ExitCode::FAILURE } else { ExitCode::from(2) }
        }
    }
}

/// An agent in a lab, and a folder of the test's own.
struct Scene {
    folder: PathBuf,
    hand: Hand,
    reports: std::cell::RefCell<mpsc::Receiver<(&'static str, Report)>>,
}

impl Scene {
    fn new(folder: &Path) -> Result<Self, Failed> {
        let state = folder.join(format!("state-{}", std::process::id()));
        let tools = Tools::new(StateDir::open(state)?, true);
        let (sender, reports) = mpsc::channel(64);
        tools.warden.connect(sender);
        let protected = Some(vec![Text::from("/bin/cat")]);
        let policy = Policy { protected, ..Policy::new("acme".parse()?, 1) };
        let hand = Hand { policy: Some(policy), ..Hand::new(tools) };
        Ok(Self { folder: folder.to_owned(), hand, reports: reports.into() })
    }

    /// A program of this name that nobody has hashed before.
    fn program(&self, name: &str) -> Result<PathBuf, Failed> {
        let path = self.folder.join(name);
        let mut content = fs::read("/bin/true")?;
        content.extend_from_slice(name.as_bytes());
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::metadata("/bin/true")?.permissions())?;
        Ok(path)
    }

    fn act(&self, what: Executable) -> Result<Done, NotDone> {
        let action = action(what);
        let deed = self.hand.deed(&action)?;
        let before = deed.prepare()?;
        deed.apply(&before)
    }

    /// Denies it; it must be seen to be denied.
    fn deny(&self, what: Executable) -> Outcome {
        let done = self.act(what).map_err(|why| why.to_string())?;
        let passed = !done.probes.is_empty() && done.probes.iter().all(|probe| probe.passed);
        ensure(passed && done.missing.is_empty(), &format!("{done:?}"))
    }

    fn allow(&self, what: Executable) -> Outcome {
        let action = action(what);
        let deed = self.hand.deed(&action).map_err(|why| why.to_string())?;
        deed.undo(&[]).map_err(|why| why.to_string())?;
        Ok(())
    }

    fn look(&self, what: Executable) -> Result<Seen, Failed> {
        let action = action(what);
        Ok(self.hand.deed(&action).map_err(|why| why.to_string())?.look(&[]))
    }

    fn finding(&self) -> Result<Finding, Failed> {
        let mut told = None;
        until("an attempt is told", || {
            if let Ok((_, Report::Sample(sample))) = self.reports.borrow_mut().try_recv() {
                told = sample.observations.into_iter().next().map(|seen| seen.body);
            }
            told.is_some()
        })?;
        match told {
            Some(Body::Finding(finding)) => Ok(*finding),
            other => Err(format!("{other:?}").into()),
        }
    }
}

fn action(what: Executable) -> Action {
    Action::Deny(Deny { what, lease_secs: None })
}

fn hash(path: &Path) -> Result<Executable, Failed> {
    Ok(Executable::Sha256(Hash::of(&fs::read(path)?)))
}

fn at(path: &Path) -> Executable {
    Executable::Path(path.to_string_lossy().as_ref().into())
}

/// Whether it starts; an error if it fails otherwise than denied.
fn starts(path: &Path) -> Result<bool, Failed> {
    match Command::new(path).stdin(Stdio::null()).status() {
        Ok(status) => ensure(status.success(), "it ran well").map(|()| true),
        Err(error) if error.raw_os_error() == Some(1) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn by_hash(scene: &Scene) -> Outcome {
    let (bad, good) = (scene.program("bad")?, scene.program("good")?);
    let copy = scene.folder.join("elsewhere");
    fs::copy(&bad, &copy)?;
    ensure(starts(&bad)?, "nothing is denied yet")?;
    let what = hash(&bad)?;
    scene.deny(what.clone())?;
    ensure(!starts(&bad)? && !starts(&copy)? && starts(&good)?, "just its content is denied")?;
    ensure(!starts(&bad)? && starts(&good)?, "the second time, too")?;
    let finding = scene.finding()?;
    ensure(finding.rule == "deny.attempt", "the rule")?;
    ensure(finding.paths == [Text::from(bad.to_string_lossy().as_ref())], "the path")?;
    let actor = finding.actor.ok_or("who tried")?;
    ensure(actor.uid == Some(0), "whose it was")?;
    ensure(matches!(scene.look(what.clone())?, Seen::Holds(_)), "it holds")?;
    scene.allow(what.clone())?;
    ensure(starts(&bad)?, "it is allowed again")?;
    ensure(matches!(scene.look(what)?, Seen::Drifted(_)), "it does not hold")
}

fn by_path(scene: &Scene) -> Outcome {
    let (bad, other) = (scene.program("bad")?, scene.program("other")?);
    let (copy, link, hard) =
        (scene.folder.join("copy"), scene.folder.join("link"), scene.folder.join("hard"));
    fs::copy(&bad, &copy)?;
    std::os::unix::fs::symlink(&bad, &link)?;
    fs::hard_link(&bad, &hard)?;
    scene.deny(at(&bad))?;
    ensure(!starts(&bad)? && !starts(&link)? && !starts(&hard)?, "by all its names")?;
    ensure(starts(&copy)?, "a copy is another")?;
    fs::rename(&other, &bad)?;
    ensure(!starts(&bad)?, "whatever is there")?;
    // What a link leads to is denied, too.
    scene.allow(at(&bad))?;
    scene.deny(at(&link))?;
    ensure(!starts(&bad)?, "by what a link leads to")?;
    scene.allow(at(&link))?;
    ensure(starts(&bad)?, "it is allowed again")
}

fn changed(scene: &Scene) -> Outcome {
    let program = scene.program("changes")?;
    let content = fs::read(&program)?;
    scene.deny(hash(&program)?)?;
    ensure(!starts(&program)?, "it is denied")?;
    fs::write(&program, [&content[..], b"!"].concat())?;
    ensure(starts(&program)?, "with another byte it is another")?;
    fs::write(&program, content)?;
    ensure(!starts(&program)?, "and as before it is denied")
}

fn interpreted(scene: &Scene) -> Outcome {
    let script = scene.folder.join("script");
    fs::write(&script, "#!/bin/sh\nexit 0\n")?;
    fs::set_permissions(&script, fs::metadata("/bin/true")?.permissions())?;
    scene.deny(hash(&script)?)?;
    ensure(!starts(&script)?, "started itself it is denied")?;
    let read = Command::new("sh").arg(&script).status()?;
    // The limit that the help states: nobody is asked about what is only read.
    ensure(read.success(), "a shell reads it")
}

fn later_mount(scene: &Scene) -> Outcome {
    let bad = scene.program("bad")?;
    scene.deny(hash(&bad)?)?;
    let later = scene.folder.join("later");
    fs::create_dir(&later)?;
    let mount = Command::new("mount").args(["-t", "tmpfs", "cordon-later"]).arg(&later).status()?;
    ensure(mount.success(), "a file system is mounted")?;
    let copy = later.join("bad");
    fs::copy(&bad, &copy)?;
    until("it is watched, too", || matches!(starts(&copy), Ok(false)))
}

fn silent(scene: &Scene) -> Outcome {
    let bad = scene.program("bad")?;
    scene.deny(at(&bad))?;
    let worker = child_of(std::process::id()).ok_or("who is asked")?;
    let stop = rustix::process::Pid::from_raw(i32::try_from(worker)?).ok_or("its number")?;
    rustix::process::kill_process(stop, rustix::process::Signal::STOP)?;
    // Told when the last of its threads stands still; until then it may answer.
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    rustix::process::waitid(WaitId::Pid(stop), stopped)?;
    // Whoever starts something waits until it is ended.
    ensure(starts(&bad)?, "all starts again")?;
    let seen = scene.look(at(&bad))?;
    ensure(matches!(seen, Seen::Drifted(_)), "it was seen to be gone")?;
    scene.deny(at(&bad))?;
    ensure(!starts(&bad)?, "it is denied again")
}

fn child_of(pid: u32) -> Option<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    list.split_whitespace().next()?.parse().ok()
}

fn storm(scene: &Scene) -> Outcome {
    let bad = scene.program("bad")?;
    scene.deny(hash(&bad)?)?;
    let programs: Vec<PathBuf> =
        (0..50).map(|n| scene.program(&format!("good-{n}"))).collect::<Result<_, _>>()?;
    let counted = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let ran = programs.iter().filter(|path| matches!(starts(path), Ok(true)));
                    (ran.count(), matches!(starts(&bad), Ok(false)))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    ensure(counted.iter().all(|one| *one == Some((50, true))), &format!("{counted:?}"))
}

fn refused(scene: &Scene) -> Outcome {
    let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let loader = loader.iter().map(Path::new).find(|path| path.exists()).ok_or("a loader")?;
    let program = std::env::current_exe()?;
    for path in [program.as_path(), loader, Path::new("/bin/cat")] {
        for what in [at(path), hash(path)?] {
            match scene.act(what) {
                Err(NotDone::Refused(why)) if why.contains("is protected") => {}
                other => return Err(format!("{}: {other:?}", path.display()).into()),
            }
        }
    }
    Ok(())
}
