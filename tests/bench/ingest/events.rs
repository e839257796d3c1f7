//! Process events as a server sees them: shells, compilers, schedulers, and their ends.
//!
//! The same number always gives the same events but for their time, so that runs can be compared.

use cordon_proto::Text;
use cordon_proto::event::process::{Exec, Exit, ProcessEvent, Tier};
use cordon_proto::event::{Body, Event, Observation, Severity};

/// Stands in one event of every batch, and in no other.
pub(crate) const MARK: &str = "cordon-ingest-mark";

/// What runs, and with which arguments; `%` becomes a number.
const COMMANDS: [(&str, &str); 16] = [
    ("/usr/bin/sh", "sh -c test -x /usr/sbin/anacron || run-parts /etc/cron.hourly"),
    ("/usr/bin/sed", "sed -n s/^worker_processes *//p /etc/nginx/sites-enabled/site-%.conf"),
    ("/usr/bin/grep", "grep -c ESTAB /tmp/sockets.%"),
    ("/usr/bin/cat", "cat /proc/%/status"),
    ("/usr/bin/python3.12", "python3 /opt/backup/rotate.py --keep % --target /srv/backup/daily"),
    ("/usr/lib/gcc/x86_64-linux-gnu/14/cc1", "cc1 -quiet -O2 -Wall -o /tmp/cc%.s src/module_%.c"),
    ("/usr/bin/as", "as --64 -o build/module_%.o /tmp/cc%.s"),
    ("/usr/bin/git", "git fetch --prune --no-tags origin +refs/heads/*:refs/remotes/origin/*"),
    ("/usr/bin/ssh", "ssh -o BatchMode=yes deploy@10.20.0.% uptime"),
    ("/usr/sbin/sshd", "sshd: deploy [priv]"),
    ("/usr/bin/curl", "curl -fsS --max-time 5 http://127.0.0.1:8080/health?probe=%"),
    ("/usr/bin/stat", "stat -c %Y /var/spool/queue/msg-%"),
    ("/usr/bin/systemctl", "systemctl is-active --quiet app@%.service"),
    ("/usr/bin/psql", "psql -At -c select count(*) from jobs where id > %"),
    ("/usr/bin/find", "find /var/tmp -xdev -type f -mtime +% -delete"),
    ("/usr/bin/true", "true"),
];

/// The boot-time clock at the first event: a day after the boot.
const BOOT_BEGIN_NS: u64 = 86_400_000_000_000;

/// How long ago the first event was.
const AGO_NS: u64 = 600_000_000_000;

/// One endpoint's run of events.
#[derive(Debug)]
pub(crate) struct Source {
    random: u64,
    seq: u64,
    begin_ns: u64,
    boot_ns: u64,
    pid: u32,
    running: Vec<Exit>,
}

impl Source {
    /// `now_ns` is the wall clock: what is looked for later is looked for by time.
    pub(crate) fn new(number: u32, now_ns: u64) -> Self {
        Self {
            random: 0x9e37_79b9_7f4a_7c15 ^ u64::from(number),
            seq: 0,
            begin_ns: now_ns - AGO_NS,
            boot_ns: BOOT_BEGIN_NS,
            pid: 1000,
            running: Vec::new(),
        }
    }

    fn draw(&mut self, below: u32) -> u32 {
        // Numerical Recipes' generator: good enough to vary arguments.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = self.random.wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.random >> 33) % u64::from(below.max(1))).unwrap_or_default()
    }

    /// The next event; a marked one begins a process whose arguments hold [`MARK`].
    pub(crate) fn next(&mut self, marked: bool) -> Event {
        self.boot_ns += u64::from(20_000 + self.draw(2_000_000));
        let ends = self.running.len() > 3 && self.draw(2) == 0 || self.running.len() > 12;
        let event = if ends && !marked { self.end() } else { self.begin(marked) };
        self.seq += 1;
        let body = Body::Process(event);
        let (boot_ns, severity) = (self.boot_ns, Severity::Informational);
        let time_ns = self.begin_ns + (boot_ns - BOOT_BEGIN_NS);
        Observation { time_ns, boot_ns, severity, body }.at(self.seq)
    }

    fn begin(&mut self, marked: bool) -> ProcessEvent {
        let at = usize::try_from(self.draw(16)).unwrap_or_default();
        let (image, line) = COMMANDS.get(at).copied().unwrap_or(COMMANDS[0]);
        let mut args: Vec<u8> = Vec::new();
        for word in line.split(' ') {
            let number = self.draw(100_000).to_string();
            args.extend(word.replace('%', &number).bytes());
            args.push(0);
        }
        if marked {
            args.extend(MARK.bytes());
            args.push(0);
        }
        self.pid = 1000 + (self.pid + 1 + self.draw(3)) % 4_000_000;
        let parent_pid = self.running.last().map_or(1, |parent| parent.pid);
        let uid = [0, 0, 33, 1000][at % 4];
        let start_boot_ns = Some(self.boot_ns - u64::from(self.draw(900_000)));
        self.running.push(Exit {
            tier: Tier::Bpf,
            pid: self.pid,
            start_boot_ns,
            parent_pid: Some(parent_pid),
            uid: Some(uid),
            wait_status: Some(0),
        });
        ProcessEvent::Exec(Exec {
            tier: Tier::Bpf,
            pid: self.pid,
            start_boot_ns,
            parent_pid: Some(parent_pid),
            uid: Some(uid),
            euid: Some(uid),
            cgroup_id: Some(4_200 + u64::from(uid)),
            image: Some(Text::from(image)),
            image_resolved: None,
            args_bytes: u64::try_from(args.len()).ok(),
            redacted: None,
            args: Some(Text::from(args)),
        })
    }

    fn end(&mut self) -> ProcessEvent {
        let which = u32::try_from(self.running.len()).unwrap_or(1);
        let which = usize::try_from(self.draw(which)).unwrap_or_default();
        let mut exit = self.running.swap_remove(which);
        if self.draw(10) == 0 {
            exit.wait_status = Some(256);
        }
        ProcessEvent::Exit(exit)
    }
}
