//! One pass over a text that finds out which rules have anything to look for in it.
//!
//! An automaton of Aho and Corasick over the beginnings that every secret of a rule has, letters of
//! either case being one. It is made once and takes a few KiB.

use std::collections::VecDeque;
use std::sync::LazyLock;

use super::rules::RULES;

/// Bytes of one class are never told apart; class 0 is all that stands in no anchor.
const CLASSES: usize = 48;

struct Automaton {
    class_of: [u8; 256],
    /// The state after a state and a class.
    next: Vec<u8>,
    /// Which rules each state means.
    rules: Vec<u32>,
}

static ANCHORS: LazyLock<Automaton> = LazyLock::new(Automaton::new);

/// The rules that must look at this text, as bits by their place in the list.
pub(super) fn rules_due(text: &[u8]) -> u32 {
    let Automaton { class_of, next, rules } = &*ANCHORS;
    let (mut state, mut due) = (0, 0);
    for byte in text {
        let class = usize::from(class_of[usize::from(*byte)]);
        state = usize::from(next[state * CLASSES + class]);
        due |= rules[state];
    }
    due
}

impl Automaton {
    fn new() -> Self {
        let mut made = Self { class_of: [0; 256], next: vec![0; CLASSES], rules: vec![0] };
        for (index, rule) in RULES.iter().enumerate() {
            for anchor in rule.anchors {
                made.add(anchor.as_bytes(), 1 << index);
            }
        }
        made.close();
        made
    }

    fn add(&mut self, anchor: &[u8], rule: u32) {
        let mut state = 0;
        for byte in anchor {
            let class = self.class(*byte);
            let at = state * CLASSES + class;
            if self.next[at] == 0 {
                self.next[at] = u8::try_from(self.rules.len()).unwrap_or(0);
                self.rules.push(0);
                self.next.resize(self.rules.len() * CLASSES, 0);
            }
            state = usize::from(self.next[at]);
        }
        self.rules[state] |= rule;
    }

    fn class(&mut self, byte: u8) -> usize {
        let known = self.class_of[usize::from(byte)];
        if known != 0 {
            return usize::from(known);
        }
        let class = self.class_of.iter().max().map_or(0, |class| class + 1);
        for either in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
            self.class_of[usize::from(either)] = class;
        }
        usize::from(class)
    }

    /// Where an anchor cannot go on, what was read may still be the beginning of another.
    fn close(&mut self) {
        let mut falls_to = vec![0; self.rules.len()];
        let mut queue: VecDeque<usize> = VecDeque::from([0]);
        while let Some(state) = queue.pop_front() {
            self.rules[state] |= self.rules[falls_to[state]];
            for class in 0..CLASSES {
                let at = state * CLASSES + class;
                let fallen = falls_to[state] * CLASSES + class;
                let to = usize::from(self.next[at]);
                if to == 0 {
                    self.next[at] = if state == 0 { 0 } else { self.next[fallen] };
                } else {
                    falls_to[to] = if state == 0 { 0 } else { usize::from(self.next[fallen]) };
                    queue.push_back(to);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(text: &[u8]) -> u32 {
        let text = text.to_ascii_lowercase();
        let stands = |anchor: &&str| text.windows(anchor.len()).any(|w| w == anchor.as_bytes());
        let due = RULES.iter().enumerate().filter(|(_, rule)| rule.anchors.iter().any(stands));
        due.fold(0, |due, (index, _)| due | 1 << index)
    }

    #[test]
    fn the_tables_have_room_for_all_anchors() {
        assert!(ANCHORS.rules.len() <= 256, "{} states", ANCHORS.rules.len());
        assert!(usize::from(*ANCHORS.class_of.iter().max().unwrap()) < CLASSES);
        assert!(RULES.len() <= 32);
    }

    proptest! {
        #[test]
        fn it_finds_just_what_a_search_for_each_finds(
            words in prop::collection::vec("[a-zA-Z_:/-]{0,6}|papi[_-]?key|TOken|-----BEGIN|xox|gHp_", 0..8),
        ) {
            let text = words.concat();
            prop_assert_eq!(rules_due(text.as_bytes()), naive(text.as_bytes()));
        }
    }
}
