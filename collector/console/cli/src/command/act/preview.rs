//! What an isolation would cut: shown whole by `cordon isolate --dry-run`, and in a few lines with
//! the question before a real one.
//!
//! It is fetched after the command was composed and is no part of it: whatever it says, the same
//! bytes are signed. It may fail, or take too long; then that is said, and nothing is held up.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::bail;
use cordon_proto::time::from_rfc3339;
use serde_json::{Value, json};

use crate::api::Api;
use crate::api::model::Endpoint;
use crate::api::preview::{Flow, Listener, Preview, Session};
use crate::clock;
use crate::context::Context;
use crate::moment;
use crate::output::table::Tone;
use crate::output::text::{cut, plain};
use crate::output::{Cell, Output, Table};

/// Rows of a table for people; `--json` has all that the collector told.
const ROWS_MAX: usize = 30;

/// Endpoints that are previewed before the question.
const ASKED_MAX: usize = 8;

/// How long a person waits for a preview before the question.
const PATIENCE: Duration = Duration::from_secs(4);

/// Longest foreign word in a sentence.
const WORD_CHARS_MAX: usize = 200;

/// Shows everything that is known, for each endpoint.
pub(super) async fn show(
    context: &mut Context,
    api: &Api<'_>,
    endpoints: &[Endpoint],
) -> anyhow::Result<()> {
    for endpoint in endpoints {
        let name = word(&endpoint.host_name);
        match fetch(api, endpoint).await {
            Ok((value, preview)) => {
                if context.output.is_json() {
                    context.output.record(&json!({ "preview": value }))?;
                } else {
                    whole(&mut context.output, &name, &preview)?;
                }
            }
            Err(error) => unknown(&mut context.output, &name, &error)?,
        }
    }
    Ok(())
}

/// Shows the most important and asks the person at the terminal; agrees where nobody can be asked.
pub(super) async fn ask(
    context: &mut Context,
    api: &Api<'_>,
    endpoints: &[Endpoint],
) -> anyhow::Result<bool> {
    if context.output.is_json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    for endpoint in endpoints.iter().take(ASKED_MAX) {
        let name = word(&endpoint.host_name);
        let fetched = tokio::time::timeout(PATIENCE, fetch(api, endpoint)).await;
        match fetched.unwrap_or_else(|_| Err(anyhow::anyhow!("the collector takes too long"))) {
            Ok((_, preview)) => {
                for line in short(&name, &preview, clock::now_ns()) {
                    context.output.note(&line)?;
                }
            }
            Err(error) => unknown(&mut context.output, &name, &error)?,
        }
    }
    let more = endpoints.len().saturating_sub(ASKED_MAX);
    if more > 0 {
        context.output.note(&format!("and {more} more; --dry-run shows all of them"))?;
    }
    write!(io::stderr(), "Isolate {} endpoint(s)? Type yes: ", endpoints.len())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

async fn fetch(api: &Api<'_>, endpoint: &Endpoint) -> anyhow::Result<(Value, Preview)> {
    let value = api.get(&["endpoints", &endpoint.id.to_string(), "preview"], &[]).await?;
    let preview: Preview = api.read(value.clone())?;
    if preview.endpoint != Some(endpoint.id) {
        bail!("the collector answered about another endpoint");
    }
    Ok((value, preview))
}

fn unknown(output: &mut Output, name: &str, error: &anyhow::Error) -> io::Result<()> {
    let why = plain(&format!("{error:#}")).into_owned();
    output.warn(&format!("what isolating {name} would cut is not known: {why}"))
}

/// A foreign word, harmless and not too long.
fn word(text: &str) -> String {
    cut(&plain(text), WORD_CHARS_MAX).into_owned()
}

/// What must be known of it before anything else.
fn warnings(name: &str, preview: &Preview, now_ns: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for role in &preview.roles {
        let because: Vec<String> = role.because.iter().map(|one| word(one)).collect();
        let young = if role.settled { "" } else { ", too new to ask for a second person" };
        let since = ago(&role.since, now_ns);
        let what = word(&role.role.replace('_', " "));
        lines.push(format!(
            "{name} is a {what} for others ({}; seen first {since}{young})",
            because.join("; ")
        ));
    }
    if let Some(why) = &preview.needs_second {
        lines.push(format!("isolating it takes a second person's signature: {}", word(why)));
    }
    if preview.critical {
        lines.push(format!("policy calls {name} critical: two persons must sign"));
    }
    for session in &preview.sessions {
        lines.push(format!("{} and is cut off", who(session, now_ns)));
    }
    lines
}

/// What the rest was made from, and how old it is.
/// A moment as the collector writes it, for people.
fn when(text: &str) -> String {
    cordon_proto::time::from_rfc3339(text).map_or_else(|| word(text), moment::list_time)
}

fn source(preview: &Preview, now_ns: u64) -> Vec<String> {
    let newest = preview.newest.as_deref().map_or("none".to_owned(), |at| ago(at, now_ns));
    let mut lines = vec![format!(
        "made from {} events since {}, the newest {newest}",
        preview.events,
        when(&preview.since)
    )];
    if preview.state != "online" {
        let heard = preview.last_seen.as_deref().map_or("never".to_owned(), |at| ago(at, now_ns));
        lines.push(format!("it is offline, last heard {heard}: this is what it told before"));
    }
    if let Some(at) = &preview.cut_at {
        lines.push(format!(
            "there are more events than could be looked at: only those received since {} count",
            when(at)
        ));
    }
    let (version, held) = (preview.policy_version, preview.policy_held);
    if held.is_some_and(|held| held != version) {
        let held = held.unwrap_or_default();
        lines.push(format!(
            "judged by policy version {version}, while the endpoint said it holds {held}"
        ));
    }
    lines
}

/// A few lines before the question.
fn short(name: &str, preview: &Preview, now_ns: u64) -> Vec<String> {
    let of = |fate: &str| preview.flows.iter().filter(move |flow| flow.fate == fate).count();
    let open: u64 = preview.flows.iter().filter(|f| f.fate == "cut").map(|f| f.open).sum();
    let closed = preview.listeners.iter().filter(|one| one.fate == "cut").count();
    let mut lines = warnings(name, preview, now_ns);
    lines.push(format!(
        "{name}: {} kind(s) of connection end ({open} stand now), {} are kept, {} cannot be told; \
         {closed} port(s) close",
        of("cut"),
        of("kept"),
        of("unknown")
    ));
    let cut = preview.flows.iter().filter(|flow| flow.fate == "cut" && flow.open > 0);
    lines.extend(cut.take(3).map(|flow| format!("  ends: {}", end(flow))));
    lines.extend(source(preview, now_ns));
    lines
}

fn whole(output: &mut Output, name: &str, preview: &Preview) -> io::Result<()> {
    let now_ns = clock::now_ns();
    output.line(&format!("What isolating {name} would cut:"))?;
    for line in warnings(name, preview, now_ns) {
        output.warn(&line)?;
    }
    let heads = ["FATE", "WAY", "PEER", "NAME", "PROGRAM", "COUNT", "OPEN", "BYTES", "LAST", "WHY"];
    let mut table = Table::new(&heads).spare(&["BYTES", "LAST", "COUNT"]);
    preview.flows.iter().take(ROWS_MAX).for_each(|flow| table.row(flow_row(flow, now_ns)));
    if table.is_empty() {
        output.line("No connection with another machine was told of.")?;
    } else {
        output.table(&table)?;
    }
    let mut table = Table::new(&["FATE", "LISTENS", "PROGRAM", "WHY"]);
    preview.listeners.iter().take(ROWS_MAX).for_each(|one| table.row(listener_row(one)));
    if !table.is_empty() {
        output.table(&table)?;
    }
    let beyond = |count: usize| u64::try_from(count.saturating_sub(ROWS_MAX)).unwrap_or(u64::MAX);
    let more = beyond(preview.flows.len()) + beyond(preview.listeners.len());
    if more > 0 {
        output.note(&format!("{more} more lines; --json has them"))?;
    }
    if preview.left_out > 0 {
        output.note(&format!("{} more were told of and are not kept apart", preview.left_out))?;
    }
    for line in source(preview, now_ns) {
        output.note(&line)?;
    }
    Ok(())
}

fn flow_row(flow: &Flow, now_ns: u64) -> Vec<Cell> {
    let bytes = match (flow.bytes_sent, flow.bytes_received) {
        (None, None) => String::new(),
        (sent, received) => {
            let told = |bytes: Option<u64>| bytes.map_or("?".to_owned(), size);
            format!("{} / {}", told(sent), told(received))
        }
    };
    let count = match flow.failed {
        0 => flow.count.to_string(),
        failed => format!("{}+{failed} failed", flow.count),
    };
    vec![
        fate(&flow.fate),
        Cell::new(flow.direction.as_deref().unwrap_or("?")),
        Cell::new(format!("{} {}", flow.transport, at(&flow.address, flow.port))),
        Cell::new(cut(&flow.names.join(" "), WORD_CHARS_MAX)),
        Cell::new(flow.program.as_deref().unwrap_or("?")),
        Cell::new(count),
        Cell::new(if flow.open > 0 { flow.open.to_string() } else { String::new() }),
        Cell::new(bytes),
        Cell::new(ago(&flow.last, now_ns)),
        Cell::new(&flow.why),
    ]
}

fn listener_row(one: &Listener) -> Vec<Cell> {
    vec![
        fate(&one.fate),
        Cell::new(format!("{} {}", one.transport, at(&one.address, one.port))),
        Cell::new(one.program.as_deref().unwrap_or("?")),
        Cell::new(&one.why),
    ]
}

fn fate(fate: &str) -> Cell {
    let tone = match fate {
        "cut" => Tone::Bad,
        "kept" => Tone::Good,
        _ => Tone::Notice,
    };
    Cell::toned(fate, tone)
}

fn end(flow: &Flow) -> String {
    let program = word(flow.program.as_deref().unwrap_or("somebody"));
    let name = flow.names.first().map(|name| format!(" ({})", word(name))).unwrap_or_default();
    let way = if flow.direction.as_deref() == Some("inbound") { "reached from" } else { "to" };
    let peer = word(&at(&flow.address, flow.port));
    format!("{program} {way} {} {peer}{name}, {} open", word(&flow.transport), flow.open)
}

fn who(session: &Session, now_ns: u64) -> String {
    let user = word(session.user.as_deref().unwrap_or("somebody"));
    let by: Vec<String> = session.told_by.iter().map(|one| word(one)).collect();
    let (from, since) = (word(&session.from), ago(&session.since, now_ns));
    format!("{user} is logged in from {from} ({since}, says {})", by.join(", "))
}

fn at(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn ago(at: &str, now_ns: u64) -> String {
    from_rfc3339(at).map_or_else(|| word(at), |ns| moment::ago(ns, now_ns))
}

/// A size in the largest binary unit that leaves a whole number.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::is_hostile;

    const NOW_NS: u64 = 1_795_219_200_000_000_000; // 2026-11-21T00:00:00Z

    fn preview(value: Value) -> Preview {
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check(value: Value, says: &[&str]) {
        assert_eq!(short("web-01", &preview(value), NOW_NS), says);
    }

    #[test]
    fn the_question_names_what_ends_who_is_there_and_why_a_second_person_must_sign() {
        check(
            json!({
                "state": "online", "since": "S", "events": 7, "newest": "2026-11-20T23:59:58Z",
                "policy_version": 3, "policy_held": 3,
                "roles": [{ "role": "dns_server", "because": ["udp port 53"], "settled": true,
                    "since": "2026-11-20T21:00:00Z" }],
                "needs_second": "web-01 is needed by others",
                "sessions": [{ "user": "ann", "from": "192.0.2.1", "told_by": ["sshd"],
                    "since": "2026-11-20T23:00:00Z" }],
                "flows": [
                    { "fate": "cut", "direction": "inbound", "transport": "tcp", "open": 2,
                      "address": "2001:db8::1", "port": 22, "program": "sshd" },
                    { "fate": "cut", "open": 0 }, { "fate": "kept", "open": 9 }],
                "listeners": [{ "fate": "cut" }, { "fate": "kept" }],
            }),
            &[
                "web-01 is a dns server for others (udp port 53; seen first 3h ago)",
                "isolating it takes a second person's signature: web-01 is needed by others",
                "ann is logged in from 192.0.2.1 (1h ago, says sshd) and is cut off",
                "web-01: 2 kind(s) of connection end (2 stand now), 1 are kept, 0 cannot be told; \
                 1 port(s) close",
                "  ends: sshd reached from tcp [2001:db8::1]:22, 2 open",
                "made from 7 events since S, the newest 2s ago",
            ],
        );
    }

    #[test]
    fn what_is_old_or_short_of_something_says_so() {
        check(
            json!({ "state": "offline", "since": "S", "last_seen": "2026-11-18T00:00:00Z",
                "cut_at": "C", "policy_version": 4, "policy_held": 3 }),
            &[
                "web-01: 0 kind(s) of connection end (0 stand now), 0 are kept, 0 cannot be told; \
                 0 port(s) close",
                "made from 0 events since S, the newest none",
                "it is offline, last heard 3d ago: this is what it told before",
                "there are more events than could be looked at: only those received since C count",
                "judged by policy version 4, while the endpoint said it holds 3",
            ],
        );
    }

    #[test]
    fn nothing_that_an_endpoint_or_a_collector_says_drives_the_terminal() {
        let evil = "\u{1b}]0;owned\u{7}\r\n\u{202e}";
        let hostile = preview(json!({
            "state": evil, "since": evil, "last_seen": evil, "newest": evil, "cut_at": evil,
            "roles": [{ "role": evil, "because": [evil], "since": evil }],
            "needs_second": evil, "critical": true,
            "sessions": [{ "user": evil, "from": evil, "told_by": [evil], "since": evil }],
            "flows": [{ "fate": "cut", "direction": evil, "transport": evil, "open": 1,
                "address": evil, "names": [evil], "program": evil, "last": evil, "why": evil }],
            "listeners": [{ "fate": evil, "transport": evil, "address": evil, "program": evil }],
        }));
        let mut said = short(&word(evil), &hostile, NOW_NS).join("");
        let mut table = Table::new(&["A"]);
        table.row(flow_row(&hostile.flows[0], NOW_NS));
        table.row(listener_row(&hostile.listeners[0]));
        said.push_str(&table.render(false, None).text.replace('\n', ""));
        assert!(!said.chars().any(is_hostile), "{said:?}");
    }

    #[test]
    fn sizes_are_binary() {
        for (bytes, says) in [(0, "0 B"), (1023, "1023 B"), (1536, "1 KiB"), (3 << 30, "3 GiB")] {
            assert_eq!(size(bytes), says);
        }
    }
}
