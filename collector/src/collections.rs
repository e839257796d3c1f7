//! Collected evidence as it arrives: each archive a file of its own, a piece durable before it is
//! acknowledged, and whole only once its digest is the one that its endpoint signed.
//!
//! Blocks. Nothing of an archive is looked into: what is in it is for whoever fetches it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cordon_proto::collection::{Archive, Collected, Have, NotTaken, Piece};
use cordon_proto::command::{Action, SNAPSHOT_BYTES_MAX};
use cordon_proto::id::{ClientId, CommandId, EndpointId, Hash};
use cordon_proto::message::Signed;
use ring::digest::{Context, SHA256};

use crate::store::{State, StateError};

/// An archive may be so much longer than what was asked for: heads, the manifest, and what
/// compression adds to what cannot be compressed.
const OVER_BYTES: u64 = 64 << 20;

/// Archives of one client that are listed.
pub const LISTED_MAX: usize = 10_000;

const SIGNED: &str = "collected";
const PART: &str = "part";
const WHOLE: &str = "archive";

/// Where archives stand.
#[derive(Debug)]
pub struct Collections {
    dir: PathBuf,
    /// All archives of one client.
    bytes_max: u64,
    /// What the file system keeps free.
    free_bytes_min: u64,
    /// Held while something is written: collections are seldom, and two sessions of one endpoint
    /// must not write into one file.
    turn: Mutex<()>,
}

/// An archive that stands here, whole or on its way.
#[derive(Clone, Debug)]
pub struct Held {
    /// Whose.
    pub client: ClientId,
    /// What its endpoint signed about it.
    pub collected: Collected,
    /// The same, as signed.
    pub signed: Signed,
    /// How many bytes of it are here.
    pub received: u64,
    /// Its file, once it is whole and its digest was checked.
    pub file: Option<PathBuf>,
}

/// What a session is for: an endpoint of a client.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// Whose.
    pub client: &'a ClientId,
    /// Which endpoint.
    pub endpoint: EndpointId,
}

/// How much a command allows an endpoint to bring; none if it asks for nothing of the kind there.
pub fn asked(
    state: &State,
    from: Sender<'_>,
    command: CommandId,
) -> Result<Option<u64>, StateError> {
    let stored = state.command(std::slice::from_ref(from.client), command)?;
    let Some(stored) = stored else { return Ok(None) };
    let life = stored.lives.iter().find(|(endpoint, _)| *endpoint == from.endpoint);
    let authorised = life.is_some_and(|(_, life)| life.facts.authorised.is_some());
    if !authorised {
        return Ok(None);
    }
    let command = stored.signed.command();
    if let Action::Collect(collect) = &command.action {
        return Ok(Some(collect.bytes_max));
    }
    Ok(command.snapshot.map(|_| SNAPSHOT_BYTES_MAX))
}

impl Collections {
    /// Archives below a folder, which is made with the first of them.
    #[must_use]
    pub fn new(dir: PathBuf, bytes_max: u64, free_bytes_min: u64) -> Self {
        Self { dir, bytes_max, free_bytes_min, turn: Mutex::default() }
    }

    /// An endpoint offers an archive; its signature was verified. `asked`: see [`asked`].
    pub fn offer(
        &self,
        from: Sender<'_>,
        signed: &Signed,
        collected: &Collected,
        asked: Option<u64>,
    ) -> Have {
        let command = collected.command;
        let answer = self.try_offer(from, signed, collected, asked);
        have(command, answer)
    }

    /// An endpoint sends a piece; its form was checked.
    pub fn piece(&self, from: Sender<'_>, piece: &Piece) -> Have {
        have(piece.command, self.try_piece(from, piece))
    }

    /// The archives of a client, on their way or whole.
    pub fn list(&self, client: &ClientId) -> io::Result<Vec<Held>> {
        let entries = match std::fs::read_dir(self.folder(client)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries.take(3 * LISTED_MAX) {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == SIGNED) {
                found.extend(held(client, &path)?);
            }
        }
        found.sort_by_key(|held| (held.collected.command, held.collected.endpoint));
        Ok(found)
    }

    /// One archive.
    pub fn find(&self, from: Sender<'_>, command: CommandId) -> io::Result<Option<Held>> {
        held(from.client, &self.path(from, command, SIGNED))
    }

    fn try_offer(
        &self,
        from: Sender<'_>,
        signed: &Signed,
        collected: &Collected,
        asked: Option<u64>,
    ) -> Result<u64, Refused> {
        let Archive { bytes, .. } = collected.archive;
        let Some(asked) = asked else {
            return Err(Refused::never("no command asks this endpoint for it"));
        };
        if bytes > asked.saturating_add(OVER_BYTES) {
            return Err(Refused::never("it is longer than the command allows"));
        }
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let command = collected.command;
        let before = self.find(from, command)?;
        match before {
            Some(held) if held.collected.archive == collected.archive => {
                if held.file.is_some() {
                    return Ok(bytes);
                }
            }
            Some(Held { file: Some(_), .. }) => {
                return Err(Refused::never("another archive was delivered for this command"));
            }
            Some(_) | None => {
                self.make_room(from, command, bytes)?;
                // Of another archive that will never be whole.
                remove(&self.path(from, command, PART))?;
                write(&self.path(from, command, SIGNED), &signed.bytes)?;
                sync_dir(&self.folder(from.client))?;
            }
        }
        let received = length(&self.path(from, command, PART))?;
        if received == bytes {
            drop(turn);
            return self.finish(from, command, &collected.archive);
        }
        Ok(received)
    }

    fn try_piece(&self, from: Sender<'_>, piece: &Piece) -> Result<u64, Refused> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let command = piece.command;
        let Some(held) = self.find(from, command)? else {
            return Err(Refused::never("it was not offered"));
        };
        let archive = held.collected.archive;
        if held.file.is_some() {
            return Ok(archive.bytes);
        }
        // What comes twice, or too early, changes nothing; the answer says where to go on.
        if piece.offset != held.received {
            return Ok(held.received);
        }
        let more = u64::try_from(piece.content.len()).unwrap_or(u64::MAX);
        let received = held.received.saturating_add(more);
        if received > archive.bytes {
            return Err(Refused::never("it is longer than its endpoint signed"));
        }
        let path = self.path(from, command, PART);
        let mut part = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        part.write_all(&piece.content)?;
        part.sync_all()?;
        if held.received == 0 {
            sync_dir(&self.folder(from.client))?;
        }
        if received < archive.bytes {
            return Ok(received);
        }
        drop(turn);
        self.finish(from, command, &archive)
    }

    /// Compares what came with what was signed. Others go on meanwhile: a large one takes seconds.
    fn finish(
        &self,
        from: Sender<'_>,
        command: CommandId,
        archive: &Archive,
    ) -> Result<u64, Refused> {
        let part = self.path(from, command, PART);
        let found = digest(&part)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if found != archive.sha256 {
            remove(&part)?;
            remove(&self.path(from, command, SIGNED))?;
            return Err(Refused::never("its bytes are not those that its endpoint signed"));
        }
        std::fs::rename(&part, self.path(from, command, WHOLE))?;
        sync_dir(&self.folder(from.client))?;
        Ok(archive.bytes)
    }

    /// What was signed counts whole from the offer on, so that two on their way cannot both be let
    /// in where there is room for one.
    fn make_room(&self, from: Sender<'_>, command: CommandId, bytes: u64) -> Result<(), Refused> {
        let folder = self.folder(from.client);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut left = 0_u64;
        let mut total = 0_u64;
        for held in self.list(from.client)? {
            let other =
                (held.collected.command, held.collected.endpoint) != (command, from.endpoint);
            if other {
                let all = held.collected.archive.bytes;
                total = total.saturating_add(all);
                left = left.saturating_add(all.saturating_sub(held.received));
            }
        }
        if total.saturating_add(bytes) > self.bytes_max {
            let (mib, max) = (total >> 20, self.bytes_max >> 20);
            return Err(Refused::now(format!(
                "collections of this client take {mib} of {max} MiB already"
            )));
        }
        let room = rustix::fs::statvfs(&folder).map_err(io::Error::from)?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        let wanted = bytes.saturating_add(left).saturating_add(self.free_bytes_min);
        if free < wanted {
            return Err(Refused::now("the collector's disk is full".to_owned()));
        }
        Ok(())
    }

    /// A client's name may be dots.
    fn folder(&self, client: &ClientId) -> PathBuf {
        self.dir.join(format!("of-{client}"))
    }

    fn path(&self, from: Sender<'_>, command: CommandId, kind: &str) -> PathBuf {
        self.folder(from.client).join(format!("{command}-{}.{kind}", from.endpoint))
    }
}

/// Why something is not taken.
struct Refused(NotTaken);

impl Refused {
    fn never(why: &str) -> Self {
        Self(NotTaken { sentence: why.to_owned(), again: false })
    }

    fn now(sentence: String) -> Self {
        Self(NotTaken { sentence, again: true })
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "collected evidence cannot be stored");
        Self::now("the collector cannot store it at the moment".to_owned())
    }
}

fn have(command: CommandId, answer: Result<u64, Refused>) -> Have {
    match answer {
        Ok(bytes) => Have { command, bytes, refused: None },
        Err(Refused(refused)) => {
            let NotTaken { sentence, again } = &refused;
            tracing::warn!(%command, sentence, again, "collected evidence is not taken");
            Have { command, bytes: 0, refused: Some(refused) }
        }
    }
}

/// What stands beside what an endpoint signed; none if that is not there or is damaged.
fn held(client: &ClientId, path: &Path) -> io::Result<Option<Held>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let signed = Signed { bytes };
    let named = path.file_stem().and_then(|stem| stem.to_str()?.rsplit_once('-'));
    let endpoint = named.and_then(|(_, endpoint)| endpoint.parse::<EndpointId>().ok());
    let collected = endpoint.and_then(|endpoint| Collected::verify(&signed, endpoint).ok());
    let Some(collected) = collected else {
        tracing::error!(path = %path.display(), "what an endpoint signed is damaged");
        return Ok(None);
    };
    let whole = path.with_extension(WHOLE);
    let is_whole = whole.try_exists()?;
    let received =
        if is_whole { collected.archive.bytes } else { length(&path.with_extension(PART))? };
    let file = is_whole.then_some(whole);
    Ok(Some(Held { client: client.clone(), collected, signed, received, file }))
}

fn length(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(meta) => Ok(meta.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn digest(path: &Path) -> io::Result<Hash> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => context.update(&buffer[..read]),
        }
    }
    let mut hash = Hash::default();
    hash.0.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

/// After a crash the file is there whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests;
