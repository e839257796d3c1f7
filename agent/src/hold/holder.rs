//! One isolation in the supervisor's hands: the same core as in the agent, carried out on this
//! thread, with a disk that may be full and keys that may be missing.

use std::net::SocketAddr;

use cordon_proto::command::{Action, Command};
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::id::CommandId;
use cordon_proto::policy::Policy;
use cordon_proto::sign::command::SignedCommand;

use super::HoldError;
use super::found::{self, Evidence, Held, Verify};
use crate::action::isolate::drift::Drift;
use crate::action::isolate::shell::{Look, Safety, Shell};
use crate::action::isolate::{CutOutcome, Seen};
use crate::break_glass::alone;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::containment::{COLLECTORS_MAX, Containment, Step};
use crate::control::Answer;
use crate::endpoint_time::EndpointTime;
use crate::guard::{self, Accepted, Authorised, Own};
use crate::identity::{Identity, StateDir};
use crate::kept::{self, Found, GUARD, GuardMemory, ISOLATION, KeptIsolation, TIME};
use crate::machine;
use crate::nonce::{Moment, Nonces};
use crate::release;
use crate::roster_keeper::{self, RosterKeeper};

/// Looked through for the folder that holds endpoint time, where no identity names it.
const ENTRIES_MAX: usize = 1_000;

/// Who may command this endpoint, as far as that can be read.
pub(super) struct Authority {
    identity: Identity,
    own: StateDir,
    roster: roster_keeper::Held,
    policy: Option<Policy>,
}

/// What is held.
pub struct Holder {
    dir: StateDir,
    /// The reason where identity or roster cannot be read.
    authority: Result<Authority, String>,
    containment: Containment,
    shell: Shell,
    clock: Clock,
    time: EndpointTime,
    /// Where endpoint time is kept; none where it could not be read, and what is counted instead
    /// goes with the record.
    keeps_time_in: Option<StateDir>,
    stands: bool,
    /// The release that is being obeyed, and what came of it.
    releasing: Option<(CommandId, Option<Answer>)>,
    /// Releases that were obeyed though the disk did not take their ids, and until when they could
    /// be brought again.
    unnoted: Vec<(CommandId, u64)>,
}

impl Authority {
    pub(super) fn read(dir: &StateDir) -> Result<Self, String> {
        let identity = Identity::load(dir).map_err(|error| error.to_string())?;
        let own = dir.inner(&identity.own_dir_name()).map_err(|error| error.to_string())?;
        let keeper = RosterKeeper::open(own.clone(), &identity);
        let roster = keeper.map_err(|error| error.to_string())?.held().clone();
        let policy = kept::load_policy(&own).ok().flatten();
        Ok(Self { identity, own, roster, policy })
    }

    fn knowing<'a>(
        &'a self,
        host_name: &'a str,
        moment: Moment,
        stale: &'a dyn Fn(&cordon_proto::command::Nonce, u64, bool) -> Option<String>,
        accepted: &'a Accepted,
    ) -> Own<'a> {
        Own {
            endpoint: self.identity.endpoint,
            host_name,
            client: &self.identity.client,
            roster: &self.roster,
            policy: self.policy.as_ref(),
            endpoint_secs: moment.endpoint_secs,
            stale,
            accepted,
        }
    }

    fn verify(&self, bytes: &[u8]) -> Result<Command, String> {
        let (accepted, moment) = (Accepted::default(), Moment { boot_count: 0, endpoint_secs: 0 });
        let own = self.knowing("", moment, &|_, _, _| None, &accepted);
        guard::verify_again(bytes, &own).map_err(|(_, reason)| reason)
    }

    /// The collectors' addresses that need no name service.
    fn doors(&self) -> Vec<SocketAddr> {
        self.collectors().filter_map(|door| door.parse().ok()).collect()
    }

    /// The ports that the agent dials.
    pub(super) fn ports(&self, config: &Config) -> Vec<u16> {
        let all = self.collectors().chain(config.proxy.address.as_deref());
        let mut ports: Vec<u16> =
            all.filter_map(|door| door.rsplit(':').next()?.parse().ok()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.truncate(COLLECTORS_MAX);
        ports
    }

    fn collectors(&self) -> impl Iterator<Item = &str> {
        let of_roster = self.roster.roster.collectors.iter();
        of_roster.chain(&self.identity.collectors).map(String::as_str)
    }
}

impl Holder {
    /// Takes up what is recorded; none if nothing is, or if it was ended by a break-glass code. The
    /// caller has the lock.
    pub fn open(config: &Config, dir: &StateDir) -> Result<Option<Self>, HoldError> {
        let found = KeptIsolation::find(dir);
        if matches!(found, Found::Nothing) || alone::finish_ended(config, dir)? {
            return Ok(None);
        }
        let boot_id = clock::boot_id().map_err(HoldError::Machine)?;
        let boot_ns = clock::boot_ns();
        let authority = Authority::read(dir);
        let known = authority.as_ref().map_err(Clone::clone);
        let own = own_dir(dir);
        let time = own.as_ref().and_then(|own| {
            kept::load_time(own, &boot_id, boot_ns)
                .inspect_err(|error| tracing::error!(%error, "endpoint time is lost"))
                .ok()
        });
        let verify = known.clone().map(|authority| |bytes: &[u8]| authority.verify(bytes));
        let evidence = Evidence {
            found,
            verify: verify.as_ref().map(|verify| verify as Verify<'_>).map_err(Clone::clone),
            time,
            boot: (&boot_id, boot_ns),
            open: (config.isolation.mark, known.map(Authority::doors).unwrap_or_default()),
        };
        let Some(held) = found::judge(evidence) else { return Ok(None) };
        let Held { kept, time, is_endpoint_time, is_made_up, doubts } = held;
        let safety = Safety {
            outside_initial_netns_only: config.lab,
            plain_tables: !config.isolation.own_tables,
        };
        let mut holder = Self {
            dir: dir.clone(),
            authority,
            containment: Containment::resume(Some(kept.clone()), time.secs(boot_ns)),
            shell: Shell::new(safety, config.state_dir.clone()),
            clock: Clock::start(),
            time,
            keeps_time_in: own.filter(|_| is_endpoint_time),
            stands: false,
            releasing: None,
            unnoted: Vec::new(),
        };
        let command = CommandId(uuid::Uuid::from_bytes(kept.record.command));
        tracing::info!(%command, until_secs = kept.record.until_secs, "holding an isolation");
        if is_made_up {
            // So that its hour is counted on over a restart, and an agent knows of it.
            let saved = holder.save(&kept);
            holder.containment.handle_made_up(saved);
        }
        holder.doubt(&kept, &doubts);
        Ok(Some(holder))
    }

    /// Whether the rules stand.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.stands
    }

    /// Whether there is nothing to be held any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.containment.plan().is_none() && !self.containment.is_unforgotten()
    }

    /// Ends leases, puts back what was changed, tries again what failed.
    pub fn tick(&mut self) {
        self.keep_time();
        self.containment.handle_timeout(self.secs());
        self.work();
        if self.stands
            && let Some(plan) = self.containment.plan()
            && let Ok(Look { drift: Some(drift), .. }) = self.shell.look(&plan)
        {
            match drift {
                Drift::Rules(found) => {
                    tracing::warn!(found, "somebody changed the isolation");
                    self.containment.handle_drift(found);
                }
                Drift::Devices => self.containment.handle_devices(),
            }
            self.work();
        }
    }

    /// Judges and obeys a signed release.
    pub fn release(&mut self, bytes: &[u8]) -> Answer {
        let may = match self.judge(bytes) {
            Ok(may) => may,
            Err(reason) => {
                tracing::warn!(reason, "refused a release");
                return Answer::refused(reason);
            }
        };
        let id = may.command.id;
        tracing::info!(command = %id, signers = ?may.signers, "obeying a release");
        self.releasing = Some((id, None));
        self.containment.handle_release(&may);
        self.work();
        let answer = self.releasing.take().and_then(|(_, answer)| answer);
        let answer = answer.unwrap_or_else(|| Answer::refused("the rules are still there"));
        if answer.done && self.containment.is_unforgotten() {
            let says = "let back; but its record cannot be removed from the disk, so that the \
                        endpoint would be isolated again after a reboot";
            return Answer::done(says);
        }
        answer
    }

    fn judge(&mut self, bytes: &[u8]) -> Result<Authorised, String> {
        only_release(bytes)?;
        let authority = self.authority.as_ref();
        let authority =
            authority.map_err(|why| format!("nobody can judge a release here: {why}"))?;
        if self.keeps_time_in.is_none() {
            // What is counted instead knows nothing of the boots before it.
            return Err("nobody can tell whether it is fresh: endpoint time is lost".to_owned());
        }
        let memory = GuardMemory::find(&authority.own);
        let mut memory =
            memory.ok_or("nobody can tell whether it is fresh: the guard's memory is lost")?;
        self.unnoted.iter().for_each(|(id, until_secs)| memory.accepted.note(*id, *until_secs));
        let boot_ns = clock::boot_ns();
        let endpoint_secs = self.time.secs(boot_ns);
        let moment = Moment { boot_count: self.time.boot_count(), endpoint_secs };
        let nonces = Nonces::new(&memory.secret);
        let stale = |nonce: &_, age_max_secs, queued| {
            let fresh = nonces.check(nonce, age_max_secs, queued, moment);
            fresh.err().map(|stale| stale.to_string())
        };
        let host_name = machine::host_name();
        let judged = {
            let own = authority.knowing(&host_name, moment, &stale, &memory.accepted);
            guard::judge(bytes, &own)
        };
        let may = judged.map_err(|refusal| refusal.reason)?;
        memory.accepted.note(may.command.id, may.forget_secs);
        memory.begun.note(&may);
        if let Err(error) = authority.own.write(GUARD, &memory.to_bytes()) {
            // Obeyed all the same: a disk that is full must not keep an endpoint cut off. So that
            // nobody brings it a second time, the secret of its nonce goes; the next agent makes
            // a new one.
            tracing::error!(%error, "the release's id could not be kept");
            if let Err(error) = authority.own.remove(GUARD) {
                tracing::error!(%error, "nor could it be made void");
                self.unnoted.push((may.command.id, may.forget_secs));
            }
        }
        Ok(may)
    }

    fn work(&mut self) {
        while let Some(step) = self.containment.poll_step(self.secs()) {
            self.step(step);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Save(kept) => {
                let saved = self.save(&kept);
                self.containment.handle_saved(saved);
            }
            Step::Forget => {
                let gone = self.dir.remove(ISOLATION).map_err(|error| error.to_string());
                if let Err(error) = &gone {
                    tracing::error!(error, "the record of the isolation could not be removed");
                }
                self.containment.handle_saved(gone);
            }
            Step::CutOff { turn, plan, check } => {
                let began = self.clock.now();
                let cut = self.shell.cut_off(&plan, check, &[]);
                let outcome = cut.map_or_else(|error| error.outcome(), |_| CutOutcome::Done);
                self.stands = outcome == CutOutcome::Done;
                tracing::info!(?outcome, "cut off");
                let secs = self.secs();
                self.containment.handle_cut(turn, outcome, self.micros_since(began), secs);
            }
            Step::Prove { turn, .. } => {
                // What changed is looked for at each tick; the way to the collector is the agent's.
                let seen = Seen::CannotLook("no agent runs".to_owned());
                let secs = self.secs();
                self.containment.handle_seen(turn, seen, None, secs);
            }
            Step::LetBack { turn } => {
                let began = self.clock.now();
                let gone = self.shell.let_back().map(drop).map_err(|error| error.to_string());
                self.stands = gone.is_err();
                tracing::info!(?gone, "let back");
                let (took, secs) = (self.micros_since(began), self.secs());
                self.containment.handle_let_back(turn, gone, took, secs);
            }
            Step::Receipt(receipt) => self.tell(*receipt),
        }
    }

    fn save(&self, kept: &KeptIsolation) -> Result<(), String> {
        let mut kept = kept.clone();
        if self.keeps_time_in.is_none() {
            kept.counted = Some(self.time.clone().keep(clock::boot_ns()));
        }
        let bytes = kept.to_bytes().ok_or("the record of the isolation is too long")?;
        let saved = self.dir.write(ISOLATION, &bytes).map_err(|error| error.to_string());
        saved.inspect_err(|error| {
            tracing::error!(error, "the record of the isolation could not be written");
        })
    }

    /// What the next agent signs and sends. Proofs are made again by then.
    fn tell(&mut self, receipt: Receipt) {
        let is_news = matches!(
            receipt.outcome,
            Outcome::Ended { .. }
                | Outcome::Applied { .. }
                | Outcome::Failed { .. }
                | Outcome::Drifted { .. }
        );
        if !is_news {
            return;
        }
        if let Some((id, said)) = &mut self.releasing
            && receipt.command == Some(*id)
        {
            *said = release::answer(&receipt.outcome).or(said.take());
        }
        if let Err(error) = kept::keep_unsent(&self.dir, receipt) {
            tracing::error!(%error, "what was done could not be kept for the collector");
        }
    }

    /// What is wrong with what is held goes to the log, and to the collector under its command.
    fn doubt(&mut self, kept: &KeptIsolation, doubts: &[String]) {
        if doubts.is_empty() {
            return;
        }
        let doubts = doubts.join("; ");
        tracing::error!(doubts, "the isolation is held, and something is wrong with it");
        let receipt = Receipt {
            command: Some(CommandId(uuid::Uuid::from_bytes(kept.record.command))),
            command_hash: kept.command_hash,
            action: Some(cordon_proto::command::ActionKind::Isolate),
            endpoint_secs: self.secs(),
            outcome: Outcome::Drifted { found: doubts, reapplied: true },
            repeated: 0,
        };
        self.tell(receipt);
    }

    /// Each minute, in endpoint time's own file or, where that cannot be read, in the record: the
    /// next supervisor counts on from there. What the disk does not take is counted anew.
    fn keep_time(&mut self) {
        let Some(kept) = self.time.handle_timeout(clock::boot_ns()) else { return };
        if let Some(own) = &self.keeps_time_in {
            if let Err(error) = kept::write_time(own, &kept) {
                tracing::error!(%error, "endpoint time could not be kept");
            }
        } else if let Some(kept) = self.containment.kept(kept.secs)
            && self.save(&kept).is_err()
        {
            tracing::error!("how far the lease was counted could not be kept");
        }
    }

    fn secs(&self) -> u64 {
        self.time.secs(clock::boot_ns())
    }

    fn micros_since(&self, began: std::time::Duration) -> u64 {
        u64::try_from(self.clock.now().saturating_sub(began).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Where what belongs to the endpoint is kept. Where the identity that names it cannot be read, it is
/// the one folder that holds endpoint time; which of several it would be, nobody knows.
pub(super) fn own_dir(dir: &StateDir) -> Option<StateDir> {
    let name = Identity::load(dir).map(|identity| identity.own_dir_name());
    let name = name.ok().or_else(|| {
        let entries = std::fs::read_dir(dir.folder()).ok()?;
        let names = entries.take(ENTRIES_MAX).flatten();
        let names = names.filter(|entry| entry.path().join(TIME).is_file());
        let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.next().filter(|_| names.next().is_none())
    })?;
    dir.inner(&name).ok()
}

/// Only a release is obeyed by way of a file: everything else needs the collector's eyes.
pub fn only_release(bytes: &[u8]) -> Result<(), String> {
    let signed =
        SignedCommand::read(bytes).map_err(|error| format!("what it was given {error}"))?;
    let action = &signed.command().action;
    if matches!(action, Action::Release) {
        return Ok(());
    }
    Err(format!("it asks to {}; only a release is obeyed here", action.kind().name()))
}
