//! Rosters and policies: versions, what differs, what would change, who holds what.

use cordon_proto::policy::Policy;
use cordon_proto::sign::PasskeyAlgorithm;

use super::*;

fn policy(version: u64, critical: &[&Host]) -> Policy {
    let critical = critical.iter().map(|host| host.endpoint).collect();
    Policy { critical, ..Policy::new("acme".parse().unwrap(), version) }
}

fn words(differences: &Value) -> String {
    let items = differences.as_array().unwrap().iter();
    items.map(|item| item["words"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_rosters_versions_are_listed_shown_and_held_against_each_other() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let second = [("ann", Role::Administrator), ("rob", Role::Administrator)];
    let document = json!({ "document": b64(roster("acme", 2, &second)) });
    let path = "/clients/acme/roster/differences";
    let (status, would) = world.call("POST", path, Some(&ann), Some(document.clone())).await;
    assert_eq!(status, StatusCode::OK, "{would}");
    assert_eq!((&would["from"], &would["to"]), (&json!(1), &json!(2)));
    assert!(
        words(&would["items"]).contains("operators.rob.roles becomes administrator"),
        "{would}"
    );
    assert!(words(&would["items"]).contains("operators.vic.roles is taken away"), "{would}");
    let forged: Roster = document::peek(Kind::Roster, &roster("acme", 2, &second)).unwrap();
    let forged = document::sign(Kind::Roster, &forged, b"", &key("mallory"));
    let forged = json!({ "document": b64(forged) });
    let (status, _) = world.call("POST", path, Some(&ann), Some(forged)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.get("/clients/acme/roster", &ann).await["version"], 1, "nothing was kept");

    world.call("PUT", "/clients/acme/roster", Some(&ann), Some(document)).await;
    let versions = world.get("/clients/acme/rosters?limit=1", &ann).await;
    assert_eq!((&versions["items"][0]["version"], &versions["next"]), (&json!(2), &json!("2")));
    assert_eq!(versions["items"][0]["operators"], 2);
    let rest = world.get("/clients/acme/rosters?cursor=2", &ann).await;
    assert_eq!((&rest["items"][0]["version"], &rest["next"]), (&json!(1), &Value::Null));
    let one = world.get("/clients/acme/rosters/1", &ann).await;
    assert_eq!(unb64(&one["document"]), roster("acme", 1, ACME));
    let differ = world.get("/clients/acme/rosters/2/differences", &ann).await;
    assert_eq!(differ["items"], would["items"]);
    let back = world.get("/clients/acme/rosters/1/differences?from=2", &ann).await;
    assert!(words(&back["items"]).contains("operators.vic.roles is new: viewer"), "{back}");
    let first = world.get("/clients/acme/rosters/1/differences", &ann).await;
    assert_eq!(first["from"], Value::Null);
    for missing in ["/clients/acme/rosters/3", "/clients/acme/rosters/x", "/clients/zeta/rosters/1"]
    {
        let (status, _) = world.call("GET", missing, Some(&ann), None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test]
async fn operators_are_listed_with_their_roles_and_keys() {
    let world = World::new();
    let vic = world.sign_in("vic").await;
    let page = world.get("/clients/acme/operators?limit=3", &vic).await;
    assert_eq!(page["items"][0]["id"], "ann");
    assert_eq!(page["items"][0]["roles"], json!(["administrator"]));
    assert_eq!(page["items"][0]["keys"][0]["id"], key("ann").id().to_string());
    assert_eq!(page["items"][0]["keys"][0]["origins"], json!([]), "a file signs anywhere");
    assert_eq!((&page["items"][0]["break_glass"], &page["next"]), (&json!(false), &json!("rob")));
    let rest = world.get("/clients/acme/operators?cursor=rob", &vic).await;
    assert_eq!(rest["items"][0]["id"], "vic");
}

#[tokio::test]
async fn a_passkey_is_listed_with_the_pages_it_signs_at_and_a_roster_with_what_it_grants() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let mut newer: Roster = document::peek(Kind::Roster, &roster("acme", 2, ACME)).unwrap();
    newer.operators[0].keys.push(OperatorKey::Passkey {
        algorithm: PasskeyAlgorithm::Es256,
        public: vec![4; 65],
        rp_id: "localhost".to_owned(),
        origins: vec!["http://localhost:9443".to_owned()],
    });
    let (action, role) = (ActionKind::Isolate, Role::Responder);
    newer.grants = vec![Grant { action, role, approvals: 2, targets_max: 7 }];
    newer.ceilings.lease_secs_max = 3600;
    let body =
        json!({ "document": b64(document::sign(Kind::Roster, &newer, b"", &key("authority"))) });
    let (status, shown) = world.call("PUT", "/clients/acme/roster", Some(&ann), Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let grant =
        json!({ "action": "isolate", "role": "responder", "approvals": 2, "targets_max": 7 });
    assert_eq!((&shown["grants"], &shown["lease_secs_max"]), (&json!([grant]), &json!(3600)));
    let page = world.get("/clients/acme/operators?limit=1", &ann).await;
    let passkey = &page["items"][0]["keys"][1];
    assert_eq!((&passkey["kind"], &passkey["rp_id"]), (&json!("passkey"), &json!("localhost")));
    assert_eq!(passkey["origins"], json!(["http://localhost:9443"]));
    assert_eq!(passkey["id"], newer.operators[0].keys[1].id().to_string());
}

#[tokio::test]
async fn a_policys_mistakes_and_effects_are_told_before_it_is_signed() {
    let world = World::new();
    let mut web = world.enrol("acme", "web-01");
    let db = world.enrol("acme", "db-01");
    world.store(&mut web, Lane::Control, vec![health(60, 1, vec![])]).await;
    let vic = world.sign_in("vic").await;
    let preview = async |body: Value| {
        world.call("POST", "/clients/acme/policies/preview", Some(&vic), Some(body)).await
    };
    let (status, shown) = preview(json!({ "policy": policy(1, &[&db]) })).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert_eq!(shown["mistakes"], json!([]));
    let told = ["endpoints", "others", "refuse", "commands"].map(|one| &shown[one]);
    assert_eq!(told, [2, 0, 0, 1]);
    let is_critical = format!("critical.{} is new: true; version is new: 1", db.endpoint);
    assert_eq!(words(&shown["changes"]), is_critical);
    assert_eq!(shown["by_version"][0]["version"], Value::Null, "db-01 told no health");
    assert_eq!(words(&shown["by_version"][1]["changes"]), is_critical);
    assert_eq!(shown["approvals"], Value::Null, "the roster lets nobody set policy");

    let only = json!({ "policy": policy(0, &[]), "endpoints": [web.endpoint] });
    let (_, shown) = preview(only).await;
    assert_eq!(shown["mistakes"], json!(["has version 0; the first one is 1"]));
    assert_eq!((&shown["endpoints"], &shown["others"]), (&json!(1), &json!(1)));
    assert_eq!((&shown["refuse"], &shown["named"][0]["host_name"]), (&json!(1), &json!("web-01")));

    for (wrong, expected) in [
        (json!({ "policy": { "client": "zeta", "version": 1 } }), StatusCode::UNPROCESSABLE_ENTITY),
        (
            json!({ "policy": { "client": "acme", "version": 1, "x": 1 } }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (json!({ "policy": policy(1, &[]), "share_percent": 0 }), StatusCode::UNPROCESSABLE_ENTITY),
        (
            json!({ "policy": policy(1, &[]), "share_percent": 101 }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "policy": policy(1, &[]), "endpoints": [EndpointId([9; 32])] }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (json!({}), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(preview(wrong.clone()).await.0, expected, "{wrong}");
    }
}

#[tokio::test]
async fn a_share_is_the_same_for_everybody_and_every_endpoint_is_in_the_whole() {
    let world = World::new();
    let hosts: Vec<Host> = (0..40).map(|n| world.enrol("acme", &format!("host-{n}"))).collect();
    let vic = world.sign_in("vic").await;
    for percent in [10_u8, 100] {
        let body = json!({ "policy": policy(1, &[]), "share_percent": percent });
        let path = "/clients/acme/policies/preview";
        let (_, shown) = world.call("POST", path, Some(&vic), Some(body)).await;
        let in_share =
            hosts.iter().filter(|host| cordon_proto::policy::in_share(host.endpoint, percent));
        assert_eq!(shown["endpoints"], in_share.count(), "{percent} %");
    }
}

#[tokio::test]
async fn who_holds_which_policy_is_told_by_version_and_by_endpoint() {
    let grants = Grant {
        action: ActionKind::SetPolicy,
        role: Role::Administrator,
        approvals: 1,
        targets_max: 10,
    };
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let mut next: Roster = document::peek(Kind::Roster, &roster("acme", 2, ACME)).unwrap();
    next.grants.push(grants);
    let next = document::sign(Kind::Roster, &next, b"", &key("authority"));
    let body = json!({ "document": b64(next) });
    world.call("PUT", "/clients/acme/roster", Some(&ann), Some(body)).await;
    let mut web = world.enrol("acme", "web-01");
    let db = world.enrol("acme", "db-01");
    let set = |number, version, hosts: &[&Host]| Command {
        action: Action::SetPolicy(policy(version, &[])),
        ..isolation(number, hosts)
    };
    for command in [set(1, 1, &[&web, &db]), set(2, 2, &[&web])] {
        let body = signed(&command, &["ann"]);
        let (status, shown) = world.call("POST", "/commands", Some(&ann), Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{shown}");
        world.pass(1);
    }
    let Fact::Health(mut fared) = health(60, 2, vec![]) else { unreachable!() };
    fared.policy_version = 1;
    world.store(&mut web, Lane::Control, vec![Fact::Health(fared)]).await;
    let listed = world.get("/clients/acme/policies", &ann).await;
    let told =
        |n: usize| ["version", "endpoints", "hold"].map(|one| listed["items"][n][one].clone());
    assert_eq!(told(0), [2, 1, 0]);
    assert_eq!(told(1), [1, 2, 1]);
    assert_eq!(listed["items"][0]["by"], "ann");
    let status = world.get("/clients/acme/policies/status", &ann).await;
    let of = |host: &Host| {
        let items = status["items"].as_array().unwrap().iter();
        items.clone().find(|item| item["endpoint"] == host.endpoint.to_string()).unwrap().clone()
    };
    assert_eq!((&of(&web)["holds"], &of(&web)["signed_for_it"]), (&json!(1), &json!(2)));
    assert_eq!((&of(&db)["holds"], &of(&db)["as_wanted"]), (&Value::Null, &json!(false)));
    let page = world.get("/clients/acme/policies?limit=1", &ann).await;
    assert_eq!(page["next"], "2");
    let page = world.get("/clients/acme/policies?cursor=2", &ann).await;
    assert_eq!(page["items"][0]["version"], 1);
}
