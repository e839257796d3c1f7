//! `cordon-agent`: arguments, settings, log, and off.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use cordon_agent::action::deny;
use cordon_agent::arguments::{self, Arguments, Asked, Deed};
use cordon_agent::config::Config;
use cordon_agent::{collect, doctor, hold, query, release, run, tell};

/// The arguments were not understood.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Do(arguments)) => arguments,
        Ok(Asked::Say(text)) => {
            tell::say(&text);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            tell::complain(&format!("cordon-agent: {error}"));
            return ExitCode::from(MISUSED);
        }
    };
    match act(arguments) {
        Ok(code) => code,
        Err(error) => {
            tell::complain(&format!("cordon-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What the agent starts itself for comes first and reads no settings.
fn act(Arguments { config, deed }: Arguments) -> anyhow::Result<ExitCode> {
    match deed {
        Deed::QueryWorker => query::worker::run().context("answering a query")?,
        Deed::DenyWorker => deny::worker::run().context("being asked")?,
        Deed::CollectWorker => collect::worker::run().context("collecting")?,
        Deed::Canary => drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?),
        Deed::Run => run::run(with_log(&config)?)?,
        Deed::Hold => hold::run(&with_log(&config)?)?,
        Deed::Release { file } => return release::run(&with_log(&config)?, file.as_deref()),
        Deed::Enroll { string, force } => tell::enroll(&with_log(&config)?, &string, force)?,
        Deed::Status => tell::status(&with_log(&config)?)?,
        Deed::InstallRoster { file } => tell::install_roster(&with_log(&config)?, &file)
            .with_context(|| format!("installing {} failed", file.display()))?,
        Deed::Doctor { json } => return doctor::run(&with_log(&config)?, json),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the settings, and begins to log as they say.
fn with_log(path: &std::path::Path) -> anyhow::Result<Config> {
    let config = Config::read(path)?;
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::from(config.log_level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(config)
}
