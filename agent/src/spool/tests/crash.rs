//! `kill -9` at any moment: what was reported as taken is there, once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const FOLDER: &str = "CORDON_TEST_SPOOL_FOLDER";

/// How many reports to wait for before each kill; the kill itself then falls anywhere.
const ROUNDS: [usize; 8] = [1, 2, 40, 7, 120, 3, 75, 25];

#[test]
fn what_was_reported_as_taken_outlives_kill_nine_exactly_once() {
    let bench = Bench::new();
    let mut collector = Collector::default();
    let mut reported = 0;
    for (round, reports) in ROUNDS.into_iter().enumerate() {
        reported = reported.max(kill_after(reports, bench.folder.path()));
        let mut spool = bench.open("boot 1", 0);
        let kept = last_id(&mut spool);
        assert!(kept >= reported, "round {round}: {reported} was reported, {kept} is there");
        collector.drain(&mut spool);
        once_each(&collector.lines, (1..=kept).filter(|id| id % 5 != 0));
        once_each(&collector.starts, (1..=kept).filter(|id| id % 5 == 0));
        // Some rounds go on with an emptied spool.
        if round % 2 == 0 {
            for lane in Lane::ALL {
                spool.forget(lane, collector.cursor(lane)).unwrap();
            }
        }
    }
    assert!(reported >= 120);
    assert_eq!(collector.cursor(Lane::Telemetry).epoch, 1, "the machine did not boot");
}

/// Runs [`appends_until_it_is_killed`] in a process of its own; answers the last id reported.
fn kill_after(reports: usize, folder: &Path) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "spool::tests::crash::appends_until_it_is_killed"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let id = |line: String| line.strip_prefix("taken ").and_then(|id| id.parse::<u64>().ok());
    let mut ids = Vec::new();
    while ids.len() < reports {
        ids.extend(id(lines.next().unwrap().unwrap()));
    }
    child.kill().unwrap();
    ids.extend(lines.map_while(Result::ok).filter_map(id));
    child.wait().unwrap();
    ids.last().copied().unwrap()
}

#[test]
#[ignore = "the other half of the test above, which starts and kills it"]
fn appends_until_it_is_killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a folder to work in"));
    let mut spool = open(&folder.join("spool.db"), SpoolLimits::of(64 << 20), "boot 1", 0);
    let mut out = std::io::stdout();
    writeln!(out).unwrap();
    for id in last_id(&mut spool) + 1.. {
        let seen = if id % 5 == 0 { started(id) } else { line(id, 200) };
        let checkpoints = vec![mark("id", id)];
        let sample = Sample { observations: vec![seen], checkpoints, ..Sample::default() };
        stored(spool.append([sample], at(id)));
        writeln!(out, "taken {id}").unwrap();
    }
}

fn last_id(spool: &mut Spool) -> u64 {
    let kept = spool.checkpoints("id").unwrap();
    kept.first().map_or(0, |(_, id)| u64::from_be_bytes(id.as_slice().try_into().unwrap()))
}
