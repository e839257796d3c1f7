//! The `journalctl` that is read from: started with no more than it needs, ended with the agent.

use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdout, Command};

use super::JournalSettings;
use super::follow::From;
use super::presence::program;
use super::reader::{Entry, Field, Reader, output_fields};
use crate::platform::linux::child::ends_with_us;

/// One read of what it writes.
const READ_BYTES: usize = 32 << 10;

/// How long asking for the last entry may take.
const LAST_WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// What is kept of what it complains.
const COMPLAINT_BYTES_MAX: usize = 512;

/// What was heard of journalctl.
pub(super) enum Heard {
    /// Entries, and how many lines were none.
    Entries(Vec<Entry>, u64),
    /// It has ended, with this last word.
    Ended(String),
}

/// A running journalctl.
pub(super) struct Child {
    child: tokio::process::Child,
    output: ChildStdout,
    complaints: Option<ChildStderr>,
    complaint: Vec<u8>,
    reader: Reader,
    buffer: Vec<u8>,
}

impl Child {
    /// Starts it where reading is to go on.
    pub(super) fn start(settings: &JournalSettings, from: &From) -> std::io::Result<Self> {
        let program = program().ok_or(std::io::ErrorKind::NotFound)?;
        let mut command = std::process::Command::new(program);
        command.args(arguments(settings, from)).env_clear().env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ends_with_us(&mut command);
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let complaints = child.stderr.take();
        let (complaint, buffer) = (Vec::new(), vec![0; READ_BYTES]);
        Ok(Self { child, output, complaints, complaint, reader: Reader::default(), buffer })
    }

    /// Waits for what it says next. May be given up at any time without losing anything.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            let mut said = [0; COMPLAINT_BYTES_MAX];
            let complains = async {
                match &mut self.complaints {
                    Some(complaints) => complaints.read(&mut said).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                read = self.output.read(&mut self.buffer) => match read {
                    Ok(0) => break,
                    Ok(read) => {
                        let mut entries = Vec::new();
                        let lost = self.reader.feed(&self.buffer[..read], &mut entries);
                        return Heard::Entries(entries, lost);
                    }
                    Err(_broken) => break,
                },
                complained = complains => match complained {
                    Ok(0) | Err(_) => self.complaints = None,
                    Ok(count) => keep(&mut self.complaint, &said[..count]),
                },
            }
        }
        Heard::Ended(self.last_word().await)
    }

    async fn last_word(&mut self) -> String {
        if let Some(mut complaints) = self.complaints.take() {
            let mut said = [0; COMPLAINT_BYTES_MAX];
            while let Ok(count @ 1..) = complaints.read(&mut said).await {
                keep(&mut self.complaint, &said[..count]);
            }
        }
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let complaint = String::from_utf8_lossy(&self.complaint);
        match complaint.trim() {
            "" => format!("journalctl has ended: {status}"),
            complaint => format!("journalctl has ended: {status}: {complaint}"),
        }
    }
}

/// The cursor of the journal's last entry; none where it has none, or none could be told in time.
pub(super) async fn last_cursor(settings: &JournalSettings) -> Option<String> {
    let mut command = std::process::Command::new(program()?);
    command.args(["--output=json", "--output-fields=_BOOT_ID", "--lines=1", "--quiet"]);
    command.args(directory(settings)).env_clear().env("LC_ALL", "C");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    ends_with_us(&mut command);
    let asked = Command::from(command).kill_on_drop(true).output();
    let answered = tokio::time::timeout(LAST_WITHIN, asked).await.ok()?.ok()?;
    let mut entries = Vec::new();
    Reader::default().feed(&answered.stdout, &mut entries);
    entries.first()?.text(Field::Cursor).map(str::to_owned)
}

/// Keeps the end of what was complained.
fn keep(complaint: &mut Vec<u8>, said: &[u8]) {
    complaint.extend_from_slice(said);
    let over = complaint.len().saturating_sub(COMPLAINT_BYTES_MAX);
    complaint.drain(..over);
}

/// Whether it ended because it could not go to the entry that it was told.
pub(super) fn is_lost_place(why: &str) -> bool {
    why.to_ascii_lowercase().contains("cursor")
}

fn arguments(settings: &JournalSettings, from: &From) -> Vec<String> {
    let mut arguments =
        ["--output=json", "--follow", "--no-pager", "--quiet", "--all"].map(str::to_owned).to_vec();
    arguments.push(format!("--output-fields={}", output_fields()));
    match from {
        From::Cursor(cursor) => {
            arguments.extend(["--no-tail".to_owned(), format!("--cursor={cursor}")]);
        }
        From::Last => arguments.push("--lines=1".to_owned()),
        From::First => arguments.push("--no-tail".to_owned()),
    }
    arguments.extend(directory(settings));
    arguments
}

fn directory(settings: &JournalSettings) -> Option<String> {
    let directory = settings.directory.as_ref()?;
    Some(format!("--directory={}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_resumes_at_the_entry_that_was_read_last() {
        let settings = JournalSettings::default();
        let arguments = arguments(&settings, &From::Cursor("s=1;i=2".to_owned()));
        assert!(arguments.ends_with(&["--no-tail".to_owned(), "--cursor=s=1;i=2".to_owned()]));
    }

    #[test]
    fn only_the_end_of_a_complaint_is_kept() {
        let mut complaint = Vec::new();
        keep(&mut complaint, &[b'a'; COMPLAINT_BYTES_MAX]);
        keep(&mut complaint, b"Failed to seek to cursor: Invalid argument");
        assert_eq!(complaint.len(), COMPLAINT_BYTES_MAX);
        assert!(is_lost_place(&String::from_utf8_lossy(&complaint)));
    }
}
