//! Every route of the list, called by those who must not get through.

use super::*;
use crate::api::listed;

/// The least that a route asks for, and a call of it for client acme that would succeed.
struct Expected {
    method: &'static str,
    path: &'static str,
    least: Option<Role>,
    call: &'static str,
    body: Option<Value>,
    /// What a stranger's answer must be: not there, or nothing of acme in it.
    stranger: Stranger,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stranger {
    NotFound,
    Empty,
    /// It is about the asker alone.
    OwnSession,
    /// The same, and what it takes is good only once: it succeeds in a test of its own.
    Once,
}

#[rustfmt::skip]
fn table(host: &Host, command: &Command) -> Vec<Expected> {
    use Stranger::{Empty, NotFound, OwnSession};
    let viewer = Some(Role::Viewer);
    let admin = Some(Role::Administrator);
    let row = |method, path, least, call, body, stranger| Expected { method, path, least, call, body, stranger };
    let newer = json!({ "document": b64(roster("acme", 2, ACME)) });
    let policy = json!({ "policy": { "client": "acme", "version": 1 } });
    let token = json!({ "uses": 1, "valid_secs": 60 });
    let range = json!({ "since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z" });
    let another = isolation(99, &[host]);
    vec![
        row("get", "/health", None, "/health", None, Empty),
        row("get", "/openapi.json", None, "/openapi.json", None, Empty),
        row("post", "/sign-in/challenge", None, "", None, Empty),
        row("post", "/sign-in", None, "", None, Empty),
        row("delete", "/sign-in", viewer, "/sign-in", None, OwnSession),
        row("get", "/clients", viewer, "/clients", None, Empty),
        row("get", "/clients/{client}/roster", viewer, "/clients/acme/roster", None, NotFound),
        row("put", "/clients/{client}/roster", admin, "/clients/acme/roster", Some(newer.clone()), NotFound),
        row("get", "/clients/{client}/tokens", admin, "/clients/acme/tokens", None, NotFound),
        row("post", "/clients/{client}/tokens", admin, "/clients/acme/tokens", Some(token), NotFound),
        row("delete", "/clients/{client}/tokens/{id}", admin, "/clients/acme/tokens/TOKEN", None, NotFound),
        row("post", "/clients/{client}/export", viewer, "/clients/acme/export", Some(range), NotFound),
        row("post", "/clients/{client}/roster/differences", viewer, "/clients/acme/roster/differences", Some(newer.clone()), NotFound),
        row("get", "/clients/{client}/rosters", viewer, "/clients/acme/rosters", None, NotFound),
        row("get", "/clients/{client}/rosters/{version}", viewer, "/clients/acme/rosters/1", None, NotFound),
        row("get", "/clients/{client}/rosters/{version}/differences", viewer, "/clients/acme/rosters/1/differences", None, NotFound),
        row("get", "/clients/{client}/operators", viewer, "/clients/acme/operators", None, NotFound),
        row("get", "/clients/{client}/policies", viewer, "/clients/acme/policies", None, NotFound),
        row("get", "/clients/{client}/policies/status", viewer, "/clients/acme/policies/status", None, NotFound),
        row("post", "/clients/{client}/policies/preview", viewer, "/clients/acme/policies/preview", Some(policy), NotFound),
        row("get", "/clients/{client}/sites", viewer, "/clients/acme/sites", None, NotFound),
        row("post", "/clients/{client}/sites", admin, "/clients/acme/sites", Some(json!({ "name": "hq" })), NotFound),
        row("patch", "/clients/{client}/sites/{site}", admin, "/clients/acme/sites/old", Some(json!({ "title": "x" })), NotFound),
        row("delete", "/clients/{client}/sites/{site}", admin, "/clients/acme/sites/older", None, NotFound),
        row("get", "/endpoints/counts", viewer, "/endpoints/counts", None, Empty),
        row("get", "/endpoints/counts", viewer, "/endpoints/counts?client=acme", None, NotFound),
        row("patch", "/endpoints/{id}", Some(Role::Responder), "/endpoints/ENDPOINT", Some(json!({ "role": "shop" })), NotFound),
        row("get", "/endpoints", viewer, "/endpoints", None, Empty),
        row("get", "/endpoints", viewer, "/endpoints?client=acme", None, NotFound),
        row("get", "/endpoints/{id}", viewer, "/endpoints/ENDPOINT", None, NotFound),
        row("get", "/endpoints/{id}/preview", viewer, "/endpoints/ENDPOINT/preview", None, NotFound),
        row("get", "/endpoints/{id}/proof", viewer, "/endpoints/ENDPOINT/proof?lane=telemetry&epoch=1&seq=1", None, NotFound),
        row("get", "/endpoints/{id}/way-out", viewer, "/endpoints/ENDPOINT/way-out", None, NotFound),
        row("get", "/events", viewer, "/events", None, Empty),
        row("get", "/events", viewer, "/events?client=acme", None, NotFound),
        row("get", "/events", viewer, "/events?endpoint=ENDPOINT", None, NotFound),
        row("get", "/events/live", viewer, "/events/live?client=acme", None, NotFound),
        row("get", "/events/live", viewer, "/events/live?endpoint=ENDPOINT", None, NotFound),
        row("get", "/commands", viewer, "/commands", None, Empty),
        row("get", "/commands", viewer, "/commands?client=acme", None, NotFound),
        row("post", "/commands", Some(Role::Responder), "/commands", Some(signed(&another, &["rob"])), NotFound),
        row("get", "/commands/{id}", viewer, "/commands/COMMAND", None, NotFound),
        row("post", "/commands/{id}/signatures", Some(Role::Responder), "/commands/COMMAND/signatures", Some(signed(command, &["ria"])), NotFound),
        row("get", "/commands/{id}/rows", Some(Role::Responder), "/commands/COMMAND/rows", None, NotFound),
        row("get", "/containments", viewer, "/containments", None, Empty),
        row("get", "/containments", viewer, "/containments?client=acme", None, NotFound),
        row("get", "/collections", viewer, "/collections", None, Empty),
        row("get", "/collections", viewer, "/collections?client=acme", None, NotFound),
        row("get", "/collections/{command}/{endpoint}", Some(Role::Responder), "/collections/COMMAND/ENDPOINT", None, NotFound),
        row("get", "/audit", viewer, "/audit?client=acme", None, NotFound),
        row("get", "/audit/export", viewer, "/audit/export?client=acme", None, NotFound),
        row("get", "/metrics", viewer, "/metrics", None, Empty),
        row("get", "/problems/{name}", None, "/problems/not-found", None, Empty),
    ]
}

/// How people and their programs get in.
#[rustfmt::skip]
fn ways_in() -> Vec<Expected> {
    use Stranger::{Empty, NotFound, Once, OwnSession};
    let viewer = Some(Role::Viewer);
    let admin = Some(Role::Administrator);
    let row = |method, path, least, call, body, stranger| Expected { method, path, least, call, body, stranger };
    vec![
        row("post", "/sign-in/password", None, "", None, Empty),
        row("post", "/sign-in/second", None, "", None, Empty),
        row("post", "/sign-in/passkey/challenge", None, "", None, Empty),
        row("post", "/sign-in/passkey", None, "", None, Empty),
        row("post", "/set-up", None, "", None, Empty),
        row("post", "/set-up/confirm", None, "", None, Empty),
        row("get", "/session", viewer, "/session", None, OwnSession),
        row("post", "/session/proof", viewer, "/session/proof", Some(json!({ "password": "x", "code": "1" })), Once),
        row("post", "/session/proof/passkey/challenge", viewer, "/session/proof/passkey/challenge", None, Once),
        row("post", "/session/proof/passkey", viewer, "/session/proof/passkey", Some(json!({})), Once),
        row("get", "/sessions", viewer, "/sessions", None, OwnSession),
        row("get", "/sessions", admin, "/sessions?client=acme", None, NotFound),
        row("delete", "/sessions", viewer, "/sessions", None, OwnSession),
        row("delete", "/sessions/{id}", admin, "/sessions/SESSION", None, NotFound),
        row("get", "/account", viewer, "/account", None, OwnSession),
        row("delete", "/account", viewer, "/account", None, OwnSession),
        row("post", "/account/invitation", viewer, "/account/invitation", None, OwnSession),
        row("put", "/account/password", viewer, "/account/password", Some(json!({ "password": "correct horse 2" })), OwnSession),
        row("post", "/account/totp", viewer, "/account/totp", None, OwnSession),
        row("put", "/account/totp", viewer, "/account/totp", Some(json!({ "draft": "", "code": "1" })), Once),
        row("post", "/account/recovery-codes", viewer, "/account/recovery-codes", None, OwnSession),
        row("get", "/account/passkeys", viewer, "/account/passkeys", None, OwnSession),
        row("post", "/account/passkeys", viewer, "/account/passkeys", Some(json!({ "name": "x" })), Once),
        row("post", "/account/passkeys/challenge", viewer, "/account/passkeys/challenge", None, OwnSession),
        row("delete", "/account/passkeys/{id}", viewer, "/account/passkeys/PASSKEY", None, Once),
        row("get", "/clients/{client}/accounts", admin, "/clients/acme/accounts", None, NotFound),
        row("get", "/clients/{client}/invitations", admin, "/clients/acme/invitations", None, NotFound),
        row("post", "/clients/{client}/invitations", admin, "/clients/acme/invitations", Some(json!({ "operator": "ria" })), NotFound),
        row("delete", "/clients/{client}/invitations/{id}", admin, "/clients/acme/invitations/INVITATION", None, NotFound),
        row("get", "/api-tokens", viewer, "/api-tokens", None, OwnSession),
        row("get", "/api-tokens", admin, "/api-tokens?client=acme", None, NotFound),
        row("post", "/api-tokens", viewer, "/api-tokens", Some(json!({ "name": "x", "valid_secs": 60, "clients": ["acme"] })), NotFound),
        row("delete", "/api-tokens/{id}", admin, "/api-tokens/APITOKEN", None, NotFound),
    ]
}

#[tokio::test]
async fn every_route_refuses_nobody_strangers_and_too_low_a_role() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    world.store(&mut host, Lane::Telemetry, vec![line("secret of acme")]).await;
    world.store(&mut host, Lane::Control, vec![way_out(1, 1, &["rob"])]).await;
    let command = isolation(1, &[&host]);
    let rob = world.sign_in("rob").await;
    let (status, _) =
        world.call("POST", "/commands", Some(&rob), Some(signed(&command, &["rob"]))).await;
    assert_eq!(status, StatusCode::CREATED);
    collected(&world, &host, &command, b"evidence");
    let ann = world.sign_in("ann").await;
    for name in ["old", "older"] {
        let site = json!({ "name": name });
        world.call("POST", "/clients/acme/sites", Some(&ann), Some(site)).await;
    }
    let table: Vec<_> = table(&host, &command).into_iter().chain(ways_in()).collect();
    let body = json!({ "name": "looks on", "valid_secs": 86_400, "role_max": "viewer" });
    let (_, made) = world.call("POST", "/api-tokens", Some(&ann), Some(body)).await;
    let looks_on = made["token"].as_str().unwrap();

    let openapi = serde_json::to_value(listed().into_parts().0.into_openapi()).unwrap();
    let mut walked = 0;
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let rows: Vec<_> =
                table.iter().filter(|row| row.path == path && row.method == method).collect();
            assert!(!rows.is_empty(), "{method} {path} is not in this test's table");
            for row in rows {
                check(&world, row, &host, &command, looks_on).await;
                walked += 1;
            }
        }
    }
    assert_eq!(walked, table.len(), "a row of the table is no route");
}

async fn check(world: &World, row: &Expected, host: &Host, command: &Command, looks_on: &str) {
    let Some(least) = row.least else { return };
    world.pass(60); // as many sign-ins as this are too many for one minute
    for who in ["vic", "zoe"] {
        accounts::give_account(world, who);
    }
    let theirs = Theirs::make(world).await;
    let token = TokenId::of(host.name.as_bytes()).to_string();
    let path = row
        .call
        .replace("ENDPOINT", &host.endpoint.to_string())
        .replace("COMMAND", &command.id.to_string())
        .replace("APITOKEN", &theirs.api_token)
        .replace("SESSION", &theirs.session)
        .replace("INVITATION", &theirs.invitation)
        .replace("TOKEN", &token);
    let method = row.method.to_uppercase();
    let call = |token: Option<String>| {
        let (method, path) = (method.clone(), path.clone());
        async move { world.call(&method, &path, token.as_deref(), row.body.clone()).await }
    };
    let says = |who: &str| format!("{method} {path} as {who}");

    let (status, body) = call(None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", says("nobody"));
    assert_eq!(body["status"], 401, "{}", says("nobody"));
    let (status, _) = call(Some(b64([0; 32]))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", says("a made-up token"));
    let (status, _) = call(Some(format!("cordon_{}", "a".repeat(48)))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", says("a made-up API token"));
    if method != "GET" || least > Role::Viewer {
        let (status, body) = call(Some(looks_on.to_owned())).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{}: {body}", says("a token that only looks"));
    }

    let (status, body) = call(Some(world.sign_in("zoe").await)).await;
    match row.stranger {
        Stranger::NotFound => assert_eq!(status, StatusCode::NOT_FOUND, "{}", says("a stranger")),
        Stranger::Empty => {
            assert_eq!(status, StatusCode::OK, "{}", says("a stranger"));
            let shown = body.to_string();
            assert!(!shown.contains("acme") && !shown.contains("web-01"), "{shown}");
        }
        Stranger::OwnSession => assert!(status.is_success(), "{}: {body}", says("a stranger")),
        Stranger::Once => return,
    }
    let below = match least {
        Role::Viewer => None,
        Role::Responder => Some("vic"),
        Role::Administrator => Some("rob"),
    };
    if let Some(below) = below {
        let (status, _) = call(Some(world.sign_in(below).await)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{}", says(below));
    }
    let enough = match least {
        Role::Viewer => "vic",
        Role::Responder => "rob",
        Role::Administrator => "ann",
    };
    if path.contains("/live") {
        return; // it would not end
    }
    if path.ends_with("/rows") {
        return; // what is read once is read in a test of its own
    }
    let (status, body) = call(Some(world.sign_in(enough).await)).await;
    assert!(status.is_success(), "{}: {status} {body}", says(enough));
}

/// What is ria's, an operator of acme, and nobody else's.
struct Theirs {
    session: String,
    api_token: String,
    invitation: String,
}

impl Theirs {
    async fn make(world: &World) -> Self {
        let ria = world.sign_in("ria").await;
        let session = world.get("/session", &ria).await["session"]["id"].clone();
        let body = json!({ "name": "ria's", "valid_secs": 60 });
        let (_, token) = world.call("POST", "/api-tokens", Some(&ria), Some(body)).await;
        let (_, invited) = world.call("POST", "/account/invitation", Some(&ria), None).await;
        let text = |id: &Value| id.as_str().unwrap().to_owned();
        Self {
            session: text(&session),
            api_token: text(&token["id"]),
            invitation: text(&invited["id"]),
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_in_json_and_every_answer_has_its_headers() {
    let world = World::new();
    let response = world.send("GET", "/api/v1/nothing", None, None).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let headers = response.headers();
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let response = world.send("POST", "/api/v1/health", None, None).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn the_openapi_document_is_3_1_and_names_every_route_under_its_prefix() {
    let world = World::new();
    let (status, document) = world.call("GET", "/openapi.json", None, None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), listed().into_parts().0.into_openapi().paths.paths.len());
    assert!(paths.keys().all(|path| path.starts_with("/api/v1/")));
    assert!(document["paths"]["/api/v1/commands"]["post"]["requestBody"].is_object());
}

#[tokio::test]
async fn a_body_longer_than_a_document_is_not_read() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let body = json!({ "document": "A".repeat(512 << 10) });
    let (status, problem) = world.call("PUT", "/clients/acme/roster", Some(&ann), Some(body)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{problem}");
}

/// Brings an archive, as the agents' door does.
pub(super) fn collected(world: &World, host: &Host, command: &Command, content: &[u8]) {
    use cordon_proto::collection::{Archive, Collected, Piece};
    let archive = Archive {
        bytes: u64::try_from(content.len()).unwrap(),
        sha256: Hash::of(content),
        entries: 1,
        missing: 0,
        cut: false,
        time_ns: START_NS,
        took_ms: 1,
        inside: None,
    };
    let collected = Collected {
        endpoint: host.endpoint,
        key: host.key.verifying(),
        command: command.id,
        command_hash: Hash::default(),
        archive,
    };
    let from = crate::collections::Sender { client: &host.client, endpoint: host.endpoint };
    let collections = &world.collector.collections;
    collections.offer(from, &collected.sign(&host.key), &collected, Some(1 << 20));
    let content = content.to_vec();
    let piece = Piece { command: command.id, offset: 0, content, offer: None };
    assert_eq!(collections.piece(from, &piece).bytes, archive.bytes);
}

#[tokio::test]
async fn an_archive_is_fetched_from_any_place_in_it_and_that_is_in_the_trail() {
    let world = World::new();
    let host = world.enrol("acme", "web-01");
    let command = isolation(1, &[&host]);
    let rob = world.sign_in("rob").await;
    let body = Some(signed(&command, &["rob"]));
    world.call("POST", "/commands", Some(&rob), body).await;
    collected(&world, &host, &command, b"evidence");
    let path = format!("/api/v1/collections/{}/{}", command.id, host.endpoint);
    let get = |range: &'static str| {
        let mut request = Request::builder().uri(&path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {rob}"));
        if !range.is_empty() {
            request = request.header(header::RANGE, range);
        }
        world.router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let whole = get("").await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(read(whole).await, b"evidence".as_slice());
    let rest = get("bytes=5-").await.unwrap();
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.headers()[header::CONTENT_RANGE], "bytes 5-7/8");
    assert_eq!(read(rest).await, b"nce".as_slice());
    for range in ["bytes=8-", "bytes=-1", "bytes=0-1,3-4", "lines=1-"] {
        assert_eq!(get(range).await.unwrap().status(), StatusCode::RANGE_NOT_SATISFIABLE);
    }
    let listed = world.get("/collections?client=acme", &rob).await;
    assert_eq!(listed["items"][0]["whole"], true, "{listed}");
    let trail = world.get("/audit?client=acme", &rob).await.to_string();
    assert!(trail.contains("the collection of command"), "{trail}");
}
