//! Every answer that any test gets from the API is one that its document describes: the status, the
//! kind of content, and of problems the shape.

use std::sync::LazyLock;

use super::*;
use crate::api::PREFIX;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&crate::api::describe()).unwrap());

/// The description of the route that a request was for; none for what is no route.
fn route(method: &str, path: &str) -> Option<(String, &'static Value)> {
    let path = path.split('?').next().unwrap();
    let asked: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        let same = |(part, word): (&&str, &&str)| part.starts_with('{') || part == word;
        parts.len() == asked.len() && parts.iter().zip(&asked).all(same)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // What is written out goes before what is not, as the router has it.
    let found = paths.iter().filter(|(template, _)| fits(template));
    let (template, item) = found.min_by_key(|(template, _)| template.matches('{').count())?;
    Some((template.clone(), item.get(method.to_lowercase())?))
}

#[track_caller]
pub(super) fn check(method: &str, path: &str, response: &Response<Body>) {
    let Some((template, operation)) = route(method, path) else { return };
    let status = response.status();
    let says = format!("{method} {template} answered {status}");
    let described = operation["responses"].get(status.as_str());
    let described = described.unwrap_or_else(|| panic!("{says}, which is not described"));
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap());
    match described["content"].as_object() {
        Some(content) => {
            let kind = kind.unwrap_or_else(|| panic!("{says} without a kind of content"));
            assert!(content.contains_key(kind), "{says} as {kind}, which is not described");
        }
        None => assert_eq!(kind, None, "{says} with content, which is not described"),
    }
}

#[tokio::test]
async fn every_route_says_who_may_call_it_what_it_takes_and_how_it_can_fail() {
    let tags: Vec<&str> = DOCUMENT["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        assert!(path.starts_with(PREFIX), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            let says = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|words| words.len() > 5), "{says}");
            let tag = operation["tags"][0].as_str().unwrap();
            assert!(tags.contains(&tag), "{says}: no words for the tag {tag}");
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses {
                let says = format!("{says} {status}");
                assert!(response["description"].as_str().is_some_and(|w| w.len() > 3), "{says}");
                let is_problem = status.starts_with(['4', '5']);
                let content = &response["content"];
                assert_eq!(content.get("application/problem+json").is_some(), is_problem, "{says}");
                if is_problem {
                    let example = &content["application/problem+json"]["example"];
                    assert_eq!(example["status"].to_string(), *status, "{says}: {example}");
                    let kind = example["type"].as_str().unwrap();
                    assert!(kind.contains("/problems/") && !kind.ends_with("other"), "{says}");
                    assert!(example["detail"].as_str().unwrap().len() > 5, "{says}: {example}");
                    assert!(example["title"].is_string(), "{says}: {example}");
                }
            }
            let is_open = operation["security"] == json!([]);
            let is_way_in = path.contains("/sign-in") || path.contains("/set-up");
            assert!(is_way_in || responses.contains_key("401") != is_open, "{says}");
            let parameters = operation.get("parameters");
            assert!(parameters.is_none_or(Value::is_array), "{says}: parameters are a list");
            for parameter in parameters.and_then(Value::as_array).into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let words = parameter["description"].as_str();
                assert!(words.is_some_and(|words| words.len() > 3), "{says}: {name} has no words");
                let is_path = parameter["in"] == "path";
                assert!(!is_path || parameter.get("example").is_some(), "{says}: {name}");
            }
            if let Some(body) = operation.get("requestBody") {
                assert_eq!(body["required"], true, "{says}");
                assert!(responses.contains_key("400") && responses.contains_key("413"), "{says}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_as_described_by_every_route() {
    let world = World::new();
    let host = world.enrol("acme", "web-01");
    let ann = world.sign_in("ann").await;
    let mut tried = 0;
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, _) in
            item.as_object().unwrap().iter().filter(|(_, one)| one.get("requestBody").is_some())
        {
            let path = path
                .replace("{client}", "acme")
                .replace("/endpoints/{id}", &format!("/endpoints/{}", host.endpoint));
            for body in ["", "{", "[]", "null", "{\"unknown\":1}", "\u{0}", "{\"a\":{\"a\":{}}}"] {
                let request = Request::builder()
                    .method(method.to_uppercase().as_str())
                    .uri(&path)
                    .header(header::AUTHORIZATION, format!("Bearer {ann}"))
                    .body(Body::from(body))
                    .unwrap();
                let response = world.router.clone().oneshot(request).await.unwrap();
                check(method, &path, &response);
                assert!(response.status().is_client_error(), "{method} {path} took {body:?}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 7 * 8, "only {tried} were tried");
}
