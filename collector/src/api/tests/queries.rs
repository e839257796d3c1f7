//! Queries: their answers go to one reader, once, and only from endpoints that were asked.

use cordon_proto::query::{Query, Rows, Summary, Value as RowValue, write_chunk};
use cordon_proto::sign::merkle;

use super::commands::connect;
use super::*;

fn query(number: u128, hosts: &[&Host]) -> Command {
    let sql = "SELECT name FROM processes".to_owned();
    let query = Query { sql, rows_max: 10, bytes_max: 1000, time_ms_max: 1000 };
    Command { action: Action::Query(query), ..isolation(number, hosts) }
}

/// A whole answer of one row, as a host sends it.
fn answer(command: &Command, host: &Host) -> [Rows; 2] {
    let content = write_chunk(&[vec![RowValue::Text("sshd".to_owned())]]);
    let summary = Summary {
        endpoint: host.endpoint,
        key: host.key.verifying(),
        command: command.id,
        command_hash: Hash::default(),
        sql_hash: Hash::of(b"SELECT name FROM processes"),
        columns: vec!["name".to_owned()],
        rows: 1,
        parts: 1,
        root: merkle::root(&[merkle::leaf(&content)]),
        cut: None,
        error: None,
        time_ns: 1,
        took_ms: 1,
    };
    let first = Rows { command: command.id, index: 0, content, last: None };
    let last = Some(summary.sign(&host.key));
    [first, Rows { command: command.id, index: 1, content: vec![], last }]
}

async fn bring(world: &World, token: &str, command: &Command) -> StatusCode {
    world.call("POST", "/commands", Some(token), Some(signed(command, &["rob"]))).await.0
}

/// The events of a stream that ends by itself: kind and content.
async fn rows(world: &World, token: &str, command: &Command) -> (StatusCode, Vec<(String, Value)>) {
    let path = format!("/api/v1/commands/{}/rows", command.id);
    let response = world.send("GET", &path, Some(token), None).await;
    let status = response.status();
    let text = String::from_utf8(read(response).await.to_vec()).unwrap();
    let mut told = Vec::new();
    let mut kind = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut kind);
        } else if let Some(data) = line.strip_prefix("data: ") {
            told.push((kind.clone(), serde_json::from_str(data).unwrap()));
        }
    }
    (status, told)
}

#[tokio::test]
async fn an_answer_reaches_its_one_reader_as_the_endpoint_sent_it() {
    let world = World::new();
    let host = world.enrol("acme", "web-01");
    let _seat = connect(&world, &host);
    let rob = world.sign_in("rob").await;
    let command = query(1, &[&host]);
    assert_eq!(bring(&world, &rob, &command).await, StatusCode::CREATED);
    let sent = answer(&command, &host);
    sent.iter().for_each(|part| world.collector.answers.handle_rows(host.endpoint, part));
    let (status, told) = rows(&world, &rob, &command).await;
    assert_eq!(status, StatusCode::OK);
    for ((kind, data), part) in told.iter().zip(&sent) {
        assert_eq!(kind, "rows");
        assert_eq!(data["endpoint"], host.endpoint.to_string());
        assert_eq!(codec::decode_strict::<Rows>(&unb64(&data["part"])).unwrap(), *part);
    }
    assert_eq!(told.len(), 2);
    assert_eq!(rows(&world, &rob, &command).await.0, StatusCode::CONFLICT, "read once");
    let shown = world.get(&format!("/commands/{}", command.id), &rob).await;
    assert_eq!(shown["action"], "query");
    assert!(!shown.to_string().contains("sshd"), "rows are kept nowhere");
    let trail = world.get("/audit?client=acme", &rob).await.to_string();
    assert!(trail.contains("SELECT name FROM processes"), "{trail}");
}

#[tokio::test]
async fn an_endpoint_that_is_offline_or_goes_ends_its_answer_with_a_sentence() {
    let world = World::new();
    let (one, two) = (world.enrol("acme", "web-01"), world.enrol("acme", "web-02"));
    let _seat = connect(&world, &one);
    let rob = world.sign_in("rob").await;
    let command = query(1, &[&one, &two]);
    assert_eq!(bring(&world, &rob, &command).await, StatusCode::CREATED);
    world.collector.answers.handle_rows(one.endpoint, &answer(&command, &one)[0]);
    world.collector.answers.handle_gone(one.endpoint);
    let (_, told) = rows(&world, &rob, &command).await;
    let whys: Vec<_> = told.iter().filter_map(|(_, data)| data["why"].as_str()).collect();
    assert_eq!(
        whys,
        [
            "it is offline; a query cannot wait for it",
            "its connection ended before its answer was whole",
        ]
    );
}

#[tokio::test]
async fn only_what_is_a_query_and_authorised_has_an_answer_to_read() {
    let world = World::new();
    let host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    let isolation = isolation(1, &[&host]);
    assert_eq!(bring(&world, &rob, &isolation).await, StatusCode::CREATED);
    assert_eq!(rows(&world, &rob, &isolation).await.0, StatusCode::CONFLICT);
    let refused = signed(&query(2, &[&host]), &["vic"]);
    let (status, _) = world.call("POST", "/commands", Some(&rob), Some(refused)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "a viewer may not ask");
    assert_eq!(rows(&world, &rob, &query(2, &[&host])).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn queries_have_a_brake_of_their_own() {
    let world = World::with(|config| {
        (config.commands_per_hour_max, config.queries_per_hour_max) = (1, 2);
    });
    let host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    assert_eq!(bring(&world, &rob, &query(1, &[&host])).await, StatusCode::CREATED);
    assert_eq!(bring(&world, &rob, &query(2, &[&host])).await, StatusCode::CREATED);
    let third = bring(&world, &rob, &query(3, &[&host])).await;
    assert_eq!(third, StatusCode::TOO_MANY_REQUESTS);
    let containing = bring(&world, &rob, &isolation(4, &[&host])).await;
    assert_eq!(containing, StatusCode::CREATED, "whoever looks around can still contain");
    let asking = bring(&world, &rob, &isolation(5, &[&host])).await;
    assert_eq!(asking, StatusCode::TOO_MANY_REQUESTS);
}
