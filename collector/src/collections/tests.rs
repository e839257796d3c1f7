//! Offers and pieces, those of an honest endpoint and others.

use cordon_proto::sign::SigningKey;

use super::*;

struct World {
    temp: tempfile::TempDir,
    collections: Collections,
    client: ClientId,
    key: SigningKey,
}

const CONTENT: &[u8] = b"what was collected";

impl World {
    fn new(bytes_max: u64) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let collections = Collections::new(temp.path().join("collections"), bytes_max, 0);
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        // A name that is a way out of a folder, if it is taken for one.
        Self { temp, collections, client: "..".parse().unwrap(), key }
    }

    fn from(&self) -> Sender<'_> {
        Sender { client: &self.client, endpoint: EndpointId(self.key.id().0) }
    }

    fn collected(&self, number: u128, content: &[u8]) -> Collected {
        let archive = Archive {
            bytes: u64::try_from(content.len()).unwrap(),
            sha256: Hash::of(content),
            entries: 1,
            missing: 0,
            cut: false,
            time_ns: 1,
            took_ms: 1,
            inside: None,
        };
        Collected {
            endpoint: self.from().endpoint,
            key: self.key.verifying(),
            command: id(number),
            command_hash: Hash::of(b"command"),
            archive,
        }
    }

    fn offer(&self, number: u128, content: &[u8]) -> String {
        let collected = self.collected(number, content);
        let signed = collected.sign(&self.key);
        said(&self.collections.offer(self.from(), &signed, &collected, Some(1 << 20)))
    }

    fn piece(&self, number: u128, offset: u64, content: &[u8]) -> String {
        let content = content.to_vec();
        let piece = Piece { command: id(number), offset, content, offer: None };
        said(&self.collections.piece(self.from(), &piece))
    }

    fn whole(&self, number: u128) -> Option<Vec<u8>> {
        let held = self.collections.find(self.from(), id(number)).unwrap()?;
        held.file.map(|file| std::fs::read(file).unwrap())
    }
}

fn id(number: u128) -> CommandId {
    CommandId(uuid::Uuid::from_u128(number))
}

fn said(have: &Have) -> String {
    match &have.refused {
        None => have.bytes.to_string(),
        Some(NotTaken { sentence, again: true }) => format!("later: {sentence}"),
        Some(NotTaken { sentence, again: false }) => format!("never: {sentence}"),
    }
}

#[test]
fn an_archive_that_came_in_pieces_over_several_sessions_is_whole() {
    let world = World::new(1 << 20);
    assert_eq!(world.offer(1, CONTENT), "0");
    assert_eq!(world.piece(1, 0, &CONTENT[..7]), "7");
    assert_eq!(world.offer(1, CONTENT), "7", "another session goes on");
    assert_eq!(world.piece(1, 0, &CONTENT[..7]), "7", "what comes twice changes nothing");
    assert_eq!(world.piece(1, 9, &CONTENT[9..]), "7", "what comes too early neither");
    assert!(world.whole(1).is_none());
    assert_eq!(world.piece(1, 7, &CONTENT[7..]), "18");
    assert_eq!(world.whole(1).unwrap(), CONTENT);
    assert_eq!(world.offer(1, CONTENT), "18", "the agent did not hear it");
    assert_eq!(world.piece(1, 0, b"other"), "18");
    assert_eq!(world.whole(1).unwrap(), CONTENT);
    let listed = world.collections.list(&world.client).unwrap();
    assert_eq!(listed.len(), 1);
    assert!(!world.temp.path().join("part").exists());
}

#[test]
fn what_nobody_asked_for_or_offered_is_not_taken() {
    let world = World::new(1 << 20);
    let collected = world.collected(1, CONTENT);
    let signed = collected.sign(&world.key);
    let offer = |asked| said(&world.collections.offer(world.from(), &signed, &collected, asked));
    assert_eq!(offer(None), "never: no command asks this endpoint for it");
    assert_eq!(world.piece(1, 0, CONTENT), "never: it was not offered");
    let large = Archive { bytes: OVER_BYTES + 2, ..collected.archive };
    let large = Collected { archive: large, ..collected.clone() };
    let have = world.collections.offer(world.from(), &signed, &large, Some(1));
    assert_eq!(said(&have), "never: it is longer than the command allows");
    assert!(world.collections.list(&world.client).unwrap().is_empty());
}

#[test]
fn other_bytes_than_were_signed_are_thrown_away() {
    let world = World::new(1 << 20);
    world.offer(1, CONTENT);
    let other = vec![b'x'; CONTENT.len()];
    let says = "never: its bytes are not those that its endpoint signed";
    assert_eq!(world.piece(1, 0, &other), says);
    assert!(world.collections.list(&world.client).unwrap().is_empty());
    world.offer(1, CONTENT);
    let longer = [CONTENT, b"x"].concat();
    assert_eq!(world.piece(1, 0, &longer), "never: it is longer than its endpoint signed");
}

#[test]
fn an_archive_made_anew_replaces_one_on_its_way_and_none_that_is_whole() {
    let world = World::new(1 << 20);
    world.offer(1, CONTENT);
    world.piece(1, 0, &CONTENT[..7]);
    assert_eq!(world.offer(1, b"made anew"), "0");
    assert_eq!(world.piece(1, 0, b"made anew"), "9");
    let says = "never: another archive was delivered for this command";
    assert_eq!(world.offer(1, CONTENT), says);
    assert_eq!(world.whole(1).unwrap(), b"made anew");
}

#[test]
fn a_client_has_so_much_room_and_what_is_on_its_way_counts() {
    let world = World::new(20);
    assert_eq!(world.offer(1, CONTENT), "0");
    let says = "later: collections of this client take 0 of 0 MiB already";
    assert_eq!(world.offer(2, b"abc"), says);
    assert_eq!(world.offer(2, b"ab"), "0");
    let collections = Collections::new(world.temp.path().join("other"), 1 << 20, u64::MAX);
    let collected = world.collected(1, CONTENT);
    let signed = collected.sign(&world.key);
    let have = collections.offer(world.from(), &signed, &collected, Some(1 << 20));
    assert_eq!(said(&have), "later: the collector's disk is full");
}

#[test]
fn what_was_whole_before_a_crash_is_finished_when_it_is_offered_again() {
    let world = World::new(1 << 20);
    world.offer(1, CONTENT);
    std::fs::write(world.collections.path(world.from(), id(1), PART), CONTENT).unwrap();
    assert_eq!(world.offer(1, CONTENT), "18");
    assert_eq!(world.whole(1).unwrap(), CONTENT);
}
