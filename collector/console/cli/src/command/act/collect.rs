//! `cordon collect`.

use std::path::PathBuf;

use cordon_proto::Text;
use cordon_proto::command::{Action, Collect, Source};
use cordon_proto::id::CommandId;

use super::{Whom, Why, act};
use crate::command::collection;
use crate::context::Context;
use crate::exit::Exit;

/// What `collect` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon collect web-01 --reason 'incident 7' --wait
  cordon collect web-01 --source processes,sockets --glob '/home/*/.bash_history' --reason 'incident 7'
  cordon collect web-01 --glob '/var/www/**/*.php' --bytes-max 1G --reason 'web shell' --wait --out .

The endpoint makes one archive (tar, zstd) with a manifest: path, size, mode, owner, time and SHA-256
of everything in it, and what is missing and why. It signs the archive's digest and sends it in pieces;
a link that is cut costs nothing that was sent. Without --source and --glob it collects all sources but
logs. Secrets are taken out of sources as they are out of answers to queries; files come as they are.
No symbolic link is followed, nothing is read below /proc, /sys and /dev, and the agent's own folder
stays where it is.
The endpoint seals the archive to every operator whom the roster it holds lets collect and who has a
sealing key there; nobody else can open it, the collector neither. Where there is no such operator it
refuses, unless you sign --unsealed.")]
pub struct CollectArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    why: Why,
    /// What the endpoint knows of itself: processes, sockets, sessions, autoruns, packages, logs
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = source)]
    source: Vec<Source>,
    /// Files, by absolute pattern: *, ?, [...] within a name, ** for any folders
    #[arg(long, value_name = "PATTERN")]
    glob: Vec<String>,
    /// How much is brought away at most, before compression: up to 4G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    bytes_max: u64,
    /// Let the archive leave the endpoint unsealed where nobody who may collect has a sealing key:
    /// then whoever has the collector's disk can read it
    #[arg(long)]
    unsealed: bool,
    /// Fetch the archives into this folder once they are delivered, open and verify them
    #[arg(long, value_name = "DIR", requires = "wait")]
    out: Option<PathBuf>,
}

const ALL: [Source; 6] = [
    Source::Processes,
    Source::Sockets,
    Source::Sessions,
    Source::Autoruns,
    Source::Packages,
    Source::Logs,
];

fn source(text: &str) -> Result<Source, String> {
    let names = ALL.map(Source::name).join(", ");
    let found = ALL.into_iter().find(|source| source.name() == text);
    found.ok_or_else(|| format!("it is one of: {names}"))
}

/// Reads `4096`, `64K`, `256M`, `1G`: binary units.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let shift = match &text[digits.len()..] {
        "" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(shift);
    let bytes = bytes.and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "it is a size such as 64K, 256M or 1G".to_owned())
}

/// Runs `collect`.
pub async fn collect(context: &mut Context, args: CollectArgs) -> anyhow::Result<Exit> {
    let all = args.source.is_empty() && args.glob.is_empty();
    let but_logs = ALL.into_iter().filter(|source| *source != Source::Logs);
    let collect = Collect {
        sources: if all { but_logs.collect() } else { args.source },
        globs: args.glob.iter().map(|glob| Text::from(glob.as_str())).collect(),
        bytes_max: args.bytes_max,
        unsealed: args.unsealed.then_some(true),
    };
    let id = CommandId(uuid::Uuid::now_v7());
    let why = Why { id: Some(id), ..args.why };
    let exit = act(context, &args.whom.endpoints, why, Action::Collect(collect)).await?;
    match &args.out {
        Some(out) if exit == Exit::Done => collection::get(context, id, None, out).await,
        Some(_) | None => Ok(exit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        let read = ["4096", "64K", "1G"].map(|text| size(text).unwrap());
        assert_eq!(read, [4096, 64 << 10, 1 << 30]);
        for wrong in ["", "K", "1T", "1KK", "-1", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
