//! What is blocked, in the supervisor's hands: put up again before the network is up from what the
//! ledger says stands, each block until its lease ends or an agent takes over.
//!
//! The ledger is not changed: the next agent finds what has ended, and tells it. Names are not asked
//! for: a blocked name is the addresses that it was last known by.

use cordon_proto::codec;
use cordon_proto::command::Action;

use super::HoldError;
use super::holder::{Authority, own_dir};
use crate::action::block::fences::{Blocks, Ground, Look};
use crate::action::block::plan::Stand;
use crate::action::block::vital::Vital;
use crate::break_glass::alone;
use crate::clock;
use crate::config::Config;
use crate::endpoint_time::{EndpointTime, Kept};
use crate::identity::StateDir;
use crate::kept::{self, BLOCKS};
use crate::ledger;
use crate::sensor::dns::Names;

/// What is blocked.
pub(super) struct Fenced {
    dir: StateDir,
    blocks: Blocks,
    ground: Ground,
    /// What stands, each with the end of its lease.
    standing: Vec<(Stand, Option<u64>)>,
    time: EndpointTime,
    /// None where endpoint time cannot be read: then leases go on from where the ledger was written
    /// last, at each start.
    keeps_time_in: Option<StateDir>,
    is_up: bool,
    is_forgotten: bool,
    /// What went wrong at the last look; told once.
    wrong: Option<String>,
}

impl Fenced {
    /// Takes up what is recorded; none if nothing is. The caller has the lock.
    pub(super) fn open(config: &Config, dir: &StateDir) -> Result<Option<Self>, HoldError> {
        let kept = read(dir);
        let mut standing = standing(&kept);
        if standing.is_empty() && matches!(std::fs::exists(dir.path(BLOCKS)), Ok(false)) {
            return Ok(None);
        }
        if alone::was_opened(dir) {
            tracing::warn!("the break-glass code was used; nothing is blocked any more");
            standing.iter_mut().for_each(|(_, until_secs)| *until_secs = Some(0));
        }
        let boot_id = clock::boot_id().map_err(HoldError::Machine)?;
        let boot_ns = clock::boot_ns();
        let own = own_dir(dir);
        let known = own.as_ref().and_then(|own| kept::load_time(own, &boot_id, boot_ns).ok());
        let keeps_time_in = own.filter(|_| known.is_some());
        let time = known.unwrap_or_else(|| {
            let secs = kept.saved_secs.unwrap_or_default();
            let from = Kept { secs, boot_ns, boot_count: 0, boot_id: boot_id.clone() };
            EndpointTime::resume(Some(from), &boot_id, boot_ns)
        });
        let ports = Authority::read(dir).map(|authority| authority.ports(config));
        let ports = ports.unwrap_or_default();
        let ground = Ground { mark: config.isolation.mark, ports, vital: Vital::default() };
        let nobody = |_: &str| Vec::new();
        let blocks = Blocks::resume(dir.clone(), config.lab, Names::default(), nobody, &kept);
        tracing::info!(blocks = standing.len(), "holding what is blocked");
        Ok(Some(Self {
            dir: dir.clone(),
            blocks,
            ground,
            standing,
            time,
            keeps_time_in,
            is_up: false,
            is_forgotten: false,
            wrong: None,
        }))
    }

    /// Whether the fence stands as it must.
    pub(super) fn stands(&self) -> bool {
        self.is_up
    }

    /// Whether nothing is to be held any more.
    pub(super) fn is_over(&self) -> bool {
        self.standing.is_empty() && self.is_forgotten
    }

    /// Ends leases, puts back what was changed, tries again what failed. `keeps_time` says that
    /// nobody else here keeps endpoint time.
    pub(super) fn tick(&mut self, keeps_time: bool) {
        let boot_ns = clock::boot_ns();
        if let Some(kept) = self.time.handle_timeout(boot_ns)
            && keeps_time
            && let Some(own) = &self.keeps_time_in
            && let Err(error) = kept::write_time(own, &kept)
        {
            tracing::error!(%error, "endpoint time could not be kept");
        }
        let looked = self.end_leases(self.time.secs(boot_ns)).and_then(|()| self.look());
        self.is_up = looked.is_ok();
        self.complain(looked.err());
        if self.standing.is_empty() && !self.is_forgotten {
            // Whoever waits for what is blocked would start this again and again.
            self.is_forgotten = self.dir.remove(BLOCKS).is_ok();
        }
    }

    fn end_leases(&mut self, now_secs: u64) -> Result<(), String> {
        for at in (0..self.standing.len()).rev() {
            let Some((stand, until_secs)) = self.standing.get(at) else { continue };
            if until_secs.is_none_or(|until_secs| now_secs < until_secs) {
                continue;
            }
            self.blocks.remove(stand, &self.ground).map_err(|error| error.to_string())?;
            tracing::info!(left = at, "a block has ended");
            self.standing.remove(at);
        }
        Ok(())
    }

    /// The first look puts it up.
    fn look(&self) -> Result<(), String> {
        let Some((stand, _)) = self.standing.first() else { return Ok(()) };
        let look = self.blocks.look(stand, &self.ground).map_err(|error| error.to_string())?;
        let Look { drifted: Some(found), .. } = look else { return Ok(()) };
        tracing::warn!(found, "somebody changed what is blocked");
        self.blocks.add(stand, &self.ground).map_err(|error| error.to_string())
    }

    fn complain(&mut self, wrong: Option<String>) {
        if let Some(error) = &wrong
            && self.wrong != wrong
        {
            tracing::error!(error, "what is blocked cannot be held");
        }
        self.wrong = wrong;
    }
}

/// The blocks of the ledger, but for those that were about to be undone. One that cannot be read says nothing of what was blocked: the next agent
/// sets it aside and tells of it.
fn read(dir: &StateDir) -> ledger::Kept {
    let bytes = dir.read_secret(kept::LEDGER).ok().flatten().unwrap_or_default();
    let mut kept: ledger::Kept = codec::decode_strict(&bytes).unwrap_or_default();
    kept.deeds.retain(|deed| matches!(deed.action, Action::Block(_)) && deed.undoing.is_none());
    kept
}

/// What stands of them, or was about to, with the end of each lease.
fn standing(kept: &ledger::Kept) -> Vec<(Stand, Option<u64>)> {
    let read = |deed: &ledger::KeptDeed| {
        let stand = codec::decode_strict(&deed.before).ok()?;
        Some((stand, deed.until_secs))
    };
    kept.deeds.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use cordon_proto::command::{ActionKind, Block, LockAccount};
    use cordon_proto::event::receipt::EndCause;
    use cordon_proto::id::{CommandId, Hash};

    use super::*;

    fn scene() -> (tempfile::TempDir, Config, StateDir) {
        let temp = tempfile::tempdir().unwrap();
        // In a lab, so that a mistake here could change nothing on this machine.
        let state_dir = temp.path().join("state");
        let config = Config { state_dir, lab: true, ..Config::default() };
        let dir = StateDir::open(&config.state_dir).unwrap();
        (temp, config, dir)
    }

    fn deed(number: u8, action: Action, undoing: Option<EndCause>) -> ledger::KeptDeed {
        let stand = Stand { key: [number; 16], rules: vec![], except: vec![] };
        ledger::KeptDeed {
            command: CommandId(uuid::Uuid::from_bytes([number; 16])),
            command_hash: Hash::default(),
            action,
            before: codec::encode(&stand),
            since_secs: 0,
            until_secs: Some(u64::from(number)),
            applied: true,
            undoing,
        }
    }

    fn block() -> Action {
        Action::Block(Block { rules: vec![], lease_secs: None, except: None, groups: None })
    }

    #[test]
    fn blocks_that_stand_are_held_each_to_its_end_and_nothing_else_of_the_ledger_is() {
        let (_temp, _config, dir) = scene();
        let user = "ann".to_owned();
        let lock = LockAccount { user, end_sessions: false, lease_secs: None };
        let deeds = vec![
            deed(1, block(), None),
            deed(2, Action::LockAccount(lock), None),
            deed(3, block(), Some(EndCause::Released)),
            deed(4, block(), None),
        ];
        kept::write_ledger(&dir, &ledger::Kept { deeds, saved_secs: Some(9) }).unwrap();
        let read = read(&dir);
        assert!(read.deeds.iter().all(|deed| deed.action.kind() == ActionKind::Block));
        let held = standing(&read);
        let held: Vec<_> = held.iter().map(|(stand, until)| (stand.key[0], *until)).collect();
        assert_eq!((held, read.saved_secs), (vec![(1, Some(1)), (4, Some(4))], Some(9)));
    }

    #[test]
    fn what_the_supervisor_is_started_by_is_there_while_something_is_blocked() {
        let (_temp, config, dir) = scene();
        let marked = || std::fs::exists(dir.path(BLOCKS)).unwrap();
        assert!(Fenced::open(&config, &dir).unwrap().is_none());
        let ledger = |deeds| ledger::Kept { deeds, saved_secs: None };
        kept::write_ledger(&dir, &ledger(vec![deed(1, block(), None)])).unwrap();
        assert!(marked());
        kept::write_ledger(&dir, &ledger(vec![])).unwrap();
        assert!(!marked());
    }

    #[test]
    fn a_mark_without_blocks_is_removed_so_that_nobody_is_started_by_it_again() {
        let (_temp, config, dir) = scene();
        dir.write(BLOCKS, b"mark").unwrap();
        let mut fenced = Fenced::open(&config, &dir).unwrap().unwrap();
        assert!(!fenced.is_over());
        fenced.tick(true);
        assert!(fenced.is_over() && fenced.stands());
        assert!(Fenced::open(&config, &dir).unwrap().is_none());
    }
}
