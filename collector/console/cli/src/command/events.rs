//! `cordon events`: what was stored, and what comes in.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use cordon_proto::event::Class;
use cordon_proto::id::ClientId;
use cordon_proto::time::rfc3339;
use reqwest::Response;
use serde_json::Value;

use super::find;
use crate::api::sse::{Frame, Frames};
use crate::api::{Api, ApiError, model};
use crate::clock;
use crate::context::Context;
use crate::exit::Exit;
use crate::moment::parse_moment;
use crate::output::text::plain;
use crate::summary::event;

/// Events remembered across the seam between what is stored and what comes in.
const SEAM_MAX: usize = 4096;

/// How long to wait before a broken feed is opened again: doubled each time up to the limit.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What `events` needs to know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cordon events --endpoint web-01 --since 1h
  cordon events --class log --text 'Failed password' --since 24h
  cordon events --endpoint web-01 --class process,log --follow
  cordon events --class process --where 'process.file.path contains nginx' --where 'process.pid > 1000'
  cordon events --since 2026-11-21T03:00:00Z --until 2026-11-21T04:00:00Z --limit 100000 --json

The latest events are shown, the oldest of them first. Times are the endpoint's own, in UTC.")]
pub struct Args {
    /// Only this endpoint's: a host name, or the beginning of an id (6 digits or more)
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Only this client's
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// Only these classes: process, log, disk, health, gap, receipt, lifecycle,
    /// file, authentication, account, inventory, device, finding
    #[arg(long, value_name = "CLASS", value_delimiter = ',', value_parser = class)]
    class: Vec<String>,
    /// Not before: a length of time before now, or a moment
    #[arg(long, value_name = "TIME", default_value = "1h")]
    since: String,
    /// Not after: a length of time before now, or a moment
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// Only those with this in one of their texts, whatever the case
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only those of which this is so: FIELD = VALUE, with =, !=, <, >, contains or prefix; with
    /// several, all of them
    ///
    /// A field is a dotted path into the event as --json shows it; what an event does not have is not
    /// so. A value with spaces stands in double quotes. contains and prefix pass over the case.
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Go on with what comes in, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// The latest so many
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    limit: usize,
}

fn class(text: &str) -> Result<String, String> {
    let names: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
    if names.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("known are {}", names.join(", ")))
    }
}

/// Runs the command.
pub async fn run(context: &mut Context, args: Args) -> anyhow::Result<Exit> {
    let desk = context.desk()?;
    let api = desk.api()?;
    let client = args.client.clone().or_else(|| desk.profile.client.clone());
    let mut filter: Vec<(&str, String)> = Vec::new();
    if let Some(name) = &args.endpoint {
        let found = find::endpoint(&api, &context.output, name, args.client.as_ref()).await?;
        filter.push(("endpoint", found.id.to_string()));
    } else {
        filter.extend(client.map(|client| ("client", client.to_string())));
    }
    if !args.class.is_empty() {
        filter.push(("class", args.class.join(",")));
    }
    if !args.conditions.is_empty() {
        filter.push(("where", args.conditions.join(" and ")));
    }
    filter.extend(args.text.as_ref().map(|text| ("text", text.clone())));
    // The feed is opened before the past is read, so that nothing falls between the two.
    let feed = match args.follow {
        true => Some(api.stream(&["events", "live"], &filter, None).await?),
        false => None,
    };
    let seam = past(context, &api, &args, &filter).await?;
    match feed {
        Some(feed) => follow(context, &api, &filter, feed, seam).await,
        None => Ok(Exit::Done),
    }
}

/// Shows what is stored; answers the names of the last events shown.
async fn past(
    context: &mut Context,
    api: &Api<'_>,
    args: &Args,
    filter: &[(&str, String)],
) -> anyhow::Result<BTreeSet<String>> {
    let now_ns = clock::now_ns();
    let mut query = filter.to_vec();
    query.push(("since", rfc3339(parse_moment(&args.since, now_ns)?)));
    if let Some(until) = &args.until {
        query.push(("until", rfc3339(parse_moment(until, now_ns)?)));
    }
    query.push(("order", "newest".to_owned()));
    query.push(("limit", args.limit.clamp(1, 500).to_string()));
    let progress = context.output.progress("searching");
    let (mut items, more) = progress.wait(pages(api, &query, args.limit, &progress)).await?;
    drop(progress);
    items.reverse();
    for item in &items {
        show(context, item)?;
    }
    if more {
        let limit = args.limit;
        context.output.note(&format!("These are the latest {limit}; --limit shows more."))?;
    }
    Ok(items.iter().rev().take(SEAM_MAX).map(|item| event::word(item, "/metadata/uid")).collect())
}

/// Pages of a search until there are enough events or no more; a page may be empty.
async fn pages(
    api: &Api<'_>,
    query: &[(&str, String)],
    items_max: usize,
    progress: &crate::output::progress::Progress,
) -> Result<(Vec<Value>, bool), ApiError> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = query.to_vec();
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = model::page(api.get(&["events"], &query).await?);
        let page = page.map_err(|e| ApiError::answer(api.address(), e))?;
        items.extend(page.items);
        if items.len() >= items_max {
            let more = items.len() > items_max || page.next.is_some();
            items.truncate(items_max);
            return Ok((items, more));
        }
        if let Some(scanned_to) = page.scanned_to {
            progress.say(&format!("searching; looked back to {}", plain(&scanned_to)));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok((items, false)),
        }
    }
}

fn show(context: &mut Context, item: &Value) -> anyhow::Result<()> {
    if context.output.is_json() {
        context.output.record(item)?;
        return Ok(());
    }
    let (time, host_name) = (event::time(item), event::host_name(item));
    let (class, summary) = (event::class(item), event::summary(item));
    context.output.line(&format!("{time:<25} {host_name:<16} {class:<9} {summary}"))?;
    Ok(())
}

/// Shows what comes in; a feed that breaks is opened again where it broke.
async fn follow(
    context: &mut Context,
    api: &Api<'_>,
    filter: &[(&str, String)],
    feed: Response,
    seam: BTreeSet<String>,
) -> anyhow::Result<Exit> {
    let mut feed = Some(feed);
    let mut reader = Reader { seam, last: None };
    let mut pause = RETRY_FIRST;
    loop {
        let opened = match feed.take() {
            Some(feed) => Ok(feed),
            None => api.stream(&["events", "live"], filter, reader.last.as_deref()).await,
        };
        let ended = match opened {
            Ok(mut opened) => {
                pause = RETRY_FIRST;
                reader.read(context, api, &mut opened).await?
            }
            Err(error) => error,
        };
        if !ended.is_passing() {
            return Err(ended.into());
        }
        let secs = pause.as_secs();
        context.output.note(&format!("The feed broke off; it is opened again in {secs} s."))?;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Reads a feed, and knows where it was read up to.
struct Reader {
    seam: BTreeSet<String>,
    last: Option<String>,
}

impl Reader {
    /// Shows what comes until the feed ends; answers why it ended.
    async fn read(
        &mut self,
        context: &mut Context,
        api: &Api<'_>,
        feed: &mut Response,
    ) -> anyhow::Result<ApiError> {
        let mut frames = Frames::default();
        let mut passed_over = 0;
        loop {
            match api.chunk(feed).await {
                Ok(Some(bytes)) => frames.handle_bytes(&bytes),
                Ok(None) => return Ok(ApiError::Silent { address: api.address().to_owned() }),
                Err(error) => return Ok(error),
            }
            let mut ready: VecDeque<Frame> = VecDeque::new();
            while let Some(frame) = frames.poll_frame() {
                ready.push_back(frame);
            }
            for frame in ready {
                self.take(context, frame)?;
            }
            if frames.passed_over() > passed_over {
                passed_over = frames.passed_over();
                context.output.warn("an event too long to show was passed over")?;
            }
        }
    }

    fn take(&mut self, context: &mut Context, frame: Frame) -> anyhow::Result<()> {
        if frame.event == "missed" {
            let told: Value = serde_json::from_str(&frame.data).unwrap_or_default();
            let batches = told.get("batches").map_or_else(|| "some".to_owned(), Value::to_string);
            context.output.warn(&format!(
                "this terminal was too slow: {} batches of events were not shown; \
                 `cordon events --since` shows them",
                plain(&batches)
            ))?;
            return Ok(());
        }
        if frame.id.is_some() {
            self.last = frame.id;
        }
        match serde_json::from_str::<Value>(&frame.data) {
            Ok(item) => {
                if !self.seam.remove(&event::word(&item, "/metadata/uid")) {
                    show(context, &item)?;
                }
            }
            Err(_) => context.output.warn("the collector sent an event that cannot be read")?,
        }
        Ok(())
    }
}
