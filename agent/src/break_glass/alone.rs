//! The way out while no agent runs: `cordon-agent release` judges the code itself, under the lock
//! of the state directory, and the supervisor finishes what a right one began.
//!
//! The use is on disk before anything is opened, and with it the record of what stood: nothing puts
//! that up again, and the next agent tells how it ended. Other containments wait for that agent.

use cordon_proto::code::Code;
use cordon_proto::roster::RosterRef;

use super::kept::Kept;
use super::reply::Reply;
use super::{Attempt, BreakGlass, Verdict};
use crate::action::isolate::shell::{Safety, Shell, ShellError};
use crate::clock;
use crate::config::Config;
use crate::identity::{Identity, IdentityError, StateDir, StateDirError};
use crate::kept::{self, ISOLATION};
use crate::roster_keeper::{RosterError, RosterKeeper};

/// Why a code cannot be judged here, or a right one has not opened the endpoint.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// Who this endpoint is cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Who may release it cannot be read.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The rules are still there.
    #[error("what stands could not be taken down: {0}")]
    LetBack(ShellError),
    /// The rules are gone, and the next agent or supervisor will not know why.
    #[error(
        "the network is open, but that cannot be noted on the disk, so that the endpoint may be \
         isolated again: {0}"
    )]
    Unnoted(StateDirError),
}

/// This program in the dead agent's place.
pub struct Alone<'a> {
    dir: &'a StateDir,
    own: StateDir,
    glass: BreakGlass,
    held: RosterRef,
    secs: u64,
    shell: Shell,
}

impl<'a> Alone<'a> {
    /// Reads what is kept.
    pub fn open(config: &Config, dir: &'a StateDir) -> Result<Self, AloneError> {
        let identity = Identity::load(dir)?;
        let own = dir.inner(&identity.own_dir_name())?;
        let kept = Kept::load(&own)?;
        let held = RosterKeeper::open(own.clone(), &identity)?.held().reference;
        // A lost clock must not lock the door: then every code is looked at.
        let secs = clock::boot_id().ok().and_then(|boot_id| {
            let time = kept::load_time(&own, &boot_id, clock::boot_ns()).ok()?;
            Some(time.secs(clock::boot_ns()))
        });
        let secs = secs.unwrap_or(kept.next_secs);
        let shell = shell(config);
        Ok(Self { dir, own, glass: BreakGlass::resume(kept), held, secs, shell })
    }

    /// What whoever wants to type a code is told; none where a right one was typed before.
    pub fn standing(&self) -> Result<Option<Reply>, AloneError> {
        Ok(match self.glass.attempt(self.held, self.secs) {
            Attempt::Check { serial, .. } => {
                let stand = u64::from(self.dir.read_secret(ISOLATION)?.is_some());
                Some(Reply::Ask { serial, stand })
            }
            Attempt::NoCode => Some(Reply::NoCode),
            Attempt::Slowed(wait_secs) => Some(Reply::Slowed { wait_secs }),
            Attempt::UnderWay => None,
        })
    }

    /// Judges the code, and lets back where it is right, or where one was before. The caller has
    /// the lock.
    pub fn release(mut self, code: Option<&Code>) -> Result<Reply, AloneError> {
        let (serial, check) = match self.glass.attempt(self.held, self.secs) {
            Attempt::Check { serial, check } => (serial, check),
            Attempt::NoCode => return Ok(Reply::NoCode),
            Attempt::Slowed(wait_secs) => return Ok(Reply::Slowed { wait_secs }),
            Attempt::UnderWay => return self.let_back(),
        };
        let right = code.is_some_and(|code| check.holds(code));
        let time_ns = clock::stamp().time_ns;
        match self.glass.handle_checked(serial, right, self.held, self.secs, time_ns) {
            Verdict::Right => self.let_back(),
            Verdict::Wrong { wait_secs } => {
                self.glass.kept().store(&self.own)?;
                Ok(Reply::Wrong { wait_secs })
            }
            Verdict::Void => Ok(Reply::NoCode),
        }
    }

    fn let_back(mut self) -> Result<Reply, AloneError> {
        let kept = self.glass.kept().clone();
        finish(self.dir, &self.own, kept, || self.shell.let_back().map(drop))?;
        Ok(Reply::Open)
    }
}

/// Finishes what a right code began, where no agent does: for a supervisor that finds a record of
/// what the code has ended. Answers whether it is such a record; one of which that cannot be known
/// is none. The caller has the lock.
pub fn finish_ended(config: &Config, dir: &StateDir) -> Result<bool, AloneError> {
    let Some((own, kept)) = read(dir).filter(|(_, kept)| kept.opening.is_some()) else {
        return Ok(false);
    };
    tracing::warn!(number = kept.serial, "the break-glass code was used; nothing is held");
    let mut shell = shell(config);
    finish(dir, &own, kept, || shell.let_back().map(drop))?;
    Ok(true)
}

/// Whether a right code was typed whose work no agent has finished yet.
pub fn was_opened(dir: &StateDir) -> bool {
    read(dir).is_some_and(|(_, kept)| kept.opening.is_some())
}

fn read(dir: &StateDir) -> Option<(StateDir, Kept)> {
    let own = dir.inner(&Identity::load(dir).ok()?.own_dir_name()).ok()?;
    let kept = Kept::load(&own).ok()?;
    Some((own, kept))
}

/// Notes what stood with the use, takes it down, and forgets its record.
fn finish(
    dir: &StateDir,
    own: &StateDir,
    mut kept: Kept,
    let_back: impl FnOnce() -> Result<(), ShellError>,
) -> Result<(), AloneError> {
    let isolation = dir.read_secret(ISOLATION).ok().flatten();
    if let Some(opening) = &mut kept.opening
        && isolation.is_some()
    {
        opening.isolation = isolation;
    }
    // A full disk must not keep anybody in.
    let noted = kept.store(own);
    let_back().map_err(AloneError::LetBack)?;
    if let Err(error) = dir.remove(ISOLATION) {
        tracing::warn!(%error, "the record of what the code has ended is left on the disk");
    }
    // What was removed may have made the room.
    noted.or_else(|_full| kept.store(own)).map_err(AloneError::Unnoted)
}

fn shell(config: &Config) -> Shell {
    let plain_tables = !config.isolation.own_tables;
    let safety = Safety { outside_initial_netns_only: config.lab, plain_tables };
    Shell::new(safety, config.state_dir.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::break_glass::kept::Opening;

    struct Scene {
        _temp: tempfile::TempDir,
        dir: StateDir,
        own: StateDir,
    }

    /// A state directory after a right code was typed, with the record of an isolation.
    fn scene() -> (Scene, Kept) {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        let own = dir.inner("own").unwrap();
        dir.write(ISOLATION, b"record").unwrap();
        let opening = Opening { at_secs: 1, time_ns: 2, wrong: 0, isolation: None };
        let kept = Kept { serial: 1, opening: Some(opening), ..Kept::default() };
        (Scene { _temp: temp, dir, own }, kept)
    }

    fn noted(own: &StateDir) -> Option<Vec<u8>> {
        Kept::load(own).unwrap().opening?.isolation
    }

    #[test]
    fn what_stood_is_on_disk_with_the_use_before_anything_opens_and_forgotten_after() {
        let (scene, kept) = scene();
        let Scene { dir, own, .. } = &scene;
        finish(dir, own, kept, || {
            assert_eq!(noted(own).as_deref(), Some(&b"record"[..]));
            Ok(())
        })
        .unwrap();
        assert_eq!(dir.read_secret(ISOLATION).unwrap(), None);
        let again = Kept::load(own).unwrap();
        finish(dir, own, again, || Ok(())).unwrap();
        assert_eq!(noted(own).as_deref(), Some(&b"record"[..]), "it is told once the agent runs");
    }

    #[test]
    fn what_could_not_be_taken_down_is_remembered() {
        let (scene, kept) = scene();
        let Scene { dir, own, .. } = &scene;
        finish(dir, own, kept, || Err(ShellError::NothingStands)).unwrap_err();
        assert!(dir.read_secret(ISOLATION).unwrap().is_some());
        assert_eq!(noted(own).as_deref(), Some(&b"record"[..]));
    }
}
