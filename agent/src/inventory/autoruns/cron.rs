//! What runs at a time: tables of cron and anacron, directories of scripts, jobs of at.

use std::path::{Path, PathBuf};

use cordon_proto::Text;

use super::{Autorun, Tree, file, text};
use crate::inventory::{joined, lines};

/// Tables in which every line names a user.
const WITH_USER: [&str; 1] = ["/etc/crontab"];
const WITH_USER_DIRECTORIES: [&str; 1] = ["/etc/cron.d"];

/// Directories with a table for each user, by distribution.
const PER_USER: [&str; 3] = ["/var/spool/cron/crontabs", "/var/spool/cron", "/etc/crontabs"];

/// Directories of scripts.
const SCRIPTS: [&str; 9] = [
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/etc/periodic/15min",
    "/etc/periodic/hourly",
    "/etc/periodic/daily",
    "/etc/periodic/weekly",
    "/etc/periodic/monthly",
];

const AT_JOBS: [&str; 3] = ["/var/spool/cron/atjobs", "/var/spool/at", "/var/spool/atjobs"];

pub(super) fn collect(tree: &Tree<'_>, all: &mut Vec<Autorun>) {
    let mut tables: Vec<PathBuf> = WITH_USER.iter().map(PathBuf::from).collect();
    tables.extend(WITH_USER_DIRECTORIES.iter().flat_map(|directory| tree.files(directory)));
    for path in tables {
        take(tree, &path, None, all);
    }
    for directory in PER_USER {
        for path in tree.files(directory) {
            let user = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
            take(tree, &path, Some(&user), all);
        }
    }
    if let Some(table) = tree.read("/etc/anacrontab") {
        let path = Path::new("/etc/anacrontab");
        all.extend(anacron(&table).map(|job| job.at("anacron", path, None)));
    }
    for path in SCRIPTS.iter().flat_map(|directory| tree.files(directory)) {
        all.extend(file(tree, "cron_script", &path));
    }
    for path in AT_JOBS.iter().flat_map(|directory| tree.files(directory)) {
        all.extend(file(tree, "at", &path));
    }
}

fn take(tree: &Tree<'_>, path: &Path, user: Option<&[u8]>, all: &mut Vec<Autorun>) {
    let table = tree.read(path).unwrap_or_default();
    all.extend(parse(&table, user.is_none()).map(|job| job.at("cron", path, user)));
}

/// One line of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Job {
    when: Text,
    user: Text,
    command: Text,
}

impl Job {
    /// Known by everything that it says: another time is another job.
    fn at(self, kind: &'static str, path: &Path, user: Option<&[u8]>) -> Autorun {
        let Self { when, user: named, command } = self;
        let user = user.map_or(named, Text::from);
        let entry = joined(&[when.as_bytes(), user.as_bytes(), command.as_bytes()], b" ");
        Autorun { kind, path: text(path), entry, user, when, command, ..Autorun::default() }
    }
}

/// `m h dom mon dow [user] command`, or `@when [user] command`; settings are no jobs.
fn parse(table: &[u8], has_user: bool) -> impl Iterator<Item = Job> {
    lines(table).filter_map(move |line| {
        let fields = if line.starts_with(b"@") { 1 } else { 5 };
        let is_time = |byte: &u8| byte.is_ascii_alphanumeric() || b"*,-/@~".contains(byte);
        let (when, rest) = words(line, fields)?;
        if !when.iter().all(|word| word.iter().all(is_time)) {
            return None;
        }
        let (user, rest) = words(rest, usize::from(has_user))?;
        let command = rest.trim_ascii();
        let job = || Job {
            when: joined(&when, b" "),
            user: joined(&user, b" "),
            command: command.into(),
        };
        (!command.is_empty()).then(job)
    })
}

/// `period delay name command`.
fn anacron(table: &[u8]) -> impl Iterator<Item = Job> {
    lines(table).filter_map(|line| {
        let (first, rest) = words(line, 3)?;
        let [period, delay, _name] = first.as_slice() else { return None };
        let is_period = period.starts_with(b"@") || period.iter().all(u8::is_ascii_digit);
        let command = rest.trim_ascii();
        if !is_period || command.is_empty() {
            return None;
        }
        let when = joined(&[b"every", period, b"days, after", delay, b"min"], b" ");
        Some(Job { when, user: "root".into(), command: command.into() })
    })
}

/// The first words and what is behind them; none if there are not so many.
fn words(line: &[u8], count: usize) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut found = Vec::with_capacity(count);
    let mut rest = line;
    for _ in 0..count {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(u8::is_ascii_whitespace)?;
        let (word, behind) = rest.split_at(end);
        found.push(word);
        rest = behind;
    }
    Some((found, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::check;
    use super::*;

    #[test]
    fn tables_are_read_with_users_where_they_name_them() {
        check(
            &[
                (
                    "etc/crontab",
                    "SHELL=/bin/sh\n# x\n17 *\t* * *   root  cd / && run-parts /etc/cron.hourly\n",
                ),
                ("etc/cron.d/up", "@reboot eve /opt/up --now\n*/5 0-6 * jan,feb mon-fri eve x\n"),
                ("etc/cron.d/.placeholder", "1 1 1 1 1 root x\n"),
                ("var/spool/cron/crontabs/ann", "MAILTO=\"\"\n0 3 * * * /home/ann/b k\n"),
                ("var/spool/cron/bob", "@daily true\n"),
                ("etc/anacrontab", "RANDOM_DELAY=45\n1\t5\tcron.daily\tnice run-parts /d\n"),
            ],
            &[
                "anacron /etc/anacrontab every 1 days, after 5 min root nice run-parts /d: \
                 kind=anacron path=/etc/anacrontab user=root when=every 1 days, after 5 min \
                 command=nice run-parts /d",
                "cron /etc/cron.d/up */5 0-6 * jan,feb mon-fri eve x: kind=cron \
                 path=/etc/cron.d/up user=eve when=*/5 0-6 * jan,feb mon-fri command=x",
                "cron /etc/cron.d/up @reboot eve /opt/up --now: kind=cron path=/etc/cron.d/up \
                 user=eve when=@reboot command=/opt/up --now",
                "cron /etc/crontab 17 * * * * root cd / && run-parts /etc/cron.hourly: kind=cron \
                 path=/etc/crontab user=root when=17 * * * * \
                 command=cd / && run-parts /etc/cron.hourly",
                "cron /var/spool/cron/bob @daily bob true: kind=cron path=/var/spool/cron/bob \
                 user=bob when=@daily command=true",
                "cron /var/spool/cron/crontabs/ann 0 3 * * * ann /home/ann/b k: kind=cron \
                 path=/var/spool/cron/crontabs/ann user=ann when=0 3 * * * \
                 command=/home/ann/b k",
            ],
        );
    }

    #[test]
    fn scripts_and_jobs_are_told_by_their_hash() {
        check(
            &[
                ("etc/cron.daily/a", "abc"),
                ("etc/periodic/daily/b", "abc"),
                ("var/spool/at/j", "abc"),
            ],
            &[
                "at /var/spool/at/j: kind=at path=/var/spool/at/j #ba78",
                "cron_script /etc/cron.daily/a: kind=cron_script path=/etc/cron.daily/a #ba78",
                "cron_script /etc/periodic/daily/b: kind=cron_script \
                 path=/etc/periodic/daily/b #ba78",
            ],
        );
    }

    #[test]
    fn what_is_no_job_is_passed_over() {
        for line in ["A=b", "* * * *", "* * * * *", "@daily", "a=b c=d e f g h i", "1 2 3 4 5 root"]
        {
            assert_eq!(parse(line.as_bytes(), true).count(), 0, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(table: Vec<u8>, has_user: bool) {
            parse(&table, has_user).count();
            anacron(&table).count();
        }

        #[test]
        fn every_job_written_is_read(minute in 0..60, user in "[a-z]{1,8}", command in "[a-z/][a-z /&|>]{0,20}[a-z]") {
            let line = format!("{minute} * * * * {user} {command}\n");
            let jobs: Vec<_> = parse(line.as_bytes(), true).collect();
            prop_assert_eq!(jobs.len(), 1);
            prop_assert_eq!(jobs[0].user.to_lossy(), user);
            prop_assert_eq!(jobs[0].command.to_lossy(), command);
        }
    }
}
