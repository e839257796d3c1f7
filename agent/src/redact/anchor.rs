//! One pass over a text that finds out which rules have anything to look for in it.
//!
//! A tree over the beginnings that every secret of a rule has, letters of either case being one.
//! It is entered only where two bytes stand that some beginning begins with, which is seldom; to
//! look for those no byte has to wait for what came of the one before. It is made once and takes a
//! few KiB.

use std::sync::LazyLock;

use super::rules::RULES;

/// Bytes of one class are never told apart; class 0 is all that stands in no anchor.
const CLASSES: usize = 48;

/// Pairs of classes, each class in six bits.
const PAIRS: usize = 64 * 64;

struct Anchors {
    class_of: [u8; 256],
    /// Whether an anchor begins with this pair.
    begins: [bool; PAIRS],
    /// The state after a state and a class; 0 where no anchor goes on.
    next: Vec<u8>,
    /// Which rules each state means.
    rules: Vec<u32>,
}

static ANCHORS: LazyLock<Anchors> = LazyLock::new(Anchors::new);

/// The rules that must look at this text, as bits by their place in the list.
pub(super) fn rules_due(text: &[u8]) -> u32 {
    let anchors = &*ANCHORS;
    let (mut pair, mut due) = (0, 0);
    for (at, byte) in text.iter().enumerate() {
        pair = pair_of(pair, anchors.class_of[usize::from(*byte)]);
        if anchors.begins[pair] {
            due |= anchors.rules_at(&text[at.saturating_sub(1)..]);
        }
    }
    due
}

/// The pair of the second class of another and the one that follows.
fn pair_of(pair: usize, class: u8) -> usize {
    (pair << 6 | usize::from(class)) % PAIRS
}

impl Anchors {
    fn new() -> Self {
        let (class_of, begins) = ([0; 256], [false; PAIRS]);
        let mut made = Self { class_of, begins, next: vec![0; CLASSES], rules: vec![0] };
        for (index, rule) in RULES.iter().enumerate() {
            for anchor in rule.anchors {
                made.add(anchor.as_bytes(), 1 << index);
            }
        }
        made
    }

    /// The rules of all anchors that this text begins with.
    fn rules_at(&self, text: &[u8]) -> u32 {
        let (mut state, mut rules) = (0, 0);
        for byte in text {
            let class = usize::from(self.class_of[usize::from(*byte)]);
            state = usize::from(self.next[state * CLASSES + class]);
            if state == 0 {
                break;
            }
            rules |= self.rules[state];
        }
        rules
    }

    fn add(&mut self, anchor: &[u8], rule: u32) {
        let (mut state, mut pair) = (0, 0);
        for (at, byte) in anchor.iter().enumerate() {
            let class = self.class(*byte);
            pair = pair_of(pair, class);
            self.begins[pair] |= at == 1;
            let at = state * CLASSES + usize::from(class);
            if self.next[at] == 0 {
                self.next[at] = u8::try_from(self.rules.len()).unwrap_or(0);
                self.rules.push(0);
                self.next.resize(self.rules.len() * CLASSES, 0);
            }
            state = usize::from(self.next[at]);
        }
        self.rules[state] |= rule;
    }

    fn class(&mut self, byte: u8) -> u8 {
        let known = self.class_of[usize::from(byte)];
        if known != 0 {
            return known;
        }
        let class = self.class_of.iter().max().map_or(0, |class| class + 1);
        for either in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
            self.class_of[usize::from(either)] = class;
        }
        class
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
        let mut anchors = RULES.iter().flat_map(|rule| rule.anchors);
        assert!(anchors.all(|anchor| anchor.len() >= 2), "one byte is no pair");
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
