//! The model of the collector's log: compare and append, durable only some time after asking.

use std::collections::{BTreeMap, VecDeque};

use cordon_proto::event::Lane;
use cordon_proto::message::LanePosition;
use cordon_proto::session::Appended;
use cordon_proto::sign::batch::{Batch, Opened};
use cordon_proto::sign::chain;

/// A request to store, and which session waits for the answer.
pub(super) struct Asked {
    pub(super) session: u64,
    pub(super) batch: Batch,
    pub(super) opened: Opened,
    /// Where the lane must stand; nothing for a comparison with what is stored.
    pub(super) after: Option<Option<LanePosition>>,
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) stored: Vec<(Batch, Opened)>,
    positions: BTreeMap<Lane, LanePosition>,
    pub(super) asked: VecDeque<Asked>,
}

impl Log {
    /// Answers the oldest request; true durability begins here.
    pub(super) fn settle(&mut self) -> Option<(u64, Lane, Appended)> {
        let Asked { session, batch, opened, after } = self.asked.pop_front()?;
        let lane = opened.header.lane;
        let same = self.stored.iter().any(|(_, stored)| stored.hash == opened.hash);
        let answer = match after {
            _ if same => Appended::Same,
            Some(after) if after.as_ref() == self.positions.get(&lane) => {
                let position = chain::position(&opened.header, opened.hash);
                self.positions.insert(lane, position);
                self.stored.push((batch, opened));
                Appended::Durable
            }
            Some(_) | None => Appended::Conflict,
        };
        Some((session, lane, answer))
    }

    pub(super) fn heads(&self) -> Vec<Vec<u8>> {
        let head = |lane: Lane| {
            let of_lane = |stored: &&(Batch, Opened)| stored.1.header.lane == lane;
            self.stored.iter().rev().find(of_lane).map(|(batch, _)| batch.header.clone())
        };
        Lane::ALL.into_iter().filter_map(head).collect()
    }
}
