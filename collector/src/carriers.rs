//! What endpoints are for others, remembered for a while: isolating a machine that others live by
//! needs a second person, and an upload must not wait for the log each time.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::id::EndpointId;

use crate::preview::role::Judged;

/// How long an answer is used again. A role that is new meanwhile is too young to count anyway.
const FRESH: Duration = Duration::from_secs(600);

/// Endpoints remembered; beyond these the longest known is forgotten.
const KNOWN_MAX: usize = 4096;

/// What was found, and when.
#[derive(Debug, Default)]
pub struct Carriers {
    known: BTreeMap<EndpointId, (Duration, Vec<Judged>)>,
}

impl Carriers {
    /// What was found lately.
    #[must_use]
    pub fn get(&self, endpoint: EndpointId, now: Duration) -> Option<&[Judged]> {
        let (at, judged) = self.known.get(&endpoint)?;
        (now.saturating_sub(*at) < FRESH).then_some(judged.as_slice())
    }

    /// Remembers what was found.
    pub fn put(&mut self, endpoint: EndpointId, judged: Vec<Judged>, now: Duration) {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&endpoint) {
            let oldest = self.known.iter().min_by_key(|(_, (at, _))| *at).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(endpoint, (now, judged));
    }
}

/// The reason why one person is not enough; none where nothing that counts was found.
#[must_use]
pub fn why(host_name: &str, judged: &[Judged]) -> Option<String> {
    let roles: Vec<&str> =
        judged.iter().filter(|one| one.settled).map(|one| one.role.name()).collect();
    let because = judged.iter().find(|one| one.settled)?.because.first()?;
    Some(format!("{host_name} is needed by others: {} ({because})", roles.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::role::Role;
    use crate::time::Time;

    fn judged(role: Role, settled: bool) -> Judged {
        Judged { role, because: vec!["udp port 53".to_owned()], since: Time(0), settled }
    }

    #[test]
    fn what_was_found_is_used_again_for_a_while_and_never_for_another() {
        let mut carriers = Carriers::default();
        let (one, other) = (EndpointId::of(b"1"), EndpointId::of(b"2"));
        carriers.put(one, vec![judged(Role::DnsServer, true)], Duration::ZERO);
        assert_eq!(carriers.get(one, FRESH / 2).map(<[_]>::len), Some(1));
        assert!(carriers.get(one, FRESH).is_none() && carriers.get(other, FRESH / 2).is_none());
    }

    #[test]
    fn no_more_endpoints_are_remembered_than_fit() {
        let mut carriers = Carriers::default();
        for number in 0..=u64::try_from(KNOWN_MAX).unwrap() {
            let endpoint = EndpointId::of(&number.to_le_bytes());
            carriers.put(endpoint, vec![], Duration::from_millis(number));
        }
        assert_eq!(carriers.known.len(), KNOWN_MAX);
        assert!(carriers.get(EndpointId::of(&0_u64.to_le_bytes()), Duration::ZERO).is_none());
    }

    #[test]
    fn only_what_has_been_so_for_a_while_asks_for_a_second_person() {
        let (old, young) = (judged(Role::DnsServer, true), judged(Role::Proxy, false));
        assert_eq!(why("web-01", std::slice::from_ref(&young)), None);
        assert_eq!(why("web-01", &[]), None);
        let said = "web-01 is needed by others: DNS server (udp port 53)";
        assert_eq!(why("web-01", &[young, old]).as_deref(), Some(said));
    }
}
