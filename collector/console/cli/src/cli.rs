//! The command line: what can be asked for, and the help that teaches it.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::command::{
    account, act, api_token, audit, authority, break_glass, client, collection, collector,
    commands, completions, containment, endpoint, events, export, man, operator, policy, profile,
    query, roster, session, signer, site, token, verify,
};
use crate::exit;

/// What every page of help of the program itself ends with.
const FIRST_STEPS: &str = "First steps:
  cordon authority init --dir ~/cordon-acme --client acme --operator ann
  cordon profile add acme --collector https://HOST:8443 --pin PIN \\
      --authority ~/cordon-acme/authority.pub --key ~/cordon-acme/operator-ann.key --client acme
  cordon token create --client acme --uses 50 --for 7d
  cordon endpoint list
  cordon isolate web-01 --reason 'beaconing to 203.0.113.7' --wait

With an API token in CORDON_TOKEN (or a file that the profile names) nobody signs in; see
`cordon api-token create --help`. `cordon help exit-codes` lists what the exit codes mean.";

/// Watch endpoints, cut them off and let them back, and check what is claimed about them.
///
/// Everything that changes an endpoint is signed here with your own key; the collector can neither
/// make nor change it. What this program calls proved it has verified itself.
#[derive(Debug, Parser)]
#[command(
    name = "cordon",
    version,
    max_term_width = 104,
    after_help = FIRST_STEPS,
    after_long_help = format!("{FIRST_STEPS}\n\nExit codes:\n{}", exit::TABLE)
)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line. Where the next word is missing, the page is shown that lists it.
    #[must_use]
    pub fn read() -> Self {
        let matches = helpful(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The same command, and all below it, with help instead of a complaint where a word is missing.
fn helpful(command: clap::Command) -> clap::Command {
    let has_more = command.has_subcommands();
    command.mut_subcommands(helpful).arg_required_else_help(has_more)
}

/// What every command understands.
#[derive(Args, Debug)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Use this profile instead of the current one
    #[arg(long, global = true, env = "CORDON_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// Print one JSON object a line instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// Read the key's passphrase from this file (mode 600) instead of the terminal
    #[arg(long, global = true, env = "CORDON_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Keep settings here instead of ~/.config/cordon
    #[arg(long, global = true, env = "CORDON_CONFIG_DIR", value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the keys that everything else rests on
    #[command(subcommand)]
    Authority(authority::Command),
    /// Make operators' keys, and list who may act
    #[command(subcommand)]
    Operator(operator::Command),
    /// Say which collector to talk to, and how to know it
    #[command(subcommand)]
    Profile(profile::Command),
    /// Say who may act for a client
    #[command(subcommand)]
    Roster(roster::Command),
    /// Say what endpoints keep open, and what they do by themselves
    #[command(subcommand)]
    Policy(policy::Command),
    /// Let endpoints join
    #[command(subcommand)]
    Token(token::Command),
    /// Sign in to the web console: set an account up, let others, change how you sign in
    #[command(subcommand)]
    Account(account::Command),
    /// See who is signed in, and end it
    #[command(subcommand)]
    Session(session::Command),
    /// Open the page where passkeys sign commands
    Signer(signer::Args),
    /// Let programs look, or act, in your name
    #[command(subcommand)]
    ApiToken(api_token::Command),
    /// Look at clients
    #[command(subcommand)]
    Client(client::Command),
    /// Say where endpoints stand
    #[command(subcommand)]
    Site(site::Command),
    /// Look at endpoints, and say what they are for
    #[command(subcommand)]
    Endpoint(endpoint::Command),
    /// Look at events, those stored and those that come
    Events(events::Args),
    /// Cut endpoints off from the network
    Isolate(act::IsolateArgs),
    /// Let endpoints back onto the network
    Release(act::ReleaseArgs),
    /// Show the code that lets an endpoint back when nothing else does
    BreakGlass(break_glass::Args),
    /// End a process, or a whole tree of them
    Kill(act::KillArgs),
    /// Stop a process where it is
    Suspend(act::SuspendArgs),
    /// Let a stopped process go on
    Resume(act::ResumeArgs),
    /// Take a file away into the endpoint's encrypted vault
    Quarantine(act::QuarantineArgs),
    /// Put a file back that was taken away
    Restore(act::RestoreArgs),
    /// Let a program not be started
    Deny(act::DenyArgs),
    /// Let a denied program be started again
    Allow(act::AllowArgs),
    /// Put back what a command changed
    Undo(act::UndoArgs),
    /// Block addresses, names or ports
    Block(act::BlockArgs),
    /// Let pass again what a command blocked
    Unblock(act::UnblockArgs),
    /// Shut the traffic between two groups of endpoints
    Segment(act::SegmentArgs),
    /// Shut the ports that intruders move along, on all endpoints of a client
    Lateral(act::LateralArgs),
    /// Lock an account
    Lock(act::LockArgs),
    /// Unlock an account that was locked
    Unlock(act::UnlockArgs),
    /// Stop services, and put them back as they were
    #[command(subcommand)]
    Service(act::service::Command),
    /// Block removable storage, and allow it again
    #[command(subcommand)]
    Storage(act::storage::Command),
    /// Bring evidence away from endpoints
    Collect(act::CollectArgs),
    /// Look at what was collected, fetch it, check it
    #[command(subcommand)]
    Collection(collection::Command),
    /// Ask endpoints what is on them now, in SQL
    Query(query::Args),
    /// Look at signed commands, and add your signature
    #[command(subcommand)]
    Command(commands::Command),
    /// Look at what stands
    #[command(subcommand)]
    Containment(containment::Command),
    /// Take evidence away in a file that proves itself
    Export(export::Args),
    /// Check a file of evidence, offline
    Verify(verify::Args),
    /// Look at what people did
    #[command(subcommand)]
    Audit(audit::Command),
    /// Look at the collector itself
    #[command(subcommand)]
    Collector(collector::Command),
    /// Print the completions for a shell
    Completions(completions::Args),
    /// Print the manual's pages
    Man(man::Args),
    /// What the exit codes mean
    #[command(long_about = exit::TABLE)]
    ExitCodes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command's help must teach by at least one example that is itself understood.
    #[test]
    fn every_example_in_a_help_text_is_understood() {
        let mut examples = 0;
        visit(&Cli::command(), &mut |command| {
            let Some(help) = command.get_after_help() else {
                assert!(
                    command.has_subcommands()
                        || matches!(command.get_name(), "exit-codes" | "list"),
                    "the help of '{}' has no example",
                    command.get_name()
                );
                return;
            };
            let text =
                help.to_string().replace("\\\n", " ").replace(" PIN ", &format!(" {:064} ", 0));
            for line in text.lines().map(str::trim).filter(|line| line.starts_with("cordon ")) {
                let words = [" | ", " > ", " # "].iter().fold(line, |line, end| {
                    line.split_once(end).map_or(line, |(before, _)| before)
                });
                let words = split(words);
                let read = Cli::try_parse_from(&words);
                let read = read.map_or_else(|e| e.to_string(), |_| String::new());
                assert_eq!(read, "", "{line}");
                examples += 1;
            }
        });
        assert!(examples > 20, "only {examples} examples were found");
    }

    fn visit(command: &clap::Command, seen: &mut impl FnMut(&clap::Command)) {
        seen(command);
        command.get_subcommands().for_each(|sub| visit(sub, seen));
    }

    /// Words of a line, with single quotes understood as a shell would.
    fn split(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => {
                    if words.last().is_some_and(|word| !word.is_empty()) {
                        words.push(String::new());
                    }
                }
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }
}
