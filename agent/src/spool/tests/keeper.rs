//! The thread that owns the spool.

use super::*;
use crate::clock::Clock;
use crate::spool::keeper;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn what_is_handed_over_is_sealed_within_moments_and_can_be_fetched() {
    let bench = Bench::new();
    let (spool, mut progress, thread) =
        keeper::start(bench.open("boot 1", 0), Clock::start()).unwrap();
    let mut collector = Collector::default();
    block_on(async {
        for id in 1..=100 {
            spool.append(sample(vec![line(id, 10)])).await.unwrap();
        }
        progress.wait_for(|at| at.telemetry.last == 100).await.unwrap();
        let batches = spool.fetch(Lane::Telemetry, Cursor::default(), 64, 1 << 20).await.unwrap();
        assert!(batches.len() < 50, "{} batches: nothing was gathered", batches.len());
        batches.iter().for_each(|sealed| collector.take(sealed));
        once_each(&collector.lines, 1..=100);
        spool.forget(Lane::Telemetry, collector.cursor(Lane::Telemetry));
        assert_eq!(spool.depths().await.unwrap()[1].events, 0);
        spool.close().await.unwrap();
    });
    thread.join().unwrap();
    assert_eq!(*bench.open("boot 2", 9).start(), crate::spool::Start::default());
}

#[test]
fn a_control_event_is_on_disk_when_it_counts_as_kept() {
    let bench = Bench::new();
    let (spool, progress, thread) = keeper::start(bench.open("boot 1", 0), Clock::start()).unwrap();
    block_on(async {
        stored(spool.keep(sample(vec![started(1)])).await.unwrap());
        assert_eq!(spool.positions().await.unwrap()[0].last, 1);
        assert_eq!(progress.borrow().end(Lane::Control).last, 1);
    });
    drop(spool);
    thread.join().unwrap();
}

#[test]
fn dropping_every_handle_stores_what_was_handed_over_and_closes() {
    let bench = Bench::new();
    let (spool, _progress, thread) =
        keeper::start(bench.open("boot 1", 0), Clock::start()).unwrap();
    block_on(spool.append(sample(vec![line(1, 10)]))).unwrap();
    drop(spool);
    thread.join().unwrap();
    let mut spool = bench.open("boot 1", 1);
    let mut collector = Collector::default();
    collector.drain(&mut spool);
    once_each(&collector.lines, 1..=1);
}

#[test]
fn notes_checkpoints_and_epochs_go_through_the_thread() {
    let bench = Bench::new();
    let (spool, progress, thread) = keeper::start(bench.open("boot 1", 0), Clock::start()).unwrap();
    block_on(async {
        spool.put_note("a", Some(b"1".to_vec())).await.unwrap();
        assert_eq!(spool.note("a").await.unwrap().unwrap(), b"1");
        let checkpoints = vec![mark("log/1", 1)];
        let observations = vec![line(1, 10)];
        spool.append(Sample { observations, checkpoints, ..Sample::default() }).await.unwrap();
        assert_eq!(spool.checkpoints("log/").await.unwrap().len(), 1);
        let cause = cordon_proto::sign::batch::EpochCause::RolledBack;
        let all = Some(Cursor::default());
        spool.begin_epoch(Lane::Telemetry, 6, cause, all).await.unwrap();
        spool.flush().await.unwrap();
        assert_eq!(progress.borrow().telemetry, Cursor { epoch: 7, last: 1 });
        spool.close().await.unwrap();
        assert!(spool.append(Sample::default()).await.is_err(), "closed");
    });
    thread.join().unwrap();
}

#[test]
fn telemetry_that_was_sealed_just_now_is_fetched_without_the_thread_and_once() {
    let bench = Bench::new();
    let (spool, mut progress, thread) =
        keeper::start(bench.open("boot 1", 0), Clock::start()).unwrap();
    block_on(async {
        spool.append(sample(vec![line(1, 10)])).await.unwrap();
        let epoch = progress.wait_for(|at| at.telemetry.last == 1).await.unwrap().telemetry.epoch;
        let fresh = |last| spool.fetch_fresh(Lane::Telemetry, Cursor { epoch, last }, 64, 1 << 20);
        assert_eq!(fresh(1), None, "nothing follows it");
        let batches = fresh(0).unwrap();
        let mut collector = Collector::default();
        batches.iter().for_each(|sealed| collector.take(sealed));
        once_each(&collector.lines, 1..=1);
        assert_eq!(fresh(0), None);
        let again = spool.fetch(Lane::Telemetry, Cursor::default(), 64, 1 << 20).await.unwrap();
        assert_eq!(again, batches, "it is in the spool until it is forgotten");
    });
    drop(spool);
    thread.join().unwrap();
}
