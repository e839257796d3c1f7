//! `cordon-agent`: arguments, settings, log, and off.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use cordon_agent::action::deny;
use cordon_agent::config::{self, Config};
use cordon_agent::{collect, doctor, hold, query, release, run, tell};

/// Watches this endpoint, streams signed events to your collector, and contains the endpoint on
/// signed command.
///
/// First `cordon-agent enroll STRING` with a string from `cordon token create`, then
/// `cordon-agent run` (the service does that). `cordon-agent doctor` says what works here.
#[derive(Parser)]
#[command(name = "cordon-agent", version)]
struct Arguments {
    /// The settings; without the file the defaults hold.
    #[arg(long, global = true, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Subcommand)]
enum Deed {
    /// Run in the foreground until SIGTERM. What contains the endpoint is not lifted by the end.
    Run,
    /// Put an isolation up again before the network is up, and look after it while no agent runs:
    /// count its lease, put back what somebody changed, obey `release`. The service
    /// cordon-hold.service does that; it ends when nothing is isolated.
    Hold,
    /// Let this endpoint back by hand, when no order gets through: with the code that an operator
    /// reads to you, or with a signed release in a file. Needs neither agent nor supervisor.
    ///
    /// The operator gets the code from `cordon break-glass`; it is asked for here, ends everything
    /// that contains the endpoint, and counts once. Where no agent runs, the network is opened at
    /// once and the rest waits for the agent. Wrong codes are slowed, up to five minutes each, and
    /// never used up.
    Release {
        /// What `cordon release ENDPOINT --reason TEXT --to FILE` has written; without it, a code is
        /// asked for.
        file: Option<PathBuf>,
    },
    /// Join a client. Makes this endpoint's keys, and trusts whom the string names.
    #[command(alias = "enrol")]
    Enroll {
        /// What `cordon token create` has printed: `cordon1:…`; `-` reads it from standard input.
        string: String,
        /// Become a new endpoint though this one is enrolled; what it has not sent yet is lost.
        #[arg(long)]
        force: bool,
    },
    /// Say who this endpoint is, whose, and what it has.
    Status,
    /// Do nothing, so that the agent that started this sees it; ends with its input.
    #[command(hide = true)]
    Canary {
        /// By which the agent knows it.
        token: String,
    },
    /// The list of people who may act on this endpoint.
    Roster {
        #[command(subcommand)]
        deed: RosterDeed,
    },
    /// Check what the agent needs on this machine, and say what is missing.
    Doctor {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Is asked by the kernel before programs start; the agent starts this itself.
    #[command(hide = true)]
    DenyWorker,
    /// Answers one query; the agent starts this itself.
    #[command(hide = true)]
    QueryWorker,
    /// Makes one archive of evidence; the agent starts this itself.
    #[command(hide = true)]
    CollectWorker,
}

#[derive(Subcommand)]
enum RosterDeed {
    /// Take a roster by hand: signed by the authority, and newer than the one held.
    Install {
        /// The signed roster.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let Arguments { config, deed } = Arguments::parse();
    match act(&config, deed) {
        Ok(code) => code,
        Err(error) => {
            tell::complain(&format!("cordon-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn act(path: &std::path::Path, deed: Deed) -> anyhow::Result<ExitCode> {
    if let Deed::QueryWorker = deed {
        return query::worker::run().map(|()| ExitCode::SUCCESS).context("answering a query");
    }
    if let Deed::DenyWorker = deed {
        return deny::worker::run().map(|()| ExitCode::SUCCESS).context("being asked");
    }
    if let Deed::CollectWorker = deed {
        return collect::worker::run().map(|()| ExitCode::SUCCESS).context("collecting");
    }
    if let Deed::Canary { .. } = deed {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::read(path)?;
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::from(config.log_level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match deed {
        Deed::Run => run::run(config)?,
        Deed::Hold => hold::run(&config)?,
        Deed::Release { file } => return release::run(&config, file.as_deref()),
        Deed::Canary { .. } => {}
        Deed::Enroll { string, force } => tell::enroll(&config, &string, force)?,
        Deed::Status => tell::status(&config)?,
        Deed::Roster { deed: RosterDeed::Install { file } } => {
            tell::install_roster(&config, &file)
                .with_context(|| format!("installing {} failed", file.display()))?;
        }
        Deed::QueryWorker | Deed::CollectWorker | Deed::DenyWorker => {}
        Deed::Doctor { json } => return doctor::run(&config, json),
    }
    Ok(ExitCode::SUCCESS)
}
