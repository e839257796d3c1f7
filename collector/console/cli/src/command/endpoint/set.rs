//! `cordon endpoint set`: what people say of an endpoint.

use std::collections::BTreeSet;

use anyhow::bail;
use cordon_proto::id::ClientId;
use serde_json::{Map, Value, json};

use super::list::{Criticality, named};
use crate::api::Api;
use crate::command::find;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::text::plain;
use crate::summary::event::word;

/// What `endpoint set` needs to know.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// A host name, or the beginning of an id (6 digits or more)
    endpoint: String,
    /// Look among this client's only
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// The site it stands at; - for none
    #[arg(long, value_name = "SITE", allow_hyphen_values = true)]
    site: Option<String>,
    /// Add labels: words of a-z, 0-9 and . _ - : / =
    #[arg(long = "label", value_name = "LABEL", value_delimiter = ',')]
    labels: Vec<String>,
    /// Take labels away
    #[arg(long = "remove-label", value_name = "LABEL", value_delimiter = ',')]
    removed: Vec<String>,
    /// How much hangs on it
    #[arg(long, value_enum)]
    criticality: Option<Criticality>,
    /// What it is for; empty for nothing said
    #[arg(long, value_name = "TEXT")]
    role: Option<String>,
}

/// Runs the command.
pub(super) async fn set(
    context: &mut Context,
    api: &Api<'_>,
    args: SetArgs,
) -> anyhow::Result<Exit> {
    let client = args.client.as_ref();
    let found = find::endpoint(api, &context.output, &args.endpoint, client).await?;
    let id = found.id.to_string();
    let path = ["endpoints", id.as_str()];
    let before = api.get(&path, &[]).await?;
    let change = change(&args, &before);
    if change.is_empty() {
        bail!("nothing was said; see `cordon endpoint set --help`");
    }
    let mut body = Value::Object(change);
    // Labels are added to those that were there: somebody else's change between must not be lost.
    body["revision"] = before["revision"].clone();
    let noted = api.patch(&path, body).await?;
    if context.output.is_json() {
        context.output.record(&noted)?;
        return Ok(Exit::Done);
    }
    let labels: Vec<_> = noted["labels"].as_array().into_iter().flatten().collect();
    let labels: Vec<_> = labels.into_iter().filter_map(Value::as_str).collect();
    for (name, words) in [
        ("name", found.host_name),
        ("site", word(&noted, "/site")),
        ("labels", labels.join(", ")),
        ("matters", word(&noted, "/criticality")),
        ("role", word(&noted, "/role")),
    ] {
        context.output.line(format!("{name:<9} {}", plain(&words)).trim_end())?;
    }
    Ok(Exit::Done)
}

/// What the collector is asked to change.
fn change(args: &SetArgs, before: &Value) -> Map<String, Value> {
    let mut change = Map::new();
    if let Some(site) = &args.site {
        let site = if site == "-" { Value::Null } else { json!(site) };
        change.insert("site".to_owned(), site);
    }
    if !args.labels.is_empty() || !args.removed.is_empty() {
        let there = before["labels"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut labels: BTreeSet<&str> = there.collect();
        labels.extend(args.labels.iter().map(String::as_str));
        args.removed.iter().for_each(|label| {
            labels.remove(label.as_str());
        });
        change.insert("labels".to_owned(), json!(labels));
    }
    if let Some(criticality) = args.criticality {
        change.insert("criticality".to_owned(), json!(named(criticality)));
    }
    if let Some(role) = &args.role {
        change.insert("role".to_owned(), json!(role));
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(set: impl FnOnce(&mut SetArgs), expected: Value) {
        let mut args = SetArgs {
            endpoint: "web-01".to_owned(),
            client: None,
            site: None,
            labels: vec![],
            removed: vec![],
            criticality: None,
            role: None,
        };
        set(&mut args);
        let before = json!({ "labels": ["old", "web"] });
        assert_eq!(Value::Object(change(&args, &before)), expected);
    }

    #[test]
    fn only_what_was_said_is_changed_and_labels_are_added_to_those_there() {
        check(|_| (), json!({}));
        check(|args| args.site = Some("-".to_owned()), json!({ "site": null }));
        check(
            |args| args.labels = vec!["db".to_owned()],
            json!({ "labels": ["db", "old", "web"] }),
        );
        check(|args| args.removed = vec!["old".to_owned()], json!({ "labels": ["web"] }));
        check(|args| args.criticality = Some(Criticality::High), json!({ "criticality": "high" }));
        check(|args| args.role = Some(String::new()), json!({ "role": "" }));
    }
}
