//! A collector with thousands of endpoints at one client and some at another, two people invited: one
//! knows both clients, the other the first alone. No endpoint that is put there has an agent.

use anyhow::Result;
use cordon_agent::clock;
use cordon_packaging::fleet::{CLIENT, Fleet, OPERATORS, Plan};

use super::{Crowd, fill};
use crate::console::invite;

/// The client that the second operator must never see anything of.
const OTHER: &str = "zeta";

#[derive(Debug)]
pub struct Scene {
    fleet: Fleet,
    counts: [u32; 2],
    invitations: [String; 2],
}

impl Scene {
    /// With so many endpoints at the first client and at the other.
    pub fn make(counts: [u32; 2]) -> Result<Self> {
        let other_client = Some(OTHER.to_owned());
        let mut fleet = Fleet::make(Plan { on_loopback: true, other_client, ..Plan::default() })?;
        fleet.stop_collector()?;
        let crowds = [
            Crowd { client: CLIENT, prefix: "", count: counts[0] },
            Crowd { client: OTHER, prefix: "zeta-", count: counts[1] },
        ];
        fill(&fleet.folder().join("collector"), &crowds, clock::stamp().time_ns)?;
        fleet.start_collector()?;
        Self::over(fleet, counts)
    }

    /// Over a fleet that has them already.
    pub fn over(fleet: Fleet, counts: [u32; 2]) -> Result<Self> {
        let invitations = [invite(&fleet, OPERATORS[0])?, invite(&fleet, OPERATORS[1])?];
        Ok(Self { fleet, counts, invitations })
    }

    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What the console's browser tests are told of it.
    #[must_use]
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let [first, second] = self.invitations.clone();
        vec![
            ("CORDON_URL", self.fleet.people_url()),
            ("CORDON_FOLDER", self.fleet.folder().display().to_string()),
            ("CORDON_INVITATION", first),
            ("CORDON_INVITATION_OTHER", second),
            ("CORDON_HOSTILE", "nobody".to_owned()),
            ("CORDON_COUNT", self.counts[0].to_string()),
            ("CORDON_COUNT_OTHER", self.counts[1].to_string()),
        ]
    }
}
