//! `cordon undo`: puts back what a command changed.

use cordon_proto::command::Action;
use cordon_proto::id::CommandId;

use super::{Why, act};
use crate::command::wait;
use crate::context::Context;
use crate::exit::Exit;

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
    let desk = context.desk()?;
    let whom = match args.on {
        on if !on.is_empty() => on,
        _ => {
            let api = desk.api()?;
            match wait::by_itself(&api, args.command).await? {
                Some(endpoint) => vec![endpoint.to_string()],
                None => {
                    let (_, signed) = wait::signed_bytes(&api, args.command).await?;
                    let targets = signed.command().targets.iter();
                    targets.map(|target| target.endpoint.to_string()).collect()
                }
            }
        }
    };
    act(context, &whom, args.why, Action::Undo { of: args.command }).await
}
