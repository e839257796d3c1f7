//! `cordon service`: stops services, and starts them again as they were.

use std::time::Duration;

use clap::Subcommand;
use cordon_proto::command::{Action, ActionKind, StopService};

use super::{Why, act, standing};
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_length;

/// What can be done with services.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stop a service
    #[command(after_help = "Examples:
  cordon service stop web-01 nginx.service --reason 'web shell' --wait
  cordon service stop web-01 nginx --reason 'web shell' --disable --lease 2d

Sockets, timers and paths that would start it stop with it, and so does what needs it; `restore`
starts again what ran. With --disable it cannot be started by hand or at boot either. A service that
comes back while it stands is stopped again within a minute. Units that systemd, the network or the
agent need are refused, and endpoints without systemd refuse all.")]
    Stop(StopArgs),
    /// Put a stopped service back as it was
    #[command(after_help = "Examples:
  cordon service restore web-01 nginx.service --reason 'cleaned' --wait

What ran when it was stopped runs again; what did not stays as it is.")]
    Restore(RestoreArgs),
}

/// What `stop` needs to know.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// A host name, or the beginning of an id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The unit; without an ending it is a service
    #[arg(value_name = "UNIT", value_parser = unit)]
    unit: String,
    /// Keep it from starting again, too
    #[arg(long)]
    disable: bool,
    /// How long it stands, in the endpoint's own time [default: until it is undone]
    #[arg(long, value_name = "TIME", value_parser = parse_length)]
    lease: Option<Duration>,
    #[command(flatten)]
    why: Why,
}

/// What `restore` needs to know.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// A host name, or the beginning of an id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// The unit, as it was named when it was stopped
    #[arg(value_name = "UNIT", value_parser = unit)]
    unit: String,
    #[command(flatten)]
    why: Why,
}

/// As `systemctl` understands names.
fn unit(text: &str) -> Result<String, String> {
    let has_ending = [".service", ".socket", ".timer", ".path"].iter().any(|e| text.ends_with(e));
    Ok(if has_ending { text.to_owned() } else { format!("{text}.service") })
}

/// Runs a command.
pub async fn run(context: &mut Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Stop(StopArgs { endpoint, unit, disable, lease, why }) => {
            let lease_secs = lease.map(|lease| lease.as_secs());
            let stop = StopService { unit, disable, lease_secs };
            act(context, &[endpoint], why, Action::StopService(stop)).await
        }
        Command::Restore(RestoreArgs { endpoint, unit, why }) => {
            let words = format!("the service {unit} is stopped");
            let is_meant =
                |action: &Action| matches!(action, Action::StopService(stop) if stop.unit == unit);
            let kind = ActionKind::StopService;
            standing::undo(context, &[endpoint], why, kind, &words, is_meant).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_ending_is_a_service() {
        for (named, meant) in [
            ("nginx", "nginx.service"),
            ("nginx.service", "nginx.service"),
            ("cups.socket", "cups.socket"),
            ("dbus-org.example", "dbus-org.example.service"),
        ] {
            assert_eq!(unit(named).unwrap(), meant);
        }
    }
}
