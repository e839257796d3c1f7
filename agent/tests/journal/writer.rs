//! Writes journal files in journald's own format through `systemd-journal-remote`, and looks after
//! the journalctl that reads them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Where the writer may be.
const PROGRAMS: [&str; 2] =
    ["/usr/lib/systemd/systemd-journal-remote", "/lib/systemd/systemd-journal-remote"];

/// The writer, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    let named = std::env::var_os("CORDON_JOURNAL_REMOTE").map(PathBuf::from);
    named.into_iter().chain(PROGRAMS.map(PathBuf::from)).find(|path| path.is_file())
}

/// A directory of journal files, and who writes them.
pub(crate) struct Writer {
    directory: PathBuf,
    file: u32,
    /// Entries written; each is a millisecond later than the one before.
    entries: u64,
}

/// An empty directory with a writer.
pub(crate) fn scene() -> (tempfile::TempDir, Writer) {
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path().to_owned();
    (temp, Writer { directory, file: 0, entries: 0 })
}

impl Writer {
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn write(&mut self, messages: &[&str]) {
        self.write_unit("app.service", messages);
    }

    pub(crate) fn write_unit(&mut self, unit: &str, messages: &[&str]) {
        let messages: Vec<_> = messages.iter().map(|message| message.as_bytes()).collect();
        self.append(unit, &messages);
    }

    pub(crate) fn write_bytes(&mut self, messages: &[&[u8]]) {
        self.append("app.service", messages);
    }

    /// Appends entries, in the format that journals are exported in.
    fn append(&mut self, unit: &str, messages: &[&[u8]]) {
        let mut exported = Vec::new();
        for message in messages {
            self.entries += 1;
            let us = 1_790_000_000_000_000 + self.entries * 1000;
            let fields = [
                ("__REALTIME_TIMESTAMP", us.to_string()),
                ("__MONOTONIC_TIMESTAMP", (self.entries * 1000).to_string()),
                ("_BOOT_ID", "00112233445566778899aabbccddeeff".to_owned()),
                ("_MACHINE_ID", "10112233445566778899aabbccddeeff".to_owned()),
                ("_SYSTEMD_UNIT", unit.to_owned()),
                ("SYSLOG_IDENTIFIER", "app".to_owned()),
                ("_COMM", "app".to_owned()),
                ("_PID", "7".to_owned()),
                ("_UID", "0".to_owned()),
                ("PRIORITY", "6".to_owned()),
            ];
            for (name, value) in fields {
                writeln!(exported, "{name}={value}").unwrap();
            }
            exported.extend_from_slice(b"MESSAGE\n");
            exported.extend_from_slice(&(message.len() as u64).to_le_bytes());
            exported.extend_from_slice(message);
            exported.extend_from_slice(b"\n\n");
        }
        let mut remote = Command::new(program().unwrap());
        remote.arg(format!("--output={}", self.current().display())).arg("-");
        let mut remote = remote
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        remote.stdin.take().unwrap().write_all(&exported).unwrap();
        let ended = remote.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    fn current(&self) -> PathBuf {
        self.directory.join(format!("remote-{}.journal", self.file))
    }

    /// Goes on in another file.
    pub(crate) fn rotate(&mut self) {
        self.file += 1;
    }

    /// Deletes all files but the one that is written to.
    pub(crate) fn vacuum(&self) {
        for file in 0..self.file {
            std::fs::remove_file(self.directory.join(format!("remote-{file}.journal"))).unwrap();
        }
    }
}

/// The running programs that were told to read this directory.
pub(crate) fn readers(directory: &Path) -> Vec<Pid> {
    let told = format!("--directory={}", directory.display());
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let reads = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == told.as_bytes())
    };
    pids.filter(reads).filter_map(Pid::from_raw).collect()
}

/// Whether there are none any more, after as long as a killed program may take.
pub(crate) fn readers_end(directory: &Path) -> bool {
    const LOOKS_MAX: usize = 5000;
    (0..LOOKS_MAX).any(|_look| {
        std::thread::yield_now();
        readers(directory).is_empty()
    })
}

pub(crate) fn kill_reader(directory: &Path) {
    let readers = readers(directory);
    assert_eq!(readers.len(), 1);
    readers.into_iter().for_each(kill);
}

pub(crate) fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).ok();
}
