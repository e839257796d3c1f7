//! The way out of an endpoint: which one is stored, who gets it, and that it is noted who did.

use cordon_proto::sign::batch::EventProof;

use super::*;

async fn audited(world: &World, token: &str) -> Vec<String> {
    let page = world.get("/audit?client=acme", token).await;
    let items = page["items"].as_array().unwrap().iter();
    let fetched = items.filter(|item| item["what"] == "way-out.fetch");
    fetched.map(|item| format!("{} {}", item["who"], item["detail"])).collect()
}

#[tokio::test]
async fn the_last_one_told_is_given_with_its_proof_and_every_fetch_is_noted() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let path = format!("/endpoints/{}", host.endpoint);
    let rob = world.sign_in("rob").await;
    let (status, _) = world.call("GET", &format!("{path}/way-out"), Some(&rob), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "before any was told");
    assert!(world.get(&path, &rob).await["way_out"].is_null());
    assert!(audited(&world, &rob).await.is_empty(), "nothing was given");
    let (first, second) = (way_out(1, 1, &["rob"]), way_out(2, 1, &["rob", "ria"]));
    world.store(&mut host, Lane::Control, vec![first, health(60, 1, vec![]), second]).await;

    let shown = world.get(&path, &rob).await;
    assert_eq!(shown["way_out"]["serial"], "2");
    assert_eq!(shown["way_out"]["operators"], json!(["rob", "ria"]));
    assert_eq!(shown["way_out"]["is_void"], false);
    let listed = world.get("/endpoints?client=acme", &rob).await;
    assert_eq!(listed["items"][0]["way_out"]["serial"], "2");
    assert!(audited(&world, &rob).await.is_empty(), "what is shown holds nothing sealed");

    let given = world.get(&format!("{path}/way-out"), &rob).await;
    let proof: EventProof = codec::decode_strict(&unb64(&given["proof"])).unwrap();
    let header = proof.verify(&host.key.verifying()).unwrap();
    assert_eq!((header.endpoint, header.lane), (host.endpoint, Lane::Control));
    let event = batch::read_event(&proof.event).unwrap();
    assert_eq!(given["seq"], event.seq.to_string());
    assert_eq!(event.body, way_out(2, 1, &["rob", "ria"]));
    let told = ["\"rob\" \"code 2 of web-01\""];
    assert_eq!(audited(&world, &rob).await, told);
    // By the general door for proofs it is noted too.
    let place = format!("{path}/proof?lane=control&epoch=1&seq={}", event.seq);
    world.get(&place, &rob).await;
    assert_eq!(audited(&world, &rob).await.len(), 2);
    world.get(&format!("{path}/proof?lane=control&epoch=1&seq=2"), &rob).await;
    assert_eq!(audited(&world, &rob).await.len(), 2, "health is nothing sealed");
}

#[tokio::test]
async fn a_newer_roster_voids_it_and_one_sealed_to_nobody_is_none() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let path = format!("/endpoints/{}", host.endpoint);
    let rob = world.sign_in("rob").await;
    let facts = vec![way_out(1, 1, &["rob"]), health(60, 2, vec![])];
    world.store(&mut host, Lane::Control, facts).await;
    assert_eq!(world.get(&path, &rob).await["way_out"]["is_void"], true);
    world.store(&mut host, Lane::Control, vec![way_out(2, 2, &[])]).await;
    assert!(world.get(&path, &rob).await["way_out"].is_null());
    let (status, _) = world.call("GET", &format!("{path}/way-out"), Some(&rob), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn another_clients_operator_gets_none_and_it_is_as_if_there_were_no_endpoint() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    world.store(&mut host, Lane::Control, vec![way_out(1, 1, &["rob"])]).await;
    let (zed, rob) = (world.sign_in("zed").await, world.sign_in("rob").await);
    let path = format!("/endpoints/{}/way-out", host.endpoint);
    let (status, other) = world.call("GET", &path, Some(&zed), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let unknown = format!("/endpoints/{}/way-out", EndpointId::of(b"nobody"));
    let (_, missing) = world.call("GET", &unknown, Some(&zed), None).await;
    assert_eq!(other, missing);
    assert!(audited(&world, &rob).await.is_empty());
}
