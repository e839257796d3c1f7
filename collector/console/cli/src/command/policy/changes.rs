//! What changes from one policy to another, in words.

use cordon_proto::policy::{Exemption, Policy, Transport};

use crate::output::text::plain;
use crate::summary;

/// What changes, a sentence each; nothing but the version where all else is the same.
pub(super) fn changes(before: Option<&Policy>, now: &Policy) -> Vec<String> {
    let Some(before) = before else {
        return vec![format!("a first policy for client {}", now.client)];
    };
    let mut said = vec![format!("version {} becomes {}", before.version, now.version)];
    let [old, new] = [before, now].map(|policy| policy.responses.as_deref().unwrap_or_default());
    for response in new {
        let words = summary::response(response);
        match old.iter().find(|one| one.name == response.name) {
            None => said.push(format!("new: {words}")),
            Some(one) if one != response => {
                said.push(format!("changed: {words}"));
                said.push(format!("  before: {}", summary::response(one)));
            }
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|one| !new.iter().any(|response| response.name == one.name));
    said.extend(gone.map(|one| format!("response {} is taken away", plain(&one.name))));
    each(&mut said, &before.exemptions, &now.exemptions, |one| {
        (format!("stays open while cut off: {}", exemption(one)), exemption(one))
    });
    each(&mut said, &before.critical, &now.critical, |one| {
        (format!("critical: {one}"), format!("{one}, critical"))
    });
    let [old, new] = [before, now].map(|policy| policy.protected.as_deref().unwrap_or_default());
    each(&mut said, old, new, |one| {
        let path = plain(&one.to_lossy()).into_owned();
        (format!("never ended, stopped or denied: {path}"), format!("{path}, protected"))
    });
    if before.budget != now.budget {
        let words = |policy: &Policy| summary::budget(policy.budget.as_ref());
        said.push(format!("the agent may cost {}; before: {}", words(now), words(before)));
    }
    if before.redactions != now.redactions {
        said.push("which secrets are taken out changes".to_owned());
    }
    if said.len() == 1 && !is_same(before, now) {
        said.push("something changes that this version has no words for".to_owned());
    }
    said
}

fn is_same(before: &Policy, now: &Policy) -> bool {
    Policy { version: 0, ..before.clone() } == Policy { version: 0, ..now.clone() }
}

fn each<T: PartialEq>(
    said: &mut Vec<String>,
    before: &[T],
    now: &[T],
    words: impl Fn(&T) -> (String, String),
) {
    let new = now.iter().filter(|one| !before.contains(one));
    said.extend(new.map(|one| format!("new, {}", words(one).0)));
    let gone = before.iter().filter(|one| !now.contains(one));
    said.extend(gone.map(|one| format!("taken away: {}", words(one).1)));
}

fn exemption(one: &Exemption) -> String {
    let transport = match one.transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    let user = one.user.as_ref().map(|user| format!(", for {} alone", plain(user)));
    format!("{} port {} {transport}{}", one.address, one.port, user.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::example;
    use super::*;

    #[test]
    fn what_changes_is_said_in_words() {
        let before = example();
        let mut now = before.clone();
        now.version = 5;
        now.exemptions[0].port = 8443;
        now.responses.as_mut().unwrap()[0].per_hour_max = 1;
        let said = changes(Some(&before), &now);
        assert_eq!(said[0], "version 4 becomes 5");
        assert!(said[1].starts_with("changed: response mass-change"), "{said:?}");
        assert!(said[2].starts_with("  before: response mass-change"), "{said:?}");
        assert_eq!(said[3], "new, stays open while cut off: 192.0.2.10 port 8443 TCP");
        assert_eq!(said[4], "taken away: 192.0.2.10 port 443 TCP");
        now.responses = None;
        let said = changes(Some(&before), &now);
        assert!(said.contains(&"response mass-change is taken away".to_owned()), "{said:?}");
        assert_eq!(changes(None, &now), ["a first policy for client acme"]);
        let budget = cordon_proto::policy::Budget {
            cpu_percent: Some(10),
            bandwidth_bytes_per_s: Some(65_536),
            ..Default::default()
        };
        let before = Policy { budget: None, ..before };
        let frugal = Policy { budget: Some(budget), ..before.clone() };
        assert_eq!(
            changes(Some(&before), &frugal)[1],
            "the agent may cost 10 % of a core, 65536 bytes a second to the collector; before: what \
             each endpoint's own settings say"
        );
        let same = Policy { version: 9, ..before.clone() };
        assert_eq!(changes(Some(&before), &same), ["version 4 becomes 9"]);
    }
}
