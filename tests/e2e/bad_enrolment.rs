//! Enrolment strings that let nobody in: the sentence that a person sees for each.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_proto::id::Hash;
use cordon_proto::token::EnrolmentString;

use crate::scene::{DB, WEB, await_some, failed_with, fleet, pass, said};

pub(crate) fn strings() -> Result<()> {
    let fleet = fleet()?;
    fleet.configure(WEB, "")?;
    fleet.configure(DB, "")?;
    let (_, good) = token(&fleet, "1h")?;
    let read = EnrolmentString::from_text(&good)?;
    let changed = |change: &dyn Fn(&mut EnrolmentString)| {
        let mut string = read.clone();
        change(&mut string);
        string.to_text()
    };
    let nowhere = vec!["10.77.0.1:9".to_owned()];
    let cases = [
        ("no string at all", "hello".to_owned(), "an enrolment string begins with 'cordon1:'"),
        ("a damaged string", good[..good.len() - 5].to_owned(), "enrolment string"),
        (
            "another token",
            changed(&|s| s.secret[0] ^= 1),
            "this collector does not know the enrolment token",
        ),
        (
            "a wrong pin",
            changed(&|s| s.ca_pin = Hash::of(b"another root")),
            "the server's root certificate is not the one this endpoint trusts",
        ),
        (
            "another client",
            changed(&|s| s.client = "other".parse().unwrap_or_else(|_| s.client.clone())),
            "the collector refuses:",
        ),
        (
            "another authority",
            changed(&|s| s.authority = s.recovery),
            "the roster is not signed by this endpoint's authority",
        ),
        (
            "nobody there",
            changed(&|s| s.collectors.clone_from(&nowhere)),
            "no collector was reached: 10.77.0.1:9",
        ),
        ("a revoked token", revoked(&fleet)?, "the enrolment token was revoked"),
        ("an expired token", expired(&fleet)?, "the enrolment token expired"),
    ];
    for (what, string, sentence) in &cases {
        refused(&fleet, WEB, what, string, sentence)?;
    }
    // The collector was asked for some of these by its honest self: the good string still does.
    let (_, good) = token(&fleet, "1h")?;
    let output = enroll(&fleet, WEB, &good)?;
    ensure!(output.status.success(), "the good string: {}", said(&output));
    refused(&fleet, DB, "a spent token", &good, "the enrolment token is spent")?;
    refused(&fleet, WEB, "enrolled already, elsewhere", &cases[3].1, "`--force` makes it a new")
}

fn refused(fleet: &Fleet, name: &str, what: &str, string: &str, sentence: &str) -> Result<()> {
    failed_with(what, &enroll(fleet, name, string)?, sentence)
}

fn enroll(fleet: &Fleet, name: &str, string: &str) -> Result<std::process::Output> {
    let config = fleet.agent_config(name);
    let arguments = ["enroll".as_ref(), "--config".as_ref(), config.as_os_str(), string.as_ref()];
    fleet.run_agent(name, &arguments)
}

/// A token for one endpoint: its id and its string.
fn token(fleet: &Fleet, valid: &str) -> Result<(String, String)> {
    let made = fleet.cordon_json(&["token", "create", "--uses", "1", "--for", valid])?;
    let made = made.first().context("no token was made")?;
    let text =
        |key: &str| anyhow::Ok(made[key].as_str().context("a token without a text")?.to_owned());
    Ok((text("id")?, text("string")?))
}

fn revoked(fleet: &Fleet) -> Result<String> {
    let (id, string) = token(fleet, "1h")?;
    fleet.cordon(&["token", "revoke", &id])?;
    Ok(string)
}

fn expired(fleet: &Fleet) -> Result<String> {
    let (_, string) = token(fleet, "1s")?;
    let expires_secs = EnrolmentString::from_text(&string)?.expires_secs;
    let clock = cordon_collector::clock::Clock::system();
    await_some("the token is over", || Ok((clock.wall_secs() > expires_secs).then_some(())))?;
    pass(Duration::from_millis(100))?;
    Ok(string)
}
