//! `cordon quarantine` and `cordon restore`: a file into the endpoint's vault, and back.

use anyhow::bail;
use cordon_proto::Text;
use cordon_proto::command::{Action, ActionKind, Quarantine};
use cordon_proto::id::{CommandId, EndpointId, Hash};
use serde::Deserialize;

use super::first::First;
use super::{Why, act};
use crate::api::Api;
use crate::command::{find, wait};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::text::plain;

/// Containments looked through for the one that took a file.
const CONTAINMENTS_MAX: usize = 10_000;

/// What `quarantine` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon quarantine web-01 /var/www/html/up.php --reason 'web shell' --wait
  cordon quarantine web-01 /tmp/.x/agent --reason 'miner' --wait \\
    --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The file goes into an encrypted vault on the endpoint (root there can open it), with its owner, mode,
times, extended attributes, ACLs, capabilities, flags, holes and all its names; `cordon restore` puts
it back bit for bit. A symbolic link is taken itself, not what it leads to, and no link may be part
of the path. Refused are directories, devices, pipes and sockets, mount points, files with names
(hard links) in other directories, files over 64 GiB, another content than --sha256, and what the
system needs to start, to let people in, to be repaired, or the agent. Processes that run the file go
on: end them with `cordon kill`.")]
pub struct QuarantineArgs {
    /// Host name, or the beginning of an id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The file: an absolute path without '.', '..' and symbolic links
    #[arg(value_name = "PATH")]
    path: String,
    /// What it must contain; another content is refused
    #[arg(long, value_name = "HASH")]
    sha256: Option<Hash>,
    #[command(flatten)]
    first: First,
    #[command(flatten)]
    why: Why,
}

/// What `restore` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon restore web-01 /var/www/html/up.php --reason 'false alarm' --wait

The file is put back where it was, compared by its SHA-256, and only then given its name; nothing is
overwritten. When it was made and when it last changed (birth and ctime) cannot be put back. Which
files are away: cordon containment list.")]
pub struct RestoreArgs {
    /// Host name, or the beginning of an id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Where the file was
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    why: Why,
}

/// Runs `quarantine`.
pub async fn quarantine(context: &mut Context, args: QuarantineArgs) -> anyhow::Result<Exit> {
    let (path, sha256) = (Text::from(args.path.as_str()), args.sha256);
    let action = Action::Quarantine(Quarantine { path, sha256 });
    let why = args.first.and(args.why);
    act(context, &[args.endpoint], why, action).await
}

/// Runs `restore`.
pub async fn restore(context: &mut Context, args: RestoreArgs) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = args.why.client.as_ref();
    let endpoint = find::endpoint(&api, &context.output, &args.endpoint, client).await?;
    let taken = taken(&api, endpoint.id, &args.path).await?;
    let of = match taken.as_slice() {
        [of] => *of,
        [] => bail!(
            "nothing at {} stands quarantined on {}; what does: cordon containment list",
            plain(&args.path),
            plain(&endpoint.host_name)
        ),
        many => {
            let many: Vec<_> = many.iter().map(CommandId::to_string).collect();
            let many = many.join(", ");
            bail!("several commands took {}: undo one of {many}", plain(&args.path))
        }
    };
    act(context, &[endpoint.id.to_string()], args.why, Action::Undo { of }).await
}

/// A containment that stands.
#[derive(Deserialize)]
struct Standing {
    endpoint: EndpointId,
    command: CommandId,
    action: String,
}

/// The commands that took a file away from an endpoint, by their signed bytes.
async fn taken(api: &Api<'_>, from: EndpointId, path: &str) -> anyhow::Result<Vec<CommandId>> {
    let (standing, _) = api.list(&["containments"], &[], CONTAINMENTS_MAX).await?;
    let mut taken = Vec::new();
    for one in standing {
        let Standing { endpoint, command, action } = api.read(one)?;
        if endpoint != from || action != ActionKind::Quarantine.name() {
            continue;
        }
        let (_, signed) = wait::signed_bytes(api, command).await?;
        let is_it = matches!(&signed.command().action, Action::Quarantine(quarantine)
            if quarantine.path.as_bytes() == path.as_bytes());
        if is_it {
            taken.push(command);
        }
    }
    Ok(taken)
}
