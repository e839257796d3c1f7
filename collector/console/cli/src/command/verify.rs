//! `cordon verify`: says in words what a file of evidence proves. Offline; needs nothing else.

use std::path::PathBuf;

use anyhow::Context as _;
use cordon_proto::evidence;

use crate::config::{AuthorityKeys, Config};
use crate::context::Context;
use crate::exit::Exit;
use crate::file;
use crate::output::text::plain;

/// The largest bundle that is read; it is held in memory.
const BUNDLE_BYTES_MAX: u64 = 2 << 30;

/// What `verify` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon verify web-01.evidence
  cordon verify web-01.evidence --authority authority.pub

Ends with 0 only if every statement holds, with 14 if one does not. Neither a network nor a profile
is needed; if a profile is chosen, its authority is the one that rosters are held against.")]
pub struct Args {
    /// The bundle that `cordon export` wrote
    file: PathBuf,
    /// Hold the rosters in the bundle against these public keys
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &Args) -> anyhow::Result<Exit> {
    let keys = match &args.authority {
        Some(path) => Some(AuthorityKeys::read(path)?),
        None => keys_of_profile(context)?,
    };
    let pins = keys.map(|keys| [keys.authority]);
    let bytes = file::read_existing(&args.file, BUNDLE_BYTES_MAX)?;
    let report = evidence::verify(&bytes, pins.as_ref().map(<[_; 1]>::as_slice))
        .with_context(|| format!("{} proves nothing", args.file.display()))?;
    for statement in &report.statements {
        let (holds, sentence) = (statement.holds, &statement.sentence);
        if context.output.is_json() {
            context.output.record(&serde_json::json!({ "holds": holds, "sentence": sentence }))?;
        } else {
            let mark = if holds { "  holds" } else { "  FAILS" };
            context.output.line(&format!("{mark}  {}", plain(sentence)))?;
        }
    }
    let exit = if report.holds() { Exit::Done } else { Exit::DoesNotHold };
    if !context.output.is_json() {
        let verdict = if report.holds() { "Everything holds" } else { "NOT everything holds" };
        context.output.line(&format!("{verdict}; {} event(s) verified.", report.events))?;
    }
    Ok(exit)
}

/// The authority of the profile in use; none if none is chosen, so that the file can be checked
/// anywhere. A profile that was named and is not there is an error all the same.
fn keys_of_profile(context: &Context) -> anyhow::Result<Option<AuthorityKeys>> {
    let config = Config::read(&context.config_dir)?;
    match config.profile(context.profile.as_deref()) {
        Ok((_, profile)) => {
            let (authority, recovery) = (profile.authority, profile.recovery);
            Ok(Some(AuthorityKeys { authority, recovery }))
        }
        Err(error) if context.profile.is_some() => Err(error.into()),
        Err(_) => Ok(None),
    }
}
