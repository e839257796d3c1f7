//! Lists whose items stand under a command and an endpoint: pages of any size hold each once.

use super::routes::collected;
use super::*;

fn applied() -> Outcome {
    Outcome::Applied { change_us: 1500, until_secs: Some(87_400), stood_already: false }
}

/// Walks a list page by page; every item's command and endpoint, in the order they came.
async fn walk(world: &World, path: &str, limit: usize, token: &str) -> Vec<(String, String)> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}?limit={limit}{cursor}"), token).await;
        let shown = page["items"].as_array().unwrap();
        assert!(shown.len() <= limit && (!shown.is_empty() || items.is_empty()), "{page}");
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        items.extend(shown.iter().map(|item| (text(item, "command"), text(item, "endpoint"))));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_hold_every_containment_and_every_collection_once() {
    let world = World::new();
    let rob = world.sign_in("rob").await;
    let mut hosts: Vec<Host> =
        (0..7).map(|number| world.enrol("acme", &format!("web-{number}"))).collect();
    let mut expected = Vec::new();
    for (number, group) in [(1, 0..2), (2, 2..3), (3, 3..7)] {
        let targets: Vec<&Host> = hosts[group.clone()].iter().collect();
        let command = isolation(number, &targets);
        let body = Some(signed(&command, &["rob", "ria"]));
        let (status, shown) = world.call("POST", "/commands", Some(&rob), body).await;
        assert_eq!(status, StatusCode::CREATED, "{shown}");
        for host in &mut hosts[group] {
            world.store(host, Lane::Control, vec![receipt(&command, applied())]).await;
            collected(&world, host, &command, b"evidence");
            expected.push((command.id.to_string(), host.endpoint.to_string()));
        }
    }
    expected.sort();
    for limit in 1..9 {
        assert_eq!(walk(&world, "/collections", limit, &rob).await, expected, "by {limit}");
        let standing = walk(&world, "/containments", limit, &rob).await;
        assert!(standing.is_sorted_by(|a, b| (&b.0, &a.1) <= (&a.0, &b.1)), "newest first");
        let mut sorted = standing;
        sorted.sort();
        assert_eq!(sorted, expected, "by {limit}");
    }
    for path in ["/containments?cursor=made-up", "/containments?cursor=1.2"] {
        assert_eq!(world.call("GET", path, Some(&rob), None).await.0, 400, "{path}");
    }
    let zoe = world.sign_in("zoe").await;
    let cursor = format!("{}.{}", expected[6].0, expected[6].1);
    let path = format!("/containments?cursor={cursor}");
    assert_eq!(world.get(&path, &zoe).await["items"], json!([]), "another's cursor shows nothing");
}
