//! What both doors stand on: the settings, the stores, the live feed, who is connected.

use std::sync::Arc;

use cordon_proto::id::Hash;

use crate::answers::Answers;
use crate::authority::Authority;
use crate::bus::Bus;
use crate::ca::Ca;
use crate::clock::Clock;
use crate::collections::Collections;
use crate::config::Config;
use crate::links::Links;
use crate::signin::seal::Seal;
use crate::store::{Log, State};

/// One collector. Both doors hold it; it holds no door.
pub struct Collector {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// Signed batches.
    pub log: Arc<dyn Log>,
    /// Clients, endpoints, tokens, commands, audit.
    pub state: Arc<State>,
    /// What becomes durable, as it does.
    pub bus: Bus,
    /// Who is connected.
    pub links: Arc<Links>,
    /// Answers to queries, on their way to who asked.
    pub answers: Arc<Answers>,
    /// Collected evidence.
    pub collections: Arc<Collections>,
    /// The public keys that rosters are signed with.
    pub authority: Authority,
    /// What accounts' secrets are sealed with.
    pub seal: Seal,
    /// What issues certificates.
    pub ca: Arc<Ca>,
    /// SHA-256 of the root certificate (DER): what agents and operators pin.
    pub ca_pin: Hash,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collector(pin {})", self.ca_pin.short())
    }
}
