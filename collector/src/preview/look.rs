//! Reads from the log what a preview is made of, within limits of time.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::inventory::Subject;
use cordon_proto::event::{Body, Class};
use cordon_proto::id::{ClientId, EndpointId};

use super::role::{self, Judged};
use super::stand::{Items, Standing};
use super::{Foretell, INVENTORY_SPAN_SECS, Preview, SPAN_SECS};
use crate::clock::Clock;
use crate::preview::fate::Ways;
use crate::search::Query;
use crate::search::walk::{Go, Walked, newest_first};
use crate::store::{Log, LogError};
use crate::time::Time;

/// How long inventories and events may be looked for.
const INVENTORIES: Duration = Duration::from_millis(500);
const EVENTS: Duration = Duration::from_millis(1500);

/// How long an upload waits to learn what its endpoints are for others, all of them together. What
/// is not known then is not asked for: the roster's own rules hold in any case.
pub const ROLES: Duration = Duration::from_millis(50);

/// Events looked at for one preview.
const EVENTS_MAX: u64 = 400_000;

/// Whose events, and up to when.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The client.
    pub client: ClientId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its clock minus the collector's, as last measured.
    pub clock_offset_ns: i64,
    /// The collector's time; of an endpoint that is offline when it was last heard.
    pub until: Time,
    /// When a role must have been known to count.
    pub settled_by: Time,
}

impl Whose {
    fn query(&self, classes: &[Class], span_secs: u64) -> Query {
        let since = self.until.minus_secs(span_secs).0;
        let since = since.checked_add_signed(self.clock_offset_ns).unwrap_or_default();
        Query {
            clients: vec![self.client.clone()],
            endpoint: Some(self.endpoint),
            classes: classes.to_vec(),
            since: Some(Time(since)),
            until: None,
            ..Query::default()
        }
    }
}

/// Makes a preview; answers beside it how far it came.
pub fn preview(
    log: &dyn Log,
    clock: &Clock,
    whose: &Whose,
    ways: Ways,
) -> Result<(Preview, Walked), LogError> {
    let subjects = [Subject::Users, Subject::Listeners, Subject::Machine];
    let standing = inventories(log, whose, &subjects, clock, clock.now() + INVENTORIES)?;
    let ways = Ways { users: standing.items(Subject::Users).map(users), ..ways };
    let mut foretell = Foretell::new(ways);
    let classes = [Class::Network, Class::Dns, Class::Authentication, Class::Lifecycle];
    let query = whose.query(&classes, SPAN_SECS);
    let (end, mut seen) = (clock.now() + EVENTS, 0);
    let mut cut_at = None;
    let mut walked = newest_first(
        log,
        &query,
        || clock.now() >= end,
        |event, received| {
            foretell.handle(&event);
            seen += 1;
            if seen < EVENTS_MAX {
                return Go::On;
            }
            cut_at = Some(received);
            Go::Enough
        },
    )?;
    walked.cut_at = walked.cut_at.or(cut_at);
    Ok((foretell.finish(&standing, whose.settled_by), walked))
}

/// What an endpoint is for others; none where that was not found before `end`.
pub fn roles(
    log: &dyn Log,
    clock: &Clock,
    whose: &Whose,
    end: Duration,
) -> Result<Option<Vec<Judged>>, LogError> {
    let subjects = [Subject::Listeners, Subject::Machine];
    let standing = inventories(log, whose, &subjects, clock, end)?;
    let (listeners, machine) =
        (standing.items(Subject::Listeners), standing.items(Subject::Machine));
    if listeners.is_none() && machine.is_none() {
        return Ok(None);
    }
    Ok(Some(role::judge(listeners.as_ref(), machine.as_ref(), whose.settled_by)))
}

fn inventories(
    log: &dyn Log,
    whose: &Whose,
    subjects: &[Subject],
    clock: &Clock,
    end: Duration,
) -> Result<Standing, LogError> {
    let mut standing = Standing::of(subjects, whose.settled_by);
    let query = whose.query(&[Class::Inventory], INVENTORY_SPAN_SECS);
    newest_first(
        log,
        &query,
        || clock.now() >= end,
        |event, received| {
            let Body::Inventory(part) = event.body else { return Go::On };
            if standing.handle(part, received) { Go::On } else { Go::Enough }
        },
    )?;
    Ok(standing)
}

fn users(items: Items) -> BTreeMap<Text, u32> {
    let user =
        |(name, item): (&Text, &super::stand::Item)| Some((name.clone(), item.number("uid")?));
    items.iter().filter_map(user).collect()
}
