//! What the endpoint does by itself: tries the responses of signed policy on what sensors say, and
//! holds each to its limits.
//!
//! Pure, and needs no collector. What it decides is written down before it is done, in one with what
//! is told of it, so that a restart neither begins its limits anew nor tells or does anything twice.
//! It is carried out by the same ledger and isolation as what operators ask, under an id of its own.

mod hour;
mod kept;
mod order;
mod read;
#[cfg(test)]
mod timeline;

use std::collections::VecDeque;
use std::net::IpAddr;

use cordon_proto::codec;
use cordon_proto::command::Action;
use cordon_proto::event::{Class, Observation, Reacted};
use cordon_proto::id::{CommandId, Hash};
use cordon_proto::policy::Policy;
use cordon_proto::policy::responses::{self, PER_HOUR_MAX, Reaction, Response, Test};
use cordon_proto::roster::Autonomy;
use minicbor::{Decode, Encode};

use hour::{HOUR_SECS, Hour};
pub use kept::Kept;

/// What meets a response again within this time is summed up, unless something is done for it.
const SUM_SECS: u64 = 60;

/// What the endpoint is at this moment.
pub struct Own<'a> {
    /// What the roster held now lets it do by itself: it may let less than when policy was taken.
    pub autonomy: Option<&'a Autonomy>,
    /// Whether policy calls it critical.
    pub critical: bool,
    /// What an address is to it, where it cannot do without it; none for any other.
    pub vital: &'a dyn Fn(IpAddr) -> Option<&'static str>,
    /// What a process is to it, where it must never be touched. Those that policy protects are seen
    /// to by whoever carries out what is decided here.
    pub spared: &'a dyn Fn(u32) -> Option<&'static str>,
    /// Whether the same stands already, whoever asked for it: a short lease must not replace the
    /// long one of an operator.
    pub stands: &'a dyn Fn(&Action) -> bool,
    /// Makes ids.
    pub new_id: &'a dyn Fn() -> CommandId,
    /// Endpoint time.
    pub now_secs: u64,
}

/// What is to be told, and done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fired {
    /// For the control lane.
    pub reacted: Reacted,
    /// What is to be done.
    pub due: Option<Due>,
}

/// Something that is to be done under an id of its own.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Due {
    /// The id, in place of a command's.
    #[n(0)]
    pub id: CommandId,
    /// The hash of the policy that says so.
    #[n(1)]
    pub policy: Hash,
    /// What.
    #[n(2)]
    pub action: Action,
    /// Which response of which policy says so.
    #[n(3)]
    pub reason: String,
    /// When it is too late to begin.
    #[n(4)]
    pub until_secs: u64,
}

/// Tries responses.
#[derive(Debug, Default)]
pub struct Responder {
    policy_version: u64,
    policy: Hash,
    armed: Vec<Armed>,
    /// A bit for the number of each class that a response looks at.
    classes: u32,
    hour: Hour,
    /// What was decided and of which nothing more was told yet.
    due: Vec<Due>,
    boot_count: u64,
}

/// A response, and what it did.
#[derive(Debug)]
struct Armed {
    response: Response,
    class: Class,
    /// When it did something, within the last hour.
    done_secs: VecDeque<u64>,
    /// What was done, and until when it stands unless somebody undid it: it is not done again
    /// before that, so that an operator who undoes it is not overruled.
    done: VecDeque<(Action, u64)>,
    told_secs: Option<u64>,
    untold: u64,
}

impl Responder {
    /// Takes up what responses did before a restart, once policy is set. Where that cannot be read
    /// (none), none does anything for an hour.
    pub fn resume(&mut self, kept: Option<Kept>, boot_count: u64, now_secs: u64) {
        self.boot_count = boot_count;
        match kept {
            Some(kept) => kept.give(self, now_secs),
            None => {
                self.hour.spend(now_secs);
                self.armed.iter_mut().for_each(|armed| armed.spend(now_secs));
            }
        }
    }

    /// What was decided before a restart and not begun, as far as is known; the reason where it is
    /// not begun any more. It stays due until it is heard of.
    #[must_use]
    pub fn unfinished(&self, now_secs: u64) -> Vec<(Due, Result<(), String>)> {
        let judged = self.due.iter().map(|due| {
            let too_late = || "the agent was stopped until its time was over".to_owned();
            let may = if now_secs < due.until_secs { Ok(()) } else { Err(too_late()) };
            (due.clone(), may)
        });
        judged.collect()
    }

    /// A receipt tells of something: it is in other hands. Answers whether that must be kept, in
    /// one with the receipt.
    pub fn handle_receipt(&mut self, id: CommandId) -> bool {
        let before = self.due.len();
        self.due.retain(|due| due.id != id);
        self.due.len() != before
    }

    /// Takes a policy's responses up. Under a new policy a response of the same name goes on with
    /// its limits, so that a changed word does not begin the hour anew.
    pub fn set_policy(&mut self, policy: &Policy) {
        let mut before = std::mem::take(&mut self.armed);
        self.policy_version = policy.version;
        self.policy = Hash::of(&codec::encode(policy));
        self.classes = 0;
        for response in policy.responses.iter().flatten() {
            let Some(class) = response.class() else { continue };
            let same = before.iter().position(|armed| armed.response.name == response.name);
            let same = same.map(|index| before.swap_remove(index));
            self.armed.push(Armed::new(response.clone(), class, same));
            self.classes |= bit(class);
        }
    }

    /// Whether any response looks at events of a class; those of other classes need not be brought.
    #[must_use]
    pub fn looks_at(&self, class: Class) -> bool {
        self.classes & bit(class) != 0
    }

    /// Tries an event.
    pub fn handle(&mut self, seen: &Observation, own: &Own<'_>) -> Vec<Fired> {
        let class = seen.body.class();
        let policy = (self.policy_version, self.policy);
        let mut all = Vec::new();
        for armed in self.armed.iter_mut().filter(|armed| armed.class == class) {
            let Some(fired) = armed.handle(seen, policy, &mut self.hour, own) else { continue };
            self.due.extend(fired.due.clone());
            all.push(fired);
        }
        all
    }

    /// For the disk: what must be there before anything is done.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept::of(self)
    }
}

fn bit(class: Class) -> u32 {
    1_u32.checked_shl(class.number()).unwrap_or(0)
}

impl Armed {
    fn new(response: Response, class: Class, before: Option<Self>) -> Self {
        let (done_secs, done) = (VecDeque::new(), VecDeque::new());
        let fresh =
            Self { response: response.clone(), class, done_secs, done, told_secs: None, untold: 0 };
        before.map_or(fresh, |before| Self { response, class, ..before })
    }

    fn handle(
        &mut self,
        seen: &Observation,
        (policy_version, policy): (u64, Hash),
        hour: &mut Hour,
        own: &Own<'_>,
    ) -> Option<Fired> {
        let holds = |test: &Test| {
            read::field(&seen.body, test.field).is_some_and(|found| test.holds(&found))
        };
        if !self.response.when.iter().all(holds) {
            return None;
        }
        let now_secs = own.now_secs;
        self.forget(now_secs);
        hour.forget(now_secs);
        let (action, withheld) = match self.action(seen, hour, own) {
            Ok(action) => (action, None),
            Err(why) => (None, Some(why)),
        };
        let again = self.told_secs.is_some_and(|told| now_secs.saturating_sub(told) < SUM_SECS);
        let too_often = self.response.then == Reaction::Raise && self.is_spent();
        if action.is_none() && (again || too_often) {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.told_secs = Some(now_secs);
        if withheld.is_none() {
            self.done_secs.push_back(now_secs);
        }
        if let Some(action) = &action {
            hour.note(action.kind(), now_secs);
            self.done.push_back((action.clone(), until_secs(action, now_secs)));
        }
        let (id, name) = ((own.new_id)(), &self.response.name);
        let reacted = Reacted {
            id,
            response: name.clone(),
            policy_version,
            action: action.as_ref().map(Action::kind),
            withheld,
            because: read::sentence(&seen.body),
            event_ns: seen.time_ns,
            repeated: std::mem::take(&mut self.untold),
        };
        let due = action.map(|action| {
            let reason = format!("policy response {name}, version {policy_version}");
            let until_secs = until_secs(&action, now_secs);
            Due { id, policy, action, reason, until_secs }
        });
        Some(Fired { reacted, due })
    }

    /// Counts as having done all that it may within the hour.
    fn spend(&mut self, now_secs: u64) {
        let most = self.response.per_hour_max.min(PER_HOUR_MAX);
        self.done_secs.extend((0..most).map(|_| now_secs));
    }

    /// Forgets what no longer counts; what is left is bounded by [`PER_HOUR_MAX`].
    fn forget(&mut self, now_secs: u64) {
        self.done_secs.retain(|done_secs| now_secs.saturating_sub(*done_secs) < HOUR_SECS);
        self.done.retain(|(_, until_secs)| now_secs < *until_secs);
    }

    /// Whether it did as much within the hour as it may.
    fn is_spent(&self) -> bool {
        let most = self.response.per_hour_max.min(PER_HOUR_MAX);
        self.done_secs.len() >= usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// What is to be done now; why not, where it must not be.
    fn action(
        &self,
        seen: &Observation,
        hour: &Hour,
        own: &Own<'_>,
    ) -> Result<Option<Action>, String> {
        responses::check(std::slice::from_ref(&self.response), own.autonomy)
            .map_err(|error| format!("the policy {error}"))?;
        if own.critical && order::is_for_all(&self.response.then) {
            return Err("this endpoint is critical".to_owned());
        }
        let Some(action) = order::action(&self.response.then, &seen.body)? else {
            return Ok(None);
        };
        let spared = order::process(&action).and_then(|process| (own.spared)(process.pid));
        if let Some(what) = spared {
            return Err(format!("the process is {what}"));
        }
        if self.done.iter().any(|(done, _)| done.is_same_but_lease(&action)) {
            return Err("it was done already, and its time is not over".to_owned());
        }
        if (own.stands)(&action) {
            return Err("it stands already, asked for by somebody else".to_owned());
        }
        if self.is_spent() {
            let times = self.done_secs.len();
            return Err(format!("it was done {times} time(s) within an hour already"));
        }
        let most = own.autonomy.map_or(0, |autonomy| autonomy.per_hour_max);
        hour.check(action.kind(), most)?;
        // Asked last, because the machine must be asked for it.
        if let (Action::Block(_), Ok(address)) = (&action, read::peer(&seen.body))
            && let Some(what) = (own.vital)(address)
        {
            return Err(format!("this endpoint cannot do without {address} ({what})"));
        }
        Ok(Some(action))
    }
}

/// Until when the same is not done again; where nothing stands, what is told within it is summed up.
fn until_secs(action: &Action, now_secs: u64) -> u64 {
    now_secs.saturating_add(action.lease_secs().unwrap_or(SUM_SECS))
}
