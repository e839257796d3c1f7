//! What an index must know of a batch, read from the fronts of its events without decoding them.

use cordon_proto::event::gap::SealedRange;
use cordon_proto::event::{Class, Lane};
use cordon_proto::sign::batch::{self, Opened};

use super::Classes;

/// What a batch holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Skim {
    /// Classes of its events.
    pub(super) classes: Classes,
    /// Time of its earliest event.
    pub(super) from_ns: u64,
    /// Time of its latest event.
    pub(super) to_ns: u64,
    /// Jumps that it accounts for.
    pub(super) gaps: Vec<SealedRange>,
}

impl Skim {
    /// Looks at every event's front; reads whole only the few that stand in the control lane.
    pub(super) fn of(opened: &Opened) -> Self {
        let mut skim = Self { from_ns: u64::MAX, ..Self::default() };
        for event in &opened.events {
            let (time_ns, class) = front(event).unwrap_or((opened.header.time_ns, u32::MAX));
            skim.classes = skim.classes.with_number(class);
            skim.from_ns = skim.from_ns.min(time_ns);
            skim.to_ns = skim.to_ns.max(time_ns);
            if opened.header.lane == Lane::Control {
                skim.gaps.extend(gap(event));
            }
        }
        skim.from_ns = skim.from_ns.min(skim.to_ns);
        skim
    }
}

/// An event's time and the number of its class.
fn front(event: &[u8]) -> Option<(u64, u32)> {
    let mut decoder = minicbor::Decoder::new(event);
    decoder.array().ok()??;
    decoder.u64().ok()?;
    let time_ns = decoder.u64().ok()?;
    decoder.u64().ok()?;
    decoder.u8().ok()?;
    decoder.array().ok()??;
    Some((time_ns, Class::number_of_body(decoder.u32().ok()?)))
}

fn gap(event: &[u8]) -> Option<SealedRange> {
    batch::read_event(event).ok()?.body.gap()?.sealed
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::{Body, Event, Gap, GapReason, Severity, Started};
    use cordon_proto::id::Hash;
    use cordon_proto::sign::batch::Header;

    use super::*;

    fn opened(lane: Lane, bodies: Vec<(u64, Body)>) -> Opened {
        let event = |(seq, (time_ns, body)): (u64, (u64, Body))| {
            let severity = Severity::Informational;
            cordon_proto::codec::encode(&Event { seq, time_ns, boot_ns: 0, severity, body })
        };
        let header = Header {
            endpoint: cordon_proto::id::EndpointId::default(),
            lane,
            epoch: 1,
            first: 1,
            count: 1,
            previous: Hash::default(),
            root: Hash::default(),
            time_ns: 77,
            cause: None,
        };
        let events = (1..).zip(bodies).map(event).collect();
        Opened { header, hash: Hash::default(), events }
    }

    fn started() -> Body {
        let (agent_version, boot_id) = (String::new(), String::new());
        Body::Lifecycle(Started { agent_version, boot_id, boot_count: 1, unclean: false })
    }

    fn dropped(sealed: Option<SealedRange>) -> Body {
        let reason = GapReason::SpoolFull;
        Body::Gap(Gap { reason, counts: vec![], from_ns: 0, to_ns: 0, sealed, detail: None })
    }

    #[test]
    fn classes_and_the_span_of_time_are_those_of_the_events() {
        let bodies = vec![(9, started()), (4, dropped(None)), (6, started())];
        let skim = Skim::of(&opened(Lane::Control, bodies));
        assert_eq!((skim.from_ns, skim.to_ns), (4, 9));
        assert!(skim.classes.holds(Class::Lifecycle) && skim.classes.holds(Class::Gap));
        assert!(!skim.classes.holds(Class::Process));
    }

    #[test]
    fn jumps_count_only_where_they_are_signed_in_the_control_lane() {
        let lane = Lane::Telemetry;
        let range = SealedRange { lane, epoch: 1, first: 2, last: 3, head: Hash::default() };
        let gaps = |lane| Skim::of(&opened(lane, vec![(1, dropped(Some(range)))])).gaps;
        assert_eq!(gaps(Lane::Control), [range]);
        assert_eq!(gaps(Lane::Telemetry), []);
    }

    #[test]
    fn what_cannot_be_read_is_kept_under_the_unknown_class_and_the_headers_time() {
        let mut batch = opened(Lane::Telemetry, vec![]);
        batch.events.push(vec![0xff]);
        let skim = Skim::of(&batch);
        assert_eq!((skim.from_ns, skim.to_ns), (77, 77));
        assert!(!skim.classes.is_empty());
        assert!(Class::ALL.iter().all(|class| !skim.classes.holds(*class)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_skimmed_without_harm(events: Vec<Vec<u8>>) {
            let mut batch = opened(Lane::Control, vec![]);
            batch.events = events;
            let skim = Skim::of(&batch);
            assert!(skim.from_ns <= skim.to_ns);
            assert_eq!(skim.classes.is_empty(), batch.events.is_empty());
        }
    }
}
