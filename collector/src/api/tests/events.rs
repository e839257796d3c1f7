//! Events looked for, followed live, proved and taken out.

use cordon_proto::event::log::Run;
use cordon_proto::evidence;
use cordon_proto::id::EndpointId;
use cordon_proto::sign::batch::EventProof;

use super::*;
use crate::search::{self, Order, Query};

/// Two hosts of acme and one of zeta, three batches each, in turns.
async fn filled(world: &World) -> Vec<Host> {
    let mut hosts =
        vec![world.enrol("acme", "web-01"), world.enrol("acme", "db-01"), world.enrol("zeta", "x")];
    for round in 0..3 {
        for host in &mut hosts {
            let facts = (0..2).map(|n| line(&format!("{} line {round}{n}", host.name))).collect();
            world.store(host, Lane::Telemetry, facts).await;
            world.pass(60);
        }
    }
    hosts
}

fn texts(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["raw_data"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn events_are_found_by_endpoint_time_class_and_text_and_only_the_clients_own() {
    let world = World::new();
    let mut hosts = filled(&world).await;
    world.store(&mut hosts[0], Lane::Control, vec![health(60, 1, vec![])]).await;
    let vic = world.sign_in("vic").await;
    let find = async |query: &str| world.get(&format!("/events?{query}"), &vic).await;
    let all = find("").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 13);
    assert!(all["next"].is_null() && all["scanned_to"].is_null());
    assert!(!all.to_string().contains("zeta"));
    assert_eq!(texts(&find(&format!("endpoint={}&class=log", hosts[1].endpoint)).await).len(), 6);
    assert_eq!(texts(&find("text=DB-01%20LINE%2020").await), ["db-01 line 20"]);
    assert_eq!(find("class=health,receipt").await["items"][0]["class"], "health");
    let between = find("since=2026-11-21T00:03:00Z&until=2026-11-21T00:03:30Z").await;
    assert_eq!(texts(&between), ["web-01 line 10", "web-01 line 11"]);
    let host = "where=raw_data%20contains%20%22Web-01%20line%22%20and%20device.hostname=web-01";
    assert_eq!(texts(&find(host).await).len(), 6);
    assert_eq!(
        texts(
            &find("where=raw_data%20prefix%20db%20and%20raw_data%20!=%20%22db-01%20line%2000%22")
                .await
        )
        .len(),
        5
    );
    for wrong in ["where=raw_data", "where=a=1%20or%20b=2"] {
        let (status, said) = world.call("GET", &format!("/events?{wrong}"), Some(&vic), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    }
    for wrong in ["class=cats", "since=yesterday", "cursor=x", "order=up", "unknown=1"] {
        let path = format!("/events?{wrong}");
        let (status, _) = world.call("GET", &path, Some(&vic), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

/// Lines that travel together.
fn run(texts: &[String]) -> Fact {
    let Fact::Log(line) = line(&texts.join("\n")) else { unreachable!("a line") };
    Fact::Log(LogLine { lines: u32::try_from(texts.len()).ok(), run: Some(Run::default()), ..line })
}

#[tokio::test]
async fn lines_that_travelled_together_are_found_and_shown_one_by_one() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let name = |number: usize| format!("line {number:02}");
    for from in [0, 30] {
        let texts: Vec<_> = (from..from + 20).map(name).collect();
        let alone = line(&name(from + 20));
        world.store(&mut host, Lane::Telemetry, vec![run(&texts), alone]).await;
    }
    let vic = world.sign_in("vic").await;
    let expected: Vec<_> = (0..21).chain(30..51).map(name).collect();
    for (order, limit) in [("oldest", 1), ("oldest", 7), ("newest", 1), ("newest", 7)] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/events?class=log&order={order}&limit={limit}{cursor}");
            let page = world.get(&path, &vic).await;
            found.extend(texts(&page));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        if order == "newest" {
            found.reverse();
        }
        assert_eq!(found, expected, "{order} {limit}");
    }
    let one = world.get("/events?text=LINE%2041", &vic).await;
    assert_eq!(texts(&one), ["line 41"]);
    let item = &one["items"][0];
    assert_eq!(
        (&item["metadata"]["line"], &item["log_file"]["offset"]),
        (&11.into(), &"91".into())
    );
}

#[tokio::test]
async fn pages_of_any_size_in_either_order_hold_every_event_once() {
    let world = World::new();
    filled(&world).await;
    let vic = world.sign_in("vic").await;
    let all = texts(&world.get("/events?class=log", &vic).await);
    for (order, limit) in [("oldest", 1), ("oldest", 5), ("newest", 1), ("newest", 5)] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/events?class=log&order={order}&limit={limit}{cursor}");
            let page = world.get(&path, &vic).await;
            found.append(&mut texts(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if order == "newest" {
            found.reverse();
        }
        assert_eq!(found, all, "{order} by {limit}");
    }
}

#[tokio::test]
async fn a_page_that_runs_out_of_time_says_how_far_it_got_and_the_next_goes_on() {
    let world = World::new();
    filled(&world).await;
    let log = world.collector.log.as_ref();
    let clients = vec!["acme".parse().unwrap()];
    let query = Query { clients, text: Some("db-01 line 2".to_owned()), ..Query::default() };
    for order in [Order::Oldest, Order::Newest] {
        let (mut from, mut pages, mut found) = (None, 0, 0);
        loop {
            let page = search::page(log, &query, order, from, 100, || true).unwrap();
            (pages, found) = (pages + 1, found + page.items.len());
            assert_eq!(page.next.is_some(), page.scanned_to.is_some());
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        assert_eq!((pages, found), (7, 2), "{order:?}: one batch a page, and one that ends it");
    }
}

/// Reads so many events of a feed: id and text of each.
async fn follow(response: Response<Body>, count: usize) -> Vec<(String, String)> {
    let mut body = response.into_body();
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let frame = body.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    let read = |event: &str| {
        let data: Value = serde_json::from_str(&field(event, "data:")).unwrap();
        (field(event, "id:"), data["raw_data"].as_str().unwrap().to_owned())
    };
    text.split_terminator("\n\n").map(read).collect()
}

async fn feed(world: &World, token: &str, after: Option<&str>) -> Response<Body> {
    let mut request = Request::builder()
        .uri("/api/v1/events/live?class=log")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

#[tokio::test]
async fn a_feed_begins_now_and_resumes_where_it_left_off_without_hole_or_double() {
    let world = World::new();
    let mut hosts = filled(&world).await;
    let vic = world.sign_in("vic").await;
    let live = feed(&world, &vic, None).await;
    let facts = ["a", "b", "c"].map(line).to_vec();
    world.store(&mut hosts[2], Lane::Telemetry, vec![line("zeta's own")]).await;
    world.store(&mut hosts[0], Lane::Telemetry, facts).await;
    let seen = follow(live, 3).await;
    let texts: Vec<_> = seen.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c"], "nothing of the past, nothing of zeta's");

    // Left off in the middle of a batch; more came in meanwhile, and still comes.
    world.store(&mut hosts[1], Lane::Telemetry, vec![line("d")]).await;
    let again = feed(&world, &vic, Some(&seen[0].0)).await;
    world.store(&mut hosts[1], Lane::Telemetry, vec![line("e")]).await;
    let seen = follow(again, 4).await;
    let texts: Vec<_> = seen.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["b", "c", "d", "e"]);

    let from_the_start = feed(&world, &vic, Some("0.0")).await;
    assert_eq!(follow(from_the_start, 17).await.len(), 17);
}

#[tokio::test]
async fn a_feed_tells_every_line_of_a_batch_that_carries_thousands_and_resumes_among_them() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let vic = world.sign_in("vic").await;
    let live = feed(&world, &vic, None).await;
    let texts: Vec<_> = (0..3000).map(|number| format!("line {number}")).collect();
    let facts = texts.chunks(250).map(run).collect();
    world.store(&mut host, Lane::Telemetry, facts).await;
    let seen = follow(live, texts.len()).await;
    assert!(seen.iter().map(|(_, text)| text).eq(&texts));

    let again = feed(&world, &vic, Some(&seen[1233].0)).await;
    world.store(&mut host, Lane::Telemetry, vec![line("more")]).await;
    let rest = follow(again, texts.len() - 1234 + 1).await;
    assert!(
        rest.iter()
            .map(|(_, text)| text.as_str())
            .eq(texts[1234..].iter().map(String::as_str).chain(["more"]))
    );
}

#[tokio::test]
async fn a_feed_ends_with_its_key_and_with_the_collector() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let (vic, ann) = (world.sign_in("vic").await, world.sign_in("ann").await);
    let (one, two) = (feed(&world, &vic, None).await, feed(&world, &ann, None).await);
    let without_vic = json!({ "document": b64(roster("acme", 2, &ACME[..1])) });
    world.call("PUT", "/clients/acme/roster", Some(&ann), Some(without_vic)).await;
    world.store(&mut host, Lane::Telemetry, vec![line("not for vic")]).await;
    assert_eq!(read(one).await, "", "the roster has vic's key no more");
    let seen = follow(two, 1).await;
    assert_eq!(seen[0].1, "not for vic");
    let three = feed(&world, &ann, None).await;
    world.stop.send_replace(true);
    assert_eq!(read(three).await, "");
}

#[tokio::test]
async fn an_event_is_proved_by_its_bytes_path_and_header_alone() {
    let world = World::new();
    let hosts = filled(&world).await;
    let vic = world.sign_in("vic").await;
    let prove = async |host: &Host, seq: u64| {
        let query = format!("lane=telemetry&epoch=1&seq={seq}");
        let path = format!("/endpoints/{}/proof?{query}", host.endpoint);
        world.call("GET", &path, Some(&vic), None).await
    };
    let (status, shown) = prove(&hosts[0], 4).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let proof: EventProof = codec::decode_strict(&unb64(&shown["proof"])).unwrap();
    let header = proof.verify(&hosts[0].key.verifying()).unwrap();
    assert_eq!((header.endpoint, header.first), (hosts[0].endpoint, 3));
    assert_eq!(batch::read_event(&proof.event).unwrap().seq, 4);
    for seq in [0, 7, u64::MAX] {
        assert_eq!(prove(&hosts[0], seq).await.0, StatusCode::NOT_FOUND, "{seq}");
    }
}

#[tokio::test]
async fn a_bundle_verifies_elsewhere_and_holds_the_chain_of_the_time_asked_for() {
    let world = World::new();
    let hosts = filled(&world).await;
    let vic = world.sign_in("vic").await;
    let export = async |body: Value| {
        let path = "/api/v1/clients/acme/export";
        world.send("POST", path, Some(&vic), Some(body)).await
    };
    let year = json!({ "since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z" });
    let response = export(year).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/cbor");
    let bytes = read(response).await;
    let authority = [key("authority").verifying()];
    let report = evidence::verify(&bytes, Some(&authority)).unwrap();
    assert!(report.holds(), "{report:?}");
    assert_eq!(report.events, 12);

    let narrow = json!({
        "endpoint": hosts[0].endpoint,
        "since": "2026-11-21T00:00:00Z",
        "until": "2026-11-21T00:03:30Z",
    });
    let bundle = evidence::Bundle::decode(&read(export(narrow).await).await).unwrap();
    assert_eq!(bundle.endpoints.len(), 1);
    assert_eq!(bundle.endpoints[0].batches.len(), 2);
    let of = |ids: &[EndpointId]| json!({ "endpoints": ids, "since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z" });
    let twice = of(&[hosts[1].endpoint, hosts[0].endpoint, hosts[1].endpoint]);
    let bundle = evidence::Bundle::decode(&read(export(twice).await).await).unwrap();
    assert_eq!(bundle.endpoints.len(), 2, "each once");
    assert_eq!(export(of(&[])).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let strange = export(of(&[hosts[0].endpoint, EndpointId::of(b"strange")])).await;
    assert_eq!(strange.status(), StatusCode::NOT_FOUND);
    let backwards = json!({ "since": "2027-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z" });
    assert_eq!(export(backwards).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let trail = world.get("/audit?client=acme", &vic).await;
    let last = trail["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["what"], &last["who"]), (&json!("export"), &json!("vic")));
}
