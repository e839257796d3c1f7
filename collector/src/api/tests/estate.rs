//! Sites, what people say of endpoints, and lists of endpoints filtered, sorted and counted.

use cordon_proto::event::{Notice, SensorHealth, SensorState};

use super::*;
use crate::presence::Ended;

fn names(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["host_name"].as_str().unwrap()).collect()
}

async fn status(world: &World, method: &str, path: &str, token: &str, body: Value) -> StatusCode {
    world.call(method, path, Some(token), Some(body)).await.0
}

#[tokio::test]
async fn a_site_is_made_changed_listed_and_taken_away_once_nobody_stands_there() {
    let world = World::new();
    let host = world.enrol("acme", "web-01");
    let ann = world.sign_in("ann").await;
    let sites = "/clients/acme/sites";
    let hq = json!({ "name": "hq", "title": "Head office", "time_zone": "Europe/Vienna" });
    assert_eq!(status(&world, "POST", sites, &ann, hq.clone()).await, StatusCode::CREATED);
    assert_eq!(status(&world, "POST", sites, &ann, hq).await, StatusCode::CONFLICT);
    let branch = json!({ "name": "branch" });
    assert_eq!(status(&world, "POST", sites, &ann, branch).await, StatusCode::CREATED);
    for (wrong, expected) in [
        (json!({ "name": "Head Office" }), StatusCode::BAD_REQUEST),
        (json!({ "name": "a/b" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "name": "x", "time_zone": "../etc" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "name": "x", "title": "a\nb" }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(status(&world, "POST", sites, &ann, wrong.clone()).await, expected, "{wrong}");
    }
    let note = format!("/endpoints/{}", host.endpoint);
    let there = json!({ "site": "hq" });
    assert_eq!(status(&world, "PATCH", &note, &ann, there).await, StatusCode::OK);
    let listed = world.get(&format!("{sites}?limit=1"), &ann).await;
    assert_eq!(
        (&listed["items"][0]["name"], &listed["next"]),
        (&json!("branch"), &json!("branch"))
    );
    let listed = world.get(&format!("{sites}?cursor=branch"), &ann).await;
    assert_eq!(listed["items"][0]["endpoints"], 1);
    assert_eq!(listed["items"][0]["time_zone"], "Europe/Vienna");
    let one = "/clients/acme/sites/hq";
    let renamed = json!({ "title": "Old office" });
    let (_, shown) = world.call("PATCH", one, Some(&ann), Some(renamed)).await;
    assert_eq!((&shown["title"], &shown["endpoints"]), (&json!("Old office"), &json!(1)));
    let (refused, _) = world.call("DELETE", one, Some(&ann), None).await;
    assert_eq!(refused, StatusCode::CONFLICT, "an endpoint stands there");
    status(&world, "PATCH", &note, &ann, json!({ "site": null })).await;
    assert_eq!(world.call("DELETE", one, Some(&ann), None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.call("DELETE", one, Some(&ann), None).await.0, StatusCode::NOT_FOUND);
    let zoe = world.sign_in("zoe").await;
    assert_eq!(world.get("/clients/zeta/sites", &zoe).await["items"], json!([]));
    let trail = world.get("/audit?client=acme", &ann).await;
    let did: Vec<_> = trail["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["what"].as_str().unwrap())
        .collect();
    let expected = [
        "sign-in",
        "site.create",
        "site.create",
        "endpoint.note",
        "site.change",
        "endpoint.note",
        "site.remove",
    ];
    assert_eq!(did, expected);
}

#[tokio::test]
async fn what_people_say_of_an_endpoint_is_shown_with_it_and_a_change_that_missed_another_is_refused()
 {
    let world = World::new();
    let host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    let path = format!("/endpoints/{}", host.endpoint);
    let before = world.get(&path, &rob).await;
    assert_eq!((&before["criticality"], &before["revision"]), (&json!("normal"), &json!(0)));
    let said = json!({ "labels": ["web", "env=prod"], "criticality": "high", "role": "shop", "revision": 0 });
    let (status, noted) = world.call("PATCH", &path, Some(&rob), Some(said.clone())).await;
    assert_eq!((status, &noted["revision"]), (StatusCode::OK, &json!(1)), "{noted}");
    let (status, _) = world.call("PATCH", &path, Some(&rob), Some(said)).await;
    assert_eq!(status, StatusCode::CONFLICT, "the revision has moved on");
    let only = json!({ "role": "" });
    world.call("PATCH", &path, Some(&rob), Some(only)).await;
    let shown = world.get(&path, &rob).await;
    assert_eq!(shown["labels"], json!(["env=prod", "web"]));
    assert_eq!((&shown["role"], &shown["revision"]), (&json!(""), &json!(2)));
    for (wrong, expected) in [
        (json!({ "site": "nowhere" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "labels": ["Not A Word"] }), StatusCode::BAD_REQUEST),
        (json!({ "criticality": "dire" }), StatusCode::BAD_REQUEST),
        (json!({ "isolated": true }), StatusCode::BAD_REQUEST),
        (json!({ "role": "x".repeat(200) }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (status, _) = world.call("PATCH", &path, Some(&rob), Some(wrong.clone())).await;
        assert_eq!(status, expected, "{wrong}");
    }
}

/// Five endpoints of acme and one of zeta, with notes and a health each.
async fn estate(world: &World) -> String {
    let ann = world.sign_in("ann").await;
    world.call("POST", "/clients/acme/sites", Some(&ann), Some(json!({ "name": "hq" }))).await;
    let notes = [
        ("web-01", json!({ "site": "hq", "labels": ["web", "prod"], "criticality": "high" })),
        ("web-02", json!({ "site": "hq", "labels": ["web"], "role": "the old shop" })),
        ("db-01", json!({ "labels": ["prod"], "criticality": "critical" })),
        ("Mail", json!({})),
        ("nas", json!({ "criticality": "low" })),
    ];
    for (number, (name, note)) in notes.into_iter().enumerate() {
        let mut host = world.enrol("acme", name);
        let path = format!("/endpoints/{}", host.endpoint);
        world.call("PATCH", &path, Some(&ann), Some(note)).await;
        let standing = |action| Standing {
            command: CommandId(uuid::Uuid::from_u128(1)),
            action,
            until_secs: None,
            proved: true,
        };
        let stands = match name {
            "web-01" => vec![standing(ActionKind::Isolate), standing(ActionKind::Deny)],
            "nas" => vec![standing(ActionKind::Deny)],
            _ => vec![],
        };
        world.pass(60);
        let secs = u64::try_from(number).unwrap();
        world.store(&mut host, Lane::Control, vec![health(secs, 1, stands)]).await;
    }
    world.enrol("zeta", "web-03");
    ann
}

#[tokio::test]
async fn endpoints_are_found_by_every_filter_and_only_the_clients_own() {
    let world = World::new();
    let ann = estate(&world).await;
    let find = async |query: &str| {
        let page = world.get(&format!("/endpoints?{query}"), &ann).await;
        assert_eq!(page["total"], page["items"].as_array().unwrap().len(), "{query}");
        names(&page).join(" ")
    };
    assert_eq!(find("").await, "db-01 Mail nas web-01 web-02");
    assert_eq!(find("site=hq").await, "web-01 web-02");
    assert_eq!(find("site=-").await, "db-01 Mail nas");
    assert_eq!(find("label=prod").await, "db-01 web-01");
    assert_eq!(find("label=prod,web").await, "web-01");
    assert_eq!(find("criticality=critical").await, "db-01");
    assert_eq!(find("criticality=normal").await, "Mail web-02");
    assert_eq!(find("text=OLD%20shop").await, "web-02");
    assert_eq!(find("text=prod").await, "db-01 web-01");
    assert_eq!(find("contained=true").await, "nas web-01");
    assert_eq!(find("contained=false").await, "db-01 Mail web-02");
    assert_eq!(find("standing=isolate").await, "web-01");
    assert_eq!(find("standing=deny").await, "nas web-01");
    assert_eq!(find("state=online").await, "");
    assert_eq!(find("state=offline&name=web").await, "web-01 web-02");
    assert_eq!(find("os=windows").await, "");
    let id = world.get("/endpoints?name=nas", &ann).await["items"][0]["id"].to_string();
    assert_eq!(find(&format!("name={}", &id[1..13])).await, "nas", "by the beginning of its id");
    for wrong in ["state=asleep", "criticality=dire", "label=A%20B", "sort=cats", "limit=x", "x=1"]
    {
        let path = format!("/endpoints?{wrong}");
        let (status, _) = world.call("GET", &path, Some(&ann), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let long = format!("/endpoints?text={}", "x".repeat(300));
    assert_eq!(world.call("GET", &long, Some(&ann), None).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_in_any_order_hold_every_endpoint_once() {
    let world = World::new();
    let ann = estate(&world).await;
    for (sort, expected) in [
        ("name", "db-01 Mail nas web-01 web-02"),
        ("seen", "web-01 web-02 db-01 Mail nas"),
        ("criticality", "nas Mail web-02 web-01 db-01"),
    ] {
        for descending in [false, true] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let path =
                    format!("/endpoints?sort={sort}&descending={descending}&limit=2{cursor}");
                let page = world.get(&path, &ann).await;
                assert_eq!(page["total"], 5);
                found.extend(names(&page).into_iter().map(str::to_owned));
                match page["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            if descending {
                found.reverse();
            }
            // Of two that are equal the ids decide, which here are random.
            let mut expected: Vec<_> = expected.split(' ').collect();
            if sort == "criticality" {
                expected[1..3].sort_unstable();
                found[1..3].sort_unstable();
            }
            assert_eq!(found, expected, "{sort} {descending}");
        }
    }
    let (status, _) = world.call("GET", "/endpoints?cursor=x", Some(&ann), None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn endpoints_are_counted_by_kind() {
    let world = World::new();
    let ann = estate(&world).await;
    let counts = world.get("/endpoints/counts", &ann).await;
    let told = ["total", "online", "offline", "contained", "isolated"].map(|one| &counts[one]);
    assert_eq!(told, [5, 0, 5, 2, 1]);
    assert_eq!(counts["by_site"][0]["of"], "acme/");
    assert_eq!(counts["by_site"][0]["total"], 3);
    assert_eq!(counts["by_site"][1]["contained"], 1);
    assert_eq!(counts["by_client"].as_array().unwrap().len(), 1);
    let few = world.get("/endpoints/counts?label=prod&criticality=high", &ann).await;
    assert_eq!((&few["total"], &few["isolated"]), (&json!(1), &json!(1)));
}

/// An endpoint for every kind of silence, named after it; one that sees nothing, and one of zeta.
async fn silent(world: &World) -> String {
    let stopping = |machine| Fact::Notice(Notice::Stopping { machine });
    let last = [
        ("off", Some(stopping(Some(true))), Some(Ended::Closed)),
        ("stopped", Some(stopping(Some(false))), Some(Ended::Closed)),
        ("asleep", Some(Fact::Notice(Notice::Sleeping)), Some(Ended::Silent)),
        ("agent_dead", None, Some(Ended::Closed)),
        ("network_lost", None, Some(Ended::Silent)),
        ("unheard", None, None),
        ("zeta", None, Some(Ended::Closed)),
    ];
    for (name, said, ended) in last {
        let client = if name == "zeta" { "zeta" } else { "acme" };
        let mut host = world.enrol(client, name);
        // What was said before a health is over.
        let before = vec![Fact::Notice(Notice::Sleeping), health(1, 1, vec![])];
        world.store(&mut host, Lane::Control, before).await;
        if let Some(said) = said {
            world.store(&mut host, Lane::Control, vec![said]).await;
        }
        if let Some(ended) = ended {
            world.collector.state.note_seen(host.endpoint, START_NS, ended).unwrap();
        }
    }
    let mut blind = world.enrol("acme", "blind");
    let Fact::Health(mut report) = health(1, 1, vec![]) else { unreachable!() };
    for (name, state) in [("file", SensorState::Blind), ("log", SensorState::Stalled)] {
        report.sensors.push(SensorHealth {
            name: name.to_owned(),
            state,
            reason: None,
            tier: None,
            seen: 0,
            dropped: 0,
            proved_secs: None,
            dropped_why: None,
        });
    }
    world.store(&mut blind, Lane::Control, vec![Fact::Health(report)]).await;
    world.sign_in("ann").await
}

#[tokio::test]
async fn endpoints_are_found_by_their_silence_and_by_why_somebody_should_look_at_them() {
    let world = World::new();
    let ann = silent(&world).await;
    let find = async |query: &str| {
        let page = world.get(&format!("/endpoints?{query}"), &ann).await;
        assert_eq!(page["total"], page["items"].as_array().unwrap().len(), "{query}");
        names(&page).join(" ")
    };
    for silence in ["off", "stopped", "asleep", "agent_dead", "network_lost"] {
        assert_eq!(find(&format!("silence={silence}")).await, silence);
    }
    assert_eq!(find("silence=unheard").await, "blind unheard");
    assert_eq!(find("silence=off&state=online").await, "");
    assert_eq!(find("need=blinded").await, "blind");
    assert_eq!(find("need=stalled").await, "blind");
    assert_eq!(find("need=clock_wrong").await, "");
    assert_eq!(find("needs_person=false").await, "asleep off unheard");
    let needy = world.get("/endpoints?needs_person=true&sort=need", &ann).await;
    assert_eq!(names(&needy), ["agent_dead", "network_lost", "blind", "stopped"]);
    assert_eq!(needy["items"][2]["needs"], json!(["blinded", "stalled"]));
    let all = world.get("/endpoints?sort=need", &ann).await;
    for item in all["items"].as_array().unwrap() {
        let host = item["host_name"].as_str().unwrap();
        let expected = if host == "blind" { "unheard" } else { host };
        assert_eq!(item["silence"], expected, "what is shown is what is filtered by");
    }
    for wrong in
        ["silence=dead", "need=me", "needs_person=perhaps", "offset=-1", "offset=1&cursor=x"]
    {
        let path = format!("/endpoints?{wrong}");
        let (status, _) = world.call("GET", &path, Some(&ann), None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_page_can_begin_anywhere_in_the_list() {
    let world = World::new();
    let ann = silent(&world).await;
    let (mut found, mut offset) = (Vec::new(), 0);
    while offset < 7 {
        let page = world.get(&format!("/endpoints?limit=3&offset={offset}"), &ann).await;
        assert_eq!((&page["total"], page["next"].is_null()), (&json!(7), offset == 6));
        found.extend(names(&page).into_iter().map(str::to_owned));
        offset += 3;
    }
    let whole = world.get("/endpoints", &ann).await;
    assert_eq!(found, names(&whole));
    let beyond = world.get("/endpoints?offset=100", &ann).await;
    assert_eq!((&beyond["items"], &beyond["next"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn silences_and_needs_are_counted_for_each_client_in_one_answer() {
    let world = World::new();
    let ann = silent(&world).await;
    let counts = world.get("/endpoints/counts", &ann).await;
    let expected = json!({
        "agent_dead": 1, "network_lost": 1, "stopped": 1, "unheard": 2, "asleep": 1, "off": 1,
    });
    assert_eq!((&counts["silences"], &counts["needs_person"]), (&expected, &json!(4)));
    let client = &counts["by_client"][0];
    assert_eq!((&client["of"], &client["silences"]), (&json!("acme"), &expected));
    assert_eq!(client["needs_person"], 4);
    let needs = json!([
        { "need": "agent_dead", "total": 1 },
        { "need": "network_lost", "total": 1 },
        { "need": "blinded", "total": 1 },
        { "need": "stalled", "total": 1 },
        { "need": "stopped", "total": 1 },
    ]);
    assert_eq!(counts["by_need"], needs);
    let few = world.get("/endpoints/counts?needs_person=true&state=offline", &ann).await;
    assert_eq!((&few["total"], &few["silences"]["off"]), (&json!(4), &json!(0)));
    let zoe = world.sign_in("zoe").await;
    let hers = world.get("/endpoints/counts", &zoe).await;
    assert_eq!((&hers["total"], &hers["silences"]["agent_dead"]), (&json!(1), &json!(1)));
}
