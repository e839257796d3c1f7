//! What the spool holds of the lines, every batch opened and its signature verified.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cordon_agent::clock;
use cordon_agent::identity::{Identity, StateDir};
use cordon_agent::spool::{self, Spool, SpoolLimits};
use cordon_proto::event::{Body, Class, Event, Lane};
use cordon_proto::session::Cursor;
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, read_event};

use crate::agent::Agent;

/// Batches taken out of the spool at once.
const BATCHES: usize = 64;
const BATCHES_BYTES: usize = 16 << 20;

/// How often each line was seen, by the name of its writer.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    seen: BTreeMap<String, Vec<u8>>,
    /// Gaps that tell of log lines, in words.
    pub(crate) gaps: Vec<String>,
}

/// What became of the lines of one writer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fate {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Counted {
    pub(crate) fn of(&self, name: &str, lines: u64) -> Fate {
        let seen = self.seen.get(name).map(Vec::as_slice).unwrap_or_default();
        let count = |times: &dyn Fn(u8) -> bool| seen.iter().filter(|seen| times(**seen)).count();
        let once_or_more = u64::try_from(count(&|times| times > 0)).unwrap_or(u64::MAX);
        let doubled = u64::try_from(count(&|times| times > 1)).unwrap_or(u64::MAX);
        Fate { lost: lines.saturating_sub(once_or_more), doubled }
    }

    fn add(&mut self, event: &Event) -> Result<()> {
        if let Body::Gap(gap) = &event.body {
            let is_of_logs = gap.counts.iter().any(|count| count.class == Class::Log);
            if is_of_logs {
                let detail = gap.detail.as_deref().unwrap_or_default();
                self.gaps.push(format!("{:?}: {detail}", gap.reason));
            }
        }
        if let Some(lines) = event.apart() {
            return lines.iter().try_for_each(|line| self.add(line));
        }
        let Body::Log(line) = &event.body else { return Ok(()) };
        let text = line.line.as_str().context("a line is not text")?;
        // `time host name[pid]: number …`
        let mut words = text.split(' ').skip(2);
        let name = words.next().and_then(|word| word.split('[').next());
        let number = words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(name), Some(number)) = (name, number) else {
            bail!("{text:?} is not a line that was written");
        };
        if !self.seen.contains_key(name) {
            self.seen.insert(name.to_owned(), Vec::new());
        }
        let seen = self.seen.get_mut(name).context("a writer")?;
        if seen.len() <= number {
            seen.resize(number + 1, 0);
        }
        seen[number] = seen[number].saturating_add(1);
        Ok(())
    }
}

/// Counts everything that waits in the agent's spool.
pub(crate) fn count(agent: &Agent) -> Result<Counted> {
    let dir = StateDir::open(agent.state())?;
    let identity = Identity::load(&dir)?;
    let key = identity.signing.verifying();
    let signer = spool::Identity {
        endpoint: identity.endpoint,
        key: SigningKey::from_seed(identity.signing.seed())?,
    };
    let path = dir.inner(&identity.own_dir_name())?.path("spool.db");
    let limits = SpoolLimits::of(8 << 30);
    let mut spool = Spool::open(&path, signer, limits, "measure", clock::stamp())?;
    let mut counted = Counted::default();
    for lane in Lane::ALL {
        let mut after = Cursor::default();
        loop {
            let batches = spool.sealed_after(lane, after, BATCHES, BATCHES_BYTES)?;
            let Some(last) = batches.last() else { break };
            after = Cursor { epoch: last.epoch, last: last.last };
            for sealed in &batches {
                let opened = batch::open(&sealed.batch, &key)?;
                for event in &opened.events {
                    counted.add(&read_event(event)?)?;
                }
            }
        }
    }
    spool.close(clock::stamp())?;
    Ok(counted)
}
