//! Merkle trees as in RFC 6962 section 2.1, over SHA-256.

use crate::id::Hash;
use crate::sign::sha256;

/// The hash of one leaf.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Hash {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(&[0]);
    context.update(bytes);
    finish(context)
}

fn node(left: Hash, right: Hash) -> Hash {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(&[1]);
    context.update(&left.0);
    context.update(&right.0);
    finish(context)
}

fn finish(context: ring::digest::Context) -> Hash {
    let mut hash = [0; 32];
    hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    Hash(hash)
}

/// Where a tree of `count > 1` leaves splits: the largest power of two below it.
fn split(count: usize) -> usize {
    count.next_power_of_two().checked_div(2).unwrap_or(0)
}

/// The root over leaf hashes.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(sha256(&[])),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(root(left), root(right))
        }
    }
}

/// The audit path of the leaf at `index`, from the leaf upwards; none if there is no such leaf.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut up, other) = match index.checked_sub(middle) {
        Some(index) => (path(right, index)?, root(left)),
        None => (path(left, index)?, root(right)),
    };
    up.push(other);
    Some(up)
}

/// The root that a leaf and its audit path lead to; none if the path has the wrong length.
#[must_use]
pub fn root_from(leaf: Hash, index: usize, count: usize, path: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    if count == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (other, below) = path.split_last()?;
    let middle = split(count);
    match index.checked_sub(middle) {
        Some(index) => {
            Some(node(*other, root_from(leaf, index, count.checked_sub(middle)?, below)?))
        }
        None => Some(node(root_from(leaf, index, middle, below)?, *other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_rfc_6962() {
        // The tree of one empty leaf and the empty tree, as certificate transparency's tests have them.
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            leaf(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        let two = root(&[leaf(b""), leaf(&[0])]);
        assert_eq!(
            two.to_string(),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_path_to_its_root_and_to_no_other() {
        for count in 1..40 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, index).unwrap();
                assert_eq!(root_from(*leaf, index, count, &path), Some(root));
                for wrong in (0..count).filter(|wrong| *wrong != index) {
                    assert_ne!(root_from(*leaf, wrong, count, &path), Some(root));
                }
            }
            assert_eq!(path(&leaves, count), None);
        }
    }
}
