//! What a collector in the wrong hands can make an endpoint do: nothing that it would not have
//! done for its operators, and each attempt is answered by a signed refusal that names the check.

mod attacks;
mod kinds;
mod passkeys;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_packaging::say;
use cordon_proto::command::Nonce;
use cordon_proto::event::receipt::{Check, Outcome};
use cordon_proto::event::{Body, Event, Health, Lane, Receipt};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::message::{Ack, CollectorMessage, Signed};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::Header;
use cordon_proto::sign::document::{self, Kind};

use crate::hostile::{Hostile, Order};
use crate::scene::{
    DB, WEB, await_some, count_lines, endpoint_id, fleet_of_one, join, ruleset, write_lines,
};
use attacks::{Attack, Forge};

/// The stage of both tests: two endpoints, and the impostor in the place of their collector.
struct Siege {
    fleet: Fleet,
    hostile: Hostile,
    web: EndpointId,
    db: EndpointId,
}

impl Siege {
    fn lay() -> Result<Self> {
        let mut fleet = fleet_of_one()?;
        join(&mut fleet, DB)?;
        let (web, db) = (endpoint_id(&fleet, WEB)?, endpoint_id(&fleet, DB)?);
        let hostile = Hostile::take_over(&mut fleet, &[web, db])?;
        let siege = Self { fleet, hostile, web, db };
        await_some("both endpoints are back", || {
            let mind = siege.hostile.mind();
            Ok((mind.sessions(web) > 0 && mind.sessions(db) > 0).then_some(()))
        })?;
        Ok(siege)
    }

    /// Starts the endpoint's agent again, so that it answers the next refusal of each check at
    /// once instead of summing it up.
    fn fresh(&mut self) -> Result<()> {
        let before = self.hostile.mind().sessions(self.web);
        self.fleet.stop_agent(WEB)?;
        self.fleet.start_agent(WEB)?;
        let (hostile, web) = (&self.hostile, self.web);
        await_some("the agent is back after a restart", || {
            Ok((hostile.mind().sessions(web) > before).then_some(()))
        })
        .with_context(|| self.fleet.log_tail(WEB))
    }

    /// The latest that signed health said.
    fn health(&self, endpoint: EndpointId) -> Result<Health> {
        await_some("signed health comes", || {
            let mind = self.hostile.mind();
            let health = mind.events(endpoint).filter_map(health_of).last();
            Ok(health.cloned())
        })
    }

    fn nonce(&self, endpoint: EndpointId) -> Result<Nonce> {
        Ok(self.health(endpoint)?.nonce)
    }

    fn receipts(&self, command: &[u8]) -> Vec<Receipt> {
        let (hash, mind) = (Hash::of(command), self.hostile.mind());
        let receipts = mind.events(self.web).filter_map(receipt_of);
        receipts.filter(|receipt| receipt.command_hash == hash).cloned().collect()
    }

    /// Waits for a receipt about these bytes that `find` wants.
    fn await_receipt<T>(
        &self,
        what: &str,
        command: &[u8],
        find: impl Fn(&Outcome) -> Option<T>,
    ) -> Result<T> {
        await_some(what, || {
            let receipts = self.receipts(command);
            Ok(receipts.iter().find_map(|receipt| find(&receipt.outcome)))
        })
        .with_context(|| format!("the agent's log ends:\n{}", self.fleet.log_tail(WEB)))
    }

    /// What must be obeyed is obeyed: isolated and let back, over the impostor. Answers the bytes.
    fn control(&self, forge: &Forge) -> Result<Vec<u8>> {
        let namespace = self.fleet.namespace(WEB)?;
        let before = ruleset(namespace)?;
        let isolate = forge.isolate().to_bytes();
        self.hostile.say(self.web, Order::Command(isolate.clone()))?;
        self.await_receipt("an honest isolation is applied", &isolate, |outcome| {
            matches!(outcome, Outcome::Applied { .. }).then_some(())
        })?;
        ensure!(ruleset(namespace)? != before, "applied, and the firewall is as before");
        let release = forge.release().to_bytes();
        self.hostile.say(self.web, Order::Command(release.clone()))?;
        self.await_receipt("an honest release is carried out", &release, |outcome| {
            matches!(outcome, Outcome::Ended { .. }).then_some(())
        })
        .or_else(|_| {
            self.await_receipt("the isolation is ended", &isolate, |outcome| {
                matches!(outcome, Outcome::Ended { .. }).then_some(())
            })
        })?;
        ensure!(ruleset(namespace)? == before, "released, and the firewall is not as before");
        Ok(isolate)
    }

    /// A passkey's honest assertion counts, once.
    fn control_passkey(&self, forge: &Forge) -> Result<()> {
        let before = ruleset(self.fleet.namespace(WEB)?)?;
        let isolate = forge.isolate_with_passkey()?;
        self.hostile.say(self.web, Order::Command(isolate.clone()))?;
        self.await_receipt("a passkey's isolation is applied", &isolate, |outcome| {
            matches!(outcome, Outcome::Applied { .. }).then_some(())
        })?;
        let release = forge.release().to_bytes();
        self.hostile.say(self.web, Order::Command(release.clone()))?;
        self.await_receipt("the passkey's isolation is ended", &isolate, |outcome| {
            matches!(outcome, Outcome::Ended { .. }).then_some(())
        })?;
        let before_again = ruleset(self.fleet.namespace(WEB)?)?;
        let again = attacks::attack("a passkey's command a second time", Check::Replay, isolate);
        self.attack(&again, &before)?;
        ensure!(before_again == before, "released, and the firewall is not as before");
        Ok(())
    }

    fn attack(&self, attack: &Attack, before: &str) -> Result<()> {
        for roster in &attack.rosters {
            self.hostile.say(self.web, Order::Roster(roster.clone()))?;
        }
        self.hostile.say(self.web, Order::Command(attack.command.clone()))?;
        let what = format!("a signed refusal of: {}", attack.what);
        let refused = |outcome: &Outcome| match outcome {
            Outcome::Refused { check, reason } => Some((*check, reason.clone())),
            Outcome::Accepted { .. }
            | Outcome::Applied { .. }
            | Outcome::Proved(_)
            | Outcome::Unproved(_)
            | Outcome::Drifted { .. }
            | Outcome::Failed { .. }
            | Outcome::Ended { .. }
            | Outcome::Answered { .. }
            | Outcome::Observed { .. }
            | Outcome::Partial { .. }
            | Outcome::Snapshot { .. } => None,
        };
        let (check, reason) = self.await_receipt(&what, &attack.command, refused)?;
        say::line(&format!("{:?}: {}: {reason}", check, attack.what));
        ensure!(check == attack.check, "{}: {check:?} instead of {:?}", attack.what, attack.check);
        let after = ruleset(self.fleet.namespace(WEB)?)?;
        ensure!(after == before, "{}: the firewall was {before} and is {after}", attack.what);
        Ok(())
    }
}

fn health_of(event: &Event) -> Option<&Health> {
    if let Body::Health(health) = &event.body { Some(health) } else { None }
}

fn receipt_of(event: &Event) -> Option<&Receipt> {
    if let Body::Receipt(receipt) = &event.body { Some(receipt) } else { None }
}

pub(crate) fn commands() -> Result<()> {
    let mut siege = Siege::lay()?;
    let forge = Forge::new(
        &siege.fleet,
        (siege.web, siege.nonce(siege.web)?),
        (siege.db, siege.nonce(siege.db)?),
    )?;
    let obeyed = siege.control(&forge)?;
    // The authority's own changes come over the impostor as over anybody: a viewer joins, the
    // ceilings sink, bob leaves.
    for roster in &forge.rosters {
        siege.hostile.say(siege.web, Order::Roster(roster.clone()))?;
    }
    let (version, web) = (forge.held.version, siege.web);
    await_some("the endpoint holds the authority's newest roster", || {
        let mind = siege.hostile.mind();
        let held = mind.events(web).filter_map(health_of).last().map(|health| health.roster);
        Ok(held.filter(|roster| roster.version == version))
    })?;
    let mut attacks = forge.attacks(&obeyed)?;
    let count = attacks.len();
    let before = ruleset(siege.fleet.namespace(WEB)?)?;
    while !attacks.is_empty() {
        siege.fresh()?;
        let mut told: Vec<Check> = Vec::new();
        let mut later = Vec::new();
        for attack in attacks {
            if told.contains(&attack.check) {
                later.push(attack);
                continue;
            }
            told.push(attack.check);
            siege.attack(&attack, &before)?;
        }
        attacks = later;
    }
    ensure!(siege.hostile.mind().rows.is_empty(), "a question that was refused was answered");
    ensure!(siege.hostile.mind().pieces.is_empty(), "evidence was brought that nobody asked for");
    let standing = siege.health(siege.web)?.containments;
    ensure!(standing.is_empty(), "something stands: {standing:?}");
    let held = siege.health(siege.web)?.roster;
    ensure!(held == forge.held, "the endpoint holds another roster: {held:?}");
    siege.fresh()?;
    // It still obeys those whom it should: nothing was refused because all is refused.
    let forge = forge.with_nonce(siege.nonce(siege.web)?);
    siege.control(&forge)?;
    siege.control_passkey(&forge)?;
    say::line(&format!(
        "{count} attacks, each refused by the check it should fail; 3 controls obeyed"
    ));
    Ok(())
}

pub(crate) fn memory() -> Result<()> {
    let mut siege = Siege::lay()?;
    let mut lines = write_lines(&siege.fleet, WEB, "acknowledged", 0..50)?;
    await_kept(&siege, &lines)?;

    // Acknowledges what it was never sent.
    siege.hostile.mind().deaf = true;
    lines.extend(write_lines(&siege.fleet, WEB, "unkept", 0..50)?);
    let heard = await_some("the deaf impostor hears of the lines", || {
        let mind = siege.hostile.mind();
        Ok(mind.unkept.iter().find(|header| header.lane == Lane::Telemetry).cloned())
    })?;
    let ends = siege.hostile.mind().ends.len();
    let ack = Ack { lane: Lane::Telemetry, epoch: heard.epoch, last: heard.last() + 1_000_000 };
    siege.hostile.say(siege.web, Order::Say(CollectorMessage::Ack(ack).encode()))?;
    await_some("the agent ends a session that acknowledges too much", || {
        Ok((siege.hostile.mind().ends.len() > ends).then_some(()))
    })?;
    siege.hostile.mind().deaf = false;
    siege.fresh()?;
    await_kept(&siege, &lines)?;

    // Shows a head that this endpoint never signed.
    siege.hostile.mind().forged_heads = Some(vec![forged_head(siege.web)?]);
    lines.extend(write_lines(&siege.fleet, WEB, "forged", 0..50)?);
    siege.fleet.stop_agent(WEB)?;
    siege.fleet.start_agent(WEB)?;
    await_some("the agent says why it left", || {
        let log = siege.fleet.log_tail(WEB);
        Ok(log.contains("that this endpoint has not signed").then_some(()))
    })?;
    siege.fresh()?;
    await_kept(&siege, &lines)?;

    // Says what is no message at all.
    for garbage in [vec![0xff; 64], Vec::new(), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        siege.hostile.say(siege.web, Order::Say(garbage))?;
        siege.fresh()?;
    }
    lines.extend(write_lines(&siege.fleet, WEB, "garbage", 0..50)?);
    await_kept(&siege, &lines)
}

/// Every line was kept once by the impostor, in a chain that it has checked.
fn await_kept(siege: &Siege, lines: &[String]) -> Result<()> {
    await_some("the impostor has every line", || {
        let mind = siege.hostile.mind();
        let counts = count_lines(mind.events(siege.web));
        let doubled: Vec<_> =
            lines.iter().filter(|l| counts.get(*l).is_some_and(|n| *n > 1)).collect();
        ensure!(doubled.is_empty(), "sent twice: {doubled:?}");
        Ok(lines.iter().all(|line| counts.contains_key(line)).then_some(()))
    })
    .with_context(|| format!("the agent's log ends:\n{}", siege.fleet.log_tail(WEB)))
}

/// A header that claims everything, under a key of the impostor's own.
fn forged_head(endpoint: EndpointId) -> Result<Signed> {
    let header = Header {
        endpoint,
        lane: Lane::Telemetry,
        epoch: u32::MAX,
        first: 1,
        count: 1,
        previous: Hash::default(),
        root: Hash::of(b"nothing"),
        time_ns: 1,
        cause: None,
    };
    let bytes = document::sign(Kind::Batch, &header, b"", &SigningKey::generate()?);
    Ok(Signed { bytes })
}
