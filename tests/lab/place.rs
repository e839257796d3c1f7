//! Who is in the lab.

/// A machine of the lab, by what it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The one that is isolated.
    Endpoint,
    /// Routed behind the endpoint, as a container or a virtual machine is.
    Container,
    /// Where the agents' door is.
    Collector,
    /// On the endpoint's own network.
    Peer,
    /// The endpoint's gateway, which serves names and addresses too.
    Router,
    /// Behind the gateway.
    Attacker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Place {
    pub(crate) const ALL: [Self; 6] = [
        Self::Endpoint,
        Self::Container,
        Self::Collector,
        Self::Peer,
        Self::Router,
        Self::Attacker,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Container => "container",
            Self::Collector => "collector",
            Self::Peer => "peer",
            Self::Router => "router",
            Self::Attacker => "attacker",
        }
    }

    /// The device by which it is reached from the endpoint, and the endpoint from it.
    pub(crate) fn device(self) -> &'static str {
        "eth0"
    }
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}
