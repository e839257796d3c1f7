//! Who belongs to a tree of processes.
//!
//! Pure. A process belongs to it if its parent does, or if it is in a session whose leader does: a
//! session is only ever inherited. Both are believed only where a member vouches for the number.

use std::collections::{BTreeMap, BTreeSet};

use super::stat::Stat;

/// The members found so far.
#[derive(Debug, Default)]
pub(super) struct Family {
    /// By number, with their starts.
    members: BTreeMap<u32, u64>,
    /// Sessions that members lead.
    sessions: BTreeSet<u32>,
}

/// Why a process belongs to the tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tie {
    /// Its parent is this member.
    Parent(u32),
    /// It is in the session of this number.
    Session(u32),
}

impl Family {
    pub(super) fn add(&mut self, stat: &Stat) {
        self.members.insert(stat.pid, stat.start_ticks);
        if stat.session == stat.pid {
            self.sessions.insert(stat.session);
        }
    }

    /// A session that a member led which may have ended.
    pub(super) fn led(&mut self, session: u32) {
        self.sessions.insert(session);
    }

    /// Sessions that members lead, or led.
    pub(super) fn sessions(&self) -> impl Iterator<Item = u32> {
        self.sessions.iter().copied()
    }

    pub(super) fn holds(&self, stat: &Stat) -> bool {
        self.members.get(&stat.pid) == Some(&stat.start_ticks)
    }

    /// What ties this process to the tree, if it is not in it yet.
    pub(super) fn tie(&self, stat: &Stat) -> Option<Tie> {
        if self.holds(stat) || stat.has_ended {
            return None;
        }
        if self.members.contains_key(&stat.parent) {
            return Some(Tie::Parent(stat.parent));
        }
        // The number of a session is not given anew while anybody is in it.
        self.sessions.contains(&stat.session).then_some(Tie::Session(stat.session))
    }

    /// All that one list of processes ties to the tree, makers before what they made.
    pub(super) fn grow<'a>(&self, all: &'a [Stat]) -> Vec<&'a Stat> {
        let mut whole = Self { members: self.members.clone(), sessions: self.sessions.clone() };
        let mut found = Vec::new();
        loop {
            let before = found.len();
            for stat in all {
                if whole.tie(stat).is_some() {
                    whole.add(stat);
                    found.push(stat);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PID PARENT SESSION [ended]`, one process a line; the first is the root.
    #[track_caller]
    fn check(list: &str, expected: &str) {
        let all: Vec<Stat> = list.lines().map(stat).collect();
        let mut family = Family::default();
        family.add(&all[0]);
        let mut found: Vec<_> = family.grow(&all).iter().map(|stat| stat.pid).collect();
        found.sort_unstable();
        let found: Vec<_> = found.iter().map(u32::to_string).collect();
        assert_eq!(found.join(" "), expected);
    }

    fn stat(line: &str) -> Stat {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse().unwrap();
        Stat {
            pid: number(0),
            name: Vec::new(),
            parent: number(1),
            group: number(2),
            session: number(2),
            start_ticks: 100,
            is_kernel: false,
            is_stopped: false,
            has_ended: words.get(3) == Some(&"ended"),
        }
    }

    #[test]
    fn children_of_children_belong_to_it_in_whatever_order_they_are_listed() {
        check("10 1 5\n13 12 5\n12 11 5\n11 10 5\n20 1 5\n1 0 0", "11 12 13");
    }

    #[test]
    fn orphans_of_a_session_that_the_tree_leads_belong_to_it() {
        check("10 1 10\n11 1 10\n12 11 12\n13 1 12\n14 1 5", "11 12 13");
    }

    #[test]
    fn a_session_that_another_leads_says_nothing() {
        check("10 5 5\n11 5 5\n12 1 5", "");
    }

    #[test]
    fn who_has_ended_is_no_member() {
        check("10 1 5\n11 10 5 ended\n12 10 5", "12");
    }

    #[test]
    fn a_number_that_is_anothers_now_is_not_the_member() {
        let mut family = Family::default();
        family.add(&stat("10 1 5"));
        let other = Stat { start_ticks: 101, ..stat("10 1 5") };
        assert!(!family.holds(&other));
        assert!(family.grow(&[other]).is_empty());
    }
}
