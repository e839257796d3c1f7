//! Sessions: in cookies and in headers, listed and ended.

use super::accounts::{HOME, PASSWORD, code, give_account, post, sign_in};
use super::*;
use crate::signin::totp::STEP_SECS;

/// A session in a browser.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    async fn sign_in(world: &World, who: &str) -> Self {
        let response = sign_in(world, HOME, who, true).await;
        assert_eq!(response.status(), StatusCode::OK);
        let set = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert!(cookie.starts_with("__Host-cordon="), "{set}");
        assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=28800");
        let body: Value = serde_json::from_slice(&read(response).await).unwrap();
        assert!(body["token"].is_null(), "a script must not see it");
        Self { cookie: cookie.to_owned(), csrf: body["csrf"].as_str().unwrap().to_owned() }
    }

    async fn call(&self, world: &World, method: &str, path: &str, more: &[(&str, &str)]) -> u16 {
        let uri = format!("{}{path}", crate::api::PREFIX);
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header(header::COOKIE, format!("theme=dark; {}", self.cookie));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let body = Body::from("{\"name\":\"x\",\"valid_secs\":60}");
        let response = world.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        response.status().as_u16()
    }
}

#[tokio::test]
async fn a_session_in_a_cookie_changes_nothing_without_the_pages_word() {
    let world = World::new();
    give_account(&world, "vic");
    let browser = Browser::sign_in(&world, "vic").await;
    assert_eq!(browser.call(&world, "GET", "/session", &[]).await, 200);
    let create =
        async |more: &[(&str, &str)]| browser.call(&world, "POST", "/api-tokens", more).await;
    assert_eq!(create(&[]).await, 403);
    assert_eq!(create(&[("x-csrf-token", "AAAA")]).await, 403);
    let word = ("x-csrf-token", browser.csrf.as_str());
    assert_eq!(create(&[word, ("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(create(&[word, ("sec-fetch-site", "same-site")]).await, 403);
    assert_eq!(create(&[word, ("sec-fetch-site", "same-origin")]).await, 201);
    assert_eq!(browser.call(&world, "DELETE", "/sign-in", &[word]).await, 204);
    assert_eq!(browser.call(&world, "GET", "/session", &[]).await, 401);
}

#[tokio::test]
async fn a_stolen_session_is_worth_nothing_through_the_other_door() {
    let world = World::new();
    give_account(&world, "vic");
    let browser = Browser::sign_in(&world, "vic").await;
    let token = browser.cookie.split_once('=').unwrap().1;
    assert_eq!(world.call("GET", "/session", Some(token), None).await.0, 401);
    let bearer = world.sign_in("vic").await;
    let forged = Browser { cookie: format!("__Host-cordon={bearer}"), csrf: String::new() };
    assert_eq!(forged.call(&world, "GET", "/session", &[]).await, 401);
    assert_eq!(world.get("/session", &bearer).await["csrf"], Value::Null);
}

#[tokio::test]
async fn signing_in_is_not_done_by_a_page_of_another_origin() {
    let world = World::new();
    for path in ["/sign-in/password", "/sign-in/second", "/set-up", "/set-up/confirm"] {
        let request =
            Request::post(format!("/api/v1{path}")).header("sec-fetch-site", "cross-site");
        let request = request.body(Body::from("{}")).unwrap();
        let response = world.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_and_by_administrators() {
    let world = World::new();
    give_account(&world, "vic");
    let browser = Browser::sign_in(&world, "vic").await;
    world.pass(STEP_SECS);
    let (vic, ann, zoe) =
        (world.sign_in("vic").await, world.sign_in("ann").await, world.sign_in("zoe").await);
    let own = world.get("/sessions", &vic).await;
    let items = own["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((&items[0]["way"], &items[0]["this"]), (&json!("key"), &json!(true)));
    assert_eq!((&items[1]["way"], &items[1]["browser"]), (&json!("password"), &json!(true)));
    assert_eq!(
        (&items[1]["address"], &items[1]["agent"]),
        (&json!("198.51.100.7"), &json!("a test"))
    );
    assert!(!own.to_string().contains(&browser.csrf));

    let all = world.get("/sessions?client=acme", &ann).await;
    let whose: Vec<_> = all["items"].as_array().unwrap().iter().map(|s| &s["operator"]).collect();
    assert!(whose.contains(&&json!("vic")) && whose.contains(&&json!("ann")), "{all}");
    assert!(!whose.contains(&&json!("zoe")));
    let path = format!("/sessions/{}", items[1]["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &path, Some(&zoe), None).await.0, 404);
    assert_eq!(world.call("DELETE", &path, Some(&ann), None).await.0, 204);
    assert_eq!(browser.call(&world, "GET", "/session", &[]).await, 401);
    let trail = world.get("/audit?client=acme", &ann).await.to_string();
    assert!(trail.contains("session.revoke") && trail.contains("of vic"), "{trail}");

    let again = world.sign_in("vic").await;
    let (_, ended) = world.call("DELETE", "/sessions?keep_this=true", Some(&vic), None).await;
    assert_eq!(ended["ended"], 1);
    assert_eq!(world.call("GET", "/session", Some(&again), None).await.0, 401);
    assert_eq!(world.call("GET", "/session", Some(&vic), None).await.0, 200);
    world.call("DELETE", "/sessions", Some(&vic), None).await;
    assert_eq!(world.call("GET", "/session", Some(&vic), None).await.0, 401);
}

#[tokio::test]
async fn a_live_feed_ends_soon_after_its_session_does() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let vic = world.sign_in("vic").await;
    let feed = world.send("GET", "/api/v1/events/live?client=acme", Some(&vic), None).await;
    assert_eq!(feed.status(), StatusCode::OK);
    let mut body = feed.into_body();
    world.store(&mut host, Lane::Telemetry, vec![line("one")]).await;
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&frame).contains("one"));
    world.call("DELETE", "/sessions", Some(&vic), None).await;
    world.pass(15);
    world.store(&mut host, Lane::Telemetry, vec![line("two")]).await;
    // What had arrived may still be on its way; then it ends.
    let mut rest = String::new();
    while let Some(frame) = body.frame().await {
        rest.push_str(&String::from_utf8_lossy(&frame.unwrap().into_data().unwrap()));
    }
    world.store(&mut host, Lane::Telemetry, vec![line("three")]).await;
    assert!(!rest.contains("three"));
}

#[tokio::test]
async fn made_up_tokens_are_looked_for_only_so_fast() {
    let world = World::new();
    let guess = async |number: u32| {
        let token = format!("cordon_{}", "a".repeat(48 - number.to_string().len()));
        let token = format!("{token}{}", number.to_string().replace(['0', '1', '8', '9'], "b"));
        world.call("GET", "/session", Some(&token), None).await.0
    };
    let mut told = StatusCode::UNAUTHORIZED;
    for number in 0..700 {
        told = guess(number).await;
        if told != StatusCode::UNAUTHORIZED {
            break;
        }
    }
    assert_eq!(told, StatusCode::TOO_MANY_REQUESTS);
    let rob = world.sign_in("rob").await;
    assert_eq!(world.call("GET", "/session", Some(&rob), None).await.0, 200, "good ones go on");
    let body = json!({ "name": "grafana", "valid_secs": 3600 });
    let (_, made) = world.call("POST", "/api-tokens", Some(&rob), Some(body)).await;
    let token = made["token"].as_str();
    assert_eq!(world.call("GET", "/clients", token, None).await.0, 200, "programs go on, too");
    let body = json!({ "pending": "AAAA", "code": code(&world) });
    assert_eq!(post(&world, HOME, "/sign-in/second", &body).await.status(), 401);
}

#[tokio::test]
async fn who_fails_behind_an_address_keeps_nobody_out_who_has_a_key_there() {
    let world = World::new();
    let key = key("ann").id();
    let (mut told, mut tries) = (StatusCode::OK, 0);
    while told != StatusCode::TOO_MANY_REQUESTS && tries < 200 {
        let body = json!({ "key": key, "answer": b64([0; 64]) });
        told = world.call("POST", "/sign-in", None, Some(body)).await.0;
        tries += 1;
    }
    assert_eq!(tries, 121, "guessing is told to wait");
    let invitation = json!({ "invitation": "AAAA", "name": "x@msp", "password": PASSWORD });
    let (status, _) = world.call("POST", "/set-up", None, Some(invitation)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "so are guesses at invitations");
    let ann = world.sign_in("ann").await;
    let (status, made) = world.call("POST", "/account/invitation", Some(&ann), None).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let right = json!({ "invitation": made["code"], "name": "x@msp", "password": PASSWORD });
    assert_eq!(world.call("POST", "/set-up", None, Some(right)).await.0, StatusCode::OK);
}
