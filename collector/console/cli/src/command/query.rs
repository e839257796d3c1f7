//! `cordon query`: signs a question, waits for the answers, verifies them, and shows them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use cordon_proto::command::Action;
use cordon_proto::id::{ClientId, CommandId};
use cordon_proto::limits::{QUERY_BYTES_MAX, QUERY_ROWS_MAX, QUERY_TIME_MS_MAX};
use cordon_proto::query::{Answer, Query};
use cordon_proto::sign::command::SignedCommand;
use reqwest::Response;
use serde_json::{Value, json};

use super::{act, find, wait};
use crate::answer::{Asked, Ended};
use crate::api::Api;
use crate::api::model::Endpoint;
use crate::api::sse::Frames;
use crate::context::{Context, Desk, SignWith};
use crate::exit::Exit;
use crate::follow::{Effect, Follow};
use crate::moment::parse_length;
use crate::output::text::plain;
use crate::output::{Cell, Table, rows};
use crate::sign::{self, Request};

/// A query's nonce is published with health, twice a minute; an older one is no live endpoint's.
const AGE_MAX_SECS: u64 = 300;

/// How much longer than the query itself the answer may take on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(20);

/// How often the collector is asked whether an endpoint has refused.
const ASK_PERIOD: Duration = Duration::from_secs(1);

/// Rows that another command asks for.
const ASKED_ROWS_MAX: u64 = 20_000;

/// How long they may take.
const ASKED_MS_MAX: u64 = 20_000;

/// What `--tables` asks.
const TABLES: &str = "SELECT table_name AS \"table\", column_name AS \"column\", type,
    CASE is_key WHEN 1 THEN 'key' END AS \"key\", about FROM tables ORDER BY 1";

/// What `query` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon query web-01 --tables
  cordon query web-01 'SELECT pid, name, path FROM processes ORDER BY rss_bytes DESC LIMIT 5'
  cordon query web-01,web-02 'SELECT port, process, path FROM listeners' --json
  cordon query web-01 'SELECT DISTINCT path, sha256 FROM processes JOIN hashes USING (path)' --csv
  cordon query db-01 'SELECT count(*) FROM sockets' --reason 'incident 7' --timeout 30s

It only reads, and needs a signature all the same: who may ask stands in the roster. Nothing is shown
that the endpoint has not signed, and nobody keeps the rows. With --json there is one object a row;
of several endpoints each is {host_name, row}. The exit code is 0 if every endpoint answered, also
where --rows cut it short; 11 if one did not, 12 if one could not, 13 if one refused, 14 if an answer
does not verify.")]
pub struct Args {
    /// Host names, or the beginnings of ids (6 digits or more), with commas between
    #[arg(value_name = "ENDPOINT")]
    endpoints: String,
    /// One SELECT in SQLite's dialect
    #[arg(value_name = "SQL", required_unless_present = "tables", conflicts_with = "tables")]
    sql: Option<String>,
    /// Show what can be asked there
    #[arg(long)]
    tables: bool,
    /// The most rows of each endpoint
    #[arg(long, value_name = "COUNT", default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(1..=QUERY_ROWS_MAX))]
    rows: u64,
    /// How long it may take there, up to a minute
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_length)]
    timeout: Duration,
    /// Why; everybody sees it, and the endpoint keeps it
    #[arg(long, value_name = "TEXT", default_value = "live query")]
    reason: String,
    /// Look for the endpoints among this client's only
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    #[command(flatten)]
    sign_with: SignWith,
    /// Print comma-separated values instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// How rows are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Table,
    Csv,
    Json,
}

/// Runs the command.
pub async fn run(context: &mut Context, args: Args) -> anyhow::Result<Exit> {
    let query = question(&args)?;
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = args.client.as_ref();
    let names = args.endpoints.split(',').map(|name| name.trim().to_owned());
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    let found = find::endpoints(&api, &context.output, &names, client).await?;
    let (online, offline): (Vec<_>, Vec<_>) =
        found.iter().partition(|endpoint| endpoint.state != "offline");
    for endpoint in &offline {
        let name = plain(&endpoint.host_name);
        context.output.warn(&format!("{name} is offline; a query cannot wait for it"))?;
    }
    if found.is_empty() {
        return Err(sign::ComposeError::Nobody.into());
    }
    let Some(first) = online.first() else { return Ok(Exit::Unproved) };
    let (roster, _) = desk.roster(&api, &first.client).await?;
    let command = compose(&query, args.reason, &online, roster.reference())?;
    let Some((operator, _)) = roster.roster.key(desk.signer.key_id()) else {
        let (version, client) = (roster.roster.version, command.client.clone());
        return Err(sign::ComposeError::NotInRoster(version, client).into());
    };
    if let Some(missing) = sign::missing(&command, &roster.roster, [operator])? {
        context.output.warn(&format!("{missing}; a query cannot wait for more signatures"))?;
        return Ok(Exit::NotAuthorised);
    }
    let mut signed = SignedCommand::unsigned(command);
    desk.sign(&mut context.output, &mut signed, &roster.roster, operator, args.sign_with).await?;
    act::hand_over(&api, &desk, &signed).await?;
    let asked = answers(context, &api, &signed, &query).await?;
    let form = match (args.csv, context.output.is_json()) {
        (true, _) => Form::Csv,
        (false, true) => Form::Json,
        (false, false) => Form::Table,
    };
    let ended = show(context, &asked, form)?;
    Ok(if offline.is_empty() { ended } else { ended.max(Exit::Unproved) })
}

/// Asks one endpoint, for another command's sake: the rows as they were signed.
pub(super) async fn ask(
    context: &mut Context,
    desk: &Desk,
    endpoint: &Endpoint,
    sql: String,
    reason: String,
) -> anyhow::Result<Answer> {
    let api = desk.api()?;
    let (roster, _) = desk.roster(&api, &endpoint.client).await?;
    let (rows_max, bytes_max, time_ms_max) = (ASKED_ROWS_MAX, QUERY_BYTES_MAX, ASKED_MS_MAX);
    let query = Query { sql, rows_max, bytes_max, time_ms_max };
    let command = compose(&query, reason, &[endpoint], roster.reference())?;
    let signed = SignedCommand::sign(command, desk.signer.key()?);
    act::hand_over(&api, desk, &signed).await?;
    let asked = answers(context, &api, &signed, &query).await?;
    let name = plain(&endpoint.host_name).into_owned();
    match asked.into_ended().next() {
        Some(Ended::Answered(answer)) if answer.summary.error.is_none() => Ok(*answer),
        Some(Ended::Answered(answer)) => {
            let why = answer.summary.error.map(|error| error.sentence).unwrap_or_default();
            bail!("{name} could not answer: {}", plain(&why))
        }
        Some(Ended::Without(why, _)) => bail!("{name} did not answer: {}", plain(&why)),
        None => bail!("{name} did not answer"),
    }
}

fn question(args: &Args) -> anyhow::Result<Query> {
    let time_ms_max = u64::try_from(args.timeout.as_millis()).unwrap_or(u64::MAX);
    if !(1..=QUERY_TIME_MS_MAX).contains(&time_ms_max) {
        bail!("--timeout is at most {} s", QUERY_TIME_MS_MAX / 1000);
    }
    let sql = args.sql.clone().unwrap_or_else(|| TABLES.to_owned());
    Ok(Query { sql, rows_max: args.rows, bytes_max: QUERY_BYTES_MAX, time_ms_max })
}

fn compose(
    query: &Query,
    reason: String,
    endpoints: &[&Endpoint],
    roster: cordon_proto::roster::RosterRef,
) -> Result<cordon_proto::command::Command, sign::ComposeError> {
    let request = Request {
        id: CommandId(uuid::Uuid::now_v7()),
        action: Action::Query(query.clone()),
        reason,
        incident: None,
        snapshot: None,
        queued: false,
        age_max_secs: Some(AGE_MAX_SECS),
    };
    sign::compose(request, endpoints, roster)
}

/// Gathers the answers until all have come, or the time is over.
async fn answers(
    context: &Context,
    api: &Api<'_>,
    signed: &SignedCommand,
    query: &Query,
) -> anyhow::Result<Asked> {
    let id = signed.command().id.to_string();
    let stream = api.stream(&["commands", &id, "rows"], &[], None).await;
    let mut stream = stream.context("the query was handed over, and its answer cannot be read")?;
    let mut asked = Asked::new(signed, query);
    let mut follow = Follow::new(signed);
    let within = Duration::from_millis(query.time_ms_max).saturating_add(ON_ITS_WAY);
    let progress = context.output.progress("waiting for the answer");
    let reading = gather(api, signed, &mut stream, &mut asked, &mut follow);
    let read = progress.wait(tokio::time::timeout(within, reading)).await;
    drop(progress);
    match read {
        Ok(read) => read?,
        Err(_elapsed) => asked.end_all("it did not answer in time"),
    }
    Ok(asked)
}

async fn gather(
    api: &Api<'_>,
    signed: &SignedCommand,
    stream: &mut Response,
    asked: &mut Asked,
    follow: &mut Follow,
) -> anyhow::Result<()> {
    let mut frames = Frames::default();
    let mut ticks = tokio::time::interval(ASK_PERIOD);
    ticks.tick().await;
    while !asked.is_over() {
        tokio::select! {
            chunk = api.chunk(stream) => match chunk? {
                Some(bytes) => {
                    frames.handle_bytes(&bytes);
                    while let Some(frame) = frames.poll_frame() {
                        asked.handle_frame(&frame);
                    }
                }
                None => asked.end_all("the collector ended the answer before it was whole"),
            },
            _ = ticks.tick() => refusals(api, signed, asked, follow).await?,
        }
    }
    Ok(())
}

/// Whoever refuses sends no rows but a receipt, which is verified like every other.
async fn refusals(
    api: &Api<'_>,
    signed: &SignedCommand,
    asked: &mut Asked,
    follow: &mut Follow,
) -> anyhow::Result<()> {
    if let Some(record) = wait::fetch_patiently(api, signed.command().id).await? {
        follow.handle_record(&record);
    }
    while let Some(effect) = follow.poll_effect() {
        match effect {
            Effect::Fetch(endpoint, at) => match wait::proof(api, endpoint, at).await {
                Ok(proof) => follow.handle_proof(endpoint, at, &proof),
                Err(error) if error.is_passing() => follow.handle_no_proof(endpoint, at),
                Err(error) => return Err(error.into()),
            },
            Effect::Say(line) => {
                let exit = match (line.fact, line.verified) {
                    ("refused", true) => Exit::Refused,
                    ("failed", true) => Exit::ActionFailed,
                    ("NOT VERIFIED", _) => Exit::DoesNotHold,
                    _ => continue,
                };
                asked.end(line.endpoint, format!("{}: {}", line.fact, line.words), exit);
            }
        }
    }
    Ok(())
}

fn show(context: &mut Context, asked: &Asked, form: Form) -> anyhow::Result<Exit> {
    let several = asked.ended().count() > 1;
    let mut exit = Exit::Done;
    let mut last_columns: Option<&[String]> = None;
    for (host_name, ended) in asked.ended() {
        exit = exit.max(ended.exit());
        let answer = match ended {
            Ended::Answered(answer) => answer,
            Ended::Without(why, _) => {
                context.output.warn(&format!("{}: {}", plain(host_name), plain(why)))?;
                continue;
            }
        };
        let columns = answer.summary.columns.as_slice();
        let host_name = several.then_some(host_name);
        match form {
            Form::Table if columns.is_empty() => {}
            Form::Table => context.output.table(&table(answer, host_name))?,
            Form::Csv => {
                csv(context, answer, host_name, last_columns != Some(columns))?;
            }
            Form::Json => json_lines(context, answer, host_name)?,
        }
        last_columns = Some(columns);
        tell(context, answer, host_name)?;
    }
    Ok(exit)
}

fn table(answer: &Answer, host_name: Option<&str>) -> Table {
    let heads = host_name.map(|_| "host_name".to_owned()).into_iter();
    let mut table = Table::of(heads.chain(answer.summary.columns.iter().cloned()));
    for row in &answer.rows {
        let name = host_name.map(Cell::new).into_iter();
        table.row(name.chain(row.iter().map(|value| Cell::new(rows::cell(value)))));
    }
    table
}

fn csv(
    context: &mut Context,
    answer: &Answer,
    host_name: Option<&str>,
    heads: bool,
) -> anyhow::Result<()> {
    if heads && !answer.summary.columns.is_empty() {
        let columns = answer.summary.columns.iter().map(String::as_str);
        let line = rows::csv(host_name.map(|_| "host_name").into_iter().chain(columns));
        context.output.line(&line)?;
    }
    for row in &answer.rows {
        let cells: Vec<_> = row.iter().map(rows::cell).collect();
        let cells = cells.iter().map(String::as_str);
        context.output.line(&rows::csv(host_name.into_iter().chain(cells)))?;
    }
    Ok(())
}

fn json_lines(
    context: &mut Context,
    answer: &Answer,
    host_name: Option<&str>,
) -> anyhow::Result<()> {
    for row in &answer.rows {
        let row = Value::Object(rows::object(&answer.summary.columns, row));
        match host_name {
            Some(host_name) => {
                context.output.record(&json!({ "host_name": host_name, "row": row }))?;
            }
            None => context.output.record(&row)?,
        }
    }
    Ok(())
}

/// Says beside the rows whose they are, and why they are not more.
fn tell(context: &mut Context, answer: &Answer, host_name: Option<&str>) -> anyhow::Result<()> {
    let summary = &answer.summary;
    let name = host_name.map(|name| format!("{}: ", plain(name))).unwrap_or_default();
    if let Some(error) = &summary.error {
        let at = error.offset.map(|at| format!(" (at byte {at})")).unwrap_or_default();
        context.output.warn(&format!("{name}{}{at}", plain(&error.sentence)))?;
    }
    if let Some(limit) = summary.cut {
        let limit = limit.name();
        context.output.warn(&format!("{name}there is more: the limit on {limit} was reached"))?;
    }
    let (rows, took_ms, endpoint) = (summary.rows, summary.took_ms, summary.endpoint.short());
    context.output.note(&format!(
        "{name}{rows} row(s) in {took_ms} ms, signed by endpoint {endpoint}; verified here"
    ))?;
    Ok(())
}
