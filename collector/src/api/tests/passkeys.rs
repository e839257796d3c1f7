//! Passkeys: made, signed in with, replayed, copied.

use minicbor::Encoder;

use super::accounts::{HOME, give_account, post, sign_in};
use super::*;

const ORIGIN: &str = "https://localhost:8443";
const VERIFIED: u8 = 0x05;

/// An authenticator with one Ed25519 passkey.
struct Authenticator {
    key: SigningKey,
    counter: u32,
}

impl Authenticator {
    fn data(&self, rp_id: &str, flags: u8) -> Vec<u8> {
        let mut data = cordon_proto::sign::sha256(rp_id.as_bytes()).to_vec();
        data.push(flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    fn client(kind: &str, challenge: &Value, origin: &str) -> Vec<u8> {
        let client = json!({ "type": kind, "challenge": challenge, "origin": origin });
        client.to_string().into_bytes()
    }

    fn made(&self, challenge: &Value) -> Value {
        let mut data = self.data("localhost", VERIFIED | 0x40);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&[0, 4]);
        data.extend_from_slice(b"cred");
        let mut e = Encoder::new(&mut data);
        e.map(4).unwrap().i8(1).unwrap().i8(1).unwrap().i8(3).unwrap().i8(-8).unwrap();
        e.i8(-1).unwrap().i8(6).unwrap().i8(-2).unwrap().bytes(&self.key.verifying().0).unwrap();
        let mut attestation = Vec::new();
        let mut e = Encoder::new(&mut attestation);
        e.map(3).unwrap().str("fmt").unwrap().str("none").unwrap();
        e.str("attStmt").unwrap().map(0).unwrap().str("authData").unwrap().bytes(&data).unwrap();
        let client = Self::client("webauthn.create", challenge, ORIGIN);
        json!({ "name": "laptop", "client_data": b64(client), "attestation": b64(attestation) })
    }

    fn answer(&mut self, challenge: &Value, origin: &str, flags: u8) -> Value {
        self.counter += 1;
        let data = self.data("localhost", flags);
        let client = Self::client("webauthn.get", challenge, origin);
        let over = [&data[..], &cordon_proto::sign::sha256(&client)].concat();
        json!({
            "credential": b64(b"cred"), "authenticator_data": b64(data),
            "client_data": b64(client), "signature": b64(self.key.sign(&over)),
        })
    }
}

async fn challenge(world: &World) -> Value {
    let (status, given) = world.call("POST", "/sign-in/passkey/challenge", None, None).await;
    assert_eq!(status, StatusCode::OK, "{given}");
    assert_eq!(
        (&given["rp_id"], &given["user_verification"]),
        (&json!("localhost"), &json!("required"))
    );
    given["challenge"].clone()
}

async fn try_it(world: &World, body: &Value) -> u16 {
    post(world, HOME, "/sign-in/passkey", body).await.status().as_u16()
}

#[tokio::test]
async fn a_passkey_is_made_and_opens_a_session_with_each_challenge_once() {
    let world = World::new();
    give_account(&world, "vic");
    let opened = sign_in(&world, HOME, "vic", false).await;
    let opened: Value = serde_json::from_slice(&read(opened).await).unwrap();
    let vic = opened["token"].as_str().unwrap();
    let mut authenticator = Authenticator { key: key("authenticator"), counter: 0 };

    let begin = async || world.call("POST", "/account/passkeys/challenge", Some(vic), None).await.1;
    let create =
        async |body: Value| world.call("POST", "/account/passkeys", Some(vic), Some(body)).await;
    let given = begin().await;
    let stolen = challenge(&world).await;
    assert_eq!(create(authenticator.made(&stolen)).await.0, 422, "it was given for signing in");
    let body = authenticator.made(&given["challenge"]);
    let (status, made) = create(body.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(create(body).await.0, 422, "a challenge counts once");
    let again = begin().await;
    assert_eq!(again["exclude"], json!([b64(b"cred")]));
    assert_eq!(create(authenticator.made(&again["challenge"])).await.0, 409, "known already");

    let given = challenge(&world).await;
    let body = authenticator.answer(&given, ORIGIN, VERIFIED);
    assert_eq!(try_it(&world, &body).await, 200);
    assert_eq!(try_it(&world, &body).await, 401, "what was overheard opens nothing");
    let listed = world.get("/account/passkeys", vic).await;
    assert_eq!(listed["items"][0]["name"], "laptop");
    assert!(listed["items"][0]["used_at"].is_string(), "{listed}");
    let ways = world.get("/sessions", vic).await;
    assert!(ways.to_string().contains("\"passkey\""), "{ways}");

    let path = format!("/account/passkeys/{}", made["id"].as_str().unwrap());
    world.pass(300);
    assert_eq!(world.call("DELETE", &path, Some(vic), None).await.0, 401, "prove it again");
    let fresh = world.sign_in("vic").await;
    assert_eq!(world.call("DELETE", &path, Some(&fresh), None).await.0, 204);
    let given = challenge(&world).await;
    let body = authenticator.answer(&given, ORIGIN, VERIFIED);
    assert_eq!(try_it(&world, &body).await, 401, "it is no more");
}

#[tokio::test]
async fn an_assertion_from_elsewhere_unverified_late_or_of_a_copy_opens_nothing() {
    let world = World::new();
    give_account(&world, "vic");
    let vic = world.sign_in("vic").await;
    let mut authenticator = Authenticator { key: key("authenticator"), counter: 0 };
    let (_, given) = world.call("POST", "/account/passkeys/challenge", Some(&vic), None).await;
    let body = authenticator.made(&given["challenge"]);
    let (status, _) = world.call("POST", "/account/passkeys", Some(&vic), Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    let check = async |authenticator: &mut Authenticator, origin: &str, flags: u8, status: u16| {
        let given = challenge(&world).await;
        let body = authenticator.answer(&given, origin, flags);
        assert_eq!(try_it(&world, &body).await, status, "{origin} {flags}");
    };
    let mut copy = Authenticator { key: key("authenticator"), counter: 0 };
    check(&mut authenticator, ORIGIN, VERIFIED, 200).await;
    check(&mut authenticator, "https://localhost:9443", VERIFIED, 401).await;
    check(&mut authenticator, "http://localhost:8443", VERIFIED, 401).await;
    check(&mut authenticator, ORIGIN, 0x01, 401).await;
    check(&mut authenticator, ORIGIN, VERIFIED, 200).await;
    check(&mut copy, ORIGIN, VERIFIED, 401).await;
    let trail = world.get("/audit?client=acme", &vic).await.to_string();
    assert!(trail.contains("may have copied it"), "{trail}");
    let mut stranger = Authenticator { key: key("stranger"), counter: 50 };
    check(&mut stranger, ORIGIN, VERIFIED, 401).await;
    let given = challenge(&world).await;
    world.pass(300);
    let late = authenticator.answer(&given, ORIGIN, VERIFIED);
    assert_eq!(try_it(&world, &late).await, 401);
    let made_up = authenticator.answer(&json!(b64([1; 32])), ORIGIN, VERIFIED);
    assert_eq!(try_it(&world, &made_up).await, 401);
}

#[tokio::test]
async fn who_signed_in_with_a_passkey_proves_with_it_to_be_still_the_same_person() {
    let world = World::new();
    let mut authenticator = Authenticator { key: key("authenticator"), counter: 0 };
    for who in ["vic", "ria"] {
        give_account(&world, who);
    }
    let vic = world.sign_in("vic").await;
    let (_, given) = world.call("POST", "/account/passkeys/challenge", Some(&vic), None).await;
    let body = authenticator.made(&given["challenge"]);
    assert_eq!(world.call("POST", "/account/passkeys", Some(&vic), Some(body)).await.0, 201);
    let given = challenge(&world).await;
    let body = authenticator.answer(&given, ORIGIN, VERIFIED);
    let opened = post(&world, HOME, "/sign-in/passkey", &body).await;
    let opened: Value = serde_json::from_slice(&read(opened).await).unwrap();
    let session = opened["token"].as_str().unwrap();
    world.pass(300);

    let change = async |token: &str| {
        let (status, said) = world.call("POST", "/account/totp", Some(token), None).await;
        assert!(status == 200 || said.to_string().contains("/session/proof/passkey"), "{said}");
        status.as_u16()
    };
    let path = "/session/proof/passkey";
    let ask = async |token: &str| {
        world.call("POST", "/session/proof/passkey/challenge", Some(token), None).await
    };
    let prove = async |token: &str, body: Value| {
        world.call("POST", path, Some(token), Some(body)).await.0.as_u16()
    };
    assert_eq!(change(session).await, 401);
    let given = challenge(&world).await;
    let stolen = authenticator.answer(&given, ORIGIN, VERIFIED);
    assert_eq!(prove(session, stolen).await, 401, "it was given for signing in");
    let (status, given) = ask(session).await;
    assert_eq!((status.as_u16(), &given["allow"]), (200, &json!([b64(b"cred")])));
    let unverified = authenticator.answer(&given["challenge"], ORIGIN, 0x01);
    assert_eq!(prove(session, unverified).await, 401);
    let body = authenticator.answer(&given["challenge"], ORIGIN, VERIFIED);
    assert_eq!(try_it(&world, &body).await, 401, "it opens no session");
    assert_eq!(prove(session, body.clone()).await, 204);
    assert_eq!(prove(session, body).await, 401, "it counts once");
    assert_eq!(change(session).await, 200);

    let ria = world.sign_in("ria").await;
    world.pass(300);
    assert_eq!(ask(&ria).await.0, 409, "there is no passkey to prove with");
    let (_, given) = ask(session).await;
    let body = authenticator.answer(&given["challenge"], ORIGIN, VERIFIED);
    assert_eq!(prove(&ria, body).await, 401, "another's passkey proves another");
    assert_eq!(change(&ria).await, 401);
}
