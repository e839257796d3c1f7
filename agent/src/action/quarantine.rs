//! Takes a file away into the vault, and puts it back as it was (D3FEND D3-CQ, D3-RF).
//!
//! The copy is whole, read back and on the disk before the file loses its names, and the names are
//! taken only from the file that was copied. At every moment, crashes included, either the file or
//! a whole copy is there. What runs from the file goes on running: taking it away ends no process.

mod holders;
mod protected;
mod restore;
mod subject;
mod take;

use cordon_proto::codec;
use cordon_proto::command::Quarantine;
use cordon_proto::event::receipt::Probe;
use minicbor::{Decode, Encode};

use super::deed::{Deed, Done, NotDone, Seen, Tools};
use crate::platform::linux::place::{Facts, Inode, Moment};
use crate::vault::{Content, Copy, CopyId, Vault, VaultError, random};

use subject::{Subject, shown};

/// The longest file that is taken; reading it must end within minutes.
const BYTES_MAX: u64 = 64 << 30;

/// What is at the path again is compared up to this length each time that it is looked at.
const LOOK_BYTES_MAX: u64 = 64 << 20;

/// Names that one file may have.
const NAMES_MAX: usize = 16;

/// Where a crash can strike: after each of these something is otherwise than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// The copy holds something.
    CopyBegun,
    /// It holds everything.
    CopyFinished,
    /// It is kept.
    CopyKept,
    /// The file is no longer closed to changes.
    Opened,
    /// Its names are no longer what they were.
    SetAside,
    /// It has no names.
    TakenAway,
    /// A new file was made.
    BackBegun,
    /// It has its content.
    BackWritten,
    /// It has all that it carried.
    BackDressed,
    /// It has its names.
    BackNamed,
    /// It is closed to changes again.
    BackClosed,
    /// The copy is gone.
    CopyRemoved,
}

/// What was there before, as the ledger keeps it.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
struct Before {
    /// What the copy is called.
    #[n(0)]
    copy: CopyId,
    /// Which file it was.
    #[n(1)]
    inode: Inode,
    /// Its flags: a crash may come while they are cleared.
    #[n(2)]
    flags: Option<u32>,
    /// When it was made: file systems give the number of a file that is gone to the next.
    #[n(3)]
    born: Option<Moment>,
}

/// A file to be taken, or taken.
pub struct Taking<'a> {
    tools: &'a Tools,
    asked: &'a Quarantine,
    at: &'a dyn Fn(Stage),
}

impl<'a> Taking<'a> {
    /// What a command asks for.
    #[must_use]
    pub fn new(tools: &'a Tools, asked: &'a Quarantine) -> Self {
        Self { tools, asked, at: &|_stage| {} }
    }

    /// The same, telling `at` of each stage; to see what a crash there leaves.
    #[must_use]
    pub fn told(tools: &'a Tools, asked: &'a Quarantine, at: &'a dyn Fn(Stage)) -> Self {
        Self { tools, asked, at }
    }

    fn vault(&self) -> Result<Vault, NotDone> {
        Vault::open(&self.tools.dir).map_err(failed)
    }

    fn subject(&self) -> Result<Option<Subject>, NotDone> {
        Subject::find(self.tools, self.asked.path.as_bytes())
    }

    fn path(&self) -> String {
        shown(self.asked.path.as_bytes())
    }

    /// What is at the path beside a copy that was kept; files up to `bytes_max` are compared.
    fn there(&self, before: &Before, copy: &Copy, bytes_max: u64) -> Result<There, NotDone> {
        let header = copy.header();
        if let Some(place) = subject::open_place(&header.directory)? {
            for index in 0..header.names.len() {
                if place.hold(&before.aside(index)).map_err(failed)?.is_some() {
                    return Ok(There::SetAside);
                }
            }
        }
        let subject = match self.subject() {
            Ok(Some(subject)) => subject,
            Ok(None) => return Ok(There::Nothing),
            Err(NotDone::Refused(why)) => return Ok(There::Another(why)),
            Err(error @ NotDone::Failed(_)) => return Err(error),
        };
        let another = |what: String| Ok(There::Another(what));
        let content = copy.content();
        if subject.what.is_link() != header.what.is_link() || subject.facts.bytes != content.bytes {
            return another("another file is there".to_owned());
        }
        if subject.facts.bytes > bytes_max {
            return another("a file as long is there, too long to be compared here".to_owned());
        }
        let found = subject.content().map_err(failed)?;
        if found.sha256 == content.sha256 {
            return Ok(There::Same(Box::new(subject)));
        }
        another(format!("another file is there, with SHA-256 {}", found.sha256))
    }

    /// Takes the file that was looked at: for the first time, or after a crash that left no copy.
    fn anew(&self, vault: &Vault, before: &Before) -> Result<Done, NotDone> {
        let mut tries = 0;
        loop {
            let nothing = || NotDone::Failed(format!("there is no file at {}", self.path()));
            let subject = self.subject()?.ok_or_else(nothing)?;
            if !before.is_of(&subject.facts) {
                let why = format!("another file is at {} than was looked at", self.path());
                return Err(NotDone::Failed(why));
            }
            match take::take(self, vault, before, &subject) {
                Ok(content) => return Ok(self.taken(content, &subject)),
                Err(Stop::Half(why)) => return Ok(half(why)),
                Err(Stop::NotDone(why)) => return Err(why),
                Err(Stop::Changed) if tries < TRIES_MAX => tries += 1,
                Err(Stop::Changed) => {
                    let path = self.path();
                    let why =
                        format!("{path} goes on changing while it is copied; what writes it?");
                    return Err(NotDone::Failed(why));
                }
            }
        }
    }

    /// The copy is kept; what is left at the path is taken if it is the same.
    fn rest(&self, before: &Before, copy: &Copy) -> Result<Done, NotDone> {
        take::end_set_aside(before, copy)?;
        match self.there(before, copy, BYTES_MAX)? {
            There::Nothing | There::SetAside => {
                Ok(Done { probes: vec![kept(copy.content()), self.empty()], ..Done::default() })
            }
            There::Same(subject) => match take::away(self, before, &subject) {
                Ok(()) => Ok(self.taken(copy.content(), &subject)),
                Err(Stop::Half(why)) => Ok(half(why)),
                Err(Stop::NotDone(why)) => Err(why),
                Err(Stop::Changed) => {
                    Err(NotDone::Failed(format!("{} changed while it was taken", self.path())))
                }
            },
            There::Another(what) => {
                let probes = vec![kept(copy.content()), self.another(what)];
                Ok(Done { probes, ..Done::default() })
            }
        }
    }

    fn taken(&self, content: Content, subject: &Subject) -> Done {
        let links = subject.node.facts().map(|facts| facts.links);
        let gone = matches!(links, Ok(0));
        let seen = match links {
            Ok(0) => "none".to_owned(),
            Ok(links) => format!("{links}, made while it was taken"),
            Err(error) => format!("they could not be counted: {error}"),
        };
        let missing = if gone { Vec::new() } else { vec![format!("names left: {seen}")] };
        let names = subject.names.iter().map(|name| subject.full(name)).collect::<Vec<_>>();
        let what = "names that the file has left".to_owned();
        let mut probes = vec![kept(content), Probe { what, passed: gone, seen }];
        probes.extend(holders::probes(subject.facts.inode));
        Done { probes, done: vec![format!("taken away: {}", names.join(", "))], missing }
    }

    fn empty(&self) -> Probe {
        Probe {
            what: format!("nothing is at {}", self.path()),
            passed: true,
            seen: "so it is".into(),
        }
    }

    fn another(&self, what: String) -> Probe {
        Probe { what: format!("nothing is at {}", self.path()), passed: false, seen: what }
    }
}

/// Tries where the file changes while it is copied.
const TRIES_MAX: u32 = 3;

/// What is at the path beside a copy that was kept.
enum There {
    Nothing,
    /// The file itself, under a name of ours.
    SetAside,
    /// The file, or another of the same content.
    Same(Box<Subject>),
    /// Something else, in words.
    Another(String),
}

/// Why taking stopped.
enum Stop {
    /// Nothing is otherwise than before.
    NotDone(NotDone),
    /// Nor here: the file was written to or exchanged meanwhile.
    Changed,
    /// Some of its names are no longer what they were: the copy must stay.
    Half(String),
}

impl Before {
    fn read(bytes: &[u8]) -> Result<Self, NotDone> {
        codec::decode_strict(bytes).map_err(failed)
    }

    /// Whether it is the file that was looked at.
    fn is_of(&self, facts: &Facts) -> bool {
        (self.inode, self.born) == (facts.inode, facts.born)
    }

    /// What a file's names are called between being taken and being gone.
    fn aside(&self, index: usize) -> Vec<u8> {
        format!(".cordon-{}-{index}", self.copy).into_bytes()
    }
}

impl Deed for Taking<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        let nothing = || NotDone::Failed(format!("there is no file at {}", self.path()));
        let subject = self.subject()?.ok_or_else(nothing)?;
        take::room(&self.vault()?, &subject)?;
        let copy = CopyId(random().map_err(failed)?);
        let (inode, born, flags) =
            (subject.facts.inode, subject.facts.born, subject.metadata.flags);
        Ok(codec::encode(&Before { copy, inode, flags, born }))
    }

    fn apply(&self, before: &[u8]) -> Result<Done, NotDone> {
        let (before, vault) = (Before::read(before)?, self.vault()?);
        match vault.copy(before.copy) {
            Ok(Some(copy)) => self.rest(&before, &copy),
            Ok(None) => self.anew(&vault, &before),
            Err(VaultError::Damaged(why)) => {
                // Where the file is still there, a new copy mends it.
                let there = self.subject()?.is_some_and(|there| before.is_of(&there.facts));
                if there {
                    self.anew(&vault, &before)
                } else {
                    Err(failed(VaultError::Damaged(why)))
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn look(&self, before: &[u8]) -> Seen {
        let opened = Before::read(before).and_then(|before| Ok((before, self.vault()?)));
        let (before, vault) = match opened {
            Ok(opened) => opened,
            Err(why) => return Seen::CannotLook(why.to_string()),
        };
        let copy = match vault.copy(before.copy) {
            Ok(Some(copy)) => copy,
            Ok(None) => return Seen::Drifted("its copy is gone from the vault".to_owned()),
            Err(error @ VaultError::Damaged(_)) => return Seen::Drifted(error.to_string()),
            Err(error) => return Seen::CannotLook(error.to_string()),
        };
        let path = self.path();
        match self.there(&before, &copy, LOOK_BYTES_MAX) {
            Ok(There::Nothing) => Seen::Holds(vec![kept(copy.content()), self.empty()]),
            Ok(There::SetAside) => Seen::Drifted(format!("{path} was set aside, but not taken")),
            Ok(There::Same(_)) => Seen::Drifted(format!("the same file is at {path} again")),
            Ok(There::Another(what)) => Seen::Holds(vec![kept(copy.content()), self.another(what)]),
            Err(why) => Seen::CannotLook(why.to_string()),
        }
    }

    fn undo(&self, before: &[u8]) -> Result<Done, NotDone> {
        let (before, vault) = (Before::read(before)?, self.vault()?);
        match vault.copy(before.copy).map_err(failed)? {
            Some(copy) => restore::restore(self, &vault, &before, copy),
            None => self.never_taken(&vault, &before),
        }
    }
}

impl Taking<'_> {
    /// Without a copy nothing was taken, unless somebody took the copy.
    fn never_taken(&self, vault: &Vault, before: &Before) -> Result<Done, NotDone> {
        // What a crash left of a copy.
        vault.remove(before.copy).map_err(failed)?;
        let there = self.subject()?.is_some_and(|there| before.is_of(&there.facts));
        let what = format!("{} is where it was", self.path());
        if there {
            let probes = vec![Probe { what, passed: true, seen: "it was never taken".into() }];
            return Ok(Done { probes, ..Done::default() });
        }
        let missing = vec![format!("{}: its copy is gone from the vault", self.path())];
        Ok(Done { missing, ..Done::default() })
    }
}

fn kept(content: Content) -> Probe {
    let seen = format!("{} bytes, SHA-256 {}", content.bytes, content.sha256);
    Probe { what: "the copy in the vault".to_owned(), passed: true, seen }
}

fn half(why: String) -> Done {
    Done { missing: vec![why], ..Done::default() }
}

fn failed(why: impl std::fmt::Display) -> NotDone {
    NotDone::Failed(why.to_string())
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::NotDone(failed(error))
    }
}

impl From<VaultError> for Stop {
    fn from(error: VaultError) -> Self {
        Self::NotDone(failed(error))
    }
}

impl From<NotDone> for Stop {
    fn from(why: NotDone) -> Self {
        Self::NotDone(why)
    }
}
