//! Spreads numbers of processes over a table. Pure.
//!
//! The usual hasher, which nobody can choose collisions for, takes several times as long. Numbers of
//! processes are the kernel's own and at most four million, so that few can share a place whoever
//! chooses them.

use std::hash::Hasher;

/// A hasher for numbers of 32 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PidHasher(u64);

/// The golden ratio: neighbours land far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for PidHasher {
    fn write_u32(&mut self, number: u32) {
        // Twice, because tables look at the lowest bits and at the highest.
        let once = (self.0 ^ u64::from(number)).wrapping_mul(SPREAD);
        let twice = (once ^ once >> 32).wrapping_mul(SPREAD);
        self.0 = twice ^ twice >> 32;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn numbers_one_after_the_other_or_powers_of_two_apart_hardly_ever_share_a_place() {
        let hasher = BuildHasherDefault::<PidHasher>::default();
        for step in [1, 2, 64, 256, 1024] {
            let mut places: HashMap<u64, u32> = HashMap::new();
            for number in 0..4096_u32 {
                *places.entry(hasher.hash_one(number * step) % 8192).or_default() += 1;
            }
            // By chance alone it would be 3223 places, with seven numbers in some.
            assert!(places.values().all(|count| *count <= 8), "{step}");
            assert!(places.len() > 3100, "{step}: {}", places.len());
        }
    }
}
