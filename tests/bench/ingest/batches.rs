//! The batches that are sent, sealed before the clock starts as an endpoint's spool would have.

use anyhow::{Context, Result};
use cordon_proto::codec;
use cordon_proto::event::Lane;
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::session::{Cursor, SealedBatch};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, EpochCause, Place};

use crate::driver::Endpoint;
use crate::events::Source;

/// Events of one batch.
pub(crate) const BATCH_EVENTS: u32 = 512;

/// What one endpoint has to send.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) endpoint: EndpointId,
    pub(crate) events: u32,
    pub(crate) batches: Vec<SealedBatch>,
}

impl Stock {
    /// The batches after a place, within limits, though always one if there is one.
    pub(crate) fn after(
        &self,
        after: Cursor,
        batches_max: usize,
        bytes_max: usize,
    ) -> Vec<SealedBatch> {
        let waiting = self.batches.iter();
        let waiting = waiting.skip_while(|sealed| place(sealed) <= after).take(batches_max);
        let mut bytes = 0;
        let fits = |sealed: &&SealedBatch| {
            bytes += bytes_of(sealed);
            bytes == bytes_of(sealed) || bytes <= bytes_max
        };
        waiting.take_while(fits).cloned().collect()
    }

    pub(crate) fn end(&self) -> Cursor {
        self.batches.last().map(place).unwrap_or_default()
    }

    pub(crate) fn wire_bytes(&self) -> usize {
        self.batches.iter().map(bytes_of).sum()
    }
}

fn place(sealed: &SealedBatch) -> Cursor {
    Cursor { epoch: sealed.epoch, last: sealed.last }
}

fn bytes_of(sealed: &SealedBatch) -> usize {
    sealed.batch.header.len() + sealed.batch.events.len()
}

/// Seals so many batches for each endpoint, on all CPUs.
pub(crate) fn make(endpoints: &[Endpoint], batches_each: u32) -> Result<Vec<Stock>> {
    let threads = std::thread::available_parallelism()?.get();
    let share = endpoints.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let seal = |endpoints: &[Endpoint]| -> Result<Vec<Stock>> {
            endpoints.iter().map(|endpoint| stock(endpoint, batches_each)).collect()
        };
        let sealing: Vec<_> =
            endpoints.chunks(share).map(|some| scope.spawn(move || seal(some))).collect();
        let mut stocks = Vec::new();
        for sealed in sealing {
            match sealed.join() {
                Ok(sealed) => stocks.extend(sealed?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(stocks)
    })
}

fn stock(endpoint: &Endpoint, batches_each: u32) -> Result<Stock> {
    let now_ns = cordon_agent::clock::stamp().time_ns;
    let mut source = Source::new(endpoint.number, now_ns);
    let mut batches = Vec::new();
    let (mut first, mut previous) = (1, Hash::default());
    for number in 0..batches_each {
        let events: Vec<Vec<u8>> = (0..BATCH_EVENTS)
            .map(|at| codec::encode(&source.next(at == BATCH_EVENTS / 2)))
            .collect();
        let place = Place {
            endpoint: endpoint.identity.endpoint,
            lane: Lane::Telemetry,
            epoch: 1,
            first,
            previous,
            cause: (number == 0).then_some(EpochCause::Enrolled),
        };
        let key: &SigningKey = &endpoint.identity.signing;
        let (batch, hash) = batch::seal(place, &events, now_ns, key).context("sealing a batch")?;
        let last = first + u64::from(BATCH_EVENTS) - 1;
        batches.push(SealedBatch { epoch: 1, first, last, batch });
        (first, previous) = (last + 1, hash);
    }
    let events = batches_each * BATCH_EVENTS;
    Ok(Stock { endpoint: endpoint.identity.endpoint, events, batches })
}
