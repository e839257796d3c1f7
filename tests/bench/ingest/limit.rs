//! The least that taking batches in must cost on this machine: hash every event, unpack every
//! frame, verify one signature a batch, write the same bytes in a row and sync them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::Stopwatch;
use cordon_proto::limits::BATCH_BYTES_MAX;
use cordon_proto::session::SealedBatch;
use cordon_proto::sign::batch::Header;
use cordon_proto::sign::document::{self, Kind};
use cordon_proto::sign::{VerifyingKey, sha256};

use crate::batches::Stock;
use crate::driver::Endpoint;

/// Batches that may wait for the disk, and that one sync is for: as many as the collector's.
const GROUP_BATCHES: usize = 256;

/// How long it takes with all CPUs on the first three and one thread for the disk beside them.
pub(crate) fn measure(endpoints: &[Endpoint], stocks: &[Stock], folder: &Path) -> Result<Duration> {
    let path = folder.join("limit");
    let file = File::create(&path)?;
    let threads = std::thread::available_parallelism()?.get();
    let pairs: Vec<_> = endpoints.iter().zip(stocks).collect();
    let share = pairs.len().div_ceil(threads).max(1);
    let watch = Stopwatch::start();
    std::thread::scope(|scope| -> Result<()> {
        let (send, receive) = sync_channel::<&SealedBatch>(GROUP_BATCHES);
        let mut work = vec![scope.spawn(move || write(file, &receive))];
        for some in pairs.chunks(share) {
            let send = send.clone();
            work.push(scope.spawn(move || -> Result<()> {
                for (endpoint, stock) in some {
                    let key = endpoint.identity.signing.verifying();
                    for sealed in &stock.batches {
                        check(sealed, &key)?;
                        send.send(sealed).ok().context("the writer is gone")?;
                    }
                }
                Ok(())
            }));
        }
        drop(send);
        work.into_iter().try_for_each(|work| match work.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let took = watch.elapsed();
    std::fs::remove_file(&path)?;
    Ok(took)
}

fn check(sealed: &SealedBatch, key: &VerifyingKey) -> Result<()> {
    let header: Header = document::verify(Kind::Batch, &sealed.batch.header, b"", key)?;
    let events = zstd::bulk::decompress(&sealed.batch.events, 2 * BATCH_BYTES_MAX)?;
    let mut decoder = minicbor::Decoder::new(&events);
    let mut sum = 0_u8;
    for _ in 0..header.count {
        let [first, ..] = sha256(decoder.bytes()?);
        sum ^= first;
    }
    // Keeps the hashing from being left out as useless.
    std::hint::black_box(sum);
    ensure!(decoder.position() == events.len(), "a batch has more than its header says");
    Ok(())
}

fn write(mut file: File, batches: &Receiver<&SealedBatch>) -> Result<()> {
    while let Ok(batch) = batches.recv() {
        let waiting: Vec<_> = batches.try_iter().take(GROUP_BATCHES - 1).collect();
        let mut bytes = Vec::new();
        for sealed in std::iter::once(batch).chain(waiting) {
            bytes.extend_from_slice(&sealed.batch.header);
            bytes.extend_from_slice(&sealed.batch.events);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    Ok(())
}
