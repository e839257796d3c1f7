//! The program `cordon-collector`: arguments and log; everything else is in the library.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cordon_collector::clock::Clock;
use cordon_collector::config::{self, Config};
use cordon_collector::operator::{self, Invite};
use cordon_collector::setup::{self, Init, Made};
use cordon_proto::id::{ClientId, OperatorId};

const AFTER: &str = "\
First steps:
  1. On your own machine, never here: `cordon authority init` makes the keys that stay with you.
  2. Bring authority.pub and the roster here, and run `cordon-collector init`.
  3. `cordon-collector serve` (or `systemctl start cordon-collector`).
  4. On your own machine: `cordon profile add`, with the CA pin that `init` printed.
  5. For the browser: `cordon account set-up` there, or `cordon-collector operator invite NAME` here.";

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
    /// Makes the certificate authority, the certificate and the state of a new collector.
    ///
    /// Prints the CA pin: operators put it into their profile, and enrolment strings carry it, so
    /// that nobody can stand in for this collector.
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
        Verb::Init { config, authority, roster, names } => {
            let init = Init { config, authority, rosters: roster, names };
            let Made { pin, clients, names } = setup::init(&init, &Clock::system())?;
            let clients: Vec<_> = clients.iter().map(|client| client.as_str()).collect();
            print(&[
                format!("CA pin       {pin}"),
                format!("names        {}", names.join(", ")),
                format!("clients      {}", clients.join(", ")),
            ])
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
