//! Carries the way out along: codes made beforehand, codes typed at the endpoint, and the end of
//! everything that stands.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::code::Code;
use cordon_proto::event::finding::FindingCount;
use cordon_proto::event::{Body, Finding, Severity};
use cordon_proto::roster::RosterRef;
use tokio::net::{UnixListener, UnixStream};
use zeroize::Zeroizing;

use super::Agent;
use super::command::flat;
use super::jobs::{Done, blocking};
use crate::break_glass::ask::{self, Answer, END_MAX, Question};
use crate::break_glass::kept::Kept;
use crate::break_glass::make::{self, Made, ROUNDS};
use crate::break_glass::{Attempt, BreakGlass, Effect, Use, Verdict};
use crate::clock;
use crate::identity::StateDir;

/// The way out, and who is at it.
pub(super) struct WayOut {
    core: BreakGlass,
    listener: Option<Arc<UnixListener>>,
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
    /// Somebody asks.
    Asked(io::Result<(Question, UnixStream)>),
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
    /// Without a listener, `cordon-agent release` works only while the agent does not run.
    pub(super) fn open(kept: Kept, dir: &StateDir) -> Self {
        let core = BreakGlass::resume(kept);
        let listener = ask::listen(&dir.path(ask::SOCKET)).map(Arc::new).map_err(|error| {
            tracing::error!(%error, "nobody can type a break-glass code while the agent runs");
        });
        let (busy, checking, sweeping) = (false, false, false);
        Self { core, listener: listener.ok(), busy, checking, sweeping, waiting: None }
    }
}

impl Agent {
    /// Waits for somebody who types a code.
    pub(super) fn listen_for_code(&mut self) {
        let Some(listener) = self.way_out.listener.clone() else { return };
        self.jobs.push(async move { turn(Turn::Asked(ask::next(&listener).await)) });
    }

    /// Does what the way out wants, if nothing of it is under way.
    pub(super) fn keep_way_out(&mut self) {
        if self.is_ended() {
            self.way_out.core.handle_opened();
            if let Some((stream, _)) = self.way_out.waiting.take() {
                self.reply(stream, Answer::Open);
            }
        }
        let now = self.clock.now();
        if let Some((stream, _)) = self.way_out.waiting.take_if(|(_, until)| *until <= now) {
            self.reply(stream, Answer::GoesOn);
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
            Turn::Asked(asked) => self.code_asked(asked),
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

    fn code_asked(&mut self, asked: io::Result<(Question, UnixStream)>) {
        let (question, stream) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                // Descriptors run out and come back; the next second asks again.
                tracing::error!(%error, "nobody can type a break-glass code just now");
                self.upkeep.listen_again = true;
                return;
            }
        };
        self.listen_for_code();
        match question {
            Question::Standing => {
                let answer = self.standing_answer();
                self.reply(stream, answer);
            }
            Question::Try { code } => self.try_code(Code::new(Zeroizing::new(code)), stream),
        }
    }

    fn standing_answer(&self) -> Answer {
        let (held, secs) = (self.roster.held().reference, self.secs());
        let core = &self.way_out.core;
        let stand = u64::try_from(self.standing().len()).unwrap_or(u64::MAX);
        let number = core.kept().serial;
        let (serial, wait_secs, under_way) = match core.attempt(held, secs) {
            Attempt::Check { .. } => (Some(number), 0, false),
            Attempt::Slowed(wait_secs) => (Some(number), wait_secs, false),
            Attempt::NoCode => (None, 0, false),
            Attempt::UnderWay => (None, 0, true),
        };
        Answer::Standing { serial, wait_secs, stand, under_way }
    }

    fn try_code(&mut self, code: Code, stream: UnixStream) {
        if self.way_out.checking {
            return self.reply(stream, Answer::Busy);
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
            Attempt::NoCode => self.reply(stream, Answer::NoCode),
            Attempt::Slowed(wait_secs) => self.reply(stream, Answer::Slowed { wait_secs }),
            Attempt::UnderWay => self.reply(stream, Answer::GoesOn),
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
            Verdict::Wrong { wait_secs } => self.reply(stream, Answer::Wrong { wait_secs }),
            Verdict::Void => self.reply(stream, Answer::NoCode),
        }
    }

    fn reply(&mut self, stream: UnixStream, answer: Answer) {
        self.jobs.push(async move {
            ask::answer(stream, answer).await;
            Done::Swept
        });
    }

    /// An isolation is ordered while the end of everything is still tried: that is given up.
    pub(super) fn give_up_end(&mut self) {
        if self.way_out.core.kept().opening.is_none() {
            return;
        }
        tracing::warn!("a newer order to isolate ends what a break-glass code began");
        self.way_out.core.handle_opened();
        if let Some((stream, _)) = self.way_out.waiting.take() {
            self.reply(stream, Answer::GoesOn);
        }
    }

    /// The spool was rolled back, and with it perhaps the memory of a code that was used.
    pub(super) fn renew_way_out(&mut self) {
        self.way_out.core.handle_rolled_back();
        self.keep_way_out();
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
