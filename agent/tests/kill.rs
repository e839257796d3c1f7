//! Ending and stopping real processes on this kernel: what is named and nothing else. Needs root
//! and control groups of version 2; everything happens in a group of the test's own.

#[path = "kill/ending.rs"]
mod ending;
#[path = "support/ensure.rs"]
mod ensure;
#[path = "kill/refusals.rs"]
mod refusals;
#[path = "kill/reuse.rs"]
mod reuse;
#[path = "kill/scene.rs"]
mod scene;
#[path = "kill/stopping.rs"]
mod stopping;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use scene::Home;

type Test = (&'static str, fn(&Home) -> Result<(), Failed>);

const TESTS: [Test; 15] = [
    ("a process is ended, and its neighbours are not", ending::one),
    ("a tree is ended with its orphans", ending::tree),
    ("a tree is ended though its root ended meanwhile", ending::without_its_root),
    ("a tree that forks away is caught where it has a group of its own", ending::worm_in_a_group),
    ("a tree that forks away in the agent's own group is caught", ending::worm_beside),
    ("what a crash left frozen is let go, and ended", ending::after_a_crash),
    ("what the machine lives by is refused", refusals::essential),
    ("what is not as the command says is refused", refusals::other),
    ("who is outside of the own group is refused", refusals::outside),
    ("what policy protects is refused, in a tree too", refusals::policy),
    ("a number that was given anew is not mistaken", reuse::refused),
    ("a process is stopped, stopped again when it runs, and let go", stopping::one),
    ("a group of its own is frozen whole", stopping::group),
    ("who was born while it was looked goes on, too", stopping::born_between),
    ("what was stopped before stays stopped, and a restart forgets nothing", stopping::before),
];

fn main() -> ExitCode {
    if let Some(code) = reuse::inside_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // One control group is the test's own, and the tests change what is in it.
    arguments.test_threads = Some(1);
    let trials = TESTS.map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(Completion::ignored_with("needs root"));
            }
            match Home::enter()? {
                Some(home) => test(&home).map(|()| Completion::Completed),
                None => Ok(Completion::ignored_with("no cgroup-v2 tree is mounted")),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}
