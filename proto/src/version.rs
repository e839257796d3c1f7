//! The protocol's one number and its dated history.

/// The number this build speaks.
///
/// - 1 (2026-11): the first.
pub const PROTOCOL: u32 = 1;

/// The oldest number this build still understands.
pub const PROTOCOL_OLDEST: u32 = 1;

/// The websocket subprotocol of an agent's session.
pub const SUBPROTOCOL: &str = "cordon.v1";

/// Where on the agents' door a session is opened.
pub const SESSION_PATH: &str = "/v1/session";

/// Where on the agents' door an endpoint enrols, or renews its certificate.
pub const ENROL_PATH: &str = "/v1/enrol";
