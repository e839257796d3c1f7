//! Takes secrets out of command lines, log lines, inventories and what queries answer before they
//! are signed, and marks that it did: what is signed cannot be unsaid. Pure.
//!
//! Most texts hold none; one pass over the bytes finds out whether any rule's beginnings stand in
//! them, and only those rules then look. What rules cannot see: secrets without a name or a form of
//! their own (`login ann hunter2`), names and secrets in different arguments unless an option or
//! program that is known puts them there, `password: x` in running text, lines of a private key
//! that a log holds as lines of their own, and whatever is encoded (auditd's hexadecimal, base64).

mod anchor;
mod header;
mod option;
mod own;
mod program;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod token;

use std::ops::Range;

use cordon_proto::Text;
use cordon_proto::event::log::Parsed;
use cordon_proto::event::process::Exec;
use cordon_proto::event::redaction::REPLACEMENT;
use cordon_proto::event::{Body, Inventory, LogLine, Observation, ProcessEvent, Redaction};
use cordon_proto::limits::{ARGS_BYTES_MAX, LOG_LINE_BYTES_MAX};
use cordon_proto::policy::Redactions;

use self::own::OwnPattern;
use self::rules::RULES;
use self::text::{Form, Search};
use crate::sensor::Sample;

pub use own::PatternError;

/// Secrets taken out of one text; a text with more of them is taken out from there on.
const SECRETS_MAX: usize = 256;

/// The rules that apply on this endpoint.
#[derive(Debug, Default)]
pub struct Redactor {
    own: Vec<OwnPattern>,
    /// Rules that policy has switched off, by their place in the list.
    off: u32,
}

/// What a rule has found.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Secret<'a> {
    at: Range<usize>,
    rule: &'a str,
}

impl Redactor {
    /// The agent's rules with what a policy adds and takes.
    pub fn new(redactions: Option<&Redactions>) -> Result<Self, PatternError> {
        let Some(Redactions { patterns, off }) = redactions else { return Ok(Self::default()) };
        let own = patterns.iter().map(OwnPattern::new).collect::<Result<_, _>>()?;
        let is_off = |rule: &rules::Rule| off.iter().any(|name| name == rule.name);
        let off = RULES.iter().enumerate().filter(|(_, rule)| is_off(rule));
        Ok(Self { own, off: off.fold(0, |off, (index, _)| off | 1 << index) })
    }

    /// Takes the secrets out of all that a sensor hands over.
    pub fn sample(&self, sample: &mut Sample) {
        let mut at = 0;
        while let Some(observation) = sample.observations.get_mut(at) {
            let run = if let Body::Log(line) = &observation.body { Some(line) } else { None };
            let run = run.filter(|line| line.run.is_some());
            let Some(parts) = run.and_then(|line| self.run(line)) else {
                self.body(&mut observation.body);
                at += 1;
                continue;
            };
            let Observation { time_ns, boot_ns, severity, .. } = *observation;
            let count = parts.len();
            let told = |line| Observation { time_ns, boot_ns, severity, body: Body::Log(line) };
            if count > 0 {
                sample.observations.splice(at..=at, parts.into_iter().map(told));
            }
            at += count.max(1);
        }
    }

    /// What a run of lines becomes: lines that hold secrets are each told alone, and marked; nothing
    /// where it stays as it is. None where its lines cannot be told apart.
    fn run(&self, line: &LogLine) -> Option<Vec<LogLine>> {
        let (mut parts, mut from) = (Vec::new(), 0);
        if !self.is_due(line.line.as_bytes()) {
            return Some(parts);
        }
        let lines = line.as_run()?;
        for (at, text) in lines.texts().enumerate() {
            if self.found(text, Form::Line).is_empty() {
                continue;
            }
            parts.extend((from < at).then(|| lines.part(from..at)));
            let mut single = lines.part(at..at + 1);
            self.line(&mut single);
            parts.push(single);
            from = at + 1;
        }
        let has_rest = !parts.is_empty() && from < lines.count();
        parts.extend(has_rest.then(|| lines.part(from..lines.count())));
        Some(parts)
    }

    /// A running text without its secrets.
    #[must_use]
    pub fn running_text(&self, mut text: Text) -> Text {
        // What was taken out stands in the text; nobody asks for more of it here.
        let _marks = self.text(&mut text, Form::Line);
        text
    }

    /// Arguments, each ended by NUL, without their secrets.
    #[must_use]
    pub fn arguments(&self, mut arguments: Text) -> Text {
        let _marks = self.text(&mut arguments, Form::Arguments);
        arguments
    }

    /// Command lines, lines of logs and what inventories said before; nothing else that is told
    /// holds what people typed.
    fn body(&self, body: &mut Body) {
        if let Body::Process(ProcessEvent::Exec(exec)) = body {
            self.exec(exec);
        } else if let Body::Log(line) = body {
            self.line(line);
        } else if let Body::Authentication(event) = body
            && let Some(command) = &mut event.command
        {
            event.redacted = self.text(command, Form::Line);
        } else if let Body::Inventory(event) = body {
            self.before(event);
        }
    }

    /// What an inventory says now had its secrets taken out when it was made, because the hash of
    /// the whole is over it. What it said before may be from a time with fewer rules, and is in no
    /// hash. Keys stay: by them an item is found again.
    fn before(&self, event: &mut Inventory) {
        for change in &mut event.changes {
            for field in change.before.iter_mut().flatten() {
                self.text(&mut field.value, Form::Line);
            }
        }
    }

    fn exec(&self, exec: &mut Exec) {
        let Some(args) = &mut exec.args else { return };
        let full = args.len();
        exec.redacted = self.text(args, Form::Arguments);
        if exec.redacted.is_some() && args.len() > ARGS_BYTES_MAX {
            exec.args_bytes = exec.args_bytes.or(Some(full as u64));
            *args = args.as_bytes()[..ARGS_BYTES_MAX].into();
        }
    }

    fn line(&self, line: &mut LogLine) {
        let full = line.line.len();
        line.redacted = self.text(&mut line.line, Form::Line);
        if line.redacted.is_none() {
            return;
        }
        if line.line.len() > LOG_LINE_BYTES_MAX {
            line.line_bytes = line.line_bytes.or(Some(full as u64));
            line.line = line.line.as_bytes()[..LOG_LINE_BYTES_MAX].into();
        }
        // What was read out of the line before holds the same secrets.
        let Some(Parsed { structured: Some(pairs), .. }) = &mut line.parsed else { return };
        for pair in pairs {
            let assigned = [pair.name.as_bytes(), b"=", pair.value.as_bytes()].concat();
            let mut assigned = Text::from(assigned);
            if self.text(&mut assigned, Form::Line).is_some() {
                pair.value = REPLACEMENT.into();
            }
        }
    }

    /// Whether any rule must look at this text.
    fn is_due(&self, text: &[u8]) -> bool {
        !self.own.is_empty() || anchor::rules_due(text) & !self.off != 0
    }

    /// Takes the secrets out of a text; answers what was taken, if anything.
    fn text(&self, text: &mut Text, form: Form) -> Option<Vec<Redaction>> {
        let bytes = text.as_bytes();
        let found = self.found(bytes, form);
        if found.is_empty() {
            return None;
        }
        let (redacted, marks) = without(bytes, found);
        *text = redacted.into();
        Some(marks)
    }

    fn found(&self, bytes: &[u8], form: Form) -> Vec<Secret<'_>> {
        let mut found = Vec::new();
        let due = anchor::rules_due(bytes) & !self.off;
        if due == 0 && self.own.is_empty() {
            return found;
        }
        let search = Search { text: bytes, form };
        for (index, rule) in RULES.iter().enumerate().filter(|(index, _)| due & 1 << index != 0) {
            let mut take = |at: Range<usize>| {
                let secret = bytes.get(at.clone()).unwrap_or_default();
                if !is_blank(secret) {
                    found.push(Secret { at, rule: RULES[index].name });
                }
            };
            (rule.find)(&search, &mut take);
        }
        for own in &self.own {
            own.find(bytes, &mut |at| found.push(Secret { at, rule: own.name() }));
        }
        found
    }
}

/// What is no secret: nothing, or what somebody else has put in place of one.
fn is_blank(secret: &[u8]) -> bool {
    secret.iter().all(|byte| *byte == b'*') || secret == REPLACEMENT.as_bytes()
}

/// The text with what was found replaced; what overlaps counts once, for the rule that begins
/// first.
fn without(text: &[u8], mut found: Vec<Secret<'_>>) -> (Vec<u8>, Vec<Redaction>) {
    found.sort_by_key(|secret| (secret.at.start, std::cmp::Reverse(secret.at.end)));
    let mut joined: Vec<Secret<'_>> = Vec::new();
    for secret in found {
        let is_full = joined.len() == SECRETS_MAX;
        match joined.last_mut() {
            Some(last) if secret.at.start < last.at.end => {
                last.at.end = last.at.end.max(secret.at.end);
            }
            Some(last) if is_full => {
                last.at.end = text.len();
                break;
            }
            Some(_) | None => joined.push(secret),
        }
    }
    let (mut out, mut from) = (Vec::with_capacity(text.len()), 0);
    let mut marks: Vec<Redaction> = Vec::new();
    for Secret { at, rule } in joined {
        out.extend_from_slice(&text[from..at.start]);
        out.extend_from_slice(REPLACEMENT.as_bytes());
        let bytes = at.len() as u64;
        match marks.iter_mut().find(|mark| mark.rule == rule) {
            Some(mark) => {
                mark.times = mark.times.saturating_add(1);
                mark.bytes = mark.bytes.saturating_add(bytes);
            }
            None => marks.push(Redaction { rule: rule.to_owned(), times: 1, bytes }),
        }
        from = at.end;
    }
    out.extend_from_slice(&text[from..]);
    (out, marks)
}
