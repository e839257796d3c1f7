//! Addresses that answers gave to names that somebody waits for. Pure.

use std::net::IpAddr;

use super::message::{Message, Says};

/// Addresses that wait to be fetched; a flood of answers for one name costs no more.
const HEARD_MAX: usize = 1024;

/// The names waited for, and what was heard of them.
#[derive(Debug, Default)]
pub(super) struct Watched {
    patterns: Vec<String>,
    heard: Vec<(String, IpAddr)>,
}

impl Watched {
    /// From now on it is these: names, or `*.` and a name for all below it.
    pub(super) fn set(&mut self, patterns: Vec<String>) {
        self.heard.retain(|(pattern, _)| patterns.contains(pattern));
        self.patterns = patterns;
    }

    /// Every address of an answer counts for the name asked for and for all names on the way to
    /// it: whoever asks for one of those gets the same.
    pub(super) fn learn(&mut self, message: &Message) {
        if self.patterns.is_empty() {
            return;
        }
        let on_the_way = message.answers.iter().filter_map(|record| match &record.says {
            Says::Name(name) => Some(name.as_str()),
            Says::Address(_) => None,
        });
        let names: Vec<&str> = std::iter::once(message.query.as_str()).chain(on_the_way).collect();
        let waits = |pattern: &&String| names.iter().any(|name| covers(pattern, name));
        for pattern in self.patterns.iter().filter(waits) {
            for record in &message.answers {
                let Says::Address(ip) = record.says else { continue };
                let heard = (pattern.clone(), ip);
                if self.heard.len() < HEARD_MAX && !self.heard.contains(&heard) {
                    self.heard.push(heard);
                }
            }
        }
    }

    pub(super) fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Everything since it was fetched last.
    pub(super) fn fetch(&mut self) -> Vec<(String, IpAddr)> {
        std::mem::take(&mut self.heard)
    }
}

/// Names in answers are in lower case already.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(below) => name.len() > below.len() && name.ends_with(below),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Record;
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], query: &str, says: &[&str], expected: &[(&str, &str)]) {
        let mut watched = Watched::default();
        watched.set(patterns.iter().map(|pattern| (*pattern).to_owned()).collect());
        let record = |text: &&str| {
            let says = text.parse().map_or(Says::Name((*text).to_owned()), Says::Address);
            Record { ttl_secs: 60, says }
        };
        let answers = says.iter().map(record).collect();
        let query = query.to_owned();
        watched.learn(&Message { query, query_type: 1, rcode: 0, records: 1, answers });
        assert_eq!(watched.has_heard(), !expected.is_empty());
        let heard: Vec<_> = watched.fetch();
        let text: Vec<_> = heard.iter().map(|(name, ip)| (name.as_str(), ip.to_string())).collect();
        let expected: Vec<_> =
            expected.iter().map(|(name, ip)| (*name, (*ip).to_owned())).collect();
        assert_eq!(text, expected);
        assert!(!watched.has_heard());
    }

    #[test]
    fn an_address_counts_for_every_name_on_the_way_to_it() {
        let says = ["cdn.example", "192.0.2.1", "2001:db8::1"];
        let both = |name| [(name, "192.0.2.1"), (name, "2001:db8::1")];
        check(&["evil.example"], "evil.example", &says, &both("evil.example"));
        check(&["cdn.example"], "evil.example", &says, &both("cdn.example"));
        check(&["other.example"], "evil.example", &says, &[]);
    }

    #[test]
    fn a_star_is_what_is_below_and_not_the_name_itself() {
        let ip = ["192.0.2.1"];
        check(&["*.evil.example"], "a.b.evil.example", &ip, &[("*.evil.example", ip[0])]);
        check(&["*.evil.example"], "evil.example", &ip, &[]);
        check(&["*.evil.example"], "devil.example", &ip, &[]);
        check(&["evil.example"], "a.evil.example", &ip, &[]);
    }
}
