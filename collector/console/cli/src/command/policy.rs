//! `cordon policy`: what endpoints keep open, whom they spare, and what they do by themselves; from a
//! file to the endpoints.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use cordon_proto::command::Action;
use cordon_proto::id::ClientId;
use cordon_proto::policy::{Policy, responses};
use serde_json::Value;

use super::act::{self, Why};
use super::wait;
use crate::api::Api;
use crate::api::model::CommandRecord;
use crate::context::Context;
use crate::exit::Exit;
use crate::file;
use crate::output::text::plain;
use crate::summary;

/// A file of a policy; far above what any policy needs.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Commands looked through for the newest policy.
const COMMANDS_MAX: usize = 10_000;
/// Endpoints of one client that get a policy at once: what one command may name.
const ENDPOINTS_MAX: usize = cordon_proto::limits::TARGETS_MAX;

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the newest policy that was signed for a client, as a file to change
    #[command(after_help = "Examples:
  cordon policy show --client acme
  cordon policy show --client acme > acme.toml")]
    Show {
        /// Whose [default: the profile's client]
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
    },
    /// Check a policy's file, and say what it means, without signing anything
    #[command(after_help = EXAMPLE)]
    Check {
        /// TOML, or JSON where the name ends in .json
        file: PathBuf,
    },
    /// Sign a policy's file and hand it to endpoints
    #[command(after_help = "Examples:
  cordon policy set acme.toml web-01 web-02 --reason 'mass change cuts off' --wait
  cordon policy set acme.toml --all --client acme --reason 'mass change cuts off'
  cordon policy set acme.toml web-01 --reason 'drill' --dry-run

The version in the file must be higher than that of the policy that endpoints hold. What endpoints do
by themselves must lie within [ceilings.autonomy] of the client's roster; see `cordon policy check`
for how a file looks.")]
    Set(SetArgs),
}

/// What `policy set` needs to know.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// TOML, or JSON where the name ends in .json
    file: PathBuf,
    /// Host names, or the beginnings of ids (6 digits or more)
    #[arg(value_name = "ENDPOINT", required_unless_present = "all", conflicts_with = "all")]
    endpoints: Vec<String>,
    /// Every endpoint of the client
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    why: Why,
}

const EXAMPLE: &str = "Example:
  cordon policy check acme.toml

A policy as a file:

  client = \"acme\"
  version = 4
  critical = []                 # ids of endpoints: two persons for each action, never cut off alone

  [[exemptions]]                # what stays open while an endpoint is cut off
  address = \"192.0.2.10\"
  port = 443
  transport = \"tcp\"

  [[responses]]                 # what endpoints do by themselves, within the roster's ceilings
  name = \"mass-change\"
  per_hour_max = 2
  when = [{ field = \"finding_rule\", comparison = \"is\", value = \"files.mass_change\" }]
  then = { do = \"isolate\", lease_secs = 3600 }

field: process_path, process_resolved_path, process_arguments, process_sha256, process_uid,
finding_rule, peer_address, peer_port, local_port, file_path, log_line, login_user, login_from,
login_status. comparison: is, is_not, begins_with, ends_with, contains. All of `when` must be so of one
event. do: raise, isolate (lease_secs), kill (tree), suspend (tree, lease_secs), block (lease_secs).
Only what the kernel saw may isolate, kill or suspend; a log may raise, and a login may block the
address that it comes from.";

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Show { client } => show(context, client).await,
        Command::Check { file } => {
            let policy = read(&file)?;
            context.output.line(&summary::action(&Action::SetPolicy(policy)))?;
            Ok(Exit::Done)
        }
        Command::Set(args) => set(context, args).await,
    }
}

async fn show(context: &mut Context, client: Option<ClientId>) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = client.or_else(|| desk.profile.client.clone());
    let client = client.context("whose policy? say --client")?;
    let Some(policy) = newest(&api, &client).await? else {
        context.output.note("No policy was signed for this client yet.")?;
        return Ok(Exit::Done);
    };
    if context.output.is_json() {
        context.output.record(&policy)?;
    } else {
        context.output.line(plain_lines(&toml::to_string(&policy)?).trim_end())?;
    }
    Ok(Exit::Done)
}

/// Line by line, so that nothing in it drives the terminal.
fn plain_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", plain(line))).collect()
}

async fn set(context: &mut Context, args: SetArgs) -> anyhow::Result<Exit> {
    let policy = read(&args.file)?;
    let desk = context.desk()?;
    let api = desk.api()?;
    let (roster, _) = desk.roster(&api, &policy.client).await?;
    let autonomy = roster.roster.ceilings.autonomy.as_ref();
    responses::check(policy.responses.as_deref().unwrap_or_default(), autonomy)
        .map_err(|error| anyhow::anyhow!("the policy {error}"))?;
    let before = newest(&api, &policy.client).await?;
    for line in differences(before.as_ref(), &policy) {
        context.output.note(&line)?;
    }
    let whom = if args.all { everybody(&api, &policy.client).await? } else { args.endpoints };
    act::act(context, &whom, args.why, Action::SetPolicy(policy)).await
}

async fn everybody(api: &Api<'_>, client: &ClientId) -> anyhow::Result<Vec<String>> {
    let query = [("client", client.to_string())];
    let (found, more) = api.list(&["endpoints"], &query, ENDPOINTS_MAX).await?;
    if more {
        bail!("client {client} has more than {ENDPOINTS_MAX} endpoints; name some of them");
    }
    let id = |one: &Value| one.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(found.iter().filter_map(id).collect())
}

/// The newest policy that the collector has a command for, authorised or not.
async fn newest(api: &Api<'_>, client: &ClientId) -> anyhow::Result<Option<Policy>> {
    let query = [("client", client.to_string())];
    let (commands, _) = api.list(&["commands"], &query, COMMANDS_MAX).await?;
    let mut newest: Option<Policy> = None;
    for one in commands {
        let record: CommandRecord = api.read(one)?;
        if record.action_name() != "set_policy" {
            continue;
        }
        let (_, signed) = wait::signed_bytes(api, record.id).await?;
        let Action::SetPolicy(policy) = &signed.command().action else { continue };
        if policy.client == *client && newest.as_ref().is_none_or(|n| n.version < policy.version) {
            newest = Some(policy.clone());
        }
    }
    Ok(newest)
}

fn read(path: &Path) -> anyhow::Result<Policy> {
    let bytes = file::read(path, FILE_BYTES_MAX)?;
    let bytes = bytes.with_context(|| format!("there is no file {}", path.display()))?;
    let text = String::from_utf8(bytes).context("a policy's file is UTF-8 text")?;
    let json = path.extension().is_some_and(|extension| extension == "json");
    parse(&text, json).with_context(|| format!("{} is no policy", path.display()))
}

fn parse(text: &str, json: bool) -> anyhow::Result<Policy> {
    let read: Draft = if json { serde_json::from_str(text)? } else { toml::from_str(text)? };
    let Draft { client, version, exemptions, critical, redactions, responses } = read;
    let policy = Policy { client, version, exemptions, critical, redactions, responses };
    if let Some(redactions) = &policy.redactions {
        redactions.check().map_err(|error| anyhow::anyhow!("the policy {error}"))?;
    }
    responses::check_form(policy.responses.as_deref().unwrap_or_default())
        .map_err(|error| anyhow::anyhow!("the policy {error}"))?;
    Ok(policy)
}

/// A policy's file: what is misspelt is refused instead of left out.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    client: ClientId,
    version: u64,
    #[serde(default)]
    exemptions: Vec<cordon_proto::policy::Exemption>,
    #[serde(default)]
    critical: Vec<cordon_proto::id::EndpointId>,
    redactions: Option<cordon_proto::policy::Redactions>,
    responses: Option<Vec<responses::Response>>,
}

/// What changes, a sentence each.
fn differences(before: Option<&Policy>, now: &Policy) -> Vec<String> {
    let Some(before) = before else {
        return vec![format!("a first policy for client {}", now.client)];
    };
    let mut said = vec![format!("version {} becomes {}", before.version, now.version)];
    let [old, new] = [before, now].map(|policy| policy.responses.as_deref().unwrap_or_default());
    for response in new {
        let words = summary::response(response);
        match old.iter().find(|one| one.name == response.name) {
            None => said.push(format!("new: {words}")),
            Some(one) if one != response => said.push(format!("changed: {words}")),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|one| !new.iter().any(|response| response.name == one.name));
    said.extend(gone.map(|one| format!("response {} is taken away", plain(&one.name))));
    if before.exemptions != now.exemptions {
        said.push("what stays open while cut off changes".to_owned());
    }
    if before.critical != now.critical {
        said.push("which endpoints are critical changes".to_owned());
    }
    if before.redactions != now.redactions {
        said.push("which secrets are taken out changes".to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that the help shows.
    fn example() -> String {
        let file = EXAMPLE.split("A policy as a file:").nth(1).unwrap();
        file.split("\nfield: ").next().unwrap().to_owned()
    }

    #[test]
    fn the_file_that_the_help_shows_is_a_policy() {
        let policy = parse(&example(), false).unwrap();
        assert_eq!((policy.version, policy.exemptions.len()), (4, 1));
        let words = summary::action(&Action::SetPolicy(policy.clone()));
        assert!(words.contains("CUTS ITSELF OFF for 1h"), "{words}");
        let again = toml::to_string(&policy).unwrap();
        assert_eq!(parse(&again, false).unwrap(), policy, "what `show` writes, `set` reads");
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(parse(&json, true).unwrap(), policy);
    }

    #[test]
    fn what_is_misspelt_or_cannot_be_is_refused() {
        #[track_caller]
        fn check(from: &str, to: &str, says: &str) {
            let text = example();
            assert!(text.contains(from));
            let error = parse(&text.replacen(from, to, 1), false).unwrap_err();
            assert!(format!("{error:#}").contains(says), "{error:#}");
        }
        check("per_hour_max", "per_hour", "unknown field");
        check("lease_secs = 3600", "lease = 3600", "unknown field");
        check("lease_secs = 3600", "lease_secs = 3601", "1 to 3600 is possible");
        check("\"files.mass_change\"", "\"logs.many\"", "it must name its rule");
    }

    #[test]
    fn what_changes_is_said_in_words() {
        let before = parse(&example(), false).unwrap();
        let mut now = before.clone();
        now.version = 5;
        now.exemptions.clear();
        now.responses.as_mut().unwrap()[0].per_hour_max = 1;
        let said = differences(Some(&before), &now).join("\n");
        assert!(said.starts_with("version 4 becomes 5\nchanged: response mass-change"), "{said}");
        assert!(said.ends_with("what stays open while cut off changes"), "{said}");
    }
}
