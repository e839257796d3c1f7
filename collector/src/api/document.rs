//! The OpenAPI document, completed by what holds for all routes alike: what stands around them can
//! answer too, and every problem looks the same.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::person::COOKIE;
use super::problem::ProblemBody;
use super::shell::BODY_BYTES_MAX;
use crate::config::Patience;

/// What each tag is about.
const TAGS: [(&str, &str); 11] = [
    ("collector", "The collector itself: health, figures, this document, kinds of problems."),
    ("session", "Signing in and out."),
    ("account", "What people sign in with beside their keys, and how they get it."),
    ("api-tokens", "What programs sign in with."),
    ("clients", "Clients, their sites, and the tokens that endpoints enrol with."),
    ("rosters", "Who may act for a client, version by version."),
    ("policies", "What endpoints are configured to; set by signed commands."),
    ("endpoints", "Machines with an agent, and what people say of them."),
    ("events", "What endpoints saw: looked for, followed live, taken out with proofs."),
    ("commands", "Signed commands, what became of them, what stands, what was collected."),
    ("audit", "What people did, in a chain for each client."),
];

/// Words for statuses that a route did not describe.
const STATUSES: [(&str, &str); 16] = [
    ("200", "Done."),
    ("201", "Made."),
    ("202", "Begun."),
    ("204", "Done; there is nothing to say."),
    ("206", "The part asked for."),
    ("304", "It is what the asker has: `If-None-Match` named its `ETag`."),
    ("400", "The request cannot be read."),
    ("401", "Nobody is signed in, or the session is over."),
    ("403", "The person may see this and not do it."),
    ("404", "It is not there, or another client's: the answer is the same."),
    ("409", "It has changed, or is there already."),
    ("413", "The body is longer than is taken."),
    ("416", "There is no such part of it."),
    ("422", "What was asked for cannot be."),
    ("429", "Too fast, or too much at once; `Retry-After` says when to try again."),
    ("500", "The collector failed."),
];

/// What a problem of a status says, by way of example.
const DETAILS: [(&str, &str); 11] = [
    ("400", "the body must be a JSON object"),
    ("401", "sign in first, or again: the session is over"),
    ("403", "the client's roster gives you no role of responder or above"),
    ("404", "there is no such thing, or it is not for you to see"),
    ("409", "somebody else changed it meanwhile; look at it again"),
    ("413", "the body is longer than this route takes"),
    ("416", "only 'bytes=N-' is understood here, with N below 4096"),
    ("422", "the roster of version 3 is held, and this one has version 2"),
    ("429", "too many tries; try again in 15 s"),
    ("500", "the collector failed; its log says how"),
    ("503", "the collector is stopping"),
];

/// Below these nobody is somebody yet.
const WAYS_IN: [&str; 2] = ["/sign-in", "/set-up"];

/// What paths are made of, as an example shows it.
const EXAMPLES: [(&str, &str); 6] = [
    ("client", "acme"),
    ("site", "hq"),
    ("version", "1"),
    ("id", "5f0c1e0a3b7d4c9e8f6a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e"),
    ("command", "0198f6a0-7c1e-7000-8000-000000000001"),
    ("endpoint", "5f0c1e0a3b7d4c9e8f6a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e"),
];

/// Completes the document.
pub(super) fn complete(mut document: Value) -> String {
    let tags = TAGS.map(|(name, description)| json!({ "name": name, "description": description }));
    document["tags"] = json!(tags);
    document["servers"] = json!([{ "url": "/" }]);
    document["security"] = json!([{ "bearer": [] }, { "cookie": [] }]);
    document["components"]["securitySchemes"]["bearer"] = json!({
        "type": "http", "scheme": "bearer",
        "description": "A session's token, or an API token.",
    });
    document["components"]["securitySchemes"]["cookie"] = json!({
        "type": "apiKey", "in": "cookie", "name": COOKIE,
        "description": "A browser's session; what changes anything needs the word of its page, too.",
    });
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let is_way_in = method == "post" && WAYS_IN.iter().any(|way| path.contains(way));
            complete_operation(method, operation, is_way_in);
        }
    }
    document.to_string()
}

fn complete_operation(method: &str, operation: &mut Value, is_way_in: bool) {
    let is_open = is_way_in || !has(operation, "401");
    if is_open {
        operation["security"] = json!([]);
    }
    let takes_body = operation.get("requestBody").is_some();
    let is_json = is_json(operation);
    let mut also = vec!["500", "503"];
    if !is_open {
        // A token may be narrower than its person, and made-up ones are looked for only so fast.
        also.extend(["403", "429"]);
    }
    if takes_body {
        also.extend(["400", "413"]);
        operation["requestBody"]["required"] = json!(true);
        let most = format!("At most {BODY_BYTES_MAX} bytes.");
        operation["requestBody"]["description"] = json!(most);
    }
    if operation.get("parameters").is_some() {
        also.push("400");
    }
    if method == "get" && is_json {
        also.push("304");
        let about = "answers 304 without a body where it is still this `ETag`";
        add_header(operation, "If-None-Match", about);
    }
    if method != "get" && !is_open {
        also.extend(["400", "409", "422"]);
        let about = "the same key once more answers what was answered before, for 24 hours, and \
                     does nothing; 1 to 64 printable characters in double quotes, counted within \
                     one session or token";
        add_header(operation, "Idempotency-Key", about);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for status in also {
        responses.entry(status).or_insert_with(|| json!({}));
    }
    for (status, response) in responses.iter_mut() {
        complete_response(status, response);
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    parameters.into_iter().flatten().for_each(complete_parameter);
}

fn complete_response(status: &str, response: &mut Value) {
    let described = response["description"].as_str().is_some_and(|words| !words.is_empty());
    if !described {
        let words = STATUSES.iter().find(|(known, _)| *known == status);
        let answer_secs = Patience::default().answer.as_secs();
        let late = format!("It is stopping, or had no answer within {answer_secs} s.");
        response["description"] = json!(words.map_or(late.as_str(), |(_, words)| words));
    }
    if status.starts_with(['4', '5']) {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let example = problem(status, response);
        let content = json!({ "schema": schema, "example": example });
        response["content"] = json!({ "application/problem+json": content });
    }
    if status == "429" {
        response["headers"]["Retry-After"] =
            json!({ "description": "in so many seconds", "schema": { "type": "integer" } });
    }
}

/// A problem as this status brings it: in the route's own words, where it gave any.
fn problem(status: &str, response: &Value) -> Value {
    let contents = response["content"].as_object();
    let own = contents.and_then(|contents| {
        contents.values().find_map(|content| content["example"]["detail"].as_str())
    });
    let usual = DETAILS.iter().find(|(known, _)| *known == status).map(|(_, words)| *words);
    let words = own.or(usual).unwrap_or_default().to_owned();
    let status = status.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json!(ProblemBody::of(status, words))
}

fn complete_parameter(parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let is_path = parameter["in"] == "path";
    let known = EXAMPLES.iter().find(|(known, _)| *known == name);
    if let Some((_, example)) = known.filter(|_| is_path && parameter.get("example").is_none()) {
        parameter["example"] = json!(example);
    }
    if name == "cursor" {
        parameter["schema"]["maxLength"] = json!(1024);
    }
}

fn add_header(operation: &mut Value, name: &str, about: &str) {
    let header = json!({
        "name": name, "in": "header", "required": false, "description": about,
        "schema": { "type": "string" },
    });
    if let Some(operation) = operation.as_object_mut() {
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(header);
        }
    }
}

fn has(operation: &Value, status: &str) -> bool {
    operation["responses"].get(status).is_some()
}

fn is_json(operation: &Value) -> bool {
    let content = operation["responses"]["200"]["content"].as_object();
    content.is_some_and(|content: &Map<String, Value>| content.contains_key("application/json"))
}
