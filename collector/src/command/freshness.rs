//! Whether a command that still waits for its endpoint can ever count there.
//!
//! Pure, and only a forecast: the endpoint judges. What would surely be refused is not handed over
//! but shown as lapsed, so that nobody waits for it.

use cordon_proto::command::{Command, Nonce};
use cordon_proto::id::EndpointId;

/// Whether the endpoint, having published `now`, would refuse the command's nonce as too old.
///
/// Endpoint time only grows, so what is too old once stays so. A nonce of an earlier boot counts
/// only for a command that was signed as queued.
#[must_use]
pub fn has_lapsed(command: &Command, endpoint: EndpointId, now: &Nonce) -> bool {
    let Some(target) = command.target(endpoint) else { return true };
    let age_secs = now.endpoint_secs.saturating_sub(target.nonce.endpoint_secs);
    let rebooted = now.boot_count > target.nonce.boot_count;
    age_secs > command.age_max_secs || (rebooted && !command.queued)
}

#[cfg(test)]
mod tests {
    use cordon_proto::command::{Action, Target};
    use cordon_proto::id::CommandId;
    use cordon_proto::roster::RosterRef;

    use super::*;

    fn nonce(boot_count: u64, endpoint_secs: u64) -> Nonce {
        Nonce { boot_count, endpoint_secs, mac: [0; 16] }
    }

    /// A command made at boot 2 and second 1000, good for 900 seconds.
    #[track_caller]
    fn check(queued: bool, boot_count: u64, endpoint_secs: u64, says: bool) {
        let endpoint = EndpointId::of(b"web-01");
        let target = Target { endpoint, host_name: "web-01".to_owned(), nonce: nonce(2, 1000) };
        let command = Command {
            id: CommandId(uuid::Uuid::from_u128(1)),
            client: "acme".parse().unwrap(),
            targets: vec![target],
            action: Action::Release,
            age_max_secs: 900,
            queued,
            roster_min: RosterRef::default(),
            reason: "over".to_owned(),
            incident: None,
            snapshot: None,
        };
        assert_eq!(has_lapsed(&command, endpoint, &nonce(boot_count, endpoint_secs)), says);
        assert!(has_lapsed(&command, EndpointId::of(b"other"), &nonce(2, 1000)));
    }

    #[test]
    fn a_command_lapses_with_its_nonce_and_at_a_reboot_unless_it_is_queued() {
        check(false, 2, 1900, false);
        check(false, 2, 1901, true);
        check(false, 3, 1100, true);
        check(true, 3, 1100, false);
        check(true, 3, 1901, true);
        check(false, 2, 10, false);
    }
}
