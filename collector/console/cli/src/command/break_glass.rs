//! `cordon break-glass`: the code that lets an endpoint back when nothing else does.
//!
//! The collector gives what the endpoint sealed; it is verified and opened here, with the
//! operator's own key.

use anyhow::{Context as _, bail};
use cordon_proto::event::WayOut;
use cordon_proto::id::ClientId;
use serde_json::json;

use super::find;
use crate::api::model::Endpoint;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::text::plain;
use crate::sealing::OpeningKey;
use crate::way_out;

/// Which endpoint.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon break-glass web-01
  cordon break-glass 3fa9c1 --json

The endpoint made the code beforehand and sealed it to every operator whom the roster allows to
release it and who has a sealing key there. The collector must be reachable from here; the endpoint
need not be. Read the code to somebody who is root at the machine and types `cordon-agent release`.
It counts once; that you fetched it is in the audit trail. A newer roster makes it void once the
endpoint has that roster.")]
pub struct Args {
    /// A host name, or the beginning of an id (6 digits or more)
    endpoint: String,
    /// Look among this client's only
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
}

/// Runs the command.
pub async fn run(context: &mut Context, args: Args) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = args.client.as_ref();
    let endpoint = find::endpoint(&api, &context.output, &args.endpoint, client).await?;
    let name = plain(&endpoint.host_name).into_owned();
    if endpoint.way_out.is_none() {
        bail!(
            "no way out is stored for {name}: it has told of none, or nobody who may release it has \
             a sealing key in the roster it holds (`cordon roster show`)"
        );
    }
    let (roster, _) = desk.roster(&api, &endpoint.client).await?;
    let answer = api.get(&["endpoints", &endpoint.id.to_string(), "way-out"], &[]).await?;
    let way_out = way_out::verify(&api.read(answer)?, endpoint.id)
        .with_context(|| format!("the way out of {name} does not count"))?;
    let key = OpeningKey::of(desk.signer.key()?)?;
    let code = way_out::open(&way_out, endpoint.id, &key)
        .with_context(|| format!("the way out of {name} cannot be opened here"))?;
    if way_out.roster.version < roster.roster.version {
        context.output.warn(&format!(
            "the code was made under roster version {}, and {} is the newest: it is void if the \
             endpoint has that one already",
            way_out.roster.version, roster.roster.version
        ))?;
    }
    show(context, &endpoint, &way_out, &code.to_text())?;
    Ok(Exit::Done)
}

fn show(
    context: &mut Context,
    endpoint: &Endpoint,
    way_out: &WayOut,
    code: &str,
) -> anyhow::Result<()> {
    let serial = way_out.serial;
    if context.output.is_json() {
        context.output.record(&json!({
            "endpoint": endpoint.id, "host_name": endpoint.host_name, "serial": serial.to_string(),
            "roster_version": way_out.roster.version, "code": code,
        }))?;
        return Ok(());
    }
    let name = plain(&endpoint.host_name).into_owned();
    context.output.line(&format!("{name} ({}), code number {serial}\n", endpoint.id.short()))?;
    let wide: Vec<_> = code.chars().map(String::from).collect();
    context.output.line(&format!("    {}\n", wide.join(" ").replace(" - ", "   -   ")))?;
    for group in code.split('-') {
        context.output.line(&format!("    {group}   {}", way_out::spoken(group)))?;
    }
    context.output.note(&format!(
        "\nMake sure who is on the telephone. Then say: \"You are root at {name}. Type cordon-agent \
         release, and press Enter. It says that the code that holds is number {serial}; if it says \
         another number, stop. Type what I read, group by group; nothing shows while you type. Press \
         Enter.\" The letters I, L, O and U do not occur. The code ends everything that contains the \
         endpoint, and counts once."
    ))?;
    Ok(())
}
