//! `packages`, `services`, `autoruns`, `ssh_keys` and `sudoers`: what the readers of the inventories
//! find at this moment, without the secrets in it.
//!
//! What could not be looked at is a row of its own with nothing but its `problem`: whoever makes
//! one file unreadable hides that file and not the table. `systemctl` and `rpm` are asked as
//! children of the query's process and have its limits (40 MiB of data, files of 64 KiB, its
//! time): one that does not work within them is told as an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::Text;
use cordon_proto::query::{Row, Value};

use super::{INTEGER, TEXT, column, maybe, number, rows, text, word};
use crate::inventory::autoruns::{self, Autorun};
use crate::inventory::packages::{self, Package};
use crate::inventory::services::{self, Service};
use crate::inventory::ssh_keys::{self, SshKey};
use crate::inventory::sudoers::{self, Rule};
use crate::inventory::{CollectError, Found, hex};
use crate::platform::sqlite::{Asked, Column, Rows, Table};
use crate::redact::Redactor;

/// One inventory as a table.
pub(super) struct Inventory<T> {
    name: &'static str,
    about: &'static str,
    /// The last is the problem.
    columns: &'static [Column],
    collect: fn(&Path) -> Result<Found<T>, CollectError>,
    /// All columns but the last.
    row: fn(T, &Told<'_>) -> Row,
    root: PathBuf,
    redactor: Arc<Redactor>,
}

/// Makes values of what was found.
struct Told<'a>(&'a Redactor);

impl Told<'_> {
    /// A text without its secrets; an empty one is nothing known.
    fn text(&self, found: Text) -> Value {
        if found.is_empty() { Value::Null } else { text(self.0.running_text(found).as_bytes()) }
    }
}

impl<T: 'static> Table for Inventory<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn columns(&self) -> &'static [Column] {
        self.columns
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let Found { rows: found, problems } =
            (self.collect)(&self.root).map_err(|error| error.to_string())?;
        let told = Told(&self.redactor);
        let mut all = Vec::with_capacity(found.len() + problems.len());
        for one in found {
            let mut row = (self.row)(one, &told);
            row.push(Value::Null);
            all.push(row);
        }
        for problem in problems {
            let mut row = vec![Value::Null; self.columns.len() - 1];
            row.push(word(problem));
            all.push(row);
        }
        Ok(rows(all))
    }
}

const PROBLEM: Column =
    column("problem", TEXT, "what could not be looked at, in a row of its own; none in others");

pub(super) fn packages(redactor: &Arc<Redactor>) -> Inventory<Package> {
    const COLUMNS: &[Column] = &[
        column("kind", TEXT, "who installed it: dpkg, rpm or apk"),
        column("name", TEXT, "its name"),
        column("version", TEXT, "its version, with epoch and release"),
        column("arch", TEXT, "for which processors"),
        column("source", TEXT, "what it was made from, where that has another name"),
        column("state", TEXT, "what is not in order with it"),
        PROBLEM,
    ];
    Inventory {
        name: "packages",
        about: "installed packages of dpkg, rpm and apk; not those of pip, npm, snap or containers",
        columns: COLUMNS,
        collect: packages::collect,
        row: |Package { kind, name, version, arch, source, state }, told| {
            let texts = [name, version, arch, source, state].map(|found| told.text(found));
            std::iter::once(word(kind)).chain(texts).collect()
        },
        root: PathBuf::from("/"),
        redactor: redactor.clone(),
    }
}

pub(super) fn services(redactor: &Arc<Redactor>) -> Inventory<Service> {
    const COLUMNS: &[Column] = &[
        column("name", TEXT, "its name"),
        column("load", TEXT, "loaded, not-found, masked and so on"),
        column("active", TEXT, "active, inactive, failed and so on"),
        column("sub", TEXT, "the same, finer: running, exited, dead and so on"),
        column("file_state", TEXT, "whether it starts with the machine: enabled, disabled, …"),
        column("path", TEXT, "the file that describes it"),
        PROBLEM,
    ];
    Inventory {
        name: "services",
        about: "services as systemd or OpenRC has them; no rows where neither runs",
        columns: COLUMNS,
        collect: services::collect,
        row: |Service { name, load, active, sub, file_state, path }, told| {
            [name, load, active, sub, file_state, path].map(|found| told.text(found)).into()
        },
        root: PathBuf::from("/"),
        redactor: redactor.clone(),
    }
}

pub(super) fn autoruns(redactor: &Arc<Redactor>) -> Inventory<Autorun> {
    const COLUMNS: &[Column] = &[
        column("kind", TEXT, "by what: cron, systemd, profile and so on"),
        column("path", TEXT, "the file that says so"),
        column("entry", TEXT, "which of several in that file, without secrets"),
        column("user", TEXT, "as whom, where that is said or follows"),
        column("schedule", TEXT, "when, where that is said"),
        column("command", TEXT, "what, where that is one line, without secrets"),
        column("owner_uid", INTEGER, "whose the file is"),
        column("sha256", TEXT, "the file's hash, of up to 16 MiB"),
        column("changed_secs", INTEGER, "when it was last written, seconds since 1970 UTC"),
        PROBLEM,
    ];
    Inventory {
        name: "autoruns",
        about: "what starts by itself: with the machine, at a login, a time or a device",
        columns: COLUMNS,
        collect: autoruns::collect,
        row: |found, told| {
            vec![
                word(found.kind),
                told.text(found.path),
                told.text(found.entry),
                told.text(found.user),
                told.text(found.when),
                told.text(found.command),
                maybe(found.owner_uid),
                found.sha256.as_ref().map_or(Value::Null, |hash| word(hex(hash))),
                maybe(found.changed_secs),
            ]
        },
        root: PathBuf::from("/"),
        redactor: redactor.clone(),
    }
}

pub(super) fn ssh_keys(redactor: &Arc<Redactor>) -> Inventory<SshKey> {
    const COLUMNS: &[Column] = &[
        column("owner", TEXT, "who may log in with it"),
        column("uid", INTEGER, "that user's number"),
        column("path", TEXT, "the file it stands in"),
        column("fingerprint", TEXT, "SHA256: and the key's hash, as ssh-keygen shows it"),
        column("kind", TEXT, "the key's kind, such as ssh-ed25519"),
        column("comment", TEXT, "what stands behind the key"),
        column("options", TEXT, "what it may do, or must; none for everything"),
        PROBLEM,
    ];
    Inventory {
        name: "ssh_keys",
        about: "keys that may log in over SSH, of the files that sshd reads",
        columns: COLUMNS,
        collect: ssh_keys::collect,
        row: |SshKey { owner, uid, path, fingerprint, kind, comment, options }, told| {
            let texts = [path, fingerprint, kind, comment, options].map(|found| told.text(found));
            [told.text(owner), number(uid)].into_iter().chain(texts).collect()
        },
        root: PathBuf::from("/"),
        redactor: redactor.clone(),
    }
}

pub(super) fn sudoers(redactor: &Arc<Redactor>) -> Inventory<Rule> {
    const COLUMNS: &[Column] = &[
        column("path", TEXT, "the file it stands in"),
        column("rule", TEXT, "the line as it is written, without secrets"),
        PROBLEM,
    ];
    Inventory {
        name: "sudoers",
        about: "rules, aliases and settings of sudo, as its files have them",
        columns: COLUMNS,
        collect: sudoers::collect,
        row: |Rule { path, line }, told| vec![told.text(path), told.text(line)],
        root: PathBuf::from("/"),
        redactor: redactor.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inventory::testing;

    /// Each row in one line, `-` for what is not known.
    fn read<T: 'static>(table: Inventory<T>, files: &[(&str, &str)]) -> Vec<String> {
        let root = testing::tree(files);
        let table = Inventory { root: root.path().to_owned(), ..table };
        let show = |value: &Value| match value {
            Value::Null => "-".to_owned(),
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Real(_) | Value::Bytes(_) => panic!("{value:?}"),
        };
        let row = |row: Row| {
            assert_eq!(row.len(), table.columns.len());
            row.iter().map(show).collect::<Vec<_>>().join("|")
        };
        table.rows(&[]).unwrap().map(|found| row(found.unwrap())).collect()
    }

    #[track_caller]
    fn check<T: 'static>(
        table: fn(&Arc<Redactor>) -> Inventory<T>,
        files: &[(&str, &str)],
        expected: &[&str],
    ) {
        assert_eq!(read(table(&Arc::default()), files), expected);
    }

    #[test]
    fn each_table_tells_what_its_inventory_finds() {
        let status = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n";
        check(packages, &[("var/lib/dpkg/status", status)], &["dpkg|a|1|all|-|-|-"]);
        let links = [("etc/runlevels/default/sshd", ">/etc/init.d/sshd")];
        let sshd = "sshd|-|inactive|stopped|enabled in default|/etc/init.d/sshd|-";
        check(services, &links, &[sshd]);
        let rules = [("etc/sudoers", "Defaults passwd_tries=3\nann ALL=(ALL) NOPASSWD: ALL\n")];
        let told = [
            "/etc/sudoers|Defaults passwd_tries=3|-",
            "/etc/sudoers|ann ALL=(ALL) NOPASSWD: ALL|-",
        ];
        check(sudoers, &rules, &told);
        let keys = [
            ("etc/passwd", "ann:x:7:7::/home/ann:/bin/sh\n"),
            ("home/ann/.ssh/authorized_keys", "command=\"a --token=x1 b\" ssh-ed25519 AAAA c\n"),
        ];
        let rows = read(ssh_keys(&Arc::default()), &keys);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].starts_with("ann|7|/home/ann/.ssh/authorized_keys|SHA256:"), "{rows:?}");
        assert!(rows[0].contains("--token=[redacted]") && !rows[0].contains("x1"), "{rows:?}");
    }

    #[test]
    fn what_cannot_be_asked_is_a_row_of_its_own() {
        let files = [("usr/bin/rpm", ""), ("var/lib/rpm/rpmdb.sqlite", "")];
        check(packages, &files, &["-|-|-|-|-|-|rpm is asked on the machine itself only"]);
    }

    proptest! {
        #[test]
        fn no_command_shows_its_secret(
            program in "[a-z]{1,8}",
            secret in "q[0-9]{12}",
            option in prop::sample::select(vec!["--password ", "--token=", "PGPASSWORD="]),
        ) {
            let table = format!("@daily root {program} {option}{secret} end\n");
            let rows = read(autoruns(&Arc::default()), &[("etc/cron.d/a", &table)]);
            let command = format!("{program} {option}[redacted] end");
            let expected =
                format!("cron|/etc/cron.d/a|@daily root {command}|root|@daily|{command}|-|-|-|-");
            prop_assert_eq!(rows, [expected]);
        }
    }
}
