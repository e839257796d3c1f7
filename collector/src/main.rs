//! The program `cordon-collector`: arguments and log; everything else is in the library.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cordon_collector::clock::Clock;
use cordon_collector::config::{self, Config};
use cordon_collector::operator::{self, Invite};
use cordon_collector::setup::{self, Init, Invited, Made};
use cordon_proto::id::{ClientId, OperatorId};

const AFTER: &str = "\
First steps:
  1. On your own machine, never here: `cordon authority init` makes the keys that stay with you.
  2. Bring authority.pub and the roster here, and run `cordon-collector init`.
  3. `cordon-collector serve` (or `systemctl start cordon-collector`).
  4. On your own machine: `cordon profile add`, with the CA pin that `init` printed.
  5. For the browser: `cordon account set-up --invitation` there, with the code that `init` printed.";

/// Takes in what Cordon's agents see, keeps it provable, and passes signed commands on.
#[derive(Parser)]
#[command(name = "cordon-collector", version, after_help = AFTER)]
struct Arguments {
    /// How much is logged: error, warn, info, debug or trace.
    #[arg(long, global = true, env = "CORDON_LOG", default_value = "info")]
    log: tracing::Level,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Sets a collector up, and invites its first operator.
    ///
    /// Makes the certificate authority, the certificate and the state. Prints the CA pin, which operators
    /// put into their profile and enrolment strings carry, so that nobody can stand in for this
    /// collector; and, once, a code with which the first administrator of the roster sets a sign-in
    /// account up. The code is a way in as that operator until it is used or 48 hours are over.
    ///
    /// Run again it keeps what is there: it takes in a newer roster or another client's (restart the
    /// collector then), and makes a new code as long as there is no account.
    Init {
        /// The settings; written if they are not there and `--name` is given.
        #[arg(long, default_value = config::PATH_DEFAULT)]
        config: PathBuf,
        /// The authority's public keys, from `cordon authority init`.
        #[arg(long, value_name = "FILE")]
        authority: PathBuf,
        /// A signed roster; one for each client.
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        roster: Vec<PathBuf>,
        /// A host name or address of this collector; again for each.
        #[arg(long = "name", value_name = "HOST", num_args = 1..)]
        names: Vec<String>,
        /// Invite this operator of the first roster instead of its first administrator.
        #[arg(long, value_name = "OPERATOR", conflicts_with = "no_invitation")]
        invite: Option<OperatorId>,
        /// Invite nobody; `cordon-collector operator invite` does it later.
        #[arg(long)]
        no_invitation: bool,
    },
    /// Opens both doors and runs until SIGTERM.
    ///
    /// Takes listening sockets that are handed over (LISTEN_FDS, LISTEN_FDNAMES=agents:people).
    Serve {
        /// The settings.
        #[arg(long, default_value = config::PATH_DEFAULT)]
        config: PathBuf,
    },
    /// Lets operators sign in without their keys.
    #[command(subcommand)]
    Operator(OperatorVerb),
    /// Says how this collector stands: clients, endpoints, rosters, the log.
    Status {
        /// The settings.
        #[arg(long, default_value = config::PATH_DEFAULT)]
        config: PathBuf,
    },
}

#[derive(Subcommand)]
enum OperatorVerb {
    /// Makes a one-time code with which an operator sets a sign-in account up, or up anew.
    ///
    /// For the first operator, and for one who lost password, app and key. The code is a way in as
    /// that operator until it is used or expires: hand it over as you would a password.
    Invite {
        /// The operator, as the roster names him.
        operator: OperatorId,
        /// In this client's roster, where rosters give the name to different keys.
        #[arg(long, value_name = "CLIENT")]
        client: Option<ClientId>,
        /// How many hours the code is good.
        #[arg(long, value_name = "HOURS", default_value_t = 48)]
        hours: u64,
        /// The settings.
        #[arg(long, default_value = config::PATH_DEFAULT)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let Arguments { log, verb } = Arguments::parse();
    // Whoever read the log may be gone; that must not end the collector.
    tracing_subscriber::fmt()
        .with_max_level(log)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match act(verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this cannot be written.
            drop(writeln!(std::io::stderr(), "cordon-collector: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn act(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Init { config, authority, roster, names, invite, no_invitation } => {
            let invited = match invite {
                Some(operator) => Invited::Named(operator),
                None if no_invitation => Invited::Nobody,
                None => Invited::First,
            };
            let init = Init { config, authority, rosters: roster, names, invited };
            let Made { pin, clients, names, invitation } = setup::init(&init, &Clock::system())?;
            let clients: Vec<_> = clients.iter().map(|client| client.as_str()).collect();
            let mut lines = vec![
                format!("CA pin       {pin}"),
                format!("names        {}", names.join(", ")),
                format!("set up for   {}", clients.join(", ")),
            ];
            if !invitation.is_empty() {
                lines.push(String::new());
            }
            lines.extend(invitation);
            print(&lines)
        }
        Verb::Serve { config } => cordon_collector::run::serve(Config::read(&config)?),
        Verb::Operator(OperatorVerb::Invite { operator, client, hours, config }) => {
            let asked = Invite { operator, client, valid_secs: hours.saturating_mul(3600) };
            print(&operator::invite(&Config::read(&config)?, &asked, &Clock::system())?)
        }
        Verb::Status { config } => {
            print(&setup::status(&Config::read(&config)?, &Clock::system())?)
        }
    }
}

fn print(lines: &[String]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(())
}
