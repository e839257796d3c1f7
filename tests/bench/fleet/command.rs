//! One command to all: signed by two operators for as many endpoints as one may name, again and again
//! until every endpoint is named; brought through the API, as `cordon policy set --all` does.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cordon_packaging::fleet::{CLIENT, OPERATORS};
use cordon_proto::command::{Action, Command, Nonce, Target};
use cordon_proto::id::CommandId;
use cordon_proto::limits::{NONCE_AGE_SECS_DEFAULT, TARGETS_MAX};
use cordon_proto::policy::Policy;
use cordon_proto::roster::RosterRef;
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::command::SignedCommand;
use serde_json::{Value, json};

use crate::door::Door;

/// Endpoints on one page of the list.
const PAGE: usize = 500;

/// The operators' keys, as `cordon authority init --no-passphrase` wrote them.
pub(crate) fn keys(folder: &Path) -> Result<Vec<SigningKey>> {
    let key = |name: &&str| {
        let path = folder.join(format!("authority/operator-{name}.key"));
        let text = std::fs::read_to_string(&path).context("reading an operator's key")?;
        let file: toml::Table = text.parse()?;
        let seed = file["seed"].as_str().context("an operator's key without a seed")?;
        let digits = seed.as_bytes().chunks(2).map(std::str::from_utf8);
        let seed = digits.map(|digits| Ok(u8::from_str_radix(digits?, 16)?));
        Ok(SigningKey::from_seed(&seed.collect::<Result<Vec<u8>>>()?)?)
    };
    OPERATORS.iter().map(key).collect()
}

/// Every endpoint as the list shows it, page by page.
pub(crate) fn targets(door: &mut Door) -> Result<Vec<Target>> {
    let (mut targets, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = door.json(&format!("/endpoints?limit={PAGE}{cursor}"))?;
        let items = page["items"].as_array().context("a page without endpoints")?;
        for item in items {
            targets.push(target(item).with_context(|| format!("an endpoint in the list: {item}"))?);
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(targets),
        }
    }
}

fn target(item: &Value) -> Result<Target> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text is missing");
    let nonce = &item["nonce"];
    let mac = URL_SAFE_NO_PAD.decode(text(&nonce["mac"])?)?;
    Ok(Target {
        endpoint: text(&item["id"])?.parse()?,
        host_name: text(&item["host_name"])?,
        nonce: Nonce {
            boot_count: text(&nonce["boot_count"])?.parse()?,
            endpoint_secs: nonce["endpoint_secs"].as_u64().context("no time")?,
            mac: mac.try_into().ok().context("a proof of another length")?,
        },
    })
}

/// A policy that leaves everything as it is, for all of them.
pub(crate) fn sign(
    targets: &[Target],
    roster: RosterRef,
    keys: &[SigningKey],
) -> Result<Vec<SignedCommand>> {
    let (first, others) = keys.split_first().context("there is no operator")?;
    let sign = |targets: &[Target]| {
        let client = CLIENT.parse()?;
        let command = Command {
            id: CommandId(uuid::Uuid::now_v7()),
            client,
            targets: targets.to_vec(),
            action: Action::SetPolicy(Policy::new(CLIENT.parse()?, 1)),
            age_max_secs: NONCE_AGE_SECS_DEFAULT,
            queued: false,
            roster_min: roster,
            reason: "measured".to_owned(),
            incident: None,
            snapshot: None,
        };
        let mut signed = SignedCommand::sign(command, first);
        others.iter().for_each(|key| signed.add(key));
        Ok(signed)
    };
    targets.chunks(TARGETS_MAX).map(sign).collect()
}

/// Brings them; each is handed to its endpoints before the next is brought.
pub(crate) fn bring(door: &mut Door, commands: &[SignedCommand]) -> Result<()> {
    for command in commands {
        let body = json!({ "command": URL_SAFE_NO_PAD.encode(command.to_bytes()) });
        let answer = door.post("/commands", &body)?;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 201, "the command was not taken: {}: {said}", answer.status);
        let taken: Value = serde_json::from_str(&said)?;
        if let Some(waits) = taken["waits_for"].as_str() {
            bail!("the command waits for {waits}");
        }
    }
    Ok(())
}

/// On how many endpoints the collector shows a command as applied.
pub(crate) fn applied(door: &mut Door, commands: &[SignedCommand]) -> Result<usize> {
    let mut count = 0;
    for command in commands {
        let shown = door.json(&format!("/commands/{}", command.command().id))?;
        let targets = shown["targets"].as_array().context("a command without targets")?;
        count += targets.iter().filter(|target| target["facts"]["applied"].is_object()).count();
    }
    Ok(count)
}
