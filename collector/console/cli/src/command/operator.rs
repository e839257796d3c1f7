//! `cordon operator key`: a key for one person, made on that person's machine, and the sealing key
//! that belongs to it.

use std::path::PathBuf;

use clap::Subcommand;
use cordon_proto::id::{ClientId, OperatorId};
use cordon_proto::sign::SealingKey;
use serde_json::Value;

use super::find_list;
use crate::context::{self, Context};
use crate::exit::Exit;
use crate::hex;
use crate::keyfile::{KeyFile, KeyKind};
use crate::output::{Cell, Table};
use crate::sealing::OpeningKey;
use crate::summary::event::word;

/// Operators that are listed.
const LISTED_MAX: usize = 10_000;

/// What can be done with operators.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make and look at operators' keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// List the persons who may act for a client, by its newest roster
    #[command(after_help = "Examples:
  cordon operator list --client acme
  cordon operator list --json

The roster's signature is not checked here; `cordon roster show` does.")]
    List {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
}

/// What can be done with an operator's key.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; its public half goes to whoever signs the roster
    #[command(after_help = "Examples:
  cordon operator key new --name bob --out ~/.config/cordon/operator.key
  cordon operator key new --name bob --out bob.key --passphrase-file pass.txt")]
    New {
        /// Whose key it is
        #[arg(long, value_name = "NAME")]
        name: OperatorId,
        /// The file to write; never over another one
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Leave the key unprotected: whoever reads the file can sign (demos, tests)
        #[arg(long)]
        no_passphrase: bool,
    },
    /// Print the public halves of a key file: of the signing key and, after a colon, of the sealing
    /// key that break-glass codes are sealed to
    #[command(after_help = "Examples:
  cordon operator key show ~/.config/cordon/operator.key
  cordon operator key show --sealing old.key")]
    Show {
        /// Open the key and work the sealing key out, for files of earlier versions that lack it
        #[arg(long)]
        sealing: bool,
        /// The key file
        file: PathBuf,
    },
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Key(command) => key(context, &command),
        Command::List { client } => list(context, client).await,
    }
}

async fn list(context: &mut Context, client: Option<ClientId>) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = desk.client(client.as_ref())?;
    let words = |item: &Value, list: &str, pointer: &str| {
        let members = item[list].as_array().into_iter().flatten();
        members.map(|member| word(member, pointer)).collect::<Vec<_>>()
    };
    let row = |item: &Value| {
        let kinds = words(item, "keys", "/kind");
        let keys = kinds.iter().zip(words(item, "keys", "/id"));
        let keys =
            keys.map(|(kind, id)| format!("{kind} {}", id.chars().take(12).collect::<String>()));
        let breaks = if item["break_glass"] == true { "yes" } else { "no" };
        vec![
            Cell::new(word(item, "/id")),
            Cell::new(words(item, "roles", "").join(", ")),
            Cell::new(keys.collect::<Vec<_>>().join(", ")),
            Cell::new(breaks),
        ]
    };
    let mut table = Table::new(&["OPERATOR", "ROLES", "KEYS", "BREAK-GLASS"]);
    let path = ["clients", client.as_str(), "operators"];
    find_list::show(context, &api, &path, &[], LISTED_MAX, &mut table, row).await
}

fn key(context: &mut Context, command: &KeyCommand) -> anyhow::Result<Exit> {
    match command {
        KeyCommand::New { name, out, no_passphrase } => {
            if *no_passphrase {
                context.output.warn(
                    "the key is written WITHOUT a passphrase: whoever can read the file can sign \
                     as you",
                )?;
            }
            let kind = KeyKind::Operator;
            super::authority::make_key(context, *no_passphrase, kind, name.as_str(), out)?;
            let made = KeyFile::read(out)?;
            show(context, &made, made.sealing())?;
            context.output.note(&format!(
                "Give the public half to whoever holds the authority's key:\n  cordon roster make \
                 --add-operator {name}=PUBLIC --role responder"
            ))?;
        }
        KeyCommand::Show { sealing, file: path } => {
            let file = KeyFile::read(path)?;
            let mut key = file.sealing();
            if *sealing && key.is_none() {
                let opened = context::open(&file, path, context.passphrase_file.as_deref())?;
                key = Some(OpeningKey::of(&opened)?.sealing());
            }
            show(context, &file, key)?;
        }
    }
    Ok(Exit::Done)
}

fn show(context: &mut Context, file: &KeyFile, sealing: Option<SealingKey>) -> anyhow::Result<()> {
    let public = hex::encode(&file.public.0);
    let sealing = sealing.map(|key| hex::encode(&key.0));
    if context.output.is_json() {
        context.output.record(&serde_json::json!({
            "kind": file.kind, "name": file.name, "public": public, "key": file.public.id(),
            "sealed": file.is_sealed(), "sealing": sealing,
        }))?;
    } else {
        let words = [Some(public), sealing].into_iter().flatten().collect::<Vec<_>>();
        context.output.line(&words.join(":"))?;
    }
    Ok(())
}
