//! Who is logged in, from the records of wtmp; each end finds its beginning.
//!
//! Pure. A terminal is used by one after the other, so that a session is known by its terminal.

use std::collections::HashMap;

use cordon_proto::Text;

use super::record::{Kind, Record};
use super::{Login, What};

/// Sessions that are open at one time; of more, the ends are told without their beginnings.
const SESSIONS_MAX: usize = 4096;

/// Sessions by terminal.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    open: HashMap<Text, Record>,
}

impl Sessions {
    /// Takes the next record of wtmp in; answers what it means.
    pub(super) fn handle_record(&mut self, record: Record) -> Vec<Login> {
        match record.kind {
            Kind::User => self.begin(record),
            Kind::Dead => self.end(&record),
            Kind::Boot => self.end_all(&record, "the machine started again"),
            Kind::RunLevel if record.user.as_bytes() == b"shutdown" => {
                self.end_all(&record, "the machine stopped")
            }
            Kind::RunLevel | Kind::Asked | Kind::Other => Vec::new(),
        }
    }

    fn begin(&mut self, record: Record) -> Vec<Login> {
        let logon = Login::of(What::Logon, &record);
        // Whoever had the terminal before has gone without a word.
        let mut told = match self.open.remove(&record.line) {
            Some(before) => {
                vec![ended(&before, record.time_ns, Some("its terminal has another user"))]
            }
            None => Vec::new(),
        };
        if self.open.len() < SESSIONS_MAX {
            self.open.insert(record.line.clone(), record);
        }
        told.push(logon);
        told
    }

    fn end(&mut self, record: &Record) -> Vec<Login> {
        match self.open.remove(&record.line) {
            Some(begun) => vec![ended(&begun, record.time_ns, None)],
            // What ends on a terminal is told only where somebody is named: programs that ask
            // for a name end too.
            None if !record.user.is_empty() && record.user.as_bytes() != b"LOGIN" => {
                vec![Login::of(What::Logoff { lasted_secs: None, why: None }, record)]
            }
            None => Vec::new(),
        }
    }

    fn end_all(&mut self, record: &Record, why: &'static str) -> Vec<Login> {
        let mut open: Vec<Record> = self.open.drain().map(|(_line, record)| record).collect();
        open.sort_by(|a, b| (a.time_ns, &a.line).cmp(&(b.time_ns, &b.line)));
        open.iter().map(|begun| ended(begun, record.time_ns, Some(why))).collect()
    }
}

fn ended(begun: &Record, time_ns: u64, why: Option<&'static str>) -> Login {
    let lasted_secs = time_ns.checked_sub(begun.time_ns).map(|ns| ns / 1_000_000_000);
    Login { time_ns, ..Login::of(What::Logoff { lasted_secs, why }, begun) }
}

#[cfg(test)]
mod tests {
    use super::super::record::{read, testing};
    use super::*;

    /// Each line is a record, and after the arrow what it means.
    #[track_caller]
    fn check(timeline: &str) {
        let mut sessions = Sessions::default();
        for line in timeline.lines().map(str::trim) {
            let (record, expected) = line.split_once(" -> ").unwrap();
            let words: Vec<&str> = record.split(' ').collect();
            let [secs, kind, terminal, user] = words[..] else { panic!("{line}") };
            let kind = match kind {
                "level" => 1,
                "boot" => 2,
                "user" => 7,
                "dead" => 8,
                _ => 6,
            };
            let user = user.trim_matches('-');
            let bytes = testing::bytes(kind, 1, [terminal, user, "far"], secs.parse().unwrap());
            let told = sessions.handle_record(read(&bytes));
            let shown = told.iter().map(|login| {
                let Login { what, user, terminal, .. } = login;
                let what = match what {
                    What::Logon => "on".to_owned(),
                    What::Failed => "failed".to_owned(),
                    What::Logoff { lasted_secs, why } => {
                        let lasted = lasted_secs.map_or("?".to_owned(), |secs| secs.to_string());
                        format!("off after {lasted}{}", if why.is_some() { "!" } else { "" })
                    }
                };
                format!("{} {} {what}", user.to_lossy(), terminal.to_lossy())
            });
            assert_eq!(shown.collect::<Vec<_>>().join(", "), expected.trim_matches('.'), "{line}");
        }
    }

    #[test]
    fn an_end_finds_its_beginning_by_the_terminal() {
        check(
            "10 user pts/0 ann -> ann pts/0 on
             20 user pts/1 bob -> bob pts/1 on
             70 dead pts/0 - -> ann pts/0 off after 60
             80 dead pts/0 - -> .
             90 dead pts/1 - -> bob pts/1 off after 70",
        );
    }

    #[test]
    fn an_end_without_a_beginning_is_told_where_somebody_is_named() {
        check(
            "10 dead pts/7 ann -> ann pts/7 off after ?
             20 dead tty1 LOGIN -> .
             30 asked tty1 LOGIN -> .",
        );
    }

    #[test]
    fn a_terminal_that_has_another_user_ends_the_session_before() {
        check(
            "10 user pts/0 ann -> ann pts/0 on
             15 user pts/0 bob -> ann pts/0 off after 5!, bob pts/0 on",
        );
    }

    #[test]
    fn with_the_machine_everything_ends() {
        check(
            "10 user pts/0 ann -> ann pts/0 on
             20 user pts/1 bob -> bob pts/1 on
             30 level ~~ runlevel -> .
             40 level ~~ shutdown -> ann pts/0 off after 30!, bob pts/1 off after 20!
             50 user pts/0 eve -> eve pts/0 on
             60 boot ~~ reboot -> eve pts/0 off after 10!",
        );
    }
}
