//! What the kernel's fanotify messages say. Pure.
//!
//! A message is 24 bytes of head and records: each of them a directory (file system, handle) and
//! a name in it. All numbers are in native byte order.

use crate::platform::linux::fanotify::{MOVED_FROM, MOVED_TO, OVERFLOW, RENAME};

/// The version of the layout that this reads.
const VERSION: u8 = 3;

const HEAD_BYTES: usize = 24;

/// Kind, padding and length of a record, and the file system's number.
const RECORD_HEAD_BYTES: usize = 12;

/// Length and type of a handle.
const HANDLE_HEAD_BYTES: usize = 8;

const DIRECTORY_AND_NAME: u8 = 2;
const OLD_DIRECTORY_AND_NAME: u8 = 10;
const NEW_DIRECTORY_AND_NAME: u8 = 12;

/// One message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notice<'a> {
    /// What happened, in any order: the kernel adds messages of one process about one name up.
    pub mask: u64,
    /// Who; none for a process that this pid namespace does not see.
    pub pid: Option<u32>,
    /// To which name.
    pub name: Option<Name<'a>>,
    /// The name before a rename.
    pub from: Option<Name<'a>>,
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Name<'a> {
    /// The directory: the file system's number (8 bytes) and the handle, as the kernel wrote them.
    pub directory: &'a [u8],
    /// The name in it; a dot for the directory itself.
    pub name: &'a [u8],
}

impl<'a> Name<'a> {
    /// Which file system, as statfs gives it, and the handle.
    pub fn split(&self) -> Option<(u64, &'a [u8])> {
        let (low, rest) = self.directory.split_first_chunk()?;
        let (high, handle) = rest.split_first_chunk()?;
        let [low, high] = [low, high].map(|half| u64::from(u32::from_ne_bytes(*half)));
        Some((low | high << 32, handle))
    }
}

impl Notice<'_> {
    /// Whether messages were lost before this one.
    pub fn is_overflow(&self) -> bool {
        self.mask & OVERFLOW != 0
    }
}

/// All messages of a buffer; one that makes no sense ends the reading.
pub fn notices(mut buffer: &[u8]) -> (Vec<Notice<'_>>, bool) {
    let mut found: Vec<Notice<'_>> = Vec::new();
    while !buffer.is_empty() {
        let Some((notice, rest)) = notice(buffer) else { return (found, false) };
        // Old kernels tell of a rename in two messages, the one right after the other.
        match found.last_mut() {
            Some(last) if is_second_half(last, &notice) => {
                last.mask = last.mask & !MOVED_FROM | RENAME;
                (last.from, last.name) = (last.name, notice.name);
            }
            Some(_) | None => found.push(notice),
        }
        buffer = rest;
    }
    (found, true)
}

fn is_second_half(first: &Notice<'_>, second: &Notice<'_>) -> bool {
    const OTHER_THAN_KIND: u64 = 0xffff;
    first.pid == second.pid
        && first.mask & OTHER_THAN_KIND == MOVED_FROM
        && second.mask & OTHER_THAN_KIND == MOVED_TO
        && first.mask & !OTHER_THAN_KIND == second.mask & !OTHER_THAN_KIND
}

fn notice(buffer: &[u8]) -> Option<(Notice<'_>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*buffer.first_chunk()?)).ok()?;
    let head_bytes = usize::from(u16::from_ne_bytes(*buffer.get(6..)?.first_chunk()?));
    if *buffer.get(4)? != VERSION || head_bytes < HEAD_BYTES || length < head_bytes {
        return None;
    }
    let (message, rest) = buffer.split_at_checked(length)?;
    let mask = u64::from_ne_bytes(*message.get(8..)?.first_chunk()?);
    let pid = i32::from_ne_bytes(*message.get(20..)?.first_chunk()?);
    let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0);
    let mut notice = Notice { mask, pid, name: None, from: None };
    let mut records = message.get(head_bytes..)?;
    while !records.is_empty() {
        let kind = *records.first()?;
        let bytes = usize::from(u16::from_ne_bytes(*records.get(2..)?.first_chunk()?));
        let (record, others) = records.split_at_checked(bytes.max(4))?;
        match kind {
            DIRECTORY_AND_NAME | NEW_DIRECTORY_AND_NAME => notice.name = Some(name(record)?),
            OLD_DIRECTORY_AND_NAME => notice.from = Some(name(record)?),
            _ => {}
        }
        records = others;
    }
    Some((notice, rest))
}

fn name(record: &[u8]) -> Option<Name<'_>> {
    let handle = record.get(RECORD_HEAD_BYTES..)?;
    let handle_bytes = usize::try_from(u32::from_ne_bytes(*handle.first_chunk()?)).ok()?;
    let end = RECORD_HEAD_BYTES.checked_add(HANDLE_HEAD_BYTES)?.checked_add(handle_bytes)?;
    let directory = record.get(4..end)?;
    let name = record.get(end..)?.split(|byte| *byte == 0).next()?;
    Some(Name { directory, name })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::platform::linux::fanotify::{CREATE, ONDIR};

    fn record(kind: u8, name: &str) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend(7_u64.to_ne_bytes());
        bytes.extend(4_u32.to_ne_bytes());
        bytes.extend(1_u32.to_ne_bytes());
        bytes.extend(*b"hand");
        bytes.extend(name.bytes());
        bytes.push(0);
        while bytes.len() % 4 != 0 {
            bytes.push(0);
        }
        let length = u16::try_from(bytes.len()).unwrap();
        bytes[2..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    fn message(mask: u64, pid: i32, records: &[Vec<u8>]) -> Vec<u8> {
        let records = records.concat();
        let mut bytes = u32::try_from(HEAD_BYTES + records.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend([VERSION, 0, 24, 0]);
        bytes.extend(mask.to_ne_bytes());
        bytes.extend((-1_i32).to_ne_bytes());
        bytes.extend(pid.to_ne_bytes());
        bytes.extend(records);
        bytes
    }

    #[track_caller]
    fn check(messages: &[Vec<u8>], expected: &[(u64, Option<u32>, &str, &str)]) {
        let buffer = messages.concat();
        let (found, whole) = notices(&buffer);
        assert!(whole);
        let text = |name: Option<Name<'_>>| {
            name.map_or(String::new(), |name| {
                assert_eq!(name.split().unwrap().0, 7);
                assert_eq!(&name.split().unwrap().1[8..], b"hand");
                String::from_utf8(name.name.to_vec()).unwrap()
            })
        };
        let found: Vec<_> =
            found.iter().map(|n| (n.mask, n.pid, text(n.name), text(n.from))).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(mask, pid, name, from)| (*mask, *pid, (*name).to_owned(), (*from).to_owned()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_and_processes_come_out() {
        check(
            &[
                message(CREATE, 5, &[record(2, "a")]),
                message(RENAME | ONDIR, 0, &[record(10, "old"), record(12, "newer")]),
                message(OVERFLOW, 0, &[]),
            ],
            &[
                (CREATE, Some(5), "a", ""),
                (RENAME | ONDIR, None, "newer", "old"),
                (OVERFLOW, None, "", ""),
            ],
        );
    }

    #[test]
    fn a_rename_in_two_messages_becomes_one() {
        let (from, to) = (record(2, "old"), record(2, "new"));
        check(
            &[
                message(MOVED_FROM, 5, std::slice::from_ref(&from)),
                message(MOVED_TO, 5, std::slice::from_ref(&to)),
            ],
            &[(RENAME, Some(5), "new", "old")],
        );
        check(
            &[message(MOVED_FROM, 5, &[from]), message(MOVED_TO, 6, &[to])],
            &[(MOVED_FROM, Some(5), "old", ""), (MOVED_TO, Some(6), "new", "")],
        );
    }

    #[test]
    fn records_of_other_kinds_are_passed_over() {
        let pidfd = vec![4, 0, 8, 0, 1, 2, 3, 4];
        check(&[message(CREATE, 5, &[pidfd, record(2, "a")])], &[(CREATE, Some(5), "a", "")]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let (found, _) = notices(&bytes);
            prop_assert!(found.len() <= bytes.len() / HEAD_BYTES);
        }

        #[test]
        fn a_message_with_bytes_changed_never_panics(at in 0_usize..60, byte: u8) {
            let mut bytes = message(CREATE, 5, &[record(2, "name")]);
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            notices(&bytes);
        }
    }
}
