//! `cordon operator key new`: a key for one person, made on that person's machine.

use std::path::PathBuf;

use clap::Subcommand;
use cordon_proto::id::OperatorId;

use crate::context::Context;
use crate::exit::Exit;
use crate::hex;
use crate::keyfile::{KeyFile, KeyKind};

/// What can be done with operators.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make and look at operators' keys
    #[command(subcommand)]
    Key(KeyCommand),
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
    /// Print the public half of a key file
    #[command(after_help = "Example:
  cordon operator key show ~/.config/cordon/operator.key")]
    Show {
        /// The key file
        file: PathBuf,
    },
}

/// Runs a command.
pub fn run(context: &mut Context, command: &Command) -> anyhow::Result<Exit> {
    let Command::Key(command) = command;
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
            show(context, &KeyFile::read(out)?)?;
            context.output.note(&format!(
                "Give the public half to whoever holds the authority's key:\n  cordon roster make \
                 --add-operator {name}=PUBLIC --role responder"
            ))?;
        }
        KeyCommand::Show { file } => show(context, &KeyFile::read(file)?)?,
    }
    Ok(Exit::Done)
}

fn show(context: &mut Context, file: &KeyFile) -> anyhow::Result<()> {
    let public = hex::encode(&file.public.0);
    if context.output.is_json() {
        context.output.record(&serde_json::json!({
            "kind": file.kind, "name": file.name, "public": public, "key": file.public.id(),
            "sealed": file.is_sealed(),
        }))?;
    } else {
        context.output.line(&public)?;
    }
    Ok(())
}
