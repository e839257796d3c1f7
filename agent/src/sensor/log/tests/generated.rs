//! Lives of a log, drawn from numbers: written, rotated in every way, read, and the reader restarted
//! or killed at any moment; against the list of what was written.
//!
//! What is emptied or removed unread is gone, and what was written between a copy and the emptying:
//! such lines may be missing, but then a loss was told. All others are read exactly once.

use std::collections::BTreeSet;

use super::scene::Scene;

/// How many lives there are unless `CORDON_LOG_LIVES` says otherwise.
const LIVES: u64 = 1_000;

/// What happens in one life.
const ACTS: usize = 24;

/// A generator that is the same everywhere (xorshift).
struct Draw(u64);

impl Draw {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

struct Life {
    scene: Scene,
    written: Vec<String>,
    /// What stands in the log now.
    inside: Vec<String>,
    /// What nobody may ever see.
    may_go: BTreeSet<String>,
    /// Whether anything was emptied or removed.
    has_gone: bool,
    /// Rotated files, the newest first, and whether each was compressed.
    rotated: Vec<bool>,
    exists: bool,
    /// Whether the reader knows what stands in the log: else nobody could tell that it went.
    is_seen: bool,
    /// What happened, to be read when it went wrong.
    told: Vec<String>,
}

impl Life {
    fn new() -> Self {
        Self {
            scene: Scene::new("app.log"),
            written: Vec::new(),
            inside: Vec::new(),
            may_go: BTreeSet::new(),
            has_gone: false,
            rotated: Vec::new(),
            exists: false,
            is_seen: false,
            told: Vec::new(),
        }
    }

    fn act(&mut self, line: &str) {
        self.told.push(line.to_owned());
        self.scene.act(line);
        self.is_seen |= matches!(line.split(' ').next(), Some("look" | "wait")) && self.has_text();
    }

    fn has_text(&self) -> bool {
        !self.inside.is_empty()
    }

    fn write(&mut self, count: u64) {
        let first = self.written.len() as u64;
        let lines: Vec<_> = (0..count).map(|at| format!("line-{}", first + at)).collect();
        let text: String = lines.iter().map(|line| format!("{line}|")).collect();
        self.written.extend(lines.iter().cloned());
        self.inside.extend(lines);
        self.act(&format!("write app.log {text}"));
        self.exists = true;
    }

    fn name(number: usize, is_packed: bool) -> String {
        format!("app.log.{number}{}", if is_packed { ".gz" } else { "" })
    }

    /// Makes room for a first generation.
    fn shift(&mut self) {
        for (at, is_packed) in self.rotated.clone().into_iter().enumerate().rev() {
            let [from, to] = [at + 1, at + 2].map(|number| Self::name(number, is_packed));
            self.act(&format!("rename {from} {to}"));
        }
        self.rotated.insert(0, false);
    }

    fn rename(&mut self) {
        self.shift();
        self.act("rename app.log app.log.1");
        self.exists = false;
        self.begin_anew();
    }

    /// Copies and empties; what is written in between may go.
    fn copy(&mut self, between: u64) {
        self.shift();
        self.act("copy app.log app.log.1");
        self.inside.clear();
        if between > 0 && self.is_seen {
            self.write(between);
        }
        self.empty();
    }

    /// Empties what the reader knows, or what there is nothing in.
    fn empty(&mut self) {
        if self.is_seen || !self.has_text() {
            self.act("empty app.log");
            self.goes();
        }
    }

    fn remove(&mut self) {
        if self.is_seen || !self.has_text() {
            self.act("remove app.log");
            self.exists = false;
            self.goes();
        }
    }

    /// What stands in the log is not there any more; what was read of it, was read.
    fn goes(&mut self) {
        let read: BTreeSet<_> = self.scene.lines.iter().collect();
        let unread = self.inside.iter().filter(|line| !read.contains(line));
        self.may_go.extend(unread.cloned());
        self.has_gone = true;
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.inside.clear();
        self.is_seen = false;
    }

    /// Compresses the newest of those that are not, once it has been looked at: nobody packs what
    /// its writer may still have open.
    fn pack(&mut self) {
        let Some(at) = self.rotated.iter().position(|is_packed| !is_packed) else { return };
        self.act("wait 11");
        self.act(&format!("gzip {}", Self::name(at + 1, false)));
        self.rotated[at] = true;
    }
}

fn live(seed: u64) -> Life {
    let mut draw = Draw::of(seed);
    let mut life = Life::new();
    life.act("look");
    for _ in 0..ACTS {
        match draw.below(18) {
            0..=4 => life.write(1 + draw.below(4)),
            5..=7 => life.act("look"),
            8 => life.act(&format!("wait {}", 1 + draw.below(15))),
            9 => life.act("restart"),
            10 => life.act("stumble"),
            14 => life.pack(),
            _ if !life.exists => {}
            11 | 12 => life.rename(),
            13 => life.copy(0),
            15 => life.copy(draw.below(3)),
            16 => life.empty(),
            _ => life.remove(),
        }
    }
    for _ in 0..4 {
        life.act("wait 20");
    }
    life
}

#[track_caller]
fn check(seed: u64) {
    let Life { scene, written, may_go, has_gone, told, .. } = live(seed);
    let mut once = BTreeSet::new();
    let doubled: Vec<_> = scene.lines.iter().filter(|line| !once.insert(*line)).collect();
    let missing: Vec<_> = written.iter().filter(|line| !once.contains(line)).collect();
    let lost: Vec<_> = missing.iter().filter(|line| !may_go.contains(**line)).collect();
    let story = format!("life {seed}: {}\n{:?}", told.join("; "), scene.losses);
    assert!(doubled.is_empty(), "doubled {doubled:?} in {story}");
    assert!(lost.is_empty(), "lost {lost:?} in {story}");
    assert!(missing.is_empty() || !scene.losses.is_empty(), "untold {missing:?} in {story}");
    assert!(has_gone || scene.losses.is_empty(), "told in vain in {story}");
}

#[test]
fn no_line_of_a_thousand_lives_is_lost_in_silence_or_doubled() {
    let lives = std::env::var("CORDON_LOG_LIVES").ok().map(|lives| lives.parse().unwrap());
    (0..lives.unwrap_or(LIVES)).for_each(check);
}
