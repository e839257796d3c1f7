//! `cordon export`: evidence in a file that proves itself.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use cordon_proto::id::ClientId;
use cordon_proto::time::rfc3339;
use serde_json::json;

use super::find;
use crate::api::Api;
use crate::clock;
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_moment;

/// What `export` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon export --client acme --endpoint web-01 --since 24h -o web-01.evidence
  cordon export --client acme --since 2026-11-01 --until 2026-11-08 -o november.evidence
  cordon verify web-01.evidence

The file holds whole batches as the endpoints signed them, so it may begin a little before and end a
little after what was asked for. Whoever has it can check it without us: `cordon verify`.")]
pub struct Args {
    /// Whose endpoints [default: the profile's client]
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// Only this endpoint's: a host name, or the beginning of an id (6 digits or more)
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// From: a length of time before now, or a moment
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: String,
    /// To: a length of time before now, or a moment [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The file to write; never over another one
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the command.
pub async fn run(context: &mut Context, args: Args) -> anyhow::Result<Exit> {
    if args.output.exists() {
        bail!("{} is there already; evidence is never overwritten", args.output.display());
    }
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = desk.client(args.client.as_ref())?;
    let now_ns = clock::now_ns();
    let until_ns = args.until.as_deref().map(|until| parse_moment(until, now_ns)).transpose()?;
    let mut body = json!({
        "since": rfc3339(parse_moment(&args.since, now_ns)?),
        "until": rfc3339(until_ns.unwrap_or(now_ns)),
    });
    if let Some(name) = &args.endpoint {
        let found = find::endpoint(&api, &context.output, name, Some(&client)).await?;
        body["endpoint"] = found.id.to_string().into();
    }
    let path = ["clients", client.as_str(), "export"];
    let progress = context.output.progress("the collector gathers the evidence");
    let mut answer = progress.wait(api.post_for_stream(&path, body)).await?;
    let bytes = save(&api, &mut answer, &args.output, &progress).await;
    drop(progress);
    let bytes = bytes.with_context(|| format!("nothing was kept in {}", args.output.display()))?;
    let file = args.output.display();
    if context.output.is_json() {
        context.output.record(&json!({ "file": args.output, "bytes": bytes }))?;
    } else {
        context.output.note(&format!("Wrote {bytes} bytes. Check them: cordon verify {file}"))?;
    }
    Ok(Exit::Done)
}

/// Writes the stream into a draft beside the file, and gives it its name when it is whole.
async fn save(
    api: &Api<'_>,
    answer: &mut reqwest::Response,
    path: &std::path::Path,
    progress: &crate::output::progress::Progress,
) -> anyhow::Result<u64> {
    let mut name = path.file_name().context("that is not the name of a file")?.to_owned();
    name.push(".part");
    let draft = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&draft);
    let mut file = file.with_context(|| format!("cannot make {}", draft.display()))?;
    let written = write(api, answer, &mut file, progress).await;
    if let Err(error) = written {
        // The draft is worth nothing; that it may stay behind changes nothing about the error.
        std::fs::remove_file(&draft).ok();
        return Err(error);
    }
    std::fs::rename(&draft, path).with_context(|| format!("cannot name {}", path.display()))?;
    written
}

async fn write(
    api: &Api<'_>,
    answer: &mut reqwest::Response,
    file: &mut std::fs::File,
    progress: &crate::output::progress::Progress,
) -> anyhow::Result<u64> {
    let mut bytes = 0;
    while let Some(chunk) = api.chunk(answer).await? {
        file.write_all(&chunk).context("cannot write")?;
        bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        progress.bytes("receiving", bytes);
    }
    file.sync_all().context("cannot write")?;
    Ok(bytes)
}
