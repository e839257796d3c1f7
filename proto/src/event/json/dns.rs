//! Answers of the domain name system as JSON: OCSF DNS Activity.

use serde_json::{Map, Value, json};

use super::network::{actor, end};
use super::{Kind, put, put_text};
use crate::event::dns::{Answer, DnsEvent, Says};

/// OCSF DNS Activity.
pub(super) fn fields(event: &DnsEvent, map: &mut Map<String, Value>) -> Kind {
    let DnsEvent { query, query_type, rcode, answers, records, server, client, owner, repeats } =
        event;
    let mut asked = Map::new();
    put_text(&mut asked, "hostname", query);
    put(&mut asked, "type", type_name(*query_type));
    map.insert("query".to_owned(), Value::Object(asked));
    put(map, "rcode_id", rcode);
    put(map, "rcode", rcode_name(*rcode));
    put(map, "answers", answers.iter().map(answer_json).collect::<Vec<_>>());
    put(map, "records", records);
    map.insert("src_endpoint".to_owned(), Value::Object(end(client)));
    map.insert("dst_endpoint".to_owned(), Value::Object(end(server)));
    put(map, "actor", owner.as_ref().map(actor));
    put(map, "unavailable", owner.is_none().then_some(["owner"]));
    put(map, "repeats", Some(repeats).filter(|repeats| **repeats > 0));
    Kind { class_uid: 4003, class_name: "DNS Activity", activity_id: 2, activity_name: "Response" }
}

fn answer_json(answer: &Answer) -> Value {
    let mut map = Map::new();
    match &answer.says {
        Says::Address(ip) => {
            put(&mut map, "type", if ip.is_ipv4() { "A" } else { "AAAA" });
            put(&mut map, "rdata", ip.to_string());
        }
        Says::Name(name) => {
            put(&mut map, "type", "CNAME");
            put_text(&mut map, "rdata", name);
        }
    }
    put(&mut map, "ttl", answer.ttl_secs);
    Value::Object(map)
}

/// The types that are asked for every day; others by their number, as RFC 3597 writes them.
fn type_name(number: u16) -> Value {
    let name = match number {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        other => return json!(format!("TYPE{other}")),
    };
    json!(name)
}

fn rcode_name(number: u8) -> &'static str {
    match number {
        0 => "NoError",
        1 => "FormError",
        2 => "ServError",
        3 => "NXDomain",
        4 => "NotImp",
        5 => "Refused",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::of_body;
    use super::*;
    use crate::event::Body;
    use crate::event::network::Peer;

    #[test]
    fn an_answer_has_the_names_of_ocsf() {
        let says = [Says::Name("b.example".into()), Says::Address([192, 0, 2, 1].into())];
        let server = Peer { ip: [192, 0, 2, 53].into(), port: 53 };
        let event = DnsEvent {
            query: "a.example".into(),
            query_type: 65,
            rcode: 3,
            answers: says.map(|says| Answer { ttl_secs: 60, says }).into(),
            records: 4,
            server,
            client: Peer { port: 40000, ..server },
            owner: None,
            repeats: 0,
        };
        let json = of_body(Body::Dns(Box::new(event)));
        assert_eq!(json["type_uid"], 400_302);
        assert_eq!(json["query"], json!({ "hostname": "a.example", "type": "HTTPS" }));
        assert_eq!(json["answers"][0]["rdata"], "b.example");
        assert_eq!(json["answers"][1], json!({ "type": "A", "rdata": "192.0.2.1", "ttl": 60 }));
        assert_eq!(json["rcode"], "NXDomain");
        assert_eq!(json["unavailable"], json!(["owner"]));
        assert_eq!(type_name(300), "TYPE300");
    }
}
