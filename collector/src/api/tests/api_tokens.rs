//! API tokens: never more than their owner may now.

use super::*;

async fn made(world: &World, by: &str, body: Value) -> String {
    let (status, made) = world.call("POST", "/api-tokens", Some(by), Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_does_what_it_was_made_for_until_it_expires() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let looks = made(&world, &ann, json!({ "name": "grafana", "valid_secs": 3600 })).await;
    assert!(looks.starts_with("cordon_"));
    let acts = json!({ "name": "ci", "valid_secs": 7200, "role_max": "administrator",
        "read_only": false, "clients": ["acme"] });
    let acts = made(&world, &ann, acts).await;
    let create = async |token: &str| {
        let body = json!({ "uses": 1, "valid_secs": 60 });
        world.call("POST", "/clients/acme/tokens", Some(token), Some(body)).await.0
    };
    assert_eq!(world.get("/clients", &looks).await["items"][0]["role"], "viewer");
    assert_eq!(create(&looks).await, StatusCode::FORBIDDEN);
    assert_eq!(create(&acts).await, StatusCode::CREATED);
    let trail = world.get("/audit?client=acme", &ann).await.to_string();
    assert!(trail.contains("api-token.create") && trail.contains("with API token"), "{trail}");
    for (method, path) in [
        ("POST", "/api-tokens"),
        ("GET", "/sessions"),
        ("DELETE", "/sessions"),
        ("GET", "/account"),
        ("POST", "/account/invitation"),
        ("PUT", "/account/password"),
        ("DELETE", "/sign-in"),
        ("POST", "/clients/acme/invitations"),
    ] {
        let body = Some(json!({ "operator": "vic" }));
        let (status, _) = world.call(method, path, Some(&acts), body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} is for people");
    }
    world.pass(3600);
    assert_eq!(world.call("GET", "/clients", Some(&looks), None).await.0, 401);
    assert_eq!(world.call("GET", "/clients", Some(&acts), None).await.0, 200);
}

#[tokio::test]
async fn a_token_follows_its_owners_role_down_and_ends_with_him() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let asked = json!({ "name": "ci", "valid_secs": 7200, "role_max": "administrator",
        "read_only": false });
    let token = made(&world, &ann, asked).await;
    let role = async || world.get("/clients", &token).await["items"][0]["role"].clone();
    assert_eq!(role().await, "administrator");
    world.roster("acme", 2, &[("ann", Role::Responder)]);
    assert_eq!(role().await, "responder");
    world.roster("acme", 3, &[("bob", Role::Administrator)]);
    assert_eq!(world.call("GET", "/clients", Some(&token), None).await.0, 401);
}

#[tokio::test]
async fn tokens_are_listed_with_their_last_use_and_taken_back() {
    let world = World::new();
    let (vic, ann, zoe) =
        (world.sign_in("vic").await, world.sign_in("ann").await, world.sign_in("zoe").await);
    let token = made(&world, &vic, json!({ "name": "grafana", "valid_secs": 3600 })).await;
    world.pass(60);
    world.get("/clients", &token).await;
    let listed = world.get("/api-tokens", &vic).await;
    let item = &listed["items"][0];
    assert_eq!((&item["name"], &item["operator"]), (&json!("grafana"), &json!("vic")));
    assert_eq!(item["used_at"], "2026-11-21T00:01:00.000000000Z");
    assert_eq!((&item["read_only"], &item["role_max"]), (&json!(true), &json!("viewer")));
    assert!(!listed.to_string().contains(&token), "it is shown once");
    assert_eq!(world.get("/api-tokens?client=acme", &ann).await["items"], listed["items"]);
    assert_eq!(world.get("/api-tokens", &ann).await["items"], json!([]));
    let path = format!("/api-tokens/{}", item["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &path, Some(&zoe), None).await.0, 404);
    assert_eq!(world.call("DELETE", &path, Some(&token), None).await.0, 403);
    assert_eq!(world.call("DELETE", &path, Some(&ann), None).await.0, 204);
    assert_eq!(world.call("DELETE", &path, Some(&ann), None).await.0, 404);
    assert_eq!(world.call("GET", "/clients", Some(&token), None).await.0, 401);
}

#[tokio::test]
async fn a_token_is_not_made_for_more_than_its_maker_may_or_for_ever() {
    let world = World::new();
    let vic = world.sign_in("vic").await;
    let refused = async |body: Value| {
        let (status, problem) = world.call("POST", "/api-tokens", Some(&vic), Some(body)).await;
        (status.as_u16(), problem["detail"].as_str().unwrap_or_default().to_owned())
    };
    let role =
        json!({ "name": "x", "valid_secs": 60, "clients": ["acme"], "role_max": "responder" });
    assert_eq!(refused(role).await.0, 403);
    let other = json!({ "name": "x", "valid_secs": 60, "clients": ["zeta"] });
    assert_eq!(refused(other).await.0, 404);
    for body in [
        json!({ "name": "x", "valid_secs": 0 }),
        json!({ "name": "x", "valid_secs": 400 * 86_400 }),
        json!({ "name": "", "valid_secs": 60 }),
        json!({ "name": "x", "valid_secs": 60, "clients": [] }),
    ] {
        assert_eq!(refused(body.clone()).await.0, 422, "{body}");
    }
    for number in 0..100 {
        made(&world, &vic, json!({ "name": number.to_string(), "valid_secs": 60 })).await;
    }
    assert!(refused(json!({ "name": "x", "valid_secs": 60 })).await.1.contains("100 tokens"));
    world.pass(60);
    made(&world, &vic, json!({ "name": "x", "valid_secs": 60 })).await;
}
