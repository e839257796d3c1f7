//! `cordon undo`: puts back what a command changed.

use anyhow::bail;
use cordon_proto::command::{Action, ActionKind};
use cordon_proto::id::CommandId;

use super::{Why, act};
use crate::command::wait;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::text::plain;

/// What `undo` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon containment list
  cordon undo 0190b5a2-7d3e-7cc2-9f4b-2f1f3a5b6c7d --reason 'false alarm' --wait
  cordon undo 0190b5a2-7d3e-7cc2-9f4b-2f1f3a5b6c7d --on web-01 --reason 'needed again'

What the command changed is put back on every endpoint that it was for: a process goes on, a file is
where it was, an address is open again. A killed process stays killed. Where nothing of the command
stands any more, the endpoint says so.")]
pub struct UndoArgs {
    /// The command, as `cordon containment list` shows it
    #[arg(value_name = "COMMAND")]
    command: CommandId,
    /// Only on these of its endpoints
    #[arg(long, value_name = "ENDPOINT")]
    on: Vec<String>,
    #[command(flatten)]
    why: Why,
}

/// Runs `undo`.
pub async fn undo(context: &mut Context, args: UndoArgs) -> anyhow::Result<Exit> {
    undo_of(context, args.command, args.on, args.why, None).await
}

/// Undoes a command, or what an endpoint did by itself, if it is of the kind that is meant.
pub(super) async fn undo_of(
    context: &mut Context,
    of: CommandId,
    on: Vec<String>,
    why: Why,
    kind: Option<ActionKind>,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let (found, all) = match wait::by_itself(&api, of).await? {
        Some((endpoint, action)) => (action, vec![endpoint.to_string()]),
        None => {
            let (_, signed) = wait::signed_bytes(&api, of).await?;
            let command = signed.command();
            let targets = command.targets.iter().map(|target| target.endpoint.to_string());
            (command.action.kind().name().to_owned(), targets.collect())
        }
    };
    if let Some(meant) = kind.filter(|meant| meant.name() != found) {
        let found = plain(&found);
        bail!("command {of} is to {found}, not to {}; see `cordon undo`", meant.name());
    }
    let whom = if on.is_empty() { all } else { on };
    act(context, &whom, why, Action::Undo { of }).await
}
