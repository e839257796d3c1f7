//! Requests that come twice, answers that did not change, figures, and the whole audit trail.

use super::*;

async fn keyed(
    world: &World,
    (method, path): (&str, &str),
    token: &str,
    key: &str,
    body: Value,
) -> (StatusCode, bool, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", crate::api::PREFIX))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("idempotency-key", format!("\"{key}\""))
        .body(Body::from(body.to_string()));
    let response = world.router.clone().oneshot(request.unwrap()).await.unwrap();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let status = response.status();
    (status, replayed, serde_json::from_slice(&read(response).await).unwrap_or_default())
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once_and_answered_twice() {
    let world = World::new();
    let (ann, rob) = (world.sign_in("ann").await, world.sign_in("rob").await);
    let tokens = ("POST", "/clients/acme/tokens");
    let body = json!({ "uses": 1, "valid_secs": 60 });
    let (status, replayed, first) = keyed(&world, tokens, &ann, "k1", body.clone()).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false));
    let (status, replayed, again) = keyed(&world, tokens, &ann, "k1", body.clone()).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, true));
    assert_eq!(again["secret"], first["secret"], "the very answer");
    let count = async || {
        let listed = world.get("/clients/acme/tokens", &ann).await;
        listed["items"].as_array().unwrap().len()
    };
    assert_eq!(count().await, 1);
    let other = json!({ "uses": 2, "valid_secs": 60 });
    let (status, ..) = keyed(&world, tokens, &ann, "k1", other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "another request under the same key");
    let (status, ..) = keyed(&world, tokens, &ann, "k2", body.clone()).await;
    assert_eq!((status, count().await), (StatusCode::CREATED, 2), "another key");
    let (status, ..) = keyed(&world, tokens, &rob, "k1", body.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "another's key is his own");
    let ann_again = world.sign_in("ann").await;
    let (status, replayed, _) = keyed(&world, tokens, &ann_again, "k1", body.clone()).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false), "of one session");
    world.pass(600);
    let (status, replayed, _) = keyed(&world, tokens, &ann, "k1", body).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, true));
    let stored = world.collector.state.read("look", |connection| {
        let mut statement = connection.prepare("SELECT answer FROM repeat")?;
        statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()
    });
    let secret = first["secret"].as_str().unwrap().as_bytes();
    let holds = |answer: &Vec<u8>| answer.windows(secret.len()).any(|window| window == secret);
    assert!(!stored.unwrap().iter().any(holds), "no secret is kept in the clear");
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_and_nobody_is_remembered() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let sites = ("POST", "/clients/acme/sites");
    let wrong = json!({ "name": "hq", "time_zone": "?" });
    let (status, ..) = keyed(&world, sites, &ann, "k", wrong.clone()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, replayed, _) = keyed(&world, sites, &ann, "k", wrong).await;
    assert_eq!((status, replayed), (StatusCode::UNPROCESSABLE_ENTITY, false));
    let right = json!({ "name": "hq" });
    let (status, ..) = keyed(&world, sites, &ann, "k", right.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, replayed, _) = keyed(&world, sites, &ann, "k", right).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, true), "and not: is there already");
    let (status, ..) = keyed(&world, sites, &ann, "a\\b", json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, ..) = keyed(&world, sites, &b64([0; 32]), "k", json!({})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let remembered = world.collector.state.read("count", |connection| {
        connection.query_row("SELECT count(*) FROM repeat", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(remembered.unwrap(), 1);
}

#[tokio::test]
async fn an_answer_that_did_not_change_is_not_sent_again() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let get = async |tag: &str| {
        let request = Request::builder()
            .uri("/api/v1/clients/acme/roster")
            .header(header::AUTHORIZATION, format!("Bearer {ann}"))
            .header(header::IF_NONE_MATCH, tag);
        let request = request.body(Body::empty()).unwrap();
        world.router.clone().oneshot(request).await.unwrap()
    };
    let first = get("\"none\"").await;
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    let second = get(&tag).await;
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    assert!(read(second).await.is_empty());
    let body = json!({ "document": b64(roster("acme", 2, ACME)) });
    world.call("PUT", "/clients/acme/roster", Some(&ann), Some(body)).await;
    assert_eq!(get(&tag).await.status(), StatusCode::OK);
}

async fn figures(world: &World, token: Option<&str>, from: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::builder().uri("/api/v1/metrics");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(from) = from {
        let from: std::net::SocketAddr = from.parse().unwrap();
        request = request.extension(axum::extract::ConnectInfo(from));
    }
    let response =
        world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(read(response).await.to_vec()).unwrap())
}

#[tokio::test]
async fn figures_are_of_the_clients_that_one_may_see_and_no_sum_tells_of_others() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    world.enrol("zeta", "x");
    let standing = Standing {
        command: CommandId(uuid::Uuid::from_u128(1)),
        action: ActionKind::Isolate,
        until_secs: None,
        proved: true,
    };
    world.store(&mut host, Lane::Control, vec![health(60, 1, vec![standing])]).await;
    let vic = world.sign_in("vic").await;
    let (status, text) = figures(&world, Some(&vic), None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\ncordon_endpoints{client=\"acme\",state=\"offline\"} 1\n"), "{text}");
    assert!(text.contains("\ncordon_endpoints_isolated{client=\"acme\"} 1\n"), "{text}");
    assert!(!text.contains("zeta") && !text.contains("cordon_log_batches"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<u64>().is_ok(), "{line}");
    }
    let (status, _) = figures(&world, None, Some("127.0.0.1:9")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "unless the settings allow it");
}

#[tokio::test]
async fn a_scraper_on_the_machine_gets_sums_without_names_where_the_settings_allow_it() {
    let world = World::with(|config| config.metrics_on_loopback = true);
    world.enrol("acme", "web-01");
    world.enrol("zeta", "x");
    for from in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
        let (status, text) = figures(&world, None, Some(from)).await;
        assert_eq!(status, StatusCode::OK, "{from}");
        assert!(text.contains("\ncordon_endpoints{state=\"offline\"} 2\n"), "{text}");
        assert!(text.contains("\ncordon_log_batches 0\n"), "{text}");
        assert!(!text.contains("acme"), "{text}");
    }
    for from in [Some("192.0.2.1:9"), None] {
        assert_eq!(figures(&world, None, from).await.0, StatusCode::UNAUTHORIZED, "{from:?}");
    }
    let wrong = b64([0; 32]);
    let (status, _) = figures(&world, Some(&wrong), Some("127.0.0.1:9")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a wrong token is none");
}

#[tokio::test]
async fn the_trail_is_filtered_from_either_end_and_taken_out_whole() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    for name in ["a", "b", "c"] {
        world.pass(60);
        let site = json!({ "name": name, "title": format!("Site {name}") });
        world.call("POST", "/clients/acme/sites", Some(&ann), Some(site)).await;
    }
    world.sign_in("rob").await;
    let find = async |query: &str| {
        let page = world.get(&format!("/audit?client=acme&{query}"), &ann).await;
        let items = page["items"].as_array().unwrap().iter();
        let numbers: Vec<_> = items.map(|item| item["number"].to_string()).collect();
        (numbers.join(" "), page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(find("").await, ("1 2 3 4 5".to_owned(), None));
    assert_eq!(find("order=newest&limit=2").await, ("5 4".to_owned(), Some("4".to_owned())));
    assert_eq!(find("order=newest&cursor=4").await, ("3 2 1".to_owned(), None));
    assert_eq!(find("who=rob").await.0, "5");
    assert_eq!(find("what=site.create,sign-in").await.0, "1 2 3 4 5");
    assert_eq!(find("what=site.create&text=SITE%20B").await.0, "3");
    assert_eq!(find("what=site.create&limit=1").await, ("2".to_owned(), Some("2".to_owned())));
    assert_eq!(find("since=2026-11-21T00:02:00Z&until=2026-11-21T00:02:30Z").await.0, "3");

    let response = world.send("GET", "/api/v1/audit/export?client=acme", Some(&ann), None).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    let text = String::from_utf8(read(response).await.to_vec()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let entries: Vec<crate::audit::Entry> = lines[..5]
        .iter()
        .map(|line| codec::decode_strict(&unb64(&line["entry"])).unwrap())
        .collect();
    let client = "acme".parse().unwrap();
    let head = crate::audit::verify(&client, crate::audit::Head::default(), &entries).unwrap();
    assert_eq!(lines[5]["end"], json!({ "number": 5, "hash": head.hash }));
    assert_eq!(lines.len(), 6);
    assert_eq!(find("what=export").await.0, "6", "that it was taken out is in it, too");
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_what_it_means() {
    let world = World::new();
    let (_, problem) = world.call("GET", "/nothing", None, None).await;
    assert_eq!(problem["type"], "/api/v1/problems/not-found");
    let path = problem["type"].as_str().unwrap().strip_prefix("/api/v1").unwrap();
    let (status, kind) = world.call("GET", path, None, None).await;
    assert_eq!((status, &kind["status"]), (StatusCode::OK, &json!(404)));
    let (status, _) = world.call("GET", "/problems/cats", None, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
