//! What the agent must not forget over a restart, and what it does where it was forgotten all the
//! same: endpoint time, the guard's memory, the policy, the isolation that stands.
//!
//! Each is a file of its own beside the spool, so that a damaged spool costs events and nothing
//! else.

use std::sync::{Arc, Mutex, PoisonError};

use cordon_proto::codec;
use cordon_proto::command::Action;
use cordon_proto::event::Receipt;
use cordon_proto::id::Hash;
use cordon_proto::policy::Policy;
use minicbor::{Decode, Encode};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::action::isolate::record::Record;
use crate::begun::{Begun, Taken};
use crate::endpoint_time::{Boot, EndpointTime, Kept};
use crate::guard::Accepted;
use crate::identity::{StateDir, StateDirError};
use crate::ledger;
use crate::nonce::SECRET_BYTES;

/// Endpoint time.
pub const TIME: &str = "time.cbor";
/// The nonce secret and the commands obeyed: together, so that the one is never kept without the
/// other.
pub const GUARD: &str = "guard.cbor";
/// The policy held.
pub const POLICY: &str = "policy.cbor";
/// The isolation that stands. It outlives the identity: a machine that is enrolled anew is still
/// let back when its lease ends.
pub const ISOLATION: &str = "isolation.cbor";
/// Receipts of what was done while no agent ran.
pub const UNSENT: &str = "unsent.cbor";
/// So many of them are kept.
const UNSENT_MAX: usize = 16;
/// What else stands. It outlives the identity, too.
pub const LEDGER: &str = "ledger.cbor";
/// Is there for as long as the ledger says that something is blocked: what the supervisor is started
/// by.
pub const BLOCKS: &str = "blocks";

/// Why what was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The disk.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
    /// Endpoint time that cannot be read must not be begun anew: leases would grow.
    #[error("endpoint time cannot be read from {0}; restore the file, or enrol anew")]
    Time(String),
}

/// What the guard remembers.
#[derive(Debug)]
pub struct GuardMemory {
    /// Makes nonces.
    pub secret: Zeroizing<[u8; SECRET_BYTES]>,
    /// Commands obeyed.
    pub accepted: Accepted,
    /// The last boot in which an agent made nonces of this memory: endpoint time may not have been
    /// kept in it, and the boot's count must not be given twice. None in those of earlier versions.
    pub boot: Option<Boot>,
    /// The last commands that were taken. They outlive the secret: what was obeyed wants an answer.
    pub begun: Begun,
    /// States of it that were handed out for writing.
    version: u64,
    /// The newest of them on disk.
    written: Arc<Mutex<u64>>,
}

/// One state of the guard's memory on its way to the disk. Helper threads may come in any order; an
/// older state never replaces a newer one, or a command could be obeyed twice.
#[derive(Debug)]
pub struct GuardWrite {
    bytes: Zeroizing<Vec<u8>>,
    version: u64,
    written: Arc<Mutex<u64>>,
}

impl GuardWrite {
    /// Writes it, unless a newer one is written already, which says all that this one does.
    pub fn write<E>(self, write: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written < self.version {
            write(&self.bytes)?;
            *written = self.version;
        }
        Ok(())
    }
}

#[derive(Encode, Decode)]
struct GuardFile {
    #[cbor(n(0), with = "minicbor::bytes")]
    secret: [u8; SECRET_BYTES],
    #[cbor(n(1), with = "minicbor::bytes")]
    accepted: Vec<u8>,
    #[n(2)]
    boot: Option<Boot>,
    #[n(3)]
    begun: Option<Vec<Taken>>,
}

impl GuardMemory {
    /// A new secret: every nonce published so far is void, so that nothing needs to be remembered.
    pub fn new() -> Result<Self, KeptError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        let filled = SystemRandom::new().fill(secret.as_mut());
        filled.map_err(|ring::error::Unspecified| KeptError::Random)?;
        Ok(Self::of(secret, Accepted::default(), None, Begun::default()))
    }

    fn of(
        secret: Zeroizing<[u8; SECRET_BYTES]>,
        accepted: Accepted,
        boot: Option<Boot>,
        begun: Begun,
    ) -> Self {
        Self { secret, accepted, boot, begun, version: 0, written: Arc::default() }
    }

    /// Makes every nonce published so far void.
    pub fn renew(&mut self) -> Result<(), KeptError> {
        let Self { secret, accepted, .. } = Self::new()?;
        (self.secret, self.accepted) = (secret, accepted);
        Ok(())
    }

    /// What is to be written now.
    pub fn to_write(&mut self) -> GuardWrite {
        self.version = self.version.saturating_add(1);
        let (version, written) = (self.version, Arc::clone(&self.written));
        GuardWrite { bytes: self.to_bytes(), version, written }
    }

    /// What was kept; a new one where nothing usable was. One that the disk does not take holds
    /// until the agent ends: nothing is obeyed that cannot be noted.
    pub fn load(dir: &StateDir) -> Result<Self, KeptError> {
        let kept = dir.read_secret(GUARD)?.and_then(|bytes| Self::from_bytes(&bytes));
        match kept {
            Some(kept) => Ok(kept),
            None => {
                let new = Self::new()?;
                if let Err(error) = dir.write(GUARD, &new.to_bytes()) {
                    tracing::error!(%error, "the new nonce secret could not be kept");
                }
                Ok(new)
            }
        }
    }

    /// What was kept; nothing is made or written where nothing usable was.
    #[must_use]
    pub fn find(dir: &StateDir) -> Option<Self> {
        Self::from_bytes(&dir.read_secret(GUARD).ok().flatten()?)
    }

    /// For the disk.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (accepted, boot) = (self.accepted.to_bytes(), self.boot.clone());
        let begun = Some(self.begun.taken());
        let file = GuardFile { secret: *self.secret, accepted, boot, begun };
        Zeroizing::new(codec::encode(&file))
    }

    /// As it was kept; none where that cannot be read.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let file: GuardFile = codec::decode_strict(bytes).ok()?;
        let accepted = Accepted::from_bytes(&file.accepted).ok()?;
        let begun = Begun::resume(file.begun.unwrap_or_default());
        Some(Self::of(Zeroizing::new(file.secret), accepted, file.boot, begun))
    }
}

/// Begins endpoint time: the endpoint has just enrolled.
pub fn begin_time(dir: &StateDir, boot_id: &str, boot_ns: u64) -> Result<(), KeptError> {
    let kept = EndpointTime::resume(None, boot_id, boot_ns).keep(boot_ns);
    Ok(write_time(dir, &kept)?)
}

/// Takes endpoint time up where it was left.
pub fn load_time(dir: &StateDir, boot_id: &str, boot_ns: u64) -> Result<EndpointTime, KeptError> {
    let kept = dir.read_secret(TIME)?.and_then(|bytes| codec::decode_strict(&bytes).ok());
    let kept: Kept = kept.ok_or_else(|| KeptError::Time(dir.path(TIME).display().to_string()))?;
    Ok(resume_time(kept, GuardMemory::find(dir).as_ref(), boot_id, boot_ns))
}

/// Endpoint time as it was kept, in a boot that is later than all of which the guard knows: nonces
/// of one boot must never pass for those of another.
#[must_use]
pub fn resume_time(
    kept: Kept,
    guard: Option<&GuardMemory>,
    boot_id: &str,
    boot_ns: u64,
) -> EndpointTime {
    let seen = guard.and_then(|memory| memory.boot.as_ref());
    EndpointTime::resume(Some(kept), boot_id, boot_ns).counting_on_from(seen)
}

/// Keeps endpoint time.
pub fn write_time(dir: &StateDir, kept: &Kept) -> Result<(), StateDirError> {
    dir.write(TIME, &codec::encode(kept))
}

/// The policy held.
pub fn load_policy(dir: &StateDir) -> Result<Option<Policy>, KeptError> {
    let Some(bytes) = dir.read_secret(POLICY)? else { return Ok(None) };
    match codec::decode_strict(&bytes) {
        Ok(policy) => Ok(Some(policy)),
        Err(error) => {
            tracing::error!(%error, "the stored policy cannot be used; there is none until the next");
            Ok(None)
        }
    }
}

/// What stood besides an isolation when the agent last ran. A ledger that cannot be read is set
/// aside, because it is the only one who knows what was there before.
pub fn load_ledger(dir: &StateDir) -> Result<ledger::Kept, KeptError> {
    let Some(bytes) = dir.read_secret(LEDGER)? else { return Ok(ledger::Kept::default()) };
    match codec::decode_strict(&bytes) {
        Ok(kept) => {
            // One of an earlier version has nothing beside it.
            if let Err(error) = mark_blocks(dir, &kept) {
                tracing::warn!(%error, "the supervisor cannot know whether something is blocked");
            }
            Ok(kept)
        }
        Err(error) => {
            let aside = format!("{LEDGER}.damaged");
            dir.write(&aside, &bytes)?;
            tracing::error!(%error, aside, "the ledger of what stands cannot be read; set aside");
            Ok(ledger::Kept::default())
        }
    }
}

/// Writes the ledger, and beside it whether the supervisor has something to hold. A crash between the
/// two has the supervisor look for what is not there, and never keeps it from what is.
pub fn write_ledger(dir: &StateDir, kept: &ledger::Kept) -> Result<(), StateDirError> {
    if blocks(kept) {
        mark_blocks(dir, kept)?;
    }
    dir.write(LEDGER, &codec::encode(kept))?;
    if !blocks(kept)
        && let Err(error) = mark_blocks(dir, kept)
    {
        tracing::warn!(%error, "the supervisor will look for what is not blocked any more");
    }
    Ok(())
}

fn mark_blocks(dir: &StateDir, kept: &ledger::Kept) -> Result<(), StateDirError> {
    if !blocks(kept) {
        return dir.remove(BLOCKS);
    }
    if matches!(std::fs::exists(dir.path(BLOCKS)), Ok(true)) {
        return Ok(());
    }
    dir.write(BLOCKS, b"the ledger says that something is blocked\n")
}

fn blocks(kept: &ledger::Kept) -> bool {
    kept.deeds.iter().any(|deed| matches!(deed.action, Action::Block(_)))
}

/// An isolation as it is kept: its record, and what receipts about it must name.
#[derive(Clone, Debug)]
pub struct KeptIsolation {
    /// What stands.
    pub record: Record,
    /// The hash of the command's bytes as received.
    pub command_hash: Hash,
    /// The command as it was signed, so that whoever takes the isolation up can verify it again;
    /// none in records of earlier versions.
    pub signed: Option<Vec<u8>>,
    /// Endpoint time when this was written: what is left of the lease, should endpoint time be
    /// lost. None in records of earlier versions.
    pub saved_secs: Option<u64>,
    /// How far a supervisor that could not read endpoint time has counted the lease; none where it
    /// could, and from agents.
    pub counted: Option<Kept>,
}

/// What there is of an isolation's record.
#[derive(Clone, Debug)]
pub enum Found {
    /// No isolation stands.
    Nothing,
    /// One stands.
    Isolation(Box<KeptIsolation>),
    /// There is a record, and nobody can read it.
    Unreadable(String),
}

#[derive(Encode, Decode)]
struct IsolationFile {
    #[cbor(n(0), with = "minicbor::bytes")]
    record: Vec<u8>,
    #[n(1)]
    command_hash: Hash,
    #[cbor(n(2), with = "minicbor::bytes")]
    signed: Option<Vec<u8>>,
    #[n(3)]
    saved_secs: Option<u64>,
    #[n(4)]
    counted: Option<Kept>,
}

impl KeptIsolation {
    /// Counts what was left of the lease from now on, where endpoint time was begun anew since it
    /// was saved: its end is a time that is long in coming.
    /// True if that changed anything, which must be saved, or the next start counts from its own.
    pub fn count_from(&mut self, now_secs: u64) -> bool {
        let Some(saved_secs) = self.saved_secs.filter(|saved_secs| *saved_secs > now_secs) else {
            return false;
        };
        let left_secs = self.record.until_secs.saturating_sub(saved_secs);
        self.record.until_secs = now_secs.saturating_add(left_secs);
        self.saved_secs = Some(now_secs);
        true
    }

    /// What stood when the agent last ran.
    pub fn load(dir: &StateDir) -> Result<Option<Self>, KeptError> {
        match Self::find(dir) {
            Found::Nothing => Ok(None),
            Found::Isolation(kept) => Ok(Some(*kept)),
            Found::Unreadable(reason) => {
                tracing::error!(
                    reason,
                    "the record of an isolation cannot be read; what stands of it remains"
                );
                Ok(None)
            }
        }
    }

    /// What there is of a record.
    #[must_use]
    pub fn find(dir: &StateDir) -> Found {
        let bytes = match dir.read_secret(ISOLATION) {
            Ok(None) => return Found::Nothing,
            Ok(Some(bytes)) => bytes,
            Err(error) => return Found::Unreadable(error.to_string()),
        };
        match Self::from_bytes(&bytes) {
            Ok(kept) => Found::Isolation(Box::new(kept)),
            Err(reason) => Found::Unreadable(reason),
        }
    }

    /// As it was written, or why it was not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file: IsolationFile = codec::decode_strict(bytes).map_err(|error| error.to_string())?;
        let IsolationFile { record, command_hash, signed, saved_secs, counted } = file;
        let record = Record::from_bytes(&record).map_err(|error| error.to_string())?;
        Ok(Self { record, command_hash, signed, saved_secs, counted })
    }

    /// For the disk; none where the record is longer than any may be.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let (record, command_hash) = (self.record.to_bytes().ok()?, self.command_hash);
        let Self { signed, saved_secs, counted, .. } = self.clone();
        Some(codec::encode(&IsolationFile { record, command_hash, signed, saved_secs, counted }))
    }
}

/// Receipts of what was done while no agent ran; the next agent signs and sends them.
pub fn load_unsent(dir: &StateDir) -> Vec<Receipt> {
    let read = dir.read_secret(UNSENT).ok().flatten();
    read.and_then(|bytes| codec::decode_strict(&bytes).ok()).unwrap_or_default()
}

/// Keeps a receipt until an agent runs again. Of many the first and the newest are kept: why it
/// began and how it ended.
pub fn keep_unsent(dir: &StateDir, receipt: Receipt) -> Result<(), StateDirError> {
    let mut unsent = load_unsent(dir);
    if unsent.len() >= UNSENT_MAX {
        unsent.remove(1);
    }
    unsent.push(receipt);
    dir.write(UNSENT, &codec::encode(&unsent))
}

#[cfg(test)]
mod tests {
    use cordon_proto::id::CommandId;

    use super::*;

    fn dir() -> (tempfile::TempDir, StateDir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        (temp, dir)
    }

    #[test]
    fn the_guard_remembers_both_or_neither() {
        let (_temp, dir) = dir();
        let mut memory = GuardMemory::load(&dir).unwrap();
        let id = CommandId(uuid::Uuid::from_u128(1));
        memory.accepted.note(id, 100);
        dir.write(GUARD, &memory.to_bytes()).unwrap();
        let read = GuardMemory::load(&dir).unwrap();
        assert_eq!(read.secret, memory.secret);
        assert!(read.accepted.room_for(id).is_err());
        dir.write(GUARD, b"damaged").unwrap();
        let anew = GuardMemory::load(&dir).unwrap();
        assert_ne!(anew.secret, memory.secret);
        assert!(anew.accepted.room_for(id).is_ok());
        assert_eq!(GuardMemory::load(&dir).unwrap().secret, anew.secret, "kept from then on");
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read_and_a_damaged_one_is_not_taken_for_none() {
        let (_temp, dir) = dir();
        assert!(matches!(KeptIsolation::find(&dir), Found::Nothing));
        let kept = crate::hold::tests::kept();
        dir.write(ISOLATION, &kept.to_bytes().unwrap()).unwrap();
        let Found::Isolation(read) = KeptIsolation::find(&dir) else { panic!("not read") };
        assert_eq!((read.record, read.signed), (kept.record.clone(), kept.signed.clone()));
        let earlier = KeptIsolation { signed: None, saved_secs: None, ..kept };
        dir.write(ISOLATION, &earlier.to_bytes().unwrap()).unwrap();
        assert!(matches!(KeptIsolation::find(&dir), Found::Isolation(_)));
        dir.write(ISOLATION, b"damaged").unwrap();
        assert!(matches!(KeptIsolation::find(&dir), Found::Unreadable(_)));
    }

    #[test]
    fn an_older_state_of_the_guards_memory_never_replaces_a_newer_one() {
        let mut memory = GuardMemory::new().unwrap();
        let (older, newer) = (memory.to_write(), memory.to_write());
        let mut written = Vec::new();
        let mut write = |what: GuardWrite, name| {
            what.write(|_| {
                written.push(name);
                Ok::<(), StateDirError>(())
            })
        };
        write(newer, "newer").unwrap();
        write(older, "older").unwrap();
        memory.renew().unwrap();
        write(memory.to_write(), "renewed").unwrap();
        assert_eq!(written, ["newer", "renewed"]);
    }

    #[test]
    fn a_lease_is_counted_from_now_where_endpoint_time_was_begun_anew() {
        let mut kept = crate::hold::tests::kept();
        assert!(!kept.count_from(100));
        assert_eq!(kept.record.until_secs, 700);
        assert!(kept.count_from(10));
        assert_eq!((kept.record.until_secs, kept.saved_secs), (610, Some(10)));
    }

    /// The disk takes the guard's memory in the second boot, and endpoint time not.
    #[test]
    fn a_boot_in_which_endpoint_time_was_not_kept_is_counted_all_the_same() {
        let (_temp, dir) = dir();
        begin_time(&dir, "a", 0).unwrap();
        let time = load_time(&dir, "b", 0).unwrap();
        let mut memory = GuardMemory::load(&dir).unwrap();
        memory.renew().unwrap();
        memory.boot = Some(time.boot());
        dir.write(GUARD, &memory.to_bytes()).unwrap();
        let boot_count = |id| load_time(&dir, id, 0).unwrap().boot_count();
        assert_eq!((time.boot_count(), boot_count("b"), boot_count("c")), (2, 2, 3));
        let later = load_time(&dir, "c", 0).unwrap();
        write_time(&dir, &later.clone().keep(0)).unwrap();
        assert_eq!((boot_count("c"), boot_count("d")), (3, 4));
    }

    #[test]
    fn endpoint_time_begins_once_and_is_never_begun_anew() {
        let (_temp, dir) = dir();
        assert!(load_time(&dir, "a", 0).is_err());
        begin_time(&dir, "a", 5_000_000_000).unwrap();
        let mut time = load_time(&dir, "a", 9_000_000_000).unwrap();
        assert_eq!(time.secs(9_000_000_000), 4);
        write_time(&dir, &time.keep(9_000_000_000)).unwrap();
        assert_eq!(load_time(&dir, "b", 0).unwrap().secs(0), 64, "a boot costs a minute");
        dir.write(TIME, b"damaged").unwrap();
        assert!(load_time(&dir, "a", 0).is_err());
    }
}
