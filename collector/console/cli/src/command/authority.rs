//! `cordon authority init`: the keys that everything else rests on, and a client's first roster.
//!
//! Runs on the operator's machine; the collector only ever gets what is public.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use cordon_proto::id::{ClientId, OperatorId};
use cordon_proto::roster::{Operator, OperatorKey, Role};
use cordon_proto::sign::SigningKey;

use crate::clock;
use crate::config::AuthorityKeys;
use crate::context::Context;
use crate::exit::Exit;
use crate::file;
use crate::keyfile::{KeyFile, KeyKind};
use crate::passphrase;
use crate::roster::{self, SignedRoster};
use crate::sealing::OpeningKey;

/// What can be done with an authority.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an authority, operators' keys and a client's first roster
    ///
    /// Writes into DIR: authority.key (signs rosters; keep it off the collector), recovery.key
    /// (signs only the replacement of either; print it and put it away), operator-NAME.key for each
    /// operator, authority.pub (both public keys) and roster-CLIENT-1.cbor (signed). The last two
    /// are for `cordon-collector init`.
    #[command(after_help = "Examples:
  cordon authority init --dir ~/cordon-acme --client acme --operator ann
  cordon authority init --dir ~/cordon-acme --client acme --operator ann --operator bob
  cordon authority init --dir /run/demo --client demo --operator ann --no-passphrase")]
    Init(InitArgs),
}

/// What `authority init` needs to know.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Where to write the files; made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The client whose first roster is made
    #[arg(long, value_name = "CLIENT")]
    client: ClientId,
    /// A person who may act as responder and administrator; once for each
    #[arg(long = "operator", value_name = "NAME", required = true)]
    operators: Vec<OperatorId>,
    /// Leave every key unprotected: whoever reads the files can sign (demos, tests)
    #[arg(long)]
    no_passphrase: bool,
}

/// Runs a command.
pub fn run(context: &mut Context, command: &Command) -> anyhow::Result<Exit> {
    match command {
        Command::Init(args) => init(context, args),
    }
}

fn init(context: &mut Context, args: &InitArgs) -> anyhow::Result<Exit> {
    let names = std::collections::BTreeSet::from_iter(&args.operators);
    if names.len() != args.operators.len() {
        bail!("an operator is named twice; each is one person");
    }
    file::make_private_dir(&args.dir)?;
    let roster_name = format!("roster-{}-1.cbor", args.client);
    check_free(args, &roster_name)?;
    if args.no_passphrase {
        context.output.warn(
            "the keys are written WITHOUT a passphrase: whoever can read these files can command \
             every endpoint. Good for demos and tests, for nothing else.",
        )?;
    }
    let make = |kind: KeyKind, name: &str, file: &str| -> anyhow::Result<SigningKey> {
        make_key(context, args.no_passphrase, kind, name, &args.dir.join(file))
    };
    let authority = make(KeyKind::Authority, args.client.as_str(), "authority.key")?;
    let recovery = make(KeyKind::Recovery, args.client.as_str(), "recovery.key")?;
    let mut operators = Vec::new();
    for name in &args.operators {
        let key = make(KeyKind::Operator, name.as_str(), &operator_file(name))?;
        operators.push(Operator {
            id: name.clone(),
            keys: vec![OperatorKey::File(key.verifying())],
            roles: vec![Role::Responder, Role::Administrator],
            sealing: Some(OpeningKey::of(&key)?.sealing()),
        });
    }
    let alone = operators.len() == 1;
    let keys = AuthorityKeys { authority: authority.verifying(), recovery: recovery.verifying() };
    file::write_new(&args.dir.join("authority.pub"), keys.to_text().as_bytes(), 0o644)?;
    let first = roster::first(args.client.clone(), operators, clock::now_ns());
    let signed = SignedRoster::sign(first, &authority);
    file::write_new(&args.dir.join(&roster_name), &signed.bytes, 0o644)?;
    if alone {
        context.output.warn(
            "there is one operator only, so ONE signature is enough to change policy, and no more \
             than 5 endpoints can be isolated with one command. Add a second person with \
             `cordon roster make --add-operator`.",
        )?;
    }
    tell(context, args, &roster_name)
}

/// Refuses before anything is written if any of the files is there already.
fn check_free(args: &InitArgs, roster_name: &str) -> anyhow::Result<()> {
    let fixed = ["authority.key", "recovery.key", "authority.pub", roster_name];
    let names = fixed.iter().map(|name| (*name).to_owned());
    for name in names.chain(args.operators.iter().map(operator_file)) {
        let path = args.dir.join(name);
        if path.exists() {
            bail!("{} is there already; keys are never overwritten", path.display());
        }
    }
    Ok(())
}

fn operator_file(name: &OperatorId) -> String {
    format!("operator-{name}.key")
}

/// Makes one key and writes its file.
pub(super) fn make_key(
    context: &Context,
    plain: bool,
    kind: KeyKind,
    name: &str,
    path: &Path,
) -> anyhow::Result<SigningKey> {
    let key = SigningKey::generate()?;
    let passphrase = if plain {
        None
    } else {
        let what = path.display().to_string();
        Some(passphrase::ask_new(&what, context.passphrase_file.as_deref())?)
    };
    let made = KeyFile::new(kind, name, &key, passphrase.as_ref())?;
    made.write(path).with_context(|| format!("the {} key was not kept", kind.name()))?;
    Ok(key)
}

fn tell(context: &mut Context, args: &InitArgs, roster_name: &str) -> anyhow::Result<Exit> {
    let dir = args.dir.display();
    let client = &args.client;
    if context.output.is_json() {
        context.output.record(&serde_json::json!({
            "dir": args.dir, "client": client, "operators": args.operators, "roster": roster_name,
        }))?;
        return Ok(Exit::Done);
    }
    context.output.line(&format!("Made the authority of client {client} in {dir}:"))?;
    let mut made = vec![
        (
            "authority.key".to_owned(),
            "signs rosters; keep it safe, never on the collector".to_owned(),
        ),
        ("recovery.key".to_owned(), "print it, put it away, then delete it".to_owned()),
    ];
    let of_operator = |name| (operator_file(name), format!("signs commands; give it to {name}"));
    made.extend(args.operators.iter().map(of_operator));
    made.push(("authority.pub".to_owned(), "for the collector and every operator".to_owned()));
    made.push((roster_name.to_owned(), "for the collector".to_owned()));
    let width = made.iter().map(|(file, _)| file.len()).max().unwrap_or_default();
    for (file, use_of_it) in made {
        context.output.line(&format!("  {file:<width$}  {use_of_it}"))?;
    }
    let first = args.operators.first().map(operator_file).unwrap_or_default();
    context.output.note(&format!(
        "\nNext, on the collector's machine, with the last two files:\n  cordon-collector init \
         --authority authority.pub --roster {roster_name} --name HOST\nThen here, with the pin that \
         it prints:\n  cordon profile add {client} --collector https://HOST:8443 --pin PIN \\\n      \
         --authority {dir}/authority.pub --key {dir}/{first} --client {client}"
    ))?;
    Ok(Exit::Done)
}
