//! Commands, receipts and events in words. Pure; every foreign text is escaped here.

mod action;
pub mod event;

use cordon_proto::command::Command;
use cordon_proto::event::receipt::{Check, EndCause, Outcome, Probe, Proof, SnapshotState};

use crate::moment;
use crate::output::text::plain;
pub use action::{action, budget, response};

/// A command, a line each for what it says, from its own bytes.
#[must_use]
pub fn command(command: &Command) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("command", command.id.to_string()),
        ("action", action(&command.action)),
        ("reason", plain(&command.reason).into_owned()),
        ("client", command.client.to_string()),
    ];
    for target in &command.targets {
        let (name, groups) = (plain(&target.host_name), action::groups(&command.action, target));
        lines.push(("endpoint", format!("{name}  {}{groups}", target.endpoint)));
    }
    if let Some(incident) = &command.incident {
        lines.push(("incident", plain(incident).into_owned()));
    }
    if let Some(snapshot) = command.snapshot {
        let wait_ms = snapshot.wait_ms;
        lines
            .push(("first", format!("a snapshot is taken; the action waits {wait_ms} ms at most")));
    }
    let fresh = moment::length(command.age_max_secs);
    lines.push((
        "counts",
        if command.queued {
            format!("for {fresh} of endpoint time, also after the endpoint was switched off")
        } else {
            format!("for {fresh} of endpoint time, and not after a reboot")
        },
    ));
    let roster = command.roster_min;
    lines
        .push(("roster", format!("version {} or later ({})", roster.version, roster.hash.short())));
    lines
}

/// What became of a command, in words.
#[must_use]
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused { check: failed, reason } => {
            format!("{}: {}", check(*failed), plain(reason))
        }
        Outcome::Accepted { signers } => {
            let signers: Vec<_> = signers.iter().map(|signer| signer.as_str()).collect();
            format!("signatures that counted: {}", signers.join(", "))
        }
        Outcome::Applied { stood_already: true, .. } => {
            "it stood already; nothing changed".to_owned()
        }
        Outcome::Applied { change_us, until_secs, .. } => {
            let until = until_secs.map(|secs| {
                format!("; its lease ends at {} of endpoint time", moment::length(secs))
            });
            let milliseconds = format!("{}.{:03}", change_us / 1000, change_us % 1000);
            format!("the change took {milliseconds} ms{}", until.unwrap_or_default())
        }
        Outcome::Proved(seen) | Outcome::Unproved(seen) => proof(seen),
        Outcome::Drifted { found, reapplied } => {
            let now = if *reapplied { "it was put back" } else { "it could NOT be put back" };
            format!("{}; {now}", plain(found))
        }
        Outcome::Failed { reason } => plain(reason).into_owned(),
        Outcome::Answered { rows, summary, cut, error, took_ms } => {
            let cut = cut.map(|limit| format!("; the limit on {} was reached", limit.name()));
            let error = error.as_ref().map(|error| format!("; {}", plain(error)));
            format!(
                "{rows} row(s) in {took_ms} ms, summary {}{}{}",
                summary.short(),
                cut.unwrap_or_default(),
                error.unwrap_or_default()
            )
        }
        Outcome::Observed { probes } => seen(probes),
        Outcome::Partial { done, missing } => {
            let done = if done.is_empty() { "nothing".to_owned() } else { done.join("; ") };
            format!("done: {}; NOT done: {}", plain(&done), plain(&missing.join("; ")))
        }
        Outcome::Snapshot { state, waited_us, detail } => {
            let state = match state {
                SnapshotState::Whole => "whole",
                SnapshotState::Cut => "CUT SHORT",
                SnapshotState::Failed => "FAILED",
            };
            let milliseconds = format!("{}.{:03}", waited_us / 1000, waited_us % 1000);
            format!("the snapshot is {state}, waited for {milliseconds} ms: {}", plain(detail))
        }
        Outcome::Ended { cause, observed_gone } => {
            let cause = match cause {
                EndCause::Released => "released by a signed command",
                EndCause::LeaseEnded => "its lease ran out",
                EndCause::Unproved => "it could not be proved, and the command said to let go",
                EndCause::BreakGlass => "the break-glass code was typed at the endpoint",
                EndCause::Replaced => "a later command that asks for the same took it over",
                EndCause::Gone => "what it was done to is gone",
            };
            let seen = if *observed_gone {
                "the rules were seen to be gone"
            } else {
                "the rules were NOT seen to be gone"
            };
            format!("{cause}; {seen}")
        }
    }
}

fn proof(proof: &Proof) -> String {
    let passed = proof.probes.iter().filter(|probe| probe.passed).count();
    let rules = if proof.ruleset_equal {
        "rules read back equal".to_owned()
    } else {
        "rules read back are NOT those asked for".to_owned()
    };
    let mut words = vec![
        rules,
        format!("{passed} of {} probes as they must be", proof.probes.len()),
        format!("{} open socket(s) left", proof.sockets_residual),
        format!("{} packets dropped", proof.packets_dropped),
    ];
    for probe in proof.probes.iter().filter(|probe| !probe.passed) {
        words.push(format!("NOT as it must be: {}: {}", plain(&probe.what), plain(&probe.seen)));
    }
    words.join("; ")
}

/// What was looked at, the failures first.
fn seen(probes: &[Probe]) -> String {
    let failed = probes.iter().filter(|probe| !probe.passed);
    let failed: Vec<_> = failed.map(|p| format!("NOT {}: {}", p.what, p.seen)).collect();
    let passed = probes.iter().filter(|probe| probe.passed);
    let passed: Vec<_> = passed.map(|probe| format!("{}: {}", probe.what, probe.seen)).collect();
    plain(&[failed, passed].concat().join("; ")).into_owned()
}

fn check(check: Check) -> &'static str {
    match check {
        Check::Form => "the bytes are not a command",
        Check::Client => "the command is for another client",
        Check::Target => "the command does not name this endpoint by id and host name",
        Check::Roster => "the command assumes a roster that the endpoint does not hold",
        Check::Signature => "a signature does not count",
        Check::Role => "a signer may not do this",
        Check::Approvals => "too few persons have signed",
        Check::Freshness => "the command is not fresh",
        Check::Replay => "the command was obeyed before",
        Check::Parameters => "a parameter is outside what is allowed",
        Check::Subject => "what it would be done to is protected, or is something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::id::Hash;

    #[test]
    fn a_probe_that_failed_is_named_and_its_words_are_harmless() {
        let probe = |passed, what: &str| Probe {
            what: what.to_owned(),
            passed,
            seen: "connected\u{1b}[2J".to_owned(),
        };
        let proof = Proof {
            ruleset: Hash::default(),
            ruleset_equal: true,
            probes: vec![probe(true, "collector"), probe(false, "DNS")],
            sockets_residual: 1,
            packets_dropped: 9,
        };
        assert_eq!(
            outcome(&Outcome::Unproved(proof)),
            "rules read back equal; 1 of 2 probes as they must be; 1 open socket(s) left; \
             9 packets dropped; NOT as it must be: DNS: connected\\u{1b}[2J"
        );
    }
}
