//! Copies are read back as they were written, and every change to one is found.

use cordon_proto::Text;
use proptest::prelude::*;

use super::*;
use crate::platform::linux::metadata::Metadata;
use crate::platform::linux::place::{Inode, Moment};

const ID: CopyId = CopyId([7; 16]);

fn header() -> Header {
    let at = Moment { secs: -3, nanos: 5 };
    let (xattrs, flags) = (Vec::new(), Some(0x10));
    Header {
        directory: Text::from("/srv"),
        names: vec![Text::from("evil")],
        inode: Inode { device: 1, number: 2 },
        what: What::File,
        metadata: Metadata {
            mode: 0o4755,
            uid: 1,
            gid: 2,
            accessed: at,
            modified: at,
            xattrs,
            flags,
        },
    }
}

/// A vault with one copy of these chunks.
fn vault_with(chunks: &[(u64, Vec<u8>)], bytes: u64) -> (tempfile::TempDir, Vault, Content) {
    let temp = tempfile::tempdir().unwrap();
    let vault = Vault::open(&StateDir::open(temp.path().join("state")).unwrap()).unwrap();
    let mut sealer = vault.begin(ID, &header()).unwrap();
    let mut tally = Tally::default();
    for (offset, data) in chunks {
        tally.data(*offset, data);
        sealer.data(*offset, data).unwrap();
    }
    let content = tally.finish(bytes);
    let Content { bytes, bytes_of_data, sha256 } = content;
    sealer.finish(End { chunks: 0, bytes, bytes_of_data, sha256 }).unwrap();
    vault.keep(ID).unwrap();
    (temp, vault, content)
}

#[test]
fn a_copy_is_read_back_as_it_was_written() {
    let chunks = [(4096, b"one".to_vec()), (1 << 30, b"two".to_vec())];
    let (_temp, vault, content) = vault_with(&chunks, 10_000_000_000);
    let mut copy = vault.copy(ID).unwrap().unwrap();
    assert_eq!(copy.header(), &header());
    assert_eq!((copy.content(), content.bytes_of_data), (content, 6));
    let mut read = Vec::new();
    while let Some((offset, data)) = copy.next_chunk().unwrap() {
        read.push((offset, data.to_vec()));
    }
    assert_eq!(read, chunks);
    vault.remove(ID).unwrap();
    assert!(vault.copy(ID).unwrap().is_none());
}

#[test]
fn the_hash_is_that_of_the_whole_content_with_zeros_in_its_holes() {
    let (_temp, vault, content) = vault_with(&[(3, b"abc".to_vec())], 100_000);
    let mut whole = vec![0; 100_000];
    whole[3..6].copy_from_slice(b"abc");
    assert_eq!(content.sha256, cordon_proto::id::Hash::of(&whole));
    vault.copy(ID).unwrap().unwrap().verify().unwrap();
}

#[test]
fn nothing_of_the_file_can_be_read_in_the_copy() {
    let mark = b"X5O!P%@AP the mark of a virus".to_vec();
    let (_temp, vault, _) = vault_with(&[(0, mark.clone())], 29);
    let bytes = std::fs::read(vault.path(ID)).unwrap();
    for hidden in [mark.as_slice(), b"evil", b"/srv"] {
        assert!(!bytes.windows(hidden.len()).any(|window| window == hidden));
    }
}

#[test]
fn a_copy_under_another_name_or_another_key_is_not_opened() {
    let (_temp, vault, _) = vault_with(&[(0, b"abc".to_vec())], 3);
    let other = CopyId([8; 16]);
    std::fs::copy(vault.path(ID), vault.path(other)).unwrap();
    assert!(matches!(vault.copy(other), Err(VaultError::Damaged(_))));
    let stranger = Vault { dir: vault.dir.clone(), key: Zeroizing::new(vec![0; KEY_BYTES]) };
    assert!(matches!(stranger.copy(ID), Err(VaultError::Damaged(_))));
}

#[test]
fn the_key_is_made_once_and_kept_for_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (temp, vault, _) = vault_with(&[], 0);
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(temp.path().join("state/vault/key")), 0o600);
    assert_eq!(mode(temp.path().join("state/vault")), 0o700);
    let again = Vault::open(&StateDir::open(temp.path().join("state")).unwrap()).unwrap();
    assert_eq!(*again.key, *vault.key);
    std::fs::write(temp.path().join("state/vault/key"), "short").unwrap();
    let said = Vault::open(&StateDir::open(temp.path().join("state")).unwrap()).unwrap_err();
    assert!(matches!(said, VaultError::Key { bytes: 5, .. }), "{said}");
}

#[test]
fn the_chunks_change_places_with_nothing() {
    // Two chunks of one length: exchanged, each is well sealed, and at the wrong place.
    let chunks = [(0, b"one".to_vec()), (3, b"two".to_vec())];
    let (_temp, vault, _) = vault_with(&chunks, 6);
    let bytes = std::fs::read(vault.path(ID)).unwrap();
    let chunk = 4 + 8 + 3 + 16;
    let at = bytes.len() - (End::BYTES + SIZE_OF_TAG) - 2 * chunk;
    let (first, second) = (&bytes[at..at + chunk], &bytes[at + chunk..at + 2 * chunk]);
    let swapped = [&bytes[..at], second, first, &bytes[at + 2 * chunk..]].concat();
    std::fs::write(vault.path(ID), swapped).unwrap();
    assert!(vault.copy(ID).unwrap().unwrap().verify().is_err());
    let dropped = [&bytes[..at], first, &bytes[at + 2 * chunk..]].concat();
    std::fs::write(vault.path(ID), dropped).unwrap();
    assert!(vault.copy(ID).unwrap().unwrap().verify().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_flipped_bit_and_every_cut_is_found(
        at in 0_usize..100_000, bit in 0_u8..8, cut in any::<bool>()
    ) {
        let chunks = [(0, vec![1; 300]), (5000, vec![2; 200])];
        let (_temp, vault, _) = vault_with(&chunks, 9000);
        let mut bytes = std::fs::read(vault.path(ID)).unwrap();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        std::fs::write(vault.path(ID), bytes).unwrap();
        let found = vault.copy(ID).and_then(|copy| copy.unwrap().verify());
        prop_assert!(matches!(found, Err(VaultError::Damaged(_))), "{found:?}");
    }

    #[test]
    fn what_was_never_a_copy_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (_temp, vault, _) = vault_with(&[], 0);
        let bytes = [MAGIC.as_slice(), &bytes].concat();
        std::fs::write(vault.path(ID), bytes).unwrap();
        prop_assert!(vault.copy(ID).is_err());
    }
}
