//! Accounts: invited, set up, signed in with, guessed at, changed.

use std::net::SocketAddr;
use std::sync::LazyLock;

use axum::extract::ConnectInfo;

use super::*;
use crate::signin::account::{Account, Invitation};
use crate::signin::name::{AccountId, InvitationId};
use crate::signin::password::{PasswordHash, Passwords};
use crate::signin::totp::{STEP_SECS, TotpSecret};
use crate::time::Time;

pub(super) const PASSWORD: &str = "correct horse";

/// One of a handful of addresses.
pub(super) const HOME: &str = "198.51.100.7:1000";
const ELSEWHERE: &str = "203.0.113.9:2000";

static HASH: LazyLock<PasswordHash> = LazyLock::new(|| {
    let make = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Passwords::default().hash(PASSWORD.to_owned(), [1; 16])).unwrap()
    };
    std::thread::spawn(make).join().unwrap()
});

/// Everybody's app has the same secret here.
fn totp() -> TotpSecret {
    TotpSecret([7; 20])
}

/// The code that the app shows now.
pub(super) fn code(world: &World) -> String {
    totp().code(world.clock.wall_secs() / STEP_SECS)
}

/// Gives somebody an account, as if it had been set up with the own key.
pub(super) fn give_account(world: &World, who: &str) {
    let (collector, key) = (&world.collector, key(who).id());
    let now = Time(world.clock.wall_ns());
    let id: [u8; 16] = Hash::of(who.as_bytes()).0[..16].try_into().unwrap();
    let invitation = Invitation {
        id: InvitationId(id),
        key,
        operator: who.parse().unwrap(),
        clients: None,
        made_by: who.to_owned(),
        made: now,
        expires: now.plus_secs(60),
        draft: None,
    };
    let account = Account {
        id: AccountId(id),
        name: who.parse().unwrap(),
        key,
        clients: None,
        password: HASH.clone(),
        totp: collector.seal.seal(&totp().0, &key.0).unwrap(),
        made: now,
    };
    let invited = Hash::of(who.as_bytes());
    collector.state.add_invitation(invited, &invitation).unwrap();
    assert!(collector.state.take_invitation(invited, &account, &[], 0).unwrap());
}

/// Posts from an address, as a browser would; answers the whole response.
pub(super) async fn post(world: &World, from: &str, path: &str, body: &Value) -> Response<Body> {
    let mut request = Request::post(format!("{}{path}", crate::api::PREFIX));
    request = request.header("user-agent", "a test");
    let mut request = request.body(Body::from(body.to_string())).unwrap();
    request.extensions_mut().insert(ConnectInfo(from.parse::<SocketAddr>().unwrap()));
    world.router.clone().oneshot(request).await.unwrap()
}

async fn json_of(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    (status, serde_json::from_slice(&read(response).await).unwrap_or_default())
}

pub(super) async fn try_password(
    world: &World,
    from: &str,
    name: &str,
    password: &str,
) -> (StatusCode, Value) {
    let body = json!({ "name": name, "password": password });
    json_of(post(world, from, "/sign-in/password", &body).await).await
}

/// Signs in with password and code; answers the second step's response.
pub(super) async fn sign_in(world: &World, from: &str, who: &str, browser: bool) -> Response<Body> {
    let (status, half) = try_password(world, from, who, PASSWORD).await;
    assert_eq!(status, StatusCode::OK, "{half}");
    let body = json!({ "pending": half["pending"], "code": code(world), "browser": browser });
    post(world, from, "/sign-in/second", &body).await
}

/// The secret that the app was told.
fn told(shown: &Value) -> TotpSecret {
    let text = shown["secret"].as_str().unwrap();
    let value = |c: char| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap();
    let bits: String = text.chars().map(|c| format!("{:05b}", value(c))).collect();
    let byte = |bits: &[u8]| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap();
    let bytes: Vec<u8> = bits.as_bytes().chunks_exact(8).map(byte).collect();
    assert!(shown["otpauth"].as_str().unwrap().contains(text));
    TotpSecret(bytes.try_into().unwrap())
}

/// Sets an account up with an invitation's code; answers its recovery codes.
async fn set_up(world: &World, invitation: &Value, name: &str) -> (TotpSecret, Value) {
    let begin = json!({ "invitation": invitation, "name": name, "password": PASSWORD });
    let (status, shown) = json_of(post(world, HOME, "/set-up", &begin).await).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let secret = told(&shown);
    let code = secret.code(world.clock.wall_secs() / STEP_SECS);
    let confirm = json!({ "invitation": invitation, "code": code });
    let (status, made) = json_of(post(world, HOME, "/set-up/confirm", &confirm).await).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    (secret, made)
}

#[tokio::test]
async fn an_invited_operator_sets_an_account_up_and_signs_in_with_each_code_once() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let body = Some(json!({ "operator": "vic" }));
    let (status, invited) = world.call("POST", "/clients/acme/invitations", Some(&ann), body).await;
    assert_eq!(status, StatusCode::CREATED, "{invited}");
    let listed = world.get("/clients/acme/invitations", &ann).await;
    assert_eq!(listed["items"][0]["operator"], "vic");
    assert!(!listed.to_string().contains(invited["code"].as_str().unwrap()));

    let (secret, made) = set_up(&world, &invited["code"], "Vic@msp").await;
    assert_eq!((&made["operator"], &made["name"]), (&json!("vic"), &json!("vic@msp")));
    let again = json!({ "invitation": invited["code"], "code": "000000" });
    let (status, _) = json_of(post(&world, HOME, "/set-up/confirm", &again).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "an invitation counts once");

    let shown = secret.code(world.clock.wall_secs() / STEP_SECS);
    let second = async |factor: Value| {
        let (status, half) = try_password(&world, HOME, "VIC@msp", PASSWORD).await;
        assert_eq!(status, StatusCode::OK, "{half}");
        let mut body = factor;
        body["pending"] = half["pending"].clone();
        json_of(post(&world, HOME, "/sign-in/second", &body).await).await
    };
    let (status, _) = second(json!({ "code": shown })).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the code was shown when it was set up");
    world.pass(STEP_SECS);
    let next = secret.code(world.clock.wall_secs() / STEP_SECS);
    let (status, opened) = second(json!({ "code": next })).await;
    assert_eq!(status, StatusCode::OK, "{opened}");
    let (status, _) = second(json!({ "code": next })).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a code counts once");
    let recovery = json!({ "recovery_code": made["recovery_codes"][3] });
    assert_eq!(second(recovery.clone()).await.0, StatusCode::OK);
    assert_eq!(second(recovery).await.0, StatusCode::UNAUTHORIZED, "a recovery code, too");

    let vic = opened["token"].as_str().unwrap();
    let clients = world.get("/clients", vic).await;
    assert_eq!(clients["items"][0]["role"], "viewer", "what the roster says, and no more");
    assert_eq!(world.get("/account", vic).await["account"]["recovery_codes_left"], 9);
    let operators = world.get("/clients/acme/accounts", &ann).await;
    let vics = operators["items"].as_array().unwrap().iter().find(|o| o["operator"] == "vic");
    assert_eq!(
        (&vics.unwrap()["account"], &vics.unwrap()["sessions"]),
        (&json!("vic@msp"), &json!(2))
    );

    let trail = world.get("/audit?client=acme&limit=500", &ann).await.to_string();
    for what in ["account.invite", "account.set-up", "a password and a code", "sign-in.refuse"] {
        assert!(trail.contains(what), "{what} is not in {trail}");
    }
    for secret in [&next, PASSWORD, invited["code"].as_str().unwrap(), vic] {
        assert!(!trail.contains(secret), "a secret is in the trail");
    }
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_are_answered_alike() {
    let world = World::new();
    give_account(&world, "vic");
    let wrong = try_password(&world, HOME, "vic", "wrong horse").await;
    for (name, password) in
        [("nobody", PASSWORD), ("", PASSWORD), ("not a name", ""), ("vic", &"long ".repeat(1000))]
    {
        assert_eq!(try_password(&world, HOME, name, password).await, wrong, "{name}");
    }
    assert_eq!(wrong.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_guesser_must_wait_ever_longer_and_the_owner_elsewhere_signs_in() {
    let world = World::new();
    give_account(&world, "vic");
    for _ in 0..5 {
        let (status, _) = try_password(&world, ELSEWHERE, "vic", "wrong horse").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let guess = async || {
        let body = json!({ "name": "vic", "password": PASSWORD });
        post(&world, ELSEWHERE, "/sign-in/password", &body).await
    };
    let refused = guess().await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS, "even with the right one");
    assert_eq!(refused.headers()[header::RETRY_AFTER], "15");
    assert_eq!(sign_in(&world, HOME, "vic", false).await.status(), StatusCode::OK);
    world.pass(15);
    assert_eq!(guess().await.status(), StatusCode::OK, "and the wait ends");
    let ann = world.sign_in("ann").await;
    let waited = async || {
        let trail = world.get("/audit?client=acme", &ann).await;
        let refused = |entry: &&Value| entry["what"] == "sign-in.refuse";
        trail["items"].as_array().unwrap().iter().filter(refused).count()
    };
    // It is written down beside the answer, not before it.
    while waited().await == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn guesses_from_everywhere_do_not_lock_out_who_was_here_before() {
    let world = World::new();
    give_account(&world, "vic");
    assert_eq!(sign_in(&world, HOME, "vic", false).await.status(), StatusCode::OK);
    let mut refused = 0;
    for number in 0..50 {
        let from = format!("203.0.113.{number}:1");
        let (status, _) = try_password(&world, &from, "vic", "wrong horse").await;
        refused += usize::from(status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 10, "of all strangers together only so many may guess");
    world.pass(STEP_SECS);
    assert_eq!(sign_in(&world, HOME, "vic", false).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_second_factor_is_tried_five_times_and_each_failure_is_written_down() {
    let world = World::new();
    give_account(&world, "vic");
    let (_, half) = try_password(&world, HOME, "vic", PASSWORD).await;
    let body = json!({ "pending": half["pending"], "code": "000000" });
    for _ in 0..5 {
        let (status, _) = json_of(post(&world, HOME, "/sign-in/second", &body).await).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    let right = json!({ "pending": half["pending"], "code": code(&world) });
    let (status, _) = json_of(post(&world, HOME, "/sign-in/second", &right).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the password must be given again");
    let (_, half) = try_password(&world, HOME, "vic", PASSWORD).await;
    let right = json!({ "pending": half["pending"], "code": code(&world) });
    let answer = post(&world, HOME, "/sign-in/second", &right).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "and not at once");
    let (_, half) = try_password(&world, ELSEWHERE, "vic", PASSWORD).await;
    world.pass(300);
    let late = json!({ "pending": half["pending"], "code": code(&world) });
    let (status, _) = json_of(post(&world, ELSEWHERE, "/sign-in/second", &late).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "half a sign-in lasts five minutes");
}

/// Sam is an operator of both clients.
fn with_sam(world: &World) {
    let sam = |people: &[(&'static str, Role)]| [people, &[("sam", Role::Responder)]].concat();
    world.roster("acme", 2, &sam(ACME));
    world.roster("zeta", 2, &sam(ZETA));
}

#[tokio::test]
async fn an_administrator_of_one_client_makes_no_account_that_sees_another() {
    let world = World::new();
    with_sam(&world);
    let ann = world.sign_in("ann").await;
    let invite = Some(json!({ "operator": "sam" }));
    let path = "/clients/acme/invitations";
    let (_, invited) = world.call("POST", path, Some(&ann), invite.clone()).await;
    let (secret, _) = set_up(&world, &invited["code"], "sam").await;
    world.pass(STEP_SECS);
    let (_, half) = try_password(&world, HOME, "sam", PASSWORD).await;
    let code = secret.code(world.clock.wall_secs() / STEP_SECS);
    let body = json!({ "pending": half["pending"], "code": code });
    let (_, opened) = json_of(post(&world, HOME, "/sign-in/second", &body).await).await;
    let by_account = opened["token"].as_str().unwrap();
    let clients = world.get("/clients", by_account).await;
    assert_eq!(clients["items"].as_array().unwrap().len(), 1, "{clients}");
    assert_eq!(world.call("GET", "/endpoints?client=zeta", Some(by_account), None).await.0, 404);
    let body = Some(json!({ "name": "all", "valid_secs": 60 }));
    let (_, made) = world.call("POST", "/api-tokens", Some(by_account), body).await;
    let clients = world.get("/clients", made["token"].as_str().unwrap()).await;
    assert_eq!(clients["items"].as_array().unwrap().len(), 1, "nor does its token: {clients}");

    // With his own key sam sees both, and so does the account that he sets up with it.
    let by_key = world.sign_in("sam").await;
    assert_eq!(world.get("/clients", &by_key).await["items"].as_array().unwrap().len(), 2);
    let (status, own) = world.call("POST", "/account/invitation", Some(&by_key), None).await;
    assert_eq!(status, StatusCode::CREATED, "{own}");
    let (status, _) = world.call("POST", "/account/invitation", Some(by_account), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "an account vouches for nobody");
    set_up(&world, &own["code"], "sam").await;
    assert_eq!(world.call("GET", "/clients", Some(by_account), None).await.0, 401, "replaced");
    let (status, refused) = world.call("POST", path, Some(&ann), invite).await;
    assert_eq!(status, StatusCode::CONFLICT, "ann cannot take over what reaches zeta: {refused}");
}

#[tokio::test]
async fn an_invitation_expires_is_taken_back_and_ends_with_its_operator() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let path = "/clients/acme/invitations";
    let invite = async |who: &str| {
        let body = Some(json!({ "operator": who, "valid_secs": 60 }));
        world.call("POST", path, Some(&ann), body).await
    };
    let begin = async |invited: &Value| {
        let body =
            json!({ "invitation": invited["code"], "name": "somebody", "password": PASSWORD });
        json_of(post(&world, HOME, "/set-up", &body).await).await.0
    };
    assert_eq!(invite("zoe").await.0, StatusCode::UNPROCESSABLE_ENTITY, "no operator of acme");
    let (_, back) = invite("vic").await;
    let (_, late) = invite("ria").await;
    let (_, gone) = invite("rob").await;
    assert_eq!(begin(&gone).await, StatusCode::OK);
    let one = format!("{path}/{}", back["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &one, Some(&ann), None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.call("DELETE", &one, Some(&ann), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(begin(&back).await, StatusCode::UNAUTHORIZED);
    world.roster("acme", 2, &[("ann", Role::Administrator), ("ria", Role::Responder)]);
    assert_eq!(begin(&gone).await, StatusCode::UNAUTHORIZED, "no roster has the key");
    assert_eq!(begin(&late).await, StatusCode::OK);
    world.pass(60);
    assert_eq!(begin(&late).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_one_signs_in_with_is_changed_only_by_who_proved_it_just_now() {
    let world = World::new();
    give_account(&world, "vic");
    let (_, opened) = json_of(sign_in(&world, HOME, "vic", false).await).await;
    let vic = opened["token"].as_str().unwrap().to_owned();
    let (_, other) = {
        world.pass(STEP_SECS);
        json_of(sign_in(&world, HOME, "vic", false).await).await
    };
    world.pass(300);
    let change = async |password: &str| {
        let body = Some(json!({ "password": password }));
        world.call("PUT", "/account/password", Some(&vic), body).await
    };
    let (status, asked) = change("another horse").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{asked}");
    assert!(asked["detail"].as_str().unwrap().contains("POST /session/proof"), "{asked}");
    let prove = async |password: &str| {
        let body = Some(json!({ "password": password, "code": code(&world) }));
        world.call("POST", "/session/proof", Some(&vic), body).await.0
    };
    assert_eq!(prove("wrong horse").await, StatusCode::UNAUTHORIZED);
    assert_eq!(change("another horse").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(prove(PASSWORD).await, StatusCode::NO_CONTENT);
    assert_eq!(change("short").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(change("another horse").await.0, StatusCode::NO_CONTENT);
    let other = other["token"].as_str().unwrap();
    assert_eq!(world.call("GET", "/session", Some(other), None).await.0, 401, "others end");
    assert_eq!(try_password(&world, HOME, "vic", PASSWORD).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(try_password(&world, HOME, "vic", "another horse").await.0, StatusCode::OK);

    let (_, shown) = world.call("POST", "/account/totp", Some(&vic), None).await;
    let fresh = told(&shown);
    let put = async |code: String, draft: &Value| {
        let body = Some(json!({ "draft": draft, "code": code }));
        world.call("PUT", "/account/totp", Some(&vic), body).await.0
    };
    let now = fresh.code(world.clock.wall_secs() / STEP_SECS);
    assert_eq!(put("000000".to_owned(), &shown["draft"]).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(put(now.clone(), &json!("AAAA")).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(put(now, &shown["draft"]).await, StatusCode::NO_CONTENT);
    let (_, codes) = world.call("POST", "/account/recovery-codes", Some(&vic), None).await;
    assert_eq!(codes["recovery_codes"].as_array().unwrap().len(), 10);
    let (status, _) = world.call("DELETE", "/account", Some(&vic), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(world.call("GET", "/session", Some(&vic), None).await.0, 401, "it ends with it");
    assert_eq!(try_password(&world, HOME, "vic", "another horse").await.0, 401);
}

#[tokio::test]
async fn a_name_belongs_to_one_person_until_no_roster_has_that_one() {
    let world = World::new();
    give_account(&world, "vic");
    let ria = world.sign_in("ria").await;
    let (_, own) = world.call("POST", "/account/invitation", Some(&ria), None).await;
    let begin = json!({ "invitation": own["code"], "name": "vic", "password": PASSWORD });
    let (status, _) = json_of(post(&world, HOME, "/set-up", &begin).await).await;
    assert_eq!(status, StatusCode::CONFLICT);
    world.roster("acme", 2, &[("ria", Role::Responder)]);
    let (status, _) = try_password(&world, HOME, "vic", PASSWORD).await;
    assert_eq!(status, StatusCode::OK, "whether a roster has the person is told at the end");
    assert_eq!(sign_in(&world, HOME, "vic", false).await.status(), StatusCode::UNAUTHORIZED);
    set_up(&world, &own["code"], "vic").await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_sentence_and_changes_nothing() {
    let world = World::new();
    give_account(&world, "vic");
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let long = json!({ "name": "a".repeat(300_000), "password": "b".repeat(30_000) }).to_string();
    let huge = "x".repeat(1 << 20);
    let bodies = ["", "{}", "[]", "null", "{\"name\":", "\u{0}", &deep, &long, &huge];
    let routes = [
        "/sign-in/challenge",
        "/sign-in",
        "/sign-in/password",
        "/sign-in/second",
        "/set-up",
        "/set-up/confirm",
        "/session/proof",
        "/account/password",
        "/account/totp",
        "/api-tokens",
        "/clients/acme/invitations",
    ];
    let ann = world.sign_in("ann").await;
    for route in routes {
        for body in bodies {
            let put = route.starts_with("/account/");
            let request = Request::builder().method(if put { "PUT" } else { "POST" });
            let request = request
                .uri(format!("/api/v1{route}"))
                .header(header::AUTHORIZATION, format!("Bearer {ann}"));
            let request = request.body(Body::from(body.to_owned())).unwrap();
            let response = world.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let start: String = body.chars().take(20).collect();
            assert!(status.is_client_error(), "{route} {start}: {status}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            world.pass(2);
        }
    }
}
