//! Live queries: asked with a signature, answered under the endpoint's own, kept by nobody.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_proto::command::ActionKind;
use cordon_proto::event::Body;
use cordon_proto::event::receipt::{Check, Outcome};
use cordon_proto::query::Limit;

use crate::scene::{
    DB, PATIENCE, Stored, WEB, await_some, cordon, first_roster, fleet_of_one, join, sign_roster,
};

/// Exit codes of `cordon`: see `cordon exit-codes`.
const DONE: Option<i32> = Some(0);
const NO_ANSWER: Option<i32> = Some(11);
const COULD_NOT: Option<i32> = Some(12);

/// A port that only the test's own listener has, in a namespace of its own.
const PORT: u16 = 9417;

pub(crate) fn asked() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let _listening = TcpListener::from(fleet.namespace(WEB)?.listen(any)?);
    answered(&fleet)?;
    limited(&fleet)?;
    mistaken(&fleet)?;
    receipts(&fleet)?;
    several(&mut fleet)?;
    not_granted(&fleet)
}

/// The rows are those of the endpoint's own namespace, and everything of the answer is verified.
fn answered(fleet: &Fleet) -> Result<()> {
    let sql = format!("SELECT protocol, port FROM listeners WHERE port = {PORT}");
    let (code, said) = cordon(fleet, &["query", WEB, &sql, "--json"])?;
    ensure!(code == DONE && said.contains(r#"{"port":9417,"protocol":"tcp"}"#), "{code:?} {said}");
    ensure!(said.contains("verified here"), "{said}");
    let (code, said) = cordon(fleet, &["query", WEB, "SELECT host_name FROM os", "--csv"])?;
    ensure!(code == DONE && said.contains(&format!("host_name\n{WEB}")), "{code:?} {said}");
    let (code, said) = cordon(fleet, &["query", WEB, "--tables"])?;
    ensure!(code == DONE && said.contains("processes") && said.contains("sha256"), "{said}");
    let own = "SELECT count(*) AS agents FROM processes WHERE cmdline LIKE '%cordon-agent% run%'";
    let (code, said) = cordon(fleet, &["query", WEB, own, "--json"])?;
    ensure!(code == DONE && !said.contains(r#"{"agents":0}"#), "{code:?} {said}");
    Ok(())
}

/// Each limit ends an answer, says so, and leaves the agent as it was.
fn limited(fleet: &Fleet) -> Result<()> {
    let many = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 60000)
                SELECT x, printf('%050d', x) FROM c";
    let (code, said) = cordon(fleet, &["query", WEB, many, "--rows", "100000", "--csv"])?;
    ensure!(
        code == DONE && said.lines().count() > 60_000,
        "{code:?} {} lines",
        said.lines().count()
    );
    let (code, said) = cordon(fleet, &["query", WEB, many, "--rows", "5"])?;
    ensure!(code == DONE && said.contains("the limit on rows was reached"), "{code:?} {said}");
    let endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c)
                   SELECT count(*) FROM c";
    let (code, said) = cordon(fleet, &["query", WEB, endless, "--timeout", "1s"])?;
    ensure!(code == COULD_NOT && said.contains("the limit on time was reached"), "{said}");
    let hungry = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 1000)
                  SELECT x FROM c ORDER BY randomblob(1000000)";
    let (code, said) = cordon(fleet, &["query", WEB, hungry, "--timeout", "60s"])?;
    ensure!(code == COULD_NOT && said.contains("the limit on memory was reached"), "{said}");
    let shown = fleet.endpoint_json(WEB)?;
    ensure!(shown["state"] == "online", "the agent did not outlive it: {shown}");
    Ok(())
}

fn mistaken(fleet: &Fleet) -> Result<()> {
    let table = [
        ("SELECT * FROM procs", "no such table: procs; there are: processes"),
        ("SELECT nonsense FROM os", "no such column: nonsense (at byte 7)"),
        ("SELEC 1", "syntax error (at byte 0)"),
        ("DELETE FROM processes", "may not be modified"),
        ("ATTACH DATABASE '/etc/passwd' AS a", "not authorized"),
        ("SELECT load_extension('/tmp/x')", "no such function: load_extension"),
        ("SELECT * FROM files", "'files' needs to know which"),
    ];
    for (sql, says) in table {
        let (code, said) = cordon(fleet, &["query", WEB, sql])?;
        ensure!(code == COULD_NOT && said.contains(says), "{sql}: {code:?} {said}");
    }
    Ok(())
}

/// What was asked and how much was told is in the signed log; the rows are not.
fn receipts(fleet: &Fleet) -> Result<()> {
    let secret = "SELECT 'the-row-' || 'itself' AS said";
    fleet.cordon(&["query", WEB, secret])?;
    let events = await_some("the receipts are stored", || {
        let events = Stored::of(fleet, WEB)?.events()?;
        let cut = events.iter().any(|(_, event)| is_cut(&event.body));
        Ok(cut.then_some(events))
    })?;
    let answered = events.iter().filter(|(_, event)| outcome(&event.body) == Some("answered"));
    ensure!(answered.count() >= 10, "too few receipts of answers");
    let text = format!("{events:?}");
    ensure!(!text.contains("the-row-itself"), "a row is in the log");
    Ok(())
}

fn outcome(body: &Body) -> Option<&'static str> {
    if let Body::Receipt(receipt) = body { Some(receipt.outcome.name()) } else { None }
}

fn is_cut(body: &Body) -> bool {
    let Body::Receipt(receipt) = body else { return false };
    matches!(receipt.outcome, Outcome::Answered { cut: Some(Limit::Memory), .. })
}

/// Of two endpoints each answers for itself; one that is offline is told apart.
fn several(fleet: &mut Fleet) -> Result<()> {
    join(fleet, DB)?;
    let both = format!("{WEB},{DB}");
    let sql = "SELECT host_name AS name FROM os";
    let (code, said) = cordon(fleet, &["query", &both, sql, "--json"])?;
    let told = |name: &str| {
        said.contains(&format!(r#"{{"host_name":"{name}","row":{{"name":"{name}"}}}}"#))
    };
    ensure!(code == DONE && told(WEB) && told(DB), "{code:?} {said}");
    fleet.stop_agent(DB)?;
    fleet.wait_for_state(DB, "offline", PATIENCE)?;
    let (code, said) = cordon(fleet, &["query", DB, sql])?;
    ensure!(code == NO_ANSWER && said.contains("db-01 is offline"), "{code:?} {said}");
    let (code, said) = cordon(fleet, &["query", &both, sql, "--json"])?;
    ensure!(code == NO_ANSWER && said.contains(r#""name":"web-01""#), "{code:?} {said}");
    Ok(())
}

/// A roster that grants it to nobody: refused here, at the collector, and by the endpoint.
fn not_granted(fleet: &Fleet) -> Result<()> {
    let (mut roster, _, _) = first_roster(fleet)?;
    roster.version = 2;
    roster.grants.retain(|grant| grant.action != ActionKind::Query);
    let path = fleet.folder().join("no-query.cbor");
    fs::write(&path, sign_roster(fleet, &roster)?)?;
    fleet.cordon(&["roster", "push", &path.to_string_lossy()])?;
    let (code, said) = cordon(fleet, &["query", WEB, "SELECT 1"])?;
    let says = "no signer has a role that may query";
    ensure!(code == Some(1) && said.contains(says), "{code:?} {said}");
    let none = Stored::of(fleet, WEB)?.events()?;
    let refused = none.iter().filter_map(|(_, event)| refusal(&event.body)).count();
    ensure!(refused == 0, "what was never sent was refused by the endpoint");
    let asked = fleet.cordon(&["command", "list", "--json"])?;
    let first = asked.lines().next().context("no command is listed")?;
    ensure!(first.contains("query"), "{first}");
    Ok(())
}

fn refusal(body: &Body) -> Option<Check> {
    let Body::Receipt(receipt) = body else { return None };
    if let Outcome::Refused { check, .. } = &receipt.outcome { Some(*check) } else { None }
}
