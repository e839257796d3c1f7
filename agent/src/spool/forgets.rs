//! What the collector has and the spool still holds, to be deleted with the next that is written.

use cordon_proto::event::Lane;
use cordon_proto::session::Cursor;

/// Up to where each lane is durable at the collector, where that is news.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Forgets([Option<Cursor>; 2]);

impl Forgets {
    pub(super) fn note(&mut self, lane: Lane, upto: Cursor) {
        for (known, noted) in Lane::ALL.into_iter().zip(&mut self.0) {
            if known == lane {
                *noted = Some(upto);
            }
        }
    }

    /// Takes the news of another over.
    pub(super) fn add(&mut self, newer: Self) {
        for (lane, upto) in newer.iter() {
            self.note(lane, upto);
        }
    }

    pub(super) fn is_some(self) -> bool {
        self != Self::default()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = (Lane, Cursor)> {
        Lane::ALL.into_iter().zip(self.0).filter_map(|(lane, upto)| Some((lane, upto?)))
    }
}
