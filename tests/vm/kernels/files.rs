//! A watched file that is changed, by fanotify: told with the process and both contents.

use std::fs;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use cordon_agent::clock;
use cordon_agent::sensor::Report;
use cordon_agent::sensor::file::{self, FileSettings};
use cordon_proto::Text;
use cordon_proto::event::file::{FileActivity, FileMeans, FileState};
use cordon_proto::event::{Body, FileEvent, SensorState};
use cordon_proto::id::Hash;

use super::SHELL;

const FOLDER: &str = "/mnt/etc";
const FILE: &str = "/mnt/etc/watched";

pub(super) fn look() -> Result<String> {
    fs::create_dir(FOLDER)?;
    fs::write(FILE, "one\n")?;
    let settings = FileSettings {
        watch: vec![FOLDER.to_owned()],
        mass_change: Vec::new(),
        ..FileSettings::default()
    };
    let (mut told, mut writer, mut known) = (None::<FileEvent>, None::<Child>, false);
    let sensor = move |outlet| file::run(settings, clock::stamp, outlet, Vec::new());
    super::guest::watch(sensor, file::NAME, |report| {
        match report {
            Report::Condition(condition) => {
                ensure!(condition.state == SensorState::Running, "{condition:?}");
            }
            Report::Proved => {}
            Report::Sample(sample) => {
                ensure!(sample.losses.is_empty(), "lost: {:?}", sample.losses);
                known |= sample.checkpoints.iter().any(|kept| is_of(&kept.value, FILE));
                for seen in sample.observations {
                    if let Body::File(event) = seen.body {
                        told = Some(*event);
                    }
                }
            }
        }
        if known && writer.is_none() {
            let script = format!("echo two >{FILE}; read forever");
            let mut command = Command::new(SHELL);
            command.args(["-c", &script]).stdin(std::process::Stdio::piped());
            writer = Some(command.spawn().context("starting who writes")?);
        }
        Ok(told.is_some())
    })
    .with_context(|| format!("the file was known: {known}; {writer:?} wrote"))?;
    let (event, mut writer) = (told.context("no event")?, writer.context("nobody wrote")?);
    check(&event, writer.id()).with_context(|| format!("{event:?}"))?;
    writer.kill()?;
    writer.wait()?;
    Ok("a change with its process and both contents".to_owned())
}

/// Whether what is kept is about a file: its path stands in it.
fn is_of(kept: &Option<Vec<u8>>, path: &str) -> bool {
    kept.as_ref().is_some_and(|kept| kept.windows(path.len()).any(|part| part == path.as_bytes()))
}

fn check(event: &FileEvent, writer: u32) -> Result<()> {
    ensure!(event.means == FileMeans::Fanotify, "by other means");
    ensure!(event.activity == FileActivity::Modified, "another activity");
    ensure!(event.path.as_str() == Some(FILE), "another file");
    let hash = |state: &Option<FileState>| state.as_ref().and_then(|state| state.sha256);
    ensure!(hash(&event.before) == Some(Hash::of(b"one\n")), "another content before");
    ensure!(hash(&event.after) == Some(Hash::of(b"two\n")), "another content after");
    let who = event.actor.as_ref().context("nobody did it")?;
    ensure!((who.pid, who.uid) == (writer, Some(0)), "somebody else did it");
    ensure!(who.image.as_ref().and_then(Text::as_str) == Some(SHELL), "with another program");
    Ok(())
}
