//! What `systemctl show` says of units.
//!
//! Pure.

/// What is asked of each.
pub(super) const PROPERTIES: &str = "--property=Id,Names,LoadState,ActiveState,RefuseManualStop,\
                                     TriggeredBy,RequiredBy,BoundBy,ConsistsOf";

/// One unit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Unit {
    /// Its own name.
    pub(super) id: String,
    /// All of its names.
    pub(super) names: Vec<String>,
    /// `loaded`, `not-found`, `masked` …
    pub(super) load: String,
    /// `active`, `inactive`, `failed`, `activating` …
    pub(super) active: String,
    pub(super) refuses_stop: bool,
    pub(super) triggered_by: Vec<String>,
    /// What systemd stops when it stops this.
    pub(super) stops_along: Vec<String>,
}

impl Unit {
    /// Whether it runs, or is about to.
    pub(super) fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading" | "refreshing")
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }
}

/// `Name=value` lines, an empty one between units.
pub(super) fn parse(answer: &[u8]) -> Vec<Unit> {
    let answer = String::from_utf8_lossy(answer);
    let mut units = Vec::new();
    let mut unit = Unit::default();
    for line in answer.lines().chain([""]) {
        let words = |value: &str| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match line.split_once('=') {
            None if line.is_empty() => {
                let unit = std::mem::take(&mut unit);
                if !unit.id.is_empty() {
                    units.push(unit);
                }
            }
            Some(("Id", value)) => unit.id = value.to_owned(),
            Some(("Names", value)) => unit.names = words(value),
            Some(("LoadState", value)) => unit.load = value.to_owned(),
            Some(("ActiveState", value)) => unit.active = value.to_owned(),
            Some(("RefuseManualStop", value)) => unit.refuses_stop = value == "yes",
            Some(("TriggeredBy", value)) => unit.triggered_by = words(value),
            Some(("RequiredBy" | "BoundBy" | "ConsistsOf", value)) => {
                unit.stops_along.extend(words(value));
            }
            Some(_) | None => {}
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read_as_systemctl_shows_them() {
        let answer = "Id=cups.service\nNames=cups.service cupsd.service\nRequiredBy=\nBoundBy=\n\
                      ConsistsOf=a.service\nTriggeredBy=cups.path cups.socket\nLoadState=loaded\n\
                      ActiveState=active\nRefuseManualStop=no\n\nId=x.service\nLoadState=not-found\n\
                      ActiveState=inactive\nRefuseManualStop=yes\n";
        let units = parse(answer.as_bytes());
        assert_eq!(units.len(), 2);
        assert_eq!(units[0].names, ["cups.service", "cupsd.service"]);
        assert_eq!(units[0].triggered_by, ["cups.path", "cups.socket"]);
        assert_eq!(units[0].stops_along, ["a.service"]);
        assert!(units[0].runs() && !units[0].refuses_stop);
        assert!(units[1].is_stopped() && units[1].refuses_stop);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(answer: Vec<u8>) {
            prop_assert!(parse(&answer).len() <= answer.len());
        }
    }
}
