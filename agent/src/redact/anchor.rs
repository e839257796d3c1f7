//! One pass over a text that finds out which rules have anything to look for in it.
//!
//! A tree over the beginnings that every secret of a rule has, letters of either case being one.
//! It is entered only where four bytes stand that some beginnings begin with, which is seldom. To
//! find those takes four plain instructions a byte, written so that they stay that where the
//! compiler is asked for small code, and a whole block is decided on at once.

use std::sync::LazyLock;

use super::rules::RULES;

/// Bytes of one class are never told apart; class 0 is all that stands in no anchor.
const CLASSES: usize = 48;

/// How many bytes of each anchor are looked at before the tree is entered.
const FIRST: usize = 4;

/// Places that are decided on at once.
const BLOCK_BYTES: usize = 32;

struct Anchors {
    /// Of each byte: which anchors do not have it as their first (the lowest eight bits), second,
    /// third and fourth. Eight groups of anchors have a bit each; an anchor of three bytes goes on
    /// with any.
    not: [u32; 256],
    class_of: [u8; 256],
    /// The state after a state and a class; 0 where no anchor goes on.
    next: Vec<u8>,
    /// Which rules each state means.
    rules: Vec<u32>,
}

static ANCHORS: LazyLock<Anchors> = LazyLock::new(Anchors::new);

/// The rules that must look at this text, as bits by their place in the list.
pub(super) fn rules_due(text: &[u8]) -> u32 {
    let anchors = &*ANCHORS;
    let (mut due, mut from, mut state) = (0, 0, u32::MAX);
    for block in text.chunks(BLOCK_BYTES) {
        let may_begin;
        (state, may_begin) = anchors.pass(state, block);
        let to = from + block.len();
        if may_begin {
            // What is seen here with its fourth byte began in the block before.
            let begins = from.saturating_sub(FIRST - 1)..to;
            due |= begins.fold(0, |due, at| due | anchors.rules_at(&text[at..]));
        }
        from = to;
    }
    // The last ones have no fourth byte.
    let last = text.len().saturating_sub(FIRST - 1)..text.len();
    last.fold(due, |due, at| due | anchors.rules_at(&text[at..]))
}

impl Anchors {
    fn new() -> Self {
        let (not, class_of) = ([u32::MAX; 256], [0; 256]);
        let mut made = Self { not, class_of, next: vec![0; CLASSES], rules: vec![0] };
        for (index, rule) in RULES.iter().enumerate() {
            for anchor in rule.anchors {
                made.add(anchor.as_bytes(), 1 << index);
            }
        }
        made
    }

    /// Goes over a block in the state that the one before left; answers the state behind it, and
    /// whether the fourth byte of a beginning stands in it. Each byte of the state says of one of the
    /// last four bytes which groups are out.
    fn pass(&self, mut state: u32, block: &[u8]) -> (u32, bool) {
        let mut out = u32::MAX;
        for byte in block {
            state = state << 8 | self.not[usize::from(*byte)];
            out &= state;
        }
        (state, out >> 24 != 0xff)
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
        let group = 1_u32 << (anchor.first().map_or(0, |first| first & 7));
        for at in 0..FIRST {
            let bit = group << (8 * at);
            match anchor.get(at) {
                Some(byte) => {
                    self.not[usize::from(byte.to_ascii_lowercase())] &= !bit;
                    self.not[usize::from(byte.to_ascii_uppercase())] &= !bit;
                }
                None => self.not.iter_mut().for_each(|not| *not &= !bit),
            }
        }
        let mut state = 0;
        for byte in anchor {
            let class = self.class(*byte);
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
        assert!(anchors.all(|anchor| anchor.len() + 1 >= FIRST), "too short to be told early");
    }

    proptest! {
        #[test]
        fn it_finds_just_what_a_search_for_each_finds(
            words in prop::collection::vec(
                "[a-zA-Z_:/-]{0,6}|[ -~]{0,20}|papi[_-]?key|TOken|-----BEGIN|xox|gHp_|Pwd|://", 0..12,
            ),
        ) {
            let text = words.concat();
            prop_assert_eq!(rules_due(text.as_bytes()), naive(text.as_bytes()));
        }
    }
}
