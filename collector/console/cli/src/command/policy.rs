//! `cordon policy`: what endpoints keep open, whom they spare, and what they do by themselves; from a
//! file to the endpoints, and back.

mod changes;
mod file;
mod known;
mod preview;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use cordon_proto::command::Action;
use cordon_proto::id::ClientId;
use cordon_proto::policy::Policy;
use cordon_proto::roster::Ceilings;
use serde_json::json;

use super::act::{self, Why};
use super::find;
use crate::api::Api;
use crate::api::model::Endpoint;
use crate::context::{Context, Desk};
use crate::exit::Exit;
use crate::output::table::Tone;
use crate::output::text::plain;
use crate::output::{Cell, Table};
use crate::summary;
use changes::changes;
use known::{Known, held, meant_for, policies, standing};
use preview::Whom;

/// Endpoints that one command names.
const ENDPOINTS_MAX: usize = cordon_proto::limits::TARGETS_MAX;

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the policy that stands, of a client or of one endpoint, as a file to change
    #[command(after_help = "Examples:
  cordon policy show --client acme
  cordon policy show --client acme > acme.toml
  cordon policy show web-01                # what this endpoint holds, by its last health
  cordon policy show --client acme --json

The file goes to standard output; who signed it, and what is not as it should be, beside it. Of a
client it is the newest policy that enough persons signed; `cordon policy status` says which endpoints
hold it.")]
    Show {
        /// One endpoint: a host name, or the beginning of an id (6 digits or more)
        #[arg(value_name = "ENDPOINT")]
        endpoint: Option<String>,
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// List which endpoint holds which version, and which it should hold
    #[command(after_help = "Examples:
  cordon policy status --client acme
  cordon policy status --client acme --json

HOLDS is by the endpoint's last health; SIGNED FOR IT is the newest policy that names it and that
enough persons signed. Ends with 11 if any endpoint holds another.")]
    Status {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// List the policies that were set, and how many endpoints hold each
    #[command(after_help = "Examples:
  cordon policy list --client acme
  cordon policy list --json

It is the collector's word; `cordon policy status` and `show` verify signatures here.")]
    List {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Show what a policy's file would change, on which endpoints, and who must sign
    #[command(after_help = "Examples:
  cordon policy preview acme.toml                  # for every endpoint of its client
  cordon policy preview acme.toml --share 10
  cordon policy preview acme.toml web-01 web-02 --json

The collector holds the policy against what each endpoint holds by its last health. Ends with 14 if
the policy cannot be set.")]
    Preview {
        /// TOML, or JSON where the name ends in .json
        file: PathBuf,
        #[command(flatten)]
        whom: Whom,
    },
    /// Check a policy's file, and say what it means, without signing anything
    #[command(after_help = file::EXAMPLE)]
    Check {
        /// TOML, or JSON where the name ends in .json
        file: PathBuf,
        /// Hold it against this client's roster, too
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Say what a policy's file would change
    #[command(after_help = "Examples:
  cordon policy diff acme.toml             # to the policy that stands
  cordon policy diff acme.toml web-01      # to what this endpoint holds
  cordon policy diff acme.toml --json")]
    Diff {
        /// TOML, or JSON where the name ends in .json
        file: PathBuf,
        /// One endpoint: a host name, or the beginning of an id (6 digits or more)
        #[arg(value_name = "ENDPOINT")]
        endpoint: Option<String>,
    },
    /// Sign a policy's file and hand it to endpoints
    #[command(after_help = "Examples:
  cordon policy set acme.toml web-01 web-02 --reason 'mass change cuts off' --wait
  cordon policy set acme.toml --all --reason 'mass change cuts off'
  cordon policy set acme.toml --share 10 --reason 'mass change cuts off: first tenth'
  cordon policy set acme.toml web-01 --reason 'drill' --dry-run

More than 256 endpoints take more than one command, each signed by itself. What changes is said before it is signed. The version in the file must be higher than that of the
policy that endpoints hold; what endpoints do by themselves must lie within [ceilings.autonomy] of the
client's roster. See `cordon policy check --help` for how a file looks. Most rosters ask for two
administrators: the other one adds his signature with `cordon command approve`.")]
    Set(SetArgs),
}

/// What `policy set` needs to know.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// TOML, or JSON where the name ends in .json
    file: PathBuf,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    why: Why,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Show { endpoint, client } => show(context, endpoint, client).await,
        Command::Status { client } => status(context, client).await,
        Command::List { client } => {
            let desk = context.desk()?;
            let client = desk.client(client.as_ref())?;
            preview::list(context, &desk.api()?, client.as_str()).await
        }
        Command::Preview { file, whom } => {
            preview::preview(context, &file::read_unchecked(&file)?, &whom).await
        }
        Command::Check { file, client } => {
            let policy = file::read(&file)?;
            if let Some(client) = client {
                let desk = context.desk()?;
                let ceilings = ceilings(&desk, &desk.api()?, &policy, Some(&client)).await?;
                file::refuse(&policy, Some(&ceilings))?;
            }
            if context.output.is_json() {
                context.output.record(&policy)?;
            } else {
                context.output.line(&summary::action(&Action::SetPolicy(policy)))?;
            }
            Ok(Exit::Done)
        }
        Command::Diff { file, endpoint } => diff(context, &file::read(&file)?, endpoint).await,
        Command::Set(args) => set(context, args).await,
    }
}

async fn show(
    context: &mut Context,
    endpoint: Option<String>,
    client: Option<ClientId>,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = client.or_else(|| desk.profile.client.clone());
    let (all, found) = match endpoint {
        Some(name) => {
            let endpoint = find::endpoint(&api, &context.output, &name, client.as_ref()).await?;
            let all = policies(&api, &endpoint.client).await?;
            let found = of_endpoint(&all, &endpoint)?.map(|known| known.policy.version);
            (all, found.map(|version| (version, Some(endpoint.id))))
        }
        None => {
            let client = client.context("whose policy? say --client, or an endpoint")?;
            let all = policies(&api, &client).await?;
            let found = standing(&all).map(|known| known.policy.version);
            (all, found.map(|version| (version, None)))
        }
    };
    let known = found.and_then(|(version, endpoint)| match endpoint {
        Some(id) => held(&all, id, version),
        None => standing(&all),
    });
    if let Some(newer) = all.first().filter(|newest| !newest.is_authorised()) {
        let (version, id) = (newer.policy.version, newer.record.id);
        context.output.note(&format!("Version {version} waits for signatures: command {id}"))?;
    }
    let Some(known) = known else {
        context.output.note("No policy stands.")?;
        return Ok(Exit::Done);
    };
    signed_by(context, &desk, &api, known).await?;
    if context.output.is_json() {
        context.output.record(&known.policy)?;
    } else {
        let text = toml::to_string(&known.policy)?;
        for line in text.lines() {
            context.output.line(&plain(line))?;
        }
    }
    Ok(Exit::Done)
}

/// What an endpoint holds by its last health; none where it holds nothing.
fn of_endpoint<'a>(all: &'a [Known], endpoint: &Endpoint) -> anyhow::Result<Option<&'a Known>> {
    let name = plain(&endpoint.host_name);
    let version = endpoint.policy_version;
    let version = version.with_context(|| format!("{name} has not told its health yet"))?;
    if version == 0 {
        return Ok(None);
    }
    let known = held(all, endpoint.id, version);
    known.map(Some).with_context(|| {
        format!("{name} holds version {version}, and the collector shows no such policy for it")
    })
}

/// The signatures are verified here, by the roster as it is now.
async fn signed_by(
    context: &mut Context,
    desk: &Desk,
    api: &Api<'_>,
    known: &Known,
) -> anyhow::Result<()> {
    let (roster, _) = desk.roster(api, &known.policy.client).await?;
    let (version, id) = (known.policy.version, known.record.id);
    match known.signed.signers(&roster.roster) {
        Ok(signers) => {
            let names: Vec<_> = signers.iter().map(|signer| signer.id.to_string()).collect();
            let names = names.join(", ");
            context.output.note(&format!("Version {version}, signed by {names}: command {id}"))?;
        }
        Err(why) => context.output.warn(&format!(
            "by today's roster the signatures of version {version} (command {id}) do not count: {why}"
        ))?,
    }
    Ok(())
}

async fn status(context: &mut Context, client: Option<ClientId>) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = client.or_else(|| desk.profile.client.clone());
    let client = client.context("whose policy? say --client")?;
    let all = policies(&api, &client).await?;
    let mut table = Table::new(&["ENDPOINT", "ID", "HOLDS", "SIGNED FOR IT", "STATE"]);
    let mut exit = Exit::Done;
    for endpoint in find::all(&api, &context.output, &client).await? {
        let wanted = meant_for(&all, endpoint.id).map(|known| known.policy.version);
        let holds = endpoint.policy_version;
        let as_wanted = holds.is_some_and(|holds| holds >= wanted.unwrap_or_default());
        if !as_wanted {
            exit = Exit::Unproved;
        }
        if context.output.is_json() {
            context.output.record(&json!({
                "endpoint": endpoint.id, "host_name": endpoint.host_name, "holds": holds,
                "signed_for_it": wanted, "as_wanted": as_wanted, "state": endpoint.state,
            }))?;
            continue;
        }
        let words = |version: Option<u64>, none: &str| match version {
            None | Some(0) => none.to_owned(),
            Some(version) => version.to_string(),
        };
        let tone = if as_wanted { Tone::Good } else { Tone::Bad };
        table.row([
            Cell::new(&endpoint.host_name),
            Cell::new(endpoint.id.short()),
            Cell::toned(words(holds, if holds.is_none() { "not told" } else { "none" }), tone),
            Cell::new(words(wanted, "none")),
            Cell::new(&endpoint.state),
        ]);
    }
    if !context.output.is_json() {
        context.output.table(&table)?;
    }
    Ok(exit)
}

async fn diff(
    context: &mut Context,
    policy: &Policy,
    endpoint: Option<String>,
) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let all = policies(&api, &policy.client).await?;
    let before = match endpoint {
        Some(name) => {
            let client = Some(&policy.client);
            let endpoint = find::endpoint(&api, &context.output, &name, client).await?;
            of_endpoint(&all, &endpoint)?
        }
        None => standing(&all),
    };
    let before = before.map(|known| &known.policy);
    let said = changes(before, policy);
    if context.output.is_json() {
        let from = before.map(|policy| policy.version);
        let diff = json!({ "from": from, "to": policy.version, "changes": said });
        context.output.record(&diff)?;
    } else {
        said.iter().try_for_each(|line| context.output.line(line))?;
    }
    if before.is_some_and(|before| before.version >= policy.version) {
        context.output.warn("the version must grow, or endpoints refuse it")?;
    }
    Ok(Exit::Done)
}

async fn set(context: &mut Context, args: SetArgs) -> anyhow::Result<Exit> {
    let policy = file::read(&args.file)?;
    let desk = context.desk()?;
    let api = desk.api()?;
    let ceilings = ceilings(&desk, &api, &policy, args.why.client()).await?;
    file::refuse(&policy, Some(&ceilings))?;
    let all = policies(&api, &policy.client).await?;
    let before = standing(&all).map(|known| &known.policy);
    if let Some(before) = before.filter(|before| **before == policy) {
        context
            .output
            .note(&format!("Version {} stands already, word for word.", before.version))?;
    } else {
        for line in changes(before, &policy) {
            context.output.note(&line)?;
        }
    }
    if let Some(taken) =
        before.filter(|before| **before != policy && before.version >= policy.version)
    {
        let (next, mine) = (taken.version.saturating_add(1), policy.version);
        bail!("version {mine} is not above version {}, which stands; say {next}", taken.version);
    }
    let whom = args.whom.find(context, &api, &policy).await?;
    let ids: Vec<String> = whom.iter().map(|endpoint| endpoint.id.to_string()).collect();
    let mut why = args.why;
    why.look_among(&policy.client);
    let steps = ids.len().div_ceil(ENDPOINTS_MAX);
    let mut exit = Exit::Done;
    for (step, ids) in (1_usize..).zip(ids.chunks(ENDPOINTS_MAX)) {
        if steps > 1 {
            let count = ids.len();
            let note = format!("Command {step} of {steps}: {count} endpoint(s)");
            context.output.note(&note)?;
        }
        let action = Action::SetPolicy(policy.clone());
        exit = exit.max(act::act(context, ids, why.clone(), action).await?);
    }
    Ok(exit)
}

/// What the roster of the policy's client lets it say.
async fn ceilings(
    desk: &Desk,
    api: &Api<'_>,
    policy: &Policy,
    client: Option<&ClientId>,
) -> anyhow::Result<Ceilings> {
    if let Some(other) = client.filter(|client| **client != policy.client) {
        bail!("the file is a policy for client {}, not for {other}", policy.client);
    }
    let (roster, _) = desk.roster(api, &policy.client).await?;
    Ok(roster.roster.ceilings)
}
