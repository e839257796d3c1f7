//! `cordon profile`: which collector to talk to, how to know it, and with which key.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use cordon_proto::id::{ClientId, Hash};

use crate::config::{self, AGENTS_PORT, AuthorityKeys, Config, Profile};
use crate::context::Context;
use crate::exit::Exit;
use crate::keyfile::{KeyFile, KeyKind};
use crate::output::{Cell, Table};

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a profile; the first one becomes the current one
    #[command(after_help = "Examples:
  cordon profile add acme --collector https://collector.example:8443 \\
      --pin 5f1c0000000000000000000000000000000000000000000000000000000000aa \\
      --authority authority.pub --key operator-ann.key --client acme

The pin is what `cordon-collector init` printed: SHA-256 of the collector's root certificate.")]
    Add(AddArgs),
    /// List profiles
    List,
    /// Choose the current profile
    #[command(after_help = "Example:
  cordon profile use acme")]
    Use {
        /// The profile
        name: String,
    },
}

/// What a profile says.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// The profile's name
    name: String,
    /// The people's door of the collector: https://HOST:8443
    #[arg(long, value_name = "URL")]
    collector: String,
    /// SHA-256 of the collector's root certificate
    #[arg(long, value_name = "HASH")]
    pin: Hash,
    /// authority.pub, as `cordon authority init` wrote it
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// Your key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A file (mode 600) with an API token to be used instead of signing in; CORDON_TOKEN goes
    /// before it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The client meant where a command names none
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// The agents' door for enrolment strings, tried in turn [default: HOST:7443]
    #[arg(long, value_name = "HOST:PORT")]
    agents: Vec<String>,
    /// Replace a profile of this name
    #[arg(long)]
    replace: bool,
}

/// Runs a command.
pub fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Add(args) => add(context, args),
        Command::List => list(context),
        Command::Use { name } => {
            let mut config = Config::read(&context.config_dir)?;
            config.profile(Some(&name))?;
            config.current = Some(name);
            config.write(&context.config_dir)?;
            Ok(Exit::Done)
        }
    }
}

fn add(context: &mut Context, args: AddArgs) -> anyhow::Result<Exit> {
    config::check_name(&args.name)?;
    let host = config::host(&args.collector)?;
    let AuthorityKeys { authority, recovery } = AuthorityKeys::read(&args.authority)?;
    KeyFile::read_kind(&args.key, KeyKind::Operator)?;
    let key = args.key.canonicalize();
    let key = key.with_context(|| format!("cannot find {}", args.key.display()))?;
    let mut config = Config::read(&context.config_dir)?;
    if config.profiles.contains_key(&args.name) && !args.replace {
        bail!("there is a profile '{}' already; --replace overwrites it", args.name);
    }
    let agents =
        if args.agents.is_empty() { vec![format!("{host}:{AGENTS_PORT}")] } else { args.agents };
    let collector = args.collector.trim_end_matches('/').to_owned();
    let (pin, client) = (args.pin, args.client);
    let token_file = args
        .token_file
        .as_ref()
        .map(|path| path.canonicalize().with_context(|| format!("cannot find {}", path.display())));
    let token_file = token_file.transpose()?;
    let profile = Profile { collector, pin, authority, recovery, key, token_file, client, agents };
    config.profiles.insert(args.name.clone(), profile);
    config.current.get_or_insert(args.name.clone());
    config.write(&context.config_dir)?;
    let current = config.current.as_deref() == Some(args.name.as_str());
    if !current {
        context.output.note(&format!("Choose it with: cordon profile use {}", args.name))?;
    }
    Ok(Exit::Done)
}

fn list(context: &mut Context) -> anyhow::Result<Exit> {
    let config = Config::read(&context.config_dir)?;
    let current = config.profile(None).map(|(name, _)| name.to_owned()).ok();
    let mut table = Table::new(&["", "NAME", "COLLECTOR", "PIN", "CLIENT", "KEY"]);
    for (name, profile) in &config.profiles {
        let is_current = current.as_ref() == Some(name);
        if context.output.is_json() {
            let mut record = serde_json::to_value(profile)?;
            record["name"] = name.as_str().into();
            record["current"] = is_current.into();
            context.output.record(&record)?;
            continue;
        }
        let client = profile.client.as_ref().map_or("", ClientId::as_str);
        table.row([
            Cell::new(if is_current { "*" } else { "" }),
            Cell::new(name),
            Cell::new(&profile.collector),
            Cell::new(profile.pin.short()),
            Cell::new(client),
            Cell::new(profile.key.display().to_string()),
        ]);
    }
    if !context.output.is_json() {
        if table.is_empty() {
            context
                .output
                .note("No profile yet; `cordon profile add --help` shows how to add one.")?;
        } else {
            context.output.table(&table)?;
        }
    }
    Ok(Exit::Done)
}
