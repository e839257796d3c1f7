//! Exactly once, simulated: both ends of a session against cuts, repeats, crashes, lost power, full
//! spools and two connections at once, with a reference model that knows every event made.

mod log;
mod spool;
mod world;

use world::World;
pub use world::{Faults, Wrong};

/// Steps with faults per run, before everything may calm down.
const STEPS: usize = 400;

/// The faults of which every run has some, named by the promise that they put to the test.
pub const CUTS_AND_CRASHES: Faults =
    Faults { cuts: true, crashes: true, overflow: false, power: false, mangle: false };
pub const FULL_SPOOL: Faults =
    Faults { cuts: true, crashes: false, overflow: true, power: false, mangle: false };
pub const LOST_POWER: Faults =
    Faults { cuts: true, crashes: true, overflow: false, power: true, mangle: false };
pub const MANGLED_MESSAGES: Faults =
    Faults { cuts: true, crashes: false, overflow: false, power: false, mangle: true };
pub const EVERYTHING: Faults =
    Faults { cuts: true, crashes: true, overflow: true, power: true, mangle: true };
pub const ALL: [Faults; 5] =
    [CUTS_AND_CRASHES, FULL_SPOOL, LOST_POWER, MANGLED_MESSAGES, EVERYTHING];

/// Runs one seed; what went wrong, and the last of what happened before it.
pub fn run(seed: u64, faults: Faults) -> Result<(), (Wrong, String)> {
    let mut world = World::new(seed, faults);
    for _ in 0..STEPS {
        world.step();
    }
    world.calm_down();
    world.judge().map_err(|wrong| (wrong, world.story()))
}
