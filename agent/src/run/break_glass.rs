//! Carries the way out along: codes made beforehand, codes typed at the endpoint, and the end of
//! everything that stands.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::code::Code;
use cordon_proto::event::finding::FindingCount;
use cordon_proto::event::{Body, Finding, Severity};
use cordon_proto::roster::RosterRef;

use super::Agent;
use super::command::flat;
use super::jobs::{Done, blocking};
use crate::break_glass::kept::Kept;
use crate::break_glass::make::{self, Made, ROUNDS};
use crate::break_glass::reply::Reply;
use crate::break_glass::{Attempt, BreakGlass, Effect, Orderer, Use, Verdict};
use crate::clock;
use crate::control;

/// How long a right code's caller waits for the end of everything, before he is told that it goes
/// on: less than he waits for any answer.
const END_MAX: Duration = Duration::from_secs(15);
const _: () = assert!(END_MAX.as_secs() < control::TALK_MAX.as_secs());

/// The way out, and who is at it.
pub(super) struct WayOut {
    core: BreakGlass,
    /// A file is being written, or a code made.
    busy: bool,
    /// A code is being looked at.
    checking: bool,
    /// What nobody remembers is being taken down.
    sweeping: bool,
    /// Who typed a right code and waits for the end, and until when.
    waiting: Option<(UnixStream, Duration)>,
}

/// What a job of the way out ends with.
pub(super) enum Turn {
    /// The file is on disk, or could not be brought there.
    Saved(Result<(), String>),
    /// A code was made under this roster, or could not be.
    Made(RosterRef, Result<Made, String>),
    /// A code was looked at.
    Checked { serial: u64, right: bool, stream: UnixStream },
    /// What nobody remembers is gone, or is not.
    Swept(Result<(), String>),
}

impl WayOut {
    pub(super) fn open(kept: Kept) -> Self {
        let core = BreakGlass::resume(kept);
        let (busy, checking, sweeping) = (false, false, false);
        Self { core, busy, checking, sweeping, waiting: None }
    }
}

impl Agent {
    /// Does what the way out wants, if nothing of it is under way.
    pub(super) fn keep_way_out(&mut self) {
        if self.is_ended() {
            self.way_out.core.handle_opened();
            if let Some((stream, _)) = self.way_out.waiting.take() {
                reply(stream, Reply::Open);
            }
        }
        let now = self.clock.now();
        if let Some((stream, _)) = self.way_out.waiting.take_if(|(_, until)| *until <= now) {
            reply(stream, Reply::GoesOn);
        }
        while !self.way_out.busy {
            let (held, secs) = (self.roster.held().reference, self.secs());
            let Some(effect) = self.way_out.core.poll_effect(held, secs) else { break };
            self.way_out_effect(effect);
        }
    }

    /// Whether a right code was typed and nothing stands any more.
    fn is_ended(&self) -> bool {
        let Self { way_out, containment, .. } = self;
        let awaited = way_out.core.awaits_end();
        awaited && !way_out.busy && !way_out.sweeping && containment.standing().is_empty()
    }

    fn way_out_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Save(kept) => {
                self.way_out.busy = true;
                let own = self.own.clone();
                self.jobs.push(async move {
                    let written = flat(blocking(move || kept.store(&own)).await);
                    turn(Turn::Saved(written.map_err(|error| error.to_string())))
                });
            }
            Effect::Make { serial } => {
                self.way_out.busy = true;
                let (endpoint, held) = (self.identity.endpoint, self.roster.held().clone());
                self.jobs.push(async move {
                    let under = held.reference;
                    let made = blocking(move || make::make(endpoint, serial, &held, ROUNDS)).await;
                    let made = made.map_err(|error| error.to_string());
                    let made = made.and_then(|made| made.map_err(|error| error.to_string()));
                    turn(Turn::Made(under, made))
                });
            }
            Effect::Tell(way_out) => {
                let (number, to) = (way_out.serial, way_out.boxes.len());
                tracing::info!(number, to, "a way out is sealed to operators");
                self.tell(Severity::Informational, Body::WayOut(way_out));
            }
            Effect::Open => self.end_everything(),
            Effect::ReportUse(used) => {
                tracing::warn!(number = used.serial, "the break-glass code was used");
                self.tell(Severity::High, Body::Finding(Box::new(use_of(used))));
            }
            Effect::ReportWrong { serial, wrong } => {
                tracing::warn!(number = serial, wrong, "wrong break-glass codes were typed");
                let finding = wrong_codes(serial, wrong, clock::stamp().time_ns);
                self.tell(Severity::Medium, Body::Finding(Box::new(finding)));
            }
        }
    }

    /// The one place where a typed code ends what stands. Where nothing is recorded, what may have
    /// been left behind in the kernel is taken down all the same.
    fn end_everything(&mut self) {
        self.ledger.handle_break_glass(self.secs());
        self.act_deeds();
        if self.containment.handle_break_glass() {
            return self.act();
        }
        self.way_out.sweeping = true;
        let shell = Arc::clone(&self.shell);
        self.jobs.push(async move {
            let gone = blocking(move || {
                super::contain::locked(&shell).let_back().map(drop).map_err(|e| e.to_string())
            });
            turn(Turn::Swept(gone.await.unwrap_or_else(|error| Err(error.to_string()))))
        });
    }

    pub(super) fn way_out_turn(&mut self, turn: Turn) {
        let secs = self.secs();
        match turn {
            Turn::Saved(saved) => {
                self.way_out.busy = false;
                if let Err(error) = &saved {
                    tracing::error!(error, "the way out could not be written");
                }
                self.way_out.core.handle_saved(&saved, secs);
            }
            Turn::Made(under, made) => {
                self.way_out.busy = false;
                if let Err(error) = &made {
                    tracing::error!(error, "no break-glass code could be made");
                }
                self.way_out.core.handle_made(made, under, secs);
            }
            Turn::Checked { serial, right, stream } => {
                self.way_out.checking = false;
                self.checked(serial, right, stream);
            }
            Turn::Swept(swept) => {
                self.way_out.sweeping = false;
                if let Err(error) = swept {
                    // Nothing was recorded, so nothing may be there; what is, falls to nobody else.
                    tracing::error!(error, "what may be left of an isolation was not looked for");
                }
            }
        }
        self.keep_way_out();
    }

    /// What whoever wants to type a code is told.
    pub(super) fn may_type(&self) -> Reply {
        let (held, secs) = (self.roster.held().reference, self.secs());
        match self.way_out.core.attempt(held, secs) {
            Attempt::Check { serial, .. } => {
                let stand = u64::try_from(self.standing().len()).unwrap_or(u64::MAX);
                Reply::Ask { serial, stand }
            }
            Attempt::Slowed(wait_secs) => Reply::Slowed { wait_secs },
            Attempt::NoCode => Reply::NoCode,
            Attempt::UnderWay => Reply::GoesOn,
        }
    }

    pub(super) fn try_code(&mut self, code: Code, stream: UnixStream) {
        if self.way_out.checking {
            return reply(stream, Reply::Busy);
        }
        let (held, secs) = (self.roster.held().reference, self.secs());
        match self.way_out.core.attempt(held, secs) {
            Attempt::Check { serial, check } => {
                self.way_out.checking = true;
                self.jobs.push(async move {
                    let right = blocking(move || check.holds(&code)).await.unwrap_or(false);
                    turn(Turn::Checked { serial, right, stream })
                });
            }
            Attempt::NoCode => reply(stream, Reply::NoCode),
            Attempt::Slowed(wait_secs) => reply(stream, Reply::Slowed { wait_secs }),
            Attempt::UnderWay => reply(stream, Reply::GoesOn),
        }
    }

    fn checked(&mut self, serial: u64, right: bool, stream: UnixStream) {
        let (held, secs, time_ns) =
            (self.roster.held().reference, self.secs(), clock::stamp().time_ns);
        match self.way_out.core.handle_checked(serial, right, held, secs, time_ns) {
            Verdict::Right => {
                tracing::warn!(number = serial, "the right break-glass code was typed");
                let until = self.clock.now().saturating_add(END_MAX);
                self.way_out.waiting = Some((stream, until));
            }
            Verdict::Wrong { wait_secs } => reply(stream, Reply::Wrong { wait_secs }),
            Verdict::Void => reply(stream, Reply::NoCode),
        }
    }

    /// Whether an isolation may begin; one that operators ordered gives up the end of everything
    /// that is still tried.
    pub(super) fn may_isolate(&mut self, by: Orderer) -> bool {
        let opening = self.way_out.core.kept().opening.is_some();
        let may = self.way_out.core.handle_isolate(by);
        if opening && may {
            tracing::warn!("a newer order to isolate ends what a break-glass code began");
            if let Some((stream, _)) = self.way_out.waiting.take() {
                reply(stream, Reply::GoesOn);
            }
        }
        may
    }

    /// The spool was rolled back, and with it perhaps the memory of a code that was used.
    pub(super) fn renew_way_out(&mut self) {
        self.way_out.core.handle_rolled_back();
        self.keep_way_out();
    }
}

/// That nobody listens any more is no failure.
fn reply(mut stream: UnixStream, reply: Reply) {
    if let Err(error) = control::answer(&mut stream, &reply.answer()) {
        tracing::debug!(%error, "whoever typed a code is gone");
    }
}

fn turn(turn: Turn) -> Done {
    Done::WayOut(Box::new(turn))
}

fn use_of(used: Use) -> Finding {
    let Use { serial, time_ns, wrong, alone } = used;
    let detail = if alone {
        "It was typed while no agent ran; what stood was taken down then, and is told now."
    } else {
        "Everything that stood was ended. Whoever opened the code is in the audit trail."
    };
    let title = format!("the break-glass code number {serial} was used at the endpoint");
    finding("containment.break_glass", serial, &title, detail, (wrong, time_ns))
}

fn wrong_codes(serial: u64, wrong: u64, time_ns: u64) -> Finding {
    let title = "wrong break-glass codes were typed at the endpoint";
    let detail = "Somebody with the agent's rights types codes that nobody gave him, or misheard.";
    finding("containment.break_glass_wrong", serial, title, detail, (wrong, time_ns))
}

fn finding(
    rule: &str,
    serial: u64,
    title: &str,
    detail: &str,
    (wrong, time_ns): (u64, u64),
) -> Finding {
    Finding {
        rule: rule.to_owned(),
        uid: format!("{rule}-{serial}"),
        repeated: wrong > 3 && rule.ends_with("wrong"),
        title: title.to_owned(),
        detail: detail.to_owned(),
        techniques: Vec::new(),
        actor: None,
        counts: vec![FindingCount { name: "wrong_codes".to_owned(), count: wrong }],
        paths: Vec::new(),
        first_ns: time_ns,
        last_ns: time_ns,
    }
}
