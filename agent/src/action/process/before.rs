//! What was there before a process or its tree was touched: who was stopped already, and which
//! control groups can be frozen. Found before anything is done, and kept with the deed.

use std::collections::BTreeSet;

use cordon_proto::codec;
use cordon_proto::command::ProcessTarget;
use minicbor::{Decode, Encode};

use super::freeze::Group;
use super::hold::{self, Found, Held};
use super::hunt::{Hunt, Manner};
use super::protect::Protection;
use super::stat::Stat;
use crate::action::deed::Hand;
use crate::ledger::NotDone;

/// Members that are remembered; of a larger tree the rest is found again by its makers, while they
/// live.
const REMEMBERED_MAX: usize = 1024;

/// Groups that are frozen for one tree.
const GROUPS_MAX: usize = 64;

/// What is remembered.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub(super) struct Before {
    #[n(0)]
    members: Vec<Member>,
    #[n(1)]
    pub(super) groups: Vec<Group>,
    /// Led by members: who is born later and loses its maker is found by them.
    #[n(2)]
    sessions: Vec<u32>,
}

/// One process, as it was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
struct Member {
    #[n(0)]
    pid: u32,
    #[n(1)]
    start_ticks: u64,
    #[n(2)]
    was_stopped: bool,
}

impl Before {
    /// Finds it out, and refuses what may not be touched.
    pub(super) fn read(hand: &Hand, target: &ProcessTarget, tree: bool) -> Result<Self, NotDone> {
        let protection = Protection::of(hand)?;
        let root = match hold::find(target)? {
            Found::It(root) => root,
            Found::Gone(why) => return Err(NotDone::Failed(why)),
            Found::Other(why) => return Err(NotDone::Refused(why)),
        };
        let mut hunt = Hunt::of(root);
        if tree {
            let swept = hunt.sweep(Manner::Look);
            swept
                .map_err(|error| NotDone::Failed(format!("processes cannot be listed: {error}")))?;
        }
        check(&protection, &hunt)?;
        let now = hunt.now();
        let members = now.iter().take(REMEMBERED_MAX).map(|stat| Member {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
            was_stopped: stat.is_stopped,
        });
        let groups = groups(&protection, &hunt, tree);
        let sessions = hunt.family.sessions().take(REMEMBERED_MAX).collect();
        Ok(Self { members: members.collect(), groups, sessions })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotDone> {
        codec::decode_strict(bytes)
            .map_err(|error| NotDone::Failed(format!("what was before is not readable: {error}")))
    }

    /// Takes hold of those that were found then and are still there.
    pub(super) fn hold(&self) -> Hunt {
        let mut hunt = Hunt::default();
        self.sessions.iter().for_each(|session| hunt.family.led(*session));
        for member in &self.members {
            match Held::open(member.pid) {
                Ok(Some(held)) if held.stat.start_ticks == member.start_ticks => hunt.take(held),
                Ok(_) => {}
                Err(error) => {
                    hunt.missing.push(format!("process {} cannot be held: {error}", member.pid));
                }
            }
        }
        hunt
    }

    pub(super) fn was_stopped(&self, stat: &Stat) -> bool {
        let is =
            |member: &&Member| member.pid == stat.pid && member.start_ticks == stat.start_ticks;
        self.members.iter().find(is).is_some_and(|member| member.was_stopped)
    }

    /// Lets the groups go that were frozen for it.
    pub(super) fn thaw(&self) -> Vec<String> {
        let thaw = |group: &Group| {
            let error = group.put_back().err()?;
            Some(format!("the control group {} stays frozen: {error}", group.path().display()))
        };
        self.groups.iter().filter_map(thaw).collect()
    }
}

/// The first of those that may not be touched refuses all.
pub(super) fn check(protection: &Protection, hunt: &Hunt) -> Result<(), NotDone> {
    let now = hunt.now();
    match now.iter().find_map(|stat| protection.refuses(stat)) {
        Some(why) => Err(NotDone::Refused(why)),
        None => Ok(()),
    }
}

/// The groups of the tree in which nobody is protected. A single process is frozen only where it is
/// alone in its group; a tree's neighbours stand still for as long as it is looked for.
fn groups(protection: &Protection, hunt: &Hunt, tree: bool) -> Vec<Group> {
    let mut found: Vec<Group> = Vec::new();
    let pids: BTreeSet<u32> = hunt.now().iter().map(|stat| stat.pid).collect();
    for pid in &pids {
        let Some(group) = Group::of(*pid) else { continue };
        if found.len() >= GROUPS_MAX || found.iter().any(|known| known.has(*pid)) {
            continue;
        }
        let Ok(inside) = group.pids() else { continue };
        let free = |pid: &u32| Stat::read(*pid).is_none_or(|s| protection.refuses(&s).is_none());
        let whole = tree || inside.iter().all(|one| pids.contains(one));
        if whole && inside.iter().all(free) {
            found.push(group);
        }
    }
    found
}
