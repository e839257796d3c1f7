//! The log against a model of itself: random appends, repeats, forks and jumps.

use std::collections::BTreeMap;

use cordon_proto::event::Lane;
use cordon_proto::id::EndpointId;
use cordon_proto::sign::chain;
use proptest::prelude::*;

use super::conformance::{Chain, append, exec};
use super::{Expected, Incoming, Outcome, Position, SqliteLog};
use crate::bus::Bus;

/// What an agent, or somebody who has its key, may send.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next batch.
    Next,
    /// The next batch is lost, and the one after it sent.
    Skip,
    /// A batch that was sent before, as `Stored` or believing that nothing has changed.
    Repeat { back: usize, stored: bool },
    /// Other content under numbers that were used before.
    Fork { back: usize },
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => Just(Step::Next),
        1 => Just(Step::Skip),
        2 => (0_usize..4, any::<bool>()).prop_map(|(back, stored)| Step::Repeat { back, stored }),
        1 => (0_usize..4).prop_map(|back| Step::Fork { back }),
    ];
    proptest::collection::vec((0_usize..3, step), 1..40)
}

#[derive(Default)]
struct Model {
    sent: Vec<Incoming>,
    stored: Vec<Incoming>,
}

impl Model {
    /// What must come of it: stored where the lane stands, and otherwise compared.
    fn judge(&mut self, incoming: &Incoming) -> &'static str {
        let position = |last: &Incoming| chain::position(&last.opened.header, last.opened.hash);
        let stands = self.stored.last().map(position);
        if incoming.expected == Expected::After(stands) {
            self.stored.push(incoming.clone());
            return "durable";
        }
        let header = &incoming.opened.header;
        let overlaps = |stored: &&Incoming| {
            let stored = &stored.opened.header;
            stored.first <= header.last() && stored.last() >= header.first
        };
        match self.stored.iter().rev().find(overlaps) {
            Some(stored) if stored.batch == incoming.batch => "same",
            Some(_) => "conflict",
            None if incoming.expected == Expected::Stored => "conflict",
            None => "moved",
        }
    }

    /// What is sent.
    fn act(&mut self, chain: &mut Chain, step: Step) -> Option<Incoming> {
        match step {
            Step::Next => {
                self.sent.push(chain.next(&[exec(1)]));
                self.sent.last().cloned()
            }
            Step::Skip => {
                self.sent.push(chain.next(&[exec(0), exec(0)]));
                self.act(chain, Step::Next)
            }
            Step::Repeat { back, stored } => {
                let mut again = self.sent.iter().rev().nth(back)?.clone();
                if stored {
                    again.expected = Expected::Stored;
                }
                Some(again)
            }
            Step::Fork { back } => {
                let of = self.stored.iter().rev().nth(back)?;
                let mut other = Chain::new(chain.seed, "acme", Lane::Telemetry);
                other.place.first = of.opened.header.first;
                other.place.previous = of.opened.header.previous;
                let mut fork = other.peek(&[exec(999)]);
                fork.expected = Expected::Stored;
                Some(fork)
            }
        }
    }
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Durable(_) => "durable",
        Outcome::Same => "same",
        Outcome::Conflict => "conflict",
        Outcome::Moved => "moved",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_each_batch_is_stored_once_and_in_order(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let (log, writer) = SqliteLog::open(&path, <_>::default(), Bus::default()).unwrap();
        std::thread::spawn(move || writer.run());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut chains: Vec<_> =
            (1..=3).map(|seed| Chain::new(seed, "acme", Lane::Telemetry)).collect();
        let mut models: Vec<_> = (0..3).map(|_| Model::default()).collect();
        for (which, step) in steps {
            let (chain, model) = (&mut chains[which], &mut models[which]);
            if let Some(incoming) = model.act(chain, step) {
                let says = model.judge(&incoming);
                let outcome = runtime.block_on(append(&log, incoming)).unwrap();
                prop_assert_eq!(name(outcome), says, "{:?}", step);
            }
        }
        let mut stored = BTreeMap::<EndpointId, Vec<_>>::new();
        for (place, batch) in (1..).zip(super::Log::read_after(&log, Position(0), 1000).unwrap()) {
            prop_assert_eq!(batch.position, Position(place), "no hole and no place twice");
            stored.entry(batch.endpoint).or_default().push(batch.batch);
        }
        for (chain, model) in chains.iter().zip(models) {
            let expected: Vec<_> = model.stored.into_iter().map(|sent| sent.batch).collect();
            let found = stored.remove(&chain.endpoint()).unwrap_or_default();
            prop_assert_eq!(found, expected);
        }
    }
}
