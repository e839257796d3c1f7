//! Messages of the kernel's process connector. Pure.
//!
//! A netlink header of 16 bytes, a connector header of 20, then the event: what, processor, time,
//! and by kind some ids. All numbers are in native byte order.

use super::proc_file::Ids;

/// Longer than any message that the kernel sends.
pub(super) const MESSAGE_BYTES_MAX: usize = 256;

const NETLINK_HEADER_BYTES: usize = 16;
const CONNECTOR_HEADER_BYTES: usize = 20;
const EVENT: usize = NETLINK_HEADER_BYTES + CONNECTOR_HEADER_BYTES;

/// Where the connector's running number stands.
const NUMBER: usize = NETLINK_HEADER_BYTES + 8;

/// Where the ids of an event stand.
const IDS: usize = EVENT + 16;

/// One message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Message {
    /// Counts up by one with every message of the same processor.
    pub(super) number: u32,
    pub(super) processor: u32,
    pub(super) change: Change,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// The answer to [`listen`].
    Acknowledged {
        error: u32,
    },
    Fork {
        parent: u32,
        child: u32,
    },
    Exec {
        pid: u32,
    },
    Ids {
        pid: u32,
        ids: Ids,
    },
    Exit {
        pid: u32,
        parent: Option<u32>,
        wait_status: u32,
    },
    /// Of threads, or of no interest.
    Other,
}

impl Message {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let number = word(bytes, NUMBER)?;
        let processor = word(bytes, EVENT + 4)?;
        let id = |place: usize| word(bytes, IDS + 4 * place);
        let (pid, tgid) = (id(0)?, id(1));
        let change = match word(bytes, EVENT)? {
            0 => Change::Acknowledged { error: pid },
            1 if id(2)? == id(3)? => Change::Fork { parent: tgid?, child: id(3)? },
            2 => Change::Exec { pid: tgid? },
            4 => Change::Ids { pid: tgid?, ids: Ids { uid: id(2)?, euid: id(3)? } },
            // The parent is told since Linux 4.18.
            0x8000_0000 if Some(pid) == tgid => {
                Change::Exit { pid, wait_status: id(2)?, parent: id(5) }
            }
            _ => Change::Other,
        };
        Some(Self { number, processor, change })
    }
}

/// Asks the kernel to send.
pub(super) fn listen() -> [u8; 40] {
    const DONE: u16 = 3;
    const PROCESS_CONNECTOR: u32 = 1;
    const LISTEN: u32 = 1;
    let mut bytes = [0; 40];
    bytes[0..4].copy_from_slice(&40u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&DONE.to_ne_bytes());
    bytes[16..20].copy_from_slice(&PROCESS_CONNECTOR.to_ne_bytes());
    bytes[20..24].copy_from_slice(&PROCESS_CONNECTOR.to_ne_bytes());
    bytes[32..34].copy_from_slice(&4u16.to_ne_bytes());
    bytes[36..40].copy_from_slice(&LISTEN.to_ne_bytes());
    bytes
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(what: u32, ids: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; IDS];
        bytes[NUMBER..][..4].copy_from_slice(&99u32.to_ne_bytes());
        bytes[EVENT..][..4].copy_from_slice(&what.to_ne_bytes());
        bytes[EVENT + 4..][..4].copy_from_slice(&1u32.to_ne_bytes());
        bytes.extend(ids.iter().flat_map(|id| id.to_ne_bytes()));
        bytes
    }

    #[track_caller]
    fn check(what: u32, ids: &[u32], change: Change) {
        let expected = Message { number: 99, processor: 1, change };
        assert_eq!(Message::parse(&message(what, ids)), Some(expected));
    }

    #[test]
    fn starts_and_ends_of_processes_come_out() {
        check(1, &[5, 4, 7, 7], Change::Fork { parent: 4, child: 7 });
        check(2, &[8, 7], Change::Exec { pid: 7 });
        check(4, &[7, 7, 1000, 0], Change::Ids { pid: 7, ids: Ids { uid: 1000, euid: 0 } });
        let end = Change::Exit { pid: 7, parent: Some(4), wait_status: 256 };
        check(0x8000_0000, &[7, 7, 256, 17, 5, 4], end);
        let old = Change::Exit { pid: 7, parent: None, wait_status: 256 };
        check(0x8000_0000, &[7, 7, 256, 17], old);
    }

    #[test]
    fn threads_are_of_no_interest() {
        check(1, &[4, 4, 8, 7], Change::Other);
        check(0x8000_0000, &[8, 7, 0, 17], Change::Other);
        check(0x200, &[8, 7], Change::Other);
    }

    #[test]
    fn the_answer_to_the_question_carries_its_error() {
        check(0, &[0], Change::Acknowledged { error: 0 });
        check(0, &[1], Change::Acknowledged { error: 1 });
    }

    #[test]
    fn the_question_is_as_long_as_it_says() {
        let question = listen();
        assert_eq!(word(&question, 0), Some(40));
        assert_eq!(word(&question, 16), Some(1));
        assert_eq!(word(&question, EVENT), Some(1));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            prop_assert!(Message::parse(&bytes).is_none() || bytes.len() >= IDS + 4);
        }
    }
}
