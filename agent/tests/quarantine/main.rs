//! Quarantine and its undoing on real file systems, in a private mount namespace made for each
//! test. Needs root, loop devices and what makes the file systems;
//! without them tests are skipped by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "every line of this program is a test; clippy knows only #[test]"
)]

mod combinations;
mod crashes;
mod own_mounts;
mod platform;
mod refusals;
mod scene;

use std::io::Write;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};
use scene::FileSystem;

/// Every combination of what a file can carry.
const COMBINATIONS: [(&str, FileSystem); 4] = [
    ("every_combination_is_put_back_bit_for_bit_or_refused_on_ext4", FileSystem::Ext4),
    ("every_combination_is_put_back_bit_for_bit_or_refused_on_xfs", FileSystem::Xfs),
    ("every_combination_is_put_back_bit_for_bit_or_refused_on_btrfs", FileSystem::Btrfs),
    ("every_combination_is_put_back_bit_for_bit_or_refused_in_memory", FileSystem::Memory),
];

/// The rest, on ext4 or in memory.
const TESTS: [(&str, fn()); 10] = [
    ("a_crash_at_any_stage_leaves_the_file_or_a_whole_copy", crashes::at_every_stage),
    ("what_is_no_file_of_its_own_is_refused", refusals::of_what_is_no_file),
    ("what_the_machine_needs_is_refused_under_every_name", refusals::of_what_is_protected),
    ("an_agent_that_is_only_tried_out_takes_only_its_own", refusals::in_a_lab),
    ("another_content_than_asked_for_is_refused", refusals::of_another_content),
    ("a_file_that_is_exchanged_meanwhile_is_not_taken", refusals::exchanged),
    ("a_file_that_is_written_to_meanwhile_is_taken_as_written_or_not", refusals::written_to),
    ("a_file_that_comes_again_is_taken_again_and_another_is_not", refusals::comes_again),
    ("what_is_in_the_way_of_putting_back_is_said", refusals::put_back_later),
    ("a_long_file_costs_little_memory_and_its_holes_no_room", refusals::of_great_length),
];

fn main() -> ExitCode {
    if crashes::child() {
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // A child that is just being started holds what others have open.
    arguments.test_threads = Some(1);
    let combinations = COMBINATIONS.map(|(name, file_system)| {
        trial(name, file_system, move || combinations::all(file_system))
    });
    let tests = TESTS.map(|(name, test)| trial(name, FileSystem::Ext4, test));
    let trials = combinations.into_iter().chain(tests).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test out of reach of the machine's mounts, skipped where it cannot be run.
fn trial(name: &str, needed: FileSystem, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        if !rustix::process::geteuid().is_root() {
            return Ok(Completion::ignored_with("needs root"));
        }
        if let Some(missing) = needed.missing() {
            return Ok(Completion::ignored_with(missing));
        }
        let inside = move || {
            own_mounts::enter();
            test();
        };
        match std::thread::spawn(inside).join() {
            Ok(()) => Ok(Completion::Completed),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Figures for whoever runs this.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}
