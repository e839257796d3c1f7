//! Locks an account of this machine: no password fits, it is expired, its keys are set aside, and
//! its sessions end if that was asked for.
//!
//! Never the last administrator, never root, never whom the agent runs as; accounts of a directory
//! service are locked there. No password is kept: what is undone is our own mark, so that a password
//! that was changed meanwhile stays.

mod admins;
mod files;
mod keys;
mod line;
mod sessions;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::command::LockAccount;
use cordon_proto::event::receipt::Probe;
use cordon_proto::id::Hash;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::deed::{Deed, Done, NotDone, Seen};
use crate::clock;
use crate::inventory::users::{self, Home, User};
use crate::inventory::{child, groups, ssh_keys, sudoers};
use files::{EditError, Locked};
use keys::{KeyFile, Places};
use sessions::Reach;

const GETENT: &str = "/usr/bin/getent";
const GETENT_WITHIN: Duration = Duration::from_secs(5);
const GETENT_BYTES_MAX: usize = 64 << 10;

/// An account that is to be locked.
#[derive(Debug)]
pub struct Account<'a> {
    /// Where the machine's files are.
    pub root: &'a Path,
    /// Which, and how.
    pub wanted: &'a LockAccount,
    /// Whether nothing of the machine itself may be touched.
    pub lab: bool,
}

/// Where an account's password stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
#[cbor(index_only)]
enum Place {
    /// In `/etc/shadow`, where it also expires.
    #[n(0)]
    Shadow,
    /// In `/etc/passwd` itself: what `/etc/shadow` says counts for nothing.
    #[n(1)]
    Passwd,
    /// Nowhere: no password fits anyway.
    #[n(2)]
    Nowhere,
}

/// What was there before.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
struct Before {
    #[n(0)]
    uid: u32,
    #[n(1)]
    home: ByteVec,
    #[n(2)]
    place: Place,
    /// The digest of what stood in the password's field; none where it was locked already.
    #[n(3)]
    password: Option<Hash>,
    /// The day of expiry as it stood there; none where that day had come already.
    #[n(4)]
    expires: Option<ByteVec>,
    #[n(5)]
    keys: Vec<KeyFile>,
}

/// The account's files as they are now.
struct Files {
    passwd: Vec<u8>,
    shadow: Vec<u8>,
}

fn now() -> Duration {
    Duration::from_nanos(clock::boot_ns())
}

fn failed(error: EditError) -> NotDone {
    NotDone::Failed(error.to_string())
}

impl Deed for Account<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        let files = self.read().map_err(failed)?;
        let users = users::parse(&files.passwd, Some(&files.shadow), users::today());
        let user = self.find(&users)?;
        self.may_be_locked(user, &users)?;
        let place = self.place(&files);
        let field = self.field(place, &files).filter(|field| !line::is_locked(field));
        let expires = line::field(&files.shadow, self.name(), line::EXPIRES)
            .filter(|_day| place == Place::Shadow)
            .filter(|day| !line::is_expired(day, users::today()));
        let before = Before {
            uid: user.uid,
            home: user.home.as_bytes().to_vec().into(),
            place,
            password: field.map(Hash::of),
            expires: expires.map(|day| day.to_vec().into()),
            keys: Vec::new(),
        };
        let keys = self.places(&before).present();
        Ok(codec::encode(&Before { keys, ..before }))
    }

    fn apply(&self, before: &[u8]) -> Result<Done, NotDone> {
        let before = read_before(before)?;
        let locked = Locked::take(self.root, now).map_err(failed)?;
        let mut missing = Vec::new();
        match before.place {
            Place::Shadow => locked.edit("shadow", |text| self.locked_shadow(text)),
            Place::Passwd => {
                missing.push(
                    "its password stands in /etc/passwd, so that it cannot be expired".to_owned(),
                );
                locked.edit("passwd", |text| self.locked_password(text))
            }
            Place::Nowhere => {
                missing.push("it has no line in /etc/shadow to be expired in".to_owned());
                Ok(())
            }
        }
        .map_err(failed)?;
        drop(locked);
        missing.extend(self.places(&before).set_aside(&before.keys));
        let reach = self.end_sessions(&before, &mut missing);
        let probes = self.probes(&before, reach.as_ref()).map_err(failed)?;
        let done = probes.iter().filter(|probe| probe.passed).map(|probe| probe.what.clone());
        Ok(Done { done: done.collect(), probes, missing })
    }

    fn look(&self, before: &[u8]) -> Seen {
        let before = match read_before(before) {
            Ok(before) => before,
            Err(why) => return Seen::CannotLook(why.to_string()),
        };
        let files = match self.read() {
            Ok(files) => files,
            Err(error) => return Seen::CannotLook(error.to_string()),
        };
        if line::field(&files.passwd, self.name(), 0).is_none() {
            return Seen::Gone(format!("there is no account {} any more", self.wanted.user));
        }
        let reach = self.reach(&before, &files).ok().flatten();
        match self.probes(&before, reach.as_ref()) {
            Ok(probes) if probes.iter().all(|probe| probe.passed) => Seen::Holds(probes),
            Ok(probes) => {
                let failed = probes.into_iter().filter(|probe| !probe.passed);
                let words = failed.map(|Probe { what, seen, .. }| format!("{what}: {seen}"));
                Seen::Drifted(words.collect::<Vec<_>>().join("; "))
            }
            Err(error) => Seen::CannotLook(error.to_string()),
        }
    }

    fn undo(&self, before: &[u8]) -> Result<Done, NotDone> {
        let before = read_before(before)?;
        let mut missing = Vec::new();
        let locked = Locked::take(self.root, now).map_err(failed)?;
        let name = match before.place {
            Place::Shadow => Some("shadow"),
            Place::Passwd => Some("passwd"),
            Place::Nowhere => None,
        };
        if let Some(name) = name {
            let edit = |text: &[u8]| Some(self.unlocked(text, &before, &mut missing));
            locked.edit(name, edit).map_err(failed)?;
        }
        drop(locked);
        missing.extend(self.places(&before).put_back(&before.keys));
        let files = self.read().map_err(failed)?;
        let mut probes = Vec::new();
        if before.password.is_some() {
            let open = self.field(before.place, &files).is_some_and(|f| !line::is_locked(f));
            probes.push(probe("its password counts again", open, "locked"));
        }
        if before.expires.is_some() {
            let day = line::field(&files.shadow, self.name(), line::EXPIRES).unwrap_or_default();
            let open = !line::is_expired(day, users::today());
            probes.push(probe("it is expired no more", open, "expired"));
        }
        let back = before.keys.len();
        probes.push(probe(
            &format!("{back} file(s) of keys back"),
            missing.is_empty(),
            "see above",
        ));
        let done = probes.iter().filter(|probe| probe.passed).map(|probe| probe.what.clone());
        Ok(Done { done: done.collect(), probes, missing })
    }
}

fn read_before(before: &[u8]) -> Result<Before, NotDone> {
    let read = codec::decode_strict(before);
    read.map_err(|error| NotDone::Failed(format!("what was there before cannot be read: {error}")))
}

fn probe(what: &str, passed: bool, otherwise: &str) -> Probe {
    let seen = if passed { "so it is" } else { otherwise };
    Probe { what: what.to_owned(), passed, seen: seen.to_owned() }
}

impl<'a> Account<'a> {
    /// One of this machine's.
    pub(super) fn here(wanted: &'a LockAccount, lab: bool) -> Self {
        Self { root: Path::new("/"), wanted, lab }
    }

    fn name(&self) -> &[u8] {
        self.wanted.user.as_bytes()
    }

    fn read(&self) -> Result<Files, EditError> {
        let passwd = files::text(self.root, "passwd")?;
        let shadow = match files::text(self.root, "shadow") {
            Err(EditError::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                Vec::new()
            }
            read => read?,
        };
        Ok(Files { passwd, shadow })
    }

    fn place(&self, files: &Files) -> Place {
        let field = line::field(&files.passwd, self.name(), line::PASSWORD);
        if field.is_some_and(|field| field != b"x") {
            return Place::Passwd;
        }
        match line::field(&files.shadow, self.name(), line::EXPIRES) {
            Some(_) => Place::Shadow,
            None => Place::Nowhere,
        }
    }

    fn field<'f>(&self, place: Place, files: &'f Files) -> Option<&'f [u8]> {
        match place {
            Place::Shadow => line::field(&files.shadow, self.name(), line::PASSWORD),
            Place::Passwd => line::field(&files.passwd, self.name(), line::PASSWORD),
            Place::Nowhere => None,
        }
    }

    fn places(&self, before: &Before) -> Places<'_> {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&before.home));
        let owner = self.wanted.user.as_str().into();
        Places::of(self.root, Home { owner, uid: before.uid, path })
    }

    fn find<'u>(&self, users: &'u [User]) -> Result<&'u User, NotDone> {
        let name = &self.wanted.user;
        let own = users.iter().find(|user| user.name.as_bytes() == self.name());
        own.ok_or_else(|| {
            let is_known = self.root == Path::new("/")
                && child::ask(
                    GETENT,
                    &["passwd", "--", name],
                    GETENT_WITHIN,
                    GETENT_BYTES_MAX,
                    now,
                )
                .is_ok();
            NotDone::Refused(if is_known {
                format!("{name} is an account of a directory service; lock it there")
            } else {
                format!("there is no account {name} on this endpoint")
            })
        })
    }

    fn may_be_locked(&self, user: &User, users: &[User]) -> Result<(), NotDone> {
        let refused = |why: String| Err(NotDone::Refused(why));
        let name = &self.wanted.user;
        let first = |uid: u32| users.iter().find(|user| user.uid == uid).map(|user| &user.name);
        if name == "root" || (user.uid == 0 && first(0) == Some(&user.name)) {
            return refused(format!("{name} is root, and root is never locked"));
        }
        let own = rustix::process::geteuid().as_raw();
        if user.uid == own && first(own) == Some(&user.name) {
            return refused(format!("the agent itself runs as {name}"));
        }
        if self.lab {
            self.may_be_locked_in_lab(user)?;
        }
        let groups = groups::collect(self.root).map(|found| found.rows).unwrap_or_default();
        let rules = sudoers::collect(self.root).map(|found| found.rows).unwrap_or_default();
        let keys = ssh_keys::collect(self.root).map(|found| found.rows).unwrap_or_default();
        let has_key = |user: &User| keys.iter().any(|key| key.owner == user.name);
        let standing = admins::standing(name, users, &groups, &rules, has_key);
        if standing.is_admin && standing.others.is_empty() {
            return refused(format!(
                "{name} is the last administrator with a way into this machine"
            ));
        }
        Ok(())
    }

    /// In a lab the files must be others than those of whoever started all this, and the account
    /// must be none of theirs.
    fn may_be_locked_in_lab(&self, user: &User) -> Result<(), NotDone> {
        let refused = |why: &str| Err(NotDone::Refused(format!("in a lab, {why}")));
        let of_machine = sessions::ancestors().into_iter().rev().find_map(|pid| {
            let path = format!("/proc/{pid}/root/etc/passwd");
            Some((std::fs::metadata(&path).ok()?, std::fs::read(&path).ok()?))
        });
        let own = std::fs::metadata(self.root.join("etc/passwd"));
        let (Some((machine, text)), Ok(own)) = (of_machine, own) else {
            return refused("nobody can tell whose accounts these are");
        };
        if (machine.dev(), machine.ino()) == (own.dev(), own.ino()) {
            return refused("the accounts of the machine itself are not touched");
        }
        let is_of_machine = |other: User| other.name == user.name || other.uid == user.uid;
        if users::parse(&text, None, 0).into_iter().any(is_of_machine) {
            return refused("an account that the machine itself has is not touched");
        }
        Ok(())
    }

    fn locked_shadow(&self, text: &[u8]) -> Option<Vec<u8>> {
        let text = self.locked_password(text).unwrap_or_else(|| text.to_vec());
        let day = line::field(&text, self.name(), line::EXPIRES)?;
        if line::is_expired(day, users::today()) {
            return Some(text);
        }
        line::with_field(&text, self.name(), line::EXPIRES, line::EXPIRED)
    }

    fn locked_password(&self, text: &[u8]) -> Option<Vec<u8>> {
        let field = line::field(text, self.name(), line::PASSWORD)?;
        let locked = Some(field).filter(|field| !line::is_locked(field)).map(line::lock)?;
        line::with_field(text, self.name(), line::PASSWORD, &locked)
    }

    /// Takes our marks away where they are still ours, and tells what is otherwise than before.
    fn unlocked(&self, text: &[u8], before: &Before, missing: &mut Vec<String>) -> Vec<u8> {
        let name = self.name();
        let mut text = text.to_vec();
        let Some(field) = line::field(&text, name, line::PASSWORD).map(<[u8]>::to_vec) else {
            missing.push("the account is gone".to_owned());
            return text;
        };
        if let Some(digest) = before.password {
            let open = line::unlock(&field).unwrap_or(&field);
            if Hash::of(open) != digest {
                missing.push("its password was changed meanwhile and stays as it is".to_owned());
            }
            if let Some(changed) = line::with_field(&text, name, line::PASSWORD, open) {
                text = changed;
            }
        }
        let Some(expires) = &before.expires else { return text };
        match line::field(&text, name, line::EXPIRES) {
            Some(day) if day == line::EXPIRED => {
                if let Some(changed) = line::with_field(&text, name, line::EXPIRES, expires) {
                    text = changed;
                }
            }
            Some(day) if day == expires.as_slice() => {}
            Some(_) | None => {
                missing.push("its day of expiry was changed meanwhile and stays".to_owned());
            }
        }
        text
    }

    /// Whose processes end; none where none are to end.
    fn reach(&self, before: &Before, files: &Files) -> Result<Option<Reach>, String> {
        if !self.wanted.end_sessions {
            return Ok(None);
        }
        let users = users::parse(&files.passwd, None, 0);
        let is_other = |user: &&User| user.uid == before.uid && user.name.as_bytes() != self.name();
        if let Some(other) = users.iter().find(is_other) {
            return Err(format!(
                "its processes cannot be told from those of {}",
                other.name.to_lossy()
            ));
        }
        Reach::here(self.lab).map(Some)
    }

    fn end_sessions(&self, before: &Before, missing: &mut Vec<String>) -> Option<Reach> {
        let reach = match self.read().map_err(|error| error.to_string()) {
            Ok(files) => self.reach(before, &files),
            Err(why) => Err(why),
        };
        match reach {
            Ok(Some(reach)) => {
                missing.extend(sessions::end(&self.wanted.user, before.uid, &reach, now));
                Some(reach)
            }
            Ok(None) => None,
            Err(why) => {
                missing.push(format!("its sessions go on: {why}"));
                None
            }
        }
    }

    /// What can be held is looked at; what could not be done at all was told when it was not.
    fn probes(&self, before: &Before, reach: Option<&Reach>) -> Result<Vec<Probe>, EditError> {
        let files = self.read()?;
        let mut probes = Vec::new();
        let field = self.field(before.place, &files);
        let locked = field.is_none_or(line::is_locked);
        probes.push(probe("no password fits", locked, "there is one that fits"));
        if before.place == Place::Shadow {
            let day = line::field(&files.shadow, self.name(), line::EXPIRES).unwrap_or_default();
            let expired = line::is_expired(day, users::today());
            probes.push(probe("it is expired", expired, "it is not"));
        }
        let there = self.places(before).still_there();
        let named: Vec<_> = there.iter().map(|path| path.display().to_string()).collect();
        probes.push(probe("its keys are set aside", there.is_empty(), &named.join(", ")));
        if let Some(reach) = reach {
            let count = sessions::count(before.uid, reach);
            probes.push(probe(
                "nothing runs as it",
                count == 0,
                &format!("{count} process(es) do"),
            ));
        }
        Ok(probes)
    }
}

#[cfg(test)]
mod tests;
