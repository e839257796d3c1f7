//! Which process an operator means: looked up on the endpoint by a signed query and shown before
//! anything is signed about it, or given whole.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use cordon_proto::command::ProcessTarget;
use cordon_proto::id::{ClientId, Hash};
use cordon_proto::query::{Answer, Value};
use serde_json::json;

use super::Why;
use crate::api::model::Endpoint;
use crate::command::{find, query};
use crate::context::{Context, Desk};
use crate::output::text::plain;
use crate::output::{Cell, Table, rows};

/// Processes of a tree that are shown before it is signed; --dry-run shows all.
const SHOWN_MAX: usize = 20;

/// Which process.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The endpoint's host name, or the beginning of its id (6 digits or more)
    #[arg(value_name = "ENDPOINT")]
    pub(super) endpoint: String,
    /// The process's number there
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) pid: u32,
    /// When it was started, in nanoseconds of the boot-time clock, as its events tell; without it
    /// the endpoint is asked
    #[arg(long, value_name = "NS")]
    start: Option<u64>,
    /// SHA-256 of its program, as its events tell; without --start the endpoint is asked
    #[arg(long, value_name = "HASH")]
    sha256: Option<Hash>,
}

/// One process, as the endpoint told it.
#[derive(Clone, Debug)]
struct Process {
    pid: u32,
    parent: u32,
    start_boot_ns: u64,
    user: String,
    path: String,
    command_line: String,
    sha256: Option<Hash>,
}

/// Finds out which process is meant, and shows it.
pub(super) async fn find(
    context: &mut Context,
    desk: &Desk,
    named: &Named,
    tree: bool,
    why: &Why,
) -> anyhow::Result<ProcessTarget> {
    let Named { pid, start, sha256, .. } = *named;
    if let Some(start_boot_ns) = start {
        return Ok(ProcessTarget { pid, start_boot_ns, sha256 });
    }
    let client: Option<&ClientId> = why.client.as_ref();
    let api = desk.api()?;
    let endpoint = find::endpoint(&api, &context.output, &named.endpoint, client).await?;
    let name = plain(&endpoint.host_name).into_owned();
    if endpoint.state == "offline" {
        bail!("{name} is offline and cannot be asked which process {pid} is; --start says it");
    }
    let all = ask(context, desk, &endpoint, pid, tree, &why.reason).await?;
    let found = all.iter().find(|process| process.pid == pid);
    let found = found.with_context(|| format!("{name} has no process {pid} now"))?;
    if sha256.is_some_and(|wanted| found.sha256 != Some(wanted)) {
        let is = found.sha256.map_or_else(|| "not known".to_owned(), |hash| hash.to_string());
        bail!("process {pid} of {name} runs another program; its SHA-256 is {is}");
    }
    let shown = if tree { descendants(pid, &all) } else { vec![found.clone()] };
    show(context, &shown, why.dry_run)?;
    let (start_boot_ns, sha256) = (found.start_boot_ns, found.sha256);
    Ok(ProcessTarget { pid, start_boot_ns, sha256 })
}

async fn ask(
    context: &mut Context,
    desk: &Desk,
    endpoint: &Endpoint,
    pid: u32,
    tree: bool,
    reason: &str,
) -> anyhow::Result<Vec<Process>> {
    let which = if tree { String::new() } else { format!("WHERE pid = {pid}") };
    let sql = format!(
        "SELECT pid, parent_pid, start_boot_ns, uid, path, coalesce(cmdline, name) AS command_line,
            CASE pid WHEN {pid} THEN (SELECT name FROM users WHERE users.uid = processes.uid) END
                AS user,
            CASE pid WHEN {pid} THEN (SELECT sha256 FROM hashes WHERE path = '/proc/{pid}/exe') END
                AS sha256
         FROM processes {which}"
    );
    let answer = query::ask(context, desk, endpoint, sql, reason.to_owned()).await?;
    if answer.summary.cut.is_some() {
        context.output.warn("there are more processes than the endpoint could tell of at once")?;
    }
    Ok(answer.rows.iter().filter_map(|row| process(&answer, row)).collect())
}

fn process(answer: &Answer, row: &[Value]) -> Option<Process> {
    let value = |name: &str| {
        let at = answer.summary.columns.iter().position(|column| column == name)?;
        row.get(at).filter(|value| **value != Value::Null)
    };
    let number = |name| match value(name)? {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Null | Value::Real(_) | Value::Text(_) | Value::Bytes(_) => None,
    };
    let text = |name| value(name).map(rows::cell);
    Some(Process {
        pid: u32::try_from(number("pid")?).ok()?,
        parent: number("parent_pid").and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        start_boot_ns: number("start_boot_ns")?,
        user: text("user").or_else(|| text("uid")).unwrap_or_default(),
        path: text("path").unwrap_or_default(),
        command_line: text("command_line").unwrap_or_default(),
        sha256: text("sha256").and_then(|hash| hash.parse().ok()),
    })
}

/// The process and all that it started, as far as parents tell: makers first.
fn descendants(root: u32, all: &[Process]) -> Vec<Process> {
    let mut pids = BTreeSet::from([root]);
    let mut found: Vec<Process> = all.iter().filter(|one| one.pid == root).cloned().collect();
    loop {
        let before = found.len();
        for process in all {
            if pids.contains(&process.parent) && pids.insert(process.pid) {
                found.push(process.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn show(context: &mut Context, found: &[Process], whole: bool) -> anyhow::Result<()> {
    let shown_max = if whole { usize::MAX } else { SHOWN_MAX };
    if context.output.is_json() {
        for one in found.iter().filter(|_process| whole) {
            context.output.record(&json!({
                "pid": one.pid, "parent_pid": one.parent, "user": one.user, "path": one.path,
                "command_line": one.command_line, "sha256": one.sha256,
                "start_boot_ns": one.start_boot_ns.to_string(),
            }))?;
        }
        return Ok(());
    }
    if whole && found.len() > 1 {
        let mut table = Table::new(&["PID", "PARENT", "USER", "PROGRAM", "COMMAND LINE"]);
        for one in found {
            let (pid, parent) = (Cell::new(one.pid.to_string()), Cell::new(one.parent.to_string()));
            let texts = [&one.user, &one.path, &one.command_line].map(Cell::new);
            table.row([pid, parent].into_iter().chain(texts));
        }
        context.output.table(&table)?;
        return Ok(());
    }
    for one in found.iter().take(shown_max) {
        let Process { pid, user, path, command_line, .. } = one;
        let [user, path, line] = [user, path, command_line].map(|text| plain(text));
        context.output.note(&format!("process {pid} of {user}, {path}: {line}"))?;
    }
    if let Some(more) = found.len().checked_sub(shown_max).filter(|more| *more > 0) {
        context.output.note(&format!("and {more} more; --dry-run shows all"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_all_that_parents_lead_to() {
        let process = |(pid, parent)| Process {
            pid,
            parent,
            start_boot_ns: 1,
            user: String::new(),
            path: String::new(),
            command_line: String::new(),
            sha256: None,
        };
        // A number may stand twice where it was given anew while they were listed.
        let all = [(13, 12), (1, 0), (12, 10), (10, 1), (11, 10), (20, 1), (10, 13)].map(process);
        let pids: Vec<_> = descendants(10, &all).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [10, 10, 12, 11, 13]);
    }
}
