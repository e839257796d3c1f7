//! The programs on this kernel, where the tests may load them.

use std::process::Command;
use std::time::Duration;

use tokio::time::timeout;

use super::super::record::ARGS_BYTES_MAX;
use super::*;

fn exit(pid: u32, start_boot_ns: u64) -> ProcessEvent {
    let start_boot_ns = Some(start_boot_ns);
    let (parent_pid, uid, wait_status) = (Some(1), Some(0), Some(0));
    ProcessEvent::Exit(Exit { tier: Tier::Bpf, pid, start_boot_ns, parent_pid, uid, wait_status })
}

#[test]
fn an_end_told_twice_counts_once_and_a_number_used_again_counts() {
    let mut exits = RecentExits::default();
    let seen =
        [(7, 1), (8, 1), (7, 1), (7, 2)].map(|(pid, start)| exits.is_repeated(&exit(pid, start)));
    assert_eq!(seen, [false, false, true, false]);
}

/// Loads and hangs on every program for a moment, as this kernel is and as poorer ones are.
#[test]
fn programs_load_whatever_a_kernel_does_not_tell() {
    let Ok((points, whole)) = kernel() else { return };
    let poorer = [
        whole,
        Offsets { session: None, ..whole },
        Offsets { tty: None, ..whole },
        Offsets { login_uid: None, ..whole },
        Offsets { audit_session: None, ..whole },
        Offsets { state: None, ..whole },
    ];
    for offsets in poorer {
        let loaded = maps(64 << 10).and_then(|(ring, scratch, drops)| {
            load(points, &offsets, Maps::of(&ring, &scratch, &drops))
        });
        match loaded {
            Ok(programs) => assert_eq!(programs.len(), 3),
            // Without the right to BPF there is nothing to try.
            Err(BpfError::Sys(error) | BpfError::Ring(RingError::Sys(error))) => {
                assert!(error.is_not_permitted(), "{error}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

const RING_BYTES: usize = 256 << 10;

/// The programs, and the ring that they write into.
struct Rig {
    ring: AsyncFd<Ring>,
    _maps: [Map; 2],
    _programs: Vec<Attached>,
}

impl Rig {
    /// None without the right to BPF: then there is nothing to try.
    fn load() -> Option<Self> {
        let (points, offsets) = kernel().ok()?;
        let (ring, scratch, drops) = maps(RING_BYTES).ok()?;
        let programs = load(points, &offsets, Maps::of(&ring, &scratch, &drops)).unwrap();
        let ring = wait::readable(ring).unwrap();
        Some(Self { ring, _maps: [scratch, drops], _programs: programs })
    }

    /// Whether the kernel has woken the reader since it was last asked.
    async fn is_woken(&mut self, within: Duration) -> bool {
        match timeout(within, self.ring.readable_mut()).await {
            Ok(ready) => ready.unwrap().clear_ready(),
            Err(_late) => return false,
        }
        true
    }

    /// All that is in the ring: the last argument of whatever was started, and the room it took.
    fn take(&mut self) -> (Vec<String>, u64) {
        let mut arguments = Vec::new();
        let taken = self.ring.get_mut().take(usize::MAX, |bytes| {
            if let Ok(Record { event: ProcessEvent::Exec(exec), .. }) = Record::parse(bytes) {
                let args = exec.args.map(|args| args.to_lossy().into_owned()).unwrap_or_default();
                let last = args.trim_end_matches('\0').rsplit('\0').next();
                arguments.extend(last.map(str::to_owned));
            }
        });
        (arguments, taken.unwrap().bytes)
    }
}

/// As much as a record holds of an argument.
fn long_argument(name: &str) -> String {
    let bytes = usize::try_from(ARGS_BYTES_MAX).unwrap() - "/bin/true".len() - 2;
    format!("{name}-{}", "x".repeat(bytes))[..bytes].to_owned()
}

fn run(argument: &str) {
    assert!(Command::new("/bin/true").arg(argument).status().unwrap().success());
}

#[tokio::test]
async fn a_ring_wakes_its_reader_when_armed_and_otherwise_as_it_fills() {
    let Some(mut rig) = Rig::load() else { return };
    while !rig.ring.get_mut().arm() {
        rig.is_woken(Duration::ZERO).await;
        rig.take();
    }
    run("armed");
    assert!(rig.is_woken(Duration::from_secs(20)).await, "the first record after it was armed");
    // The room of the last record is kept: from here on the kernel does not wake by itself.
    assert!(rig.take().1 > 0);
    rig.is_woken(Duration::ZERO).await;
    let argument = long_argument("unarmed");
    let mut started = 0;
    while !rig.is_woken(Duration::ZERO).await {
        assert!(started < RING_BYTES / argument.len() / 2, "half full, and not woken");
        run(&argument);
        started += 1;
    }
    let (_, bytes) = rig.take();
    assert!(bytes >= u64::try_from(RING_BYTES / 4).unwrap(), "woken with {bytes} bytes in it");
}

#[tokio::test]
async fn what_begins_at_the_end_of_the_ring_and_goes_on_at_its_start_is_read_whole() {
    let Some(mut rig) = Rig::load() else { return };
    let (mut seen, mut expected) = (Vec::new(), Vec::new());
    for number in 0..RING_BYTES / usize::try_from(ARGS_BYTES_MAX).unwrap() * 2 {
        let argument = long_argument(&format!("wrapped-{}-{number}", std::process::id()));
        run(&argument);
        expected.push(argument);
        seen.extend(rig.take().0.into_iter().filter(|seen| seen.starts_with("wrapped-")));
    }
    assert_eq!(seen, expected);
}
