//! `cordon collector`: how the collector itself fares.

use clap::Subcommand;

use crate::context::Context;
use crate::exit::Exit;
use crate::output::text::{plain, plain_lines};
use crate::summary::event::word;

/// The longest text that is read.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// What can be asked of the collector.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether the collector works, and its version
    #[command(after_help = "Examples:
  cordon collector health
  cordon collector health --json")]
    Health,
    /// Print the figures that Prometheus reads, of the clients that you may see
    #[command(after_help = "Examples:
  cordon collector metrics
  cordon collector metrics | grep cordon_endpoints")]
    Metrics,
    /// Print the API's description (OpenAPI 3.1)
    #[command(after_help = "Example:
  cordon collector openapi > cordon.json")]
    Openapi,
}

/// Runs a command.
pub async fn run(context: &mut Context, command: &Command) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    match command {
        Command::Health => {
            let health = api.get(&["health"], &[]).await?;
            if context.output.is_json() {
                context.output.record(&health)?;
            } else {
                let (status, version) = (word(&health, "/status"), word(&health, "/version"));
                let line = format!("{}, version {}", plain(&status), plain(&version));
                context.output.line(&line)?;
            }
        }
        Command::Metrics => {
            let text = api.get_text(&["metrics"], &[], TEXT_BYTES_MAX).await?;
            context.output.bytes(plain_lines(&text).as_bytes())?;
        }
        Command::Openapi => {
            let document = api.get(&["openapi.json"], &[]).await?;
            context.output.record(&document)?;
        }
    }
    Ok(Exit::Done)
}
