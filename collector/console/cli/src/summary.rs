//! Commands, receipts and events in words. Pure; every foreign text is escaped here.

pub mod event;

use cordon_proto::command::{Action, AtEnd, Command, IfUnproved};
use cordon_proto::event::receipt::{Check, EndCause, Outcome, Proof};
use cordon_proto::policy::Redactions;

use crate::moment;
use crate::output::text::plain;

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
        lines.push(("endpoint", format!("{}  {}", plain(&target.host_name), target.endpoint)));
    }
    if let Some(incident) = &command.incident {
        lines.push(("incident", plain(incident).into_owned()));
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

/// An action with all its parameters.
#[must_use]
pub fn action(action: &Action) -> String {
    match action {
        Action::Isolate(isolate) => {
            let lease = moment::length(isolate.lease_secs);
            let at_end = match isolate.at_end {
                AtEnd::LetBack => "is let back when it ends",
                AtEnd::Stay => "STAYS CUT OFF when it ends, until a signed release",
            };
            let if_unproved = match isolate.if_unproved {
                IfUnproved::Hold => "stands even if it cannot be proved",
                IfUnproved::Release => {
                    "is UNDONE if it cannot be proved (who blocks the collector can wait for that)"
                }
            };
            let accept_loss = if isolate.accept_loss {
                "; goes on EVEN IF something the endpoint needs cannot be kept open"
            } else {
                ""
            };
            format!(
                "isolate: cut off from the network for {lease}; {at_end}; {if_unproved}{accept_loss}"
            )
        }
        Action::Release => "release: let back onto the network".to_owned(),
        Action::SetPolicy(policy) => format!(
            "set_policy: version {} of client {}: {} exemption(s), {} critical endpoint(s){}",
            policy.version,
            policy.client,
            policy.exemptions.len(),
            policy.critical.len(),
            policy.redactions.as_ref().map(redactions).unwrap_or_default()
        ),
        Action::Query(query) => format!(
            "query: read, for {} ms, {} row(s) and {} bytes at most: {}",
            query.time_ms_max,
            query.rows_max,
            query.bytes_max,
            plain(&query.sql)
        ),
    }
}

/// What a policy lets out or takes out must be read by whoever signs it.
fn redactions(redactions: &Redactions) -> String {
    let own: Vec<_> = redactions.patterns.iter().map(|pattern| pattern.name.as_str()).collect();
    let mut words = format!("; {} redaction(s) of its own", own.len());
    if !own.is_empty() {
        words.push_str(&format!(": {}", plain(&own.join(", "))));
    }
    if !redactions.off.is_empty() {
        words.push_str(&format!("; SECRETS ARE LET OUT by {}", plain(&redactions.off.join(", "))));
    }
    words
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
        Outcome::Ended { cause, observed_gone } => {
            let cause = match cause {
                EndCause::Released => "released by a signed command",
                EndCause::LeaseEnded => "its lease ran out",
                EndCause::Unproved => "it could not be proved, and the command said to let go",
                EndCause::BreakGlass => "the break-glass code was typed at the endpoint",
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::command::Isolate;
    use cordon_proto::event::receipt::Probe;
    use cordon_proto::id::Hash;

    #[test]
    fn what_is_dangerous_about_an_isolation_is_said_aloud() {
        let usual = action(&Action::Isolate(Isolate::default()));
        assert_eq!(
            usual,
            "isolate: cut off from the network for 1d; is let back when it ends; stands even if it \
             cannot be proved"
        );
        let all = action(&Action::Isolate(Isolate {
            lease_secs: 3600,
            if_unproved: IfUnproved::Release,
            at_end: AtEnd::Stay,
            accept_loss: true,
        }));
        for word in ["STAYS CUT OFF", "is UNDONE", "EVEN IF"] {
            assert!(all.contains(word), "{all}");
        }
    }

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
