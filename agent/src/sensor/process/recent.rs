//! A bounded memory of what was used last. Pure.
//!
//! Two halves: what is looked up moves into the younger; when that is full the older is forgotten
//! whole. So an entry that is used stays, and nothing is sorted or counted.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, of which between `half` and twice as many used last are kept.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        if !self.old.is_empty() && !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::new(2);
        for key in 0..7 {
            recent.insert(key, key);
            assert_eq!(recent.get(&0), Some(&0), "after {key}");
        }
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.get(&6), Some(&6));
        assert!(recent.young.len() + recent.old.len() <= 4);
    }

    #[test]
    fn a_key_inserted_again_has_the_new_value() {
        let mut recent = Recent::new(1);
        recent.insert("a", 1);
        recent.insert("a", 2);
        assert_eq!(recent.get(&"a"), Some(&2));
    }
}
