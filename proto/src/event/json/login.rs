//! Logins and changes of accounts as JSON: OCSF Authentication, Account Change, Group Management.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::Text;
use crate::event::login::{
    AccountActivity, AccountChange, AuthActivity, Authentication, FileOrigin, JournalOrigin,
    Origin, RecordOrigin, Status,
};

/// OCSF Authentication.
pub(super) fn authentication(event: &Authentication, map: &mut Map<String, Value>) -> Kind {
    let (activity_id, activity_name) = match event.activity {
        AuthActivity::Logon => (1, "Logon"),
        AuthActivity::Logoff => (2, "Logoff"),
        AuthActivity::Preauth => (6, "Preauth"),
        AuthActivity::AccountSwitch => (7, "Account Switch"),
    };
    status(event.status, map);
    origin(&event.origin, map);
    named(map, "service", Some(&event.service).filter(|service| !service.is_empty()));
    user(event, map);
    put(map, "user_exists", event.user_exists);
    actor(event.actor.as_ref(), event.pid, map);
    text(map, "logon_method", event.method.as_ref());
    source(event, map);
    put(map, "is_remote", event.from.is_some());
    text(map, "terminal", event.terminal.as_ref());
    text(map, "cmd_line", event.command.as_ref());
    text(map, "key", event.key.as_ref());
    text(map, "status_detail", event.detail.as_ref());
    put(map, "count", event.tries);
    put(map, "redacted", &event.redacted);
    if event.activity == AuthActivity::AccountSwitch {
        put(map, "account_switch_type_id", 1);
    }
    Kind { class_uid: 3002, class_name: "Authentication", activity_id, activity_name }
}

/// OCSF Account Change, or Group Management where it is about a group.
pub(super) fn account_change(event: &AccountChange, map: &mut Map<String, Value>) -> Kind {
    status(event.status, map);
    origin(&event.origin, map);
    named(map, "service", Some(&event.service));
    let mut user = Map::new();
    text(&mut user, "name", event.user.as_ref());
    put(&mut user, "uid", event.uid.map(|uid| uid.to_string()));
    text(&mut user, "home", event.home.as_ref());
    text(&mut user, "shell", event.shell.as_ref());
    put_object(map, "user", user);
    let mut group = Map::new();
    text(&mut group, "name", event.group.as_ref());
    put(&mut group, "uid", event.gid.map(|gid| gid.to_string()));
    put_object(map, "group", group);
    actor(event.actor.as_ref(), event.pid, map);
    text(map, "status_detail", event.detail.as_ref());
    account_kind(event.activity)
}

fn account_kind(activity: AccountActivity) -> Kind {
    let user = |activity_id, activity_name| Kind {
        class_uid: 3001,
        class_name: "Account Change",
        activity_id,
        activity_name,
    };
    let group = |activity_id, activity_name| Kind {
        class_uid: 3006,
        class_name: "Group Management",
        activity_id,
        activity_name,
    };
    match activity {
        AccountActivity::UserCreated => user(1, "Create"),
        AccountActivity::UserDeleted => user(6, "Delete"),
        AccountActivity::UserChanged => user(99, "Change"),
        AccountActivity::PasswordChanged => user(3, "Password Change"),
        AccountActivity::Locked => user(9, "Lock"),
        AccountActivity::Unlocked => user(99, "Unlock"),
        AccountActivity::AgingChanged => user(99, "Aging Change"),
        AccountActivity::GroupCreated => group(99, "Create"),
        AccountActivity::GroupDeleted => group(99, "Delete"),
        AccountActivity::GroupChanged => group(99, "Change"),
        AccountActivity::MemberAdded => group(3, "Add User"),
        AccountActivity::MemberRemoved => group(4, "Remove User"),
    }
}

fn status(status: Status, map: &mut Map<String, Value>) {
    let (id, name) = match status {
        Status::Unknown => (0, "Unknown"),
        Status::Success => (1, "Success"),
        Status::Failure => (2, "Failure"),
    };
    put(map, "status_id", id);
    put(map, "status", name);
}

/// That it is a log that says so, and which line of it.
fn origin(origin: &Origin, map: &mut Map<String, Value>) {
    let mut told = Map::new();
    match origin {
        Origin::File(FileOrigin { path, device, inode, offset }) => {
            put(&mut told, "kind", "log_file");
            put_text(&mut told, "path", path);
            put(&mut told, "device", device.to_string());
            put(&mut told, "inode", inode.to_string());
            put(&mut told, "offset", offset.to_string());
        }
        Origin::Journal(JournalOrigin { cursor, uid, attested }) => {
            put(&mut told, "kind", "journal");
            put(&mut told, "cursor", cursor);
            put(&mut told, "sender_uid", uid.map(|uid| uid.to_string()));
            put(&mut told, "attested", attested);
        }
        Origin::Record(RecordOrigin { path, source, place, session, lasted_secs, .. }) => {
            put(&mut told, "kind", source);
            put_text(&mut told, "path", path);
            put(&mut told, "place", place.to_string());
            put(map, "session", session.as_ref().map(|id| json!({ "uid": id })));
            // OCSF counts it in milliseconds.
            put(map, "duration", lasted_secs.map(|secs| secs.saturating_mul(1000)));
        }
    }
    put_object(map, "origin", told);
}

fn user(event: &Authentication, map: &mut Map<String, Value>) {
    let mut user = Map::new();
    text(&mut user, "name", event.user.as_ref());
    if let Origin::Record(RecordOrigin { uid, .. }) = &event.origin {
        put(&mut user, "uid", uid.map(|uid| uid.to_string()));
    }
    put_object(map, "user", user);
}

fn actor(name: Option<&Text>, pid: Option<u32>, map: &mut Map<String, Value>) {
    let (mut actor, mut process) = (Map::new(), Map::new());
    named(&mut actor, "user", name);
    put(&mut process, "pid", pid);
    put_object(&mut actor, "process", process);
    put_object(map, "actor", actor);
}

fn source(event: &Authentication, map: &mut Map<String, Value>) {
    let mut source = Map::new();
    if let Some(from) = &event.from {
        let is_address = from.as_str().is_some_and(|from| from.parse::<IpAddr>().is_ok());
        put_text(&mut source, if is_address { "ip" } else { "hostname" }, from);
    }
    put(&mut source, "port", event.from_port);
    put_object(map, "src_endpoint", source);
}

fn named(map: &mut Map<String, Value>, what: &str, name: Option<&Text>) {
    let mut object = Map::new();
    text(&mut object, "name", name);
    put_object(map, what, object);
}

fn text(map: &mut Map<String, Value>, name: &str, text: Option<&Text>) {
    if let Some(text) = text {
        put_text(map, name, text);
    }
}

fn put_object(map: &mut Map<String, Value>, name: &str, object: Map<String, Value>) {
    if !object.is_empty() {
        map.insert(name.to_owned(), Value::Object(object));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Body;
    use crate::event::json::of_body;
    use crate::event::login::RecordSource;

    #[test]
    fn a_login_says_that_a_log_says_so() {
        let cursor = "s=1".to_owned();
        let event = Authentication {
            origin: Origin::Journal(JournalOrigin { cursor, uid: Some(0), attested: Some(true) }),
            activity: AuthActivity::Logon,
            status: Status::Failure,
            service: "sshd".into(),
            user: Some(Text::from(&b"r\xff"[..])),
            actor: None,
            user_exists: Some(false),
            method: Some("password".into()),
            from: Some("2001:db8::1".into()),
            from_port: Some(22),
            terminal: None,
            command: None,
            key: None,
            detail: None,
            pid: Some(7),
            tries: None,
            redacted: None,
        };
        let json = of_body(Body::Authentication(Box::new(event)));
        assert_eq!(json["class_uid"], 3002);
        assert_eq!((&json["category_uid"], &json["type_uid"]), (&json!(3), &json!(300_201)));
        assert_eq!(json["status_id"], 2);
        assert_eq!(json["src_endpoint"], json!({ "ip": "2001:db8::1", "port": 22 }));
        assert_eq!(json["user"], json!({ "name": "r\u{fffd}", "name_b64": "cv8=" }));
        assert_eq!(json["actor"], json!({ "process": { "pid": 7 } }));
        assert_eq!(json["origin"]["attested"], true);
    }

    #[test]
    fn a_record_tells_the_session_and_how_long_it_lasted() {
        let origin = RecordOrigin {
            path: "/run/systemd/sessions".into(),
            source: RecordSource::Logind,
            place: 0,
            uid: Some(1000),
            session: Some("c3".to_owned()),
            lasted_secs: Some(61),
        };
        let event = Authentication {
            origin: Origin::Record(origin),
            activity: AuthActivity::Logoff,
            status: Status::Success,
            service: Text::default(),
            user: Some("ann".into()),
            actor: None,
            user_exists: None,
            method: None,
            from: None,
            from_port: None,
            terminal: Some("pts/0".into()),
            command: None,
            key: None,
            detail: None,
            pid: None,
            tries: None,
            redacted: None,
        };
        let json = of_body(Body::Authentication(Box::new(event)));
        assert_eq!(json["type_uid"], 300_202);
        assert_eq!(json["user"], json!({ "name": "ann", "uid": "1000" }));
        assert_eq!(json["session"], json!({ "uid": "c3" }));
        assert_eq!(
            (&json["duration"], &json["origin"]["kind"]),
            (&json!(61_000), &json!("logind"))
        );
        assert_eq!(json.get("service"), None);
    }

    #[test]
    fn what_happens_to_a_group_is_group_management() {
        let place = FileOrigin { path: "/l".into(), device: 1, inode: 2, offset: 3 };
        let event = AccountChange {
            origin: Origin::File(place),
            activity: AccountActivity::MemberAdded,
            status: Status::Success,
            service: "usermod".into(),
            user: Some("ann".into()),
            group: Some("sudo".into()),
            actor: None,
            uid: None,
            gid: None,
            home: None,
            shell: None,
            detail: None,
            pid: None,
        };
        let json = of_body(Body::Account(Box::new(event)));
        assert_eq!(json["type_uid"], 300_603);
        assert_eq!(json["group"]["name"], "sudo");
        assert_eq!(json["origin"]["inode"], "2");
    }
}
