//! Orders and archives on disk: what was asked for stands there until it is delivered.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use cordon_proto::codec;
use cordon_proto::id::CommandId;

use super::orders::Order;
use crate::identity::{StateDir, StateDirError};

/// The folder, below what belongs to the identity.
const FOLDER: &str = "collected";

const ORDER: &str = "order";
const ARCHIVE: &str = "archive";

/// Where orders and archives stand.
#[derive(Clone, Debug)]
pub struct Store {
    dir: StateDir,
}

impl Store {
    /// Opens it, and makes it where it is missing.
    pub fn open(own: &StateDir) -> Result<Self, StateDirError> {
        Ok(Self { dir: own.inner(FOLDER)? })
    }

    /// The orders that are not delivered; whatever else is found is removed.
    pub fn load(&self) -> io::Result<Vec<Order>> {
        let mut orders: Vec<Order> = Vec::new();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.dir.path(""))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        for name in names.iter().filter(|name| name.ends_with(ORDER)) {
            let read = self.dir.read_secret(name).map_err(io::Error::other)?;
            orders.extend(read.and_then(|bytes| codec::decode_strict(&bytes).ok()));
        }
        orders.sort_by_key(|order| (order.since_secs, order.command));
        let kept = |name: &String| {
            let of = |order: &Order| match order.made {
                Some(_) => name.starts_with(&order.command.to_string()),
                None => *name == file(order.command, ORDER),
            };
            orders.iter().any(of)
        };
        for name in names.iter().filter(|name| !kept(name)) {
            self.dir.remove(name).map_err(io::Error::other)?;
        }
        Ok(orders)
    }

    /// Keeps an order, or how far it is.
    pub fn keep(&self, order: &Order) -> Result<(), StateDirError> {
        self.dir.write(&file(order.command, ORDER), &codec::encode(order))
    }

    /// Where the archive of a command stands.
    #[must_use]
    pub fn archive(&self, command: CommandId) -> PathBuf {
        self.dir.path(&file(command, ARCHIVE))
    }

    /// Removes the archive of a command, if there is one.
    pub fn remove_archive(&self, command: CommandId) -> Result<(), StateDirError> {
        self.dir.remove(&file(command, ARCHIVE))
    }

    /// Removes all of a command: the order last, so that what a crash leaves is removed again.
    pub fn forget(&self, command: CommandId) -> Result<(), StateDirError> {
        self.remove_archive(command)?;
        self.dir.remove(&file(command, ORDER))
    }

    /// So many bytes of an archive.
    pub fn read(&self, command: CommandId, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.archive(command))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut piece = vec![0; bytes];
        file.read_exact(&mut piece)?;
        Ok(piece)
    }
}

fn file(command: CommandId, kind: &str) -> String {
    format!("{command}.{kind}")
}

#[cfg(test)]
mod tests {
    use cordon_proto::collection::Archive;
    use cordon_proto::command::Collect;
    use cordon_proto::id::Hash;

    use super::*;

    #[test]
    fn orders_stay_until_they_are_forgotten_and_halves_are_swept() {
        let temp = tempfile::tempdir().unwrap();
        let own = StateDir::open(temp.path().join("own")).unwrap();
        let store = Store::open(&own).unwrap();
        let collect =
            Collect { sources: vec![], globs: vec!["/x".into()], bytes_max: 1, unsealed: None };
        let order = |number: u128, made| Order {
            command: CommandId(uuid::Uuid::from_u128(number)),
            command_hash: Hash::of(b"command"),
            collect: collect.clone(),
            since_secs: u64::try_from(number).unwrap(),
            made,
            before: None,
        };
        let sha256 = Hash::of(b"archive");
        let made = Archive {
            bytes: 7,
            sha256,
            entries: 1,
            missing: 0,
            cut: false,
            time_ns: 1,
            took_ms: 1,
            inside: None,
        };
        let (half, whole) = (order(1, None), order(2, Some(made)));
        for one in [&whole, &half] {
            store.keep(one).unwrap();
            std::fs::write(store.archive(one.command), "archive").unwrap();
        }
        std::fs::write(own.path("collected/stray"), "x").unwrap();
        let store = Store::open(&own).unwrap();
        assert_eq!(store.load().unwrap(), [half.clone(), whole.clone()]);
        assert!(!store.archive(half.command).exists(), "it is made anew");
        assert_eq!(store.read(whole.command, 2, 3).unwrap(), b"chi");
        assert!(!own.path("collected/stray").exists());
        store.forget(whole.command).unwrap();
        assert_eq!(store.load().unwrap(), [half]);
    }
}
