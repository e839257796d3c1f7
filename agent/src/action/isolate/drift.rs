//! In what a wall is not as it must be: whether somebody changed its rules, or devices came and
//! went.
//!
//! Pure. A kernel takes a device that is gone out of our chains by itself, and knows nothing of a
//! new one; neither is anybody's doing.

use std::collections::BTreeSet;

use crate::platform::linux::nft::ruleset::{Family, Ruleset};
use crate::platform::linux::route::Link;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Somebody changed the rules; the first difference, for a person.
    Rules(String),
    /// Devices came, went or were renamed; the rules are still ours.
    Devices,
}

/// Compares what stands with what was put up and with what must be there given the devices of
/// now, `links`.
pub(crate) fn compare(
    raised: &Ruleset,
    expected: &Ruleset,
    standing: &Ruleset,
    links: &[Link],
) -> Option<Drift> {
    if standing.digest() == expected.digest() {
        return None;
    }
    let present: BTreeSet<&[u8]> = links.iter().map(|link| link.name.as_slice()).collect();
    let chains = raised.tables.iter().flat_map(|table| &table.chains);
    let known: BTreeSet<&[u8]> = chains
        .filter_map(|chain| chain.hook.as_ref())
        .flat_map(|hook| hook.devices.iter().map(Vec::as_slice))
        .collect();
    let then = only_on(raised, |device| present.contains(device));
    let now = only_on(standing, |device| present.contains(device) && known.contains(device));
    if then.digest() == now.digest() {
        return Some(Drift::Devices);
    }
    Some(Drift::Rules(difference(expected, standing)))
}

/// The rules as far as they are about devices of this kind, or about none.
fn only_on(ruleset: &Ruleset, keep: impl Fn(&[u8]) -> bool) -> Ruleset {
    let mut ruleset = ruleset.clone();
    for table in ruleset.tables.iter_mut().filter(|table| table.family == Family::Netdev) {
        table.chains.retain_mut(|chain| {
            let Some(hook) = &mut chain.hook else { return true };
            hook.devices.retain(|device| keep(device));
            !hook.devices.is_empty()
        });
    }
    ruleset.tables.retain(|table| table.family != Family::Netdev || !table.chains.is_empty());
    ruleset
}

/// In what lines two rulesets differ, in few words.
fn difference(expected: &Ruleset, found: &Ruleset) -> String {
    if found.tables.is_empty() {
        return "our tables are gone".into();
    }
    let (expected, found) = (expected.to_string(), found.to_string());
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let first = |of: &[&str], lacking: &[&str]| {
        let lacking: BTreeSet<_> = lacking.iter().copied().collect();
        of.iter().find(|line| !lacking.contains(*line)).map(|line| line.trim().to_owned())
    };
    match (first(&expected, &found), first(&found, &expected)) {
        (Some(missing), Some(added)) => format!("missing: {missing:?}, added: {added:?}"),
        (Some(missing), None) => format!("missing: {missing:?}"),
        (None, Some(added)) => format!("added: {added:?}"),
        (None, None) => "the rules are in another order".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::nft::expr::Expr;
    use crate::platform::linux::nft::wall::Wall;

    fn links(names: &str) -> Vec<Link> {
        let link = |(at, name): (usize, &str)| Link {
            index: u32::try_from(at).unwrap() + 2,
            name: name.into(),
            kind: None,
            loopback: false,
            ethernet: true,
            lower: None,
        };
        names.split_whitespace().enumerate().map(link).collect()
    }

    fn ruleset(names: &str) -> Ruleset {
        let wall = Wall {
            mark: 1,
            collectors: Vec::new(),
            exemptions: Vec::new(),
            dhcp_servers: Vec::new(),
        };
        wall.ruleset(b"cordon", &links(names), true)
    }

    /// Put up on `then`, found on `standing` while there are `now`, after `change`.
    #[track_caller]
    fn check(
        [then, standing, now]: [&str; 3],
        change: impl FnOnce(&mut Ruleset),
        expected: Option<&str>,
    ) {
        let mut found = ruleset(standing);
        change(&mut found);
        let drift = compare(&ruleset(then), &ruleset(now), &found, &links(now));
        let drift = drift.map(|drift| match drift {
            Drift::Devices => "devices".to_owned(),
            Drift::Rules(difference) => difference,
        });
        assert!(
            drift.as_deref().unwrap_or("").starts_with(expected.unwrap_or(""))
                && drift.is_some() == expected.is_some(),
            "{drift:?}"
        );
    }

    #[test]
    fn devices_that_come_and_go_are_nobodys_doing() {
        check(["e0", "e0", "e0"], |_| (), None);
        check(["e0", "e0", "e0 late0"], |_| (), Some("devices"));
        check(["e0 g0", "e0", "e0"], |_| (), None);
        // Newer kernels keep the name of what is gone.
        check(["e0 g0", "e0 g0", "e0"], |_| (), Some("devices"));
        check(["e0 g0", "e0", "e0 late0"], |_| (), Some("devices"));
        // Renamed: the kernel lists the new name.
        check(["e0 g0", "e0 wan", "e0 wan"], |_| (), None);
        check(["e0", "", ""], |_| (), None);
        check(["e0", "", "late0"], |_| (), Some("devices"));
    }

    #[test]
    fn a_device_taken_out_of_our_chains_while_it_is_there_is_somebodys_doing() {
        check(["e0 g0", "e0", "e0 g0"], |_| (), Some("missing: \"chain egress"));
        check(["e0", "", "e0"], |_| (), Some("missing: \"table netdev"));
    }

    #[test]
    fn a_change_of_the_rules_is_told_whatever_the_devices_do() {
        let opened = |found: &mut Ruleset| {
            found.tables[0].chains[2].rules.insert(0, vec![Expr::Accept]);
        };
        check(["e0", "e0", "e0"], opened, Some("added: \"accept\""));
        check(["e0", "e0", "e0 late0"], opened, Some("missing: "));
        check(["e0", "e0", "e0"], |found| found.tables.clear(), Some("our tables are gone"));
        let asleep = |found: &mut Ruleset| found.tables[0].dormant = true;
        check(["e0", "e0", "e0"], asleep, Some("missing: \"table inet cordon\""));
    }
}
