//! Units of systemd that are started: those that are enabled, those that an administrator wrote,
//! timers, and the same of users.

use std::path::{Component, Path, PathBuf};

use cordon_proto::Text;

use super::{Autorun, Home, Tree, file, text};
use crate::inventory::joined;

/// Directories of units: what each is told as, and whether units that stand there count although
/// no link enables them. Those of packages do not: there are hundreds, and dpkg or rpm know them.
const DIRECTORIES: [(&str, &str, bool); 9] = [
    ("/etc/systemd/system", "systemd", true),
    ("/run/systemd/system", "systemd", true),
    ("/usr/local/lib/systemd/system", "systemd", true),
    ("/usr/lib/systemd/system", "systemd", false),
    ("/etc/systemd/user", "systemd_user", true),
    ("/usr/local/lib/systemd/user", "systemd_user", true),
    ("/usr/lib/systemd/user", "systemd_user", false),
    ("/etc/systemd/system-generators", "systemd_generator", true),
    ("/usr/local/lib/systemd/system-generators", "systemd_generator", true),
];

/// Kinds of units that start something.
const STARTS: [&str; 4] = [".service", ".timer", ".socket", ".path"];

pub(super) fn collect(tree: &Tree<'_>, homes: &[Home], all: &mut Vec<Autorun>) {
    for (directory, kind, has_own) in DIRECTORIES {
        let directory = Path::new(directory);
        match kind {
            "systemd_generator" => {
                let files = tree.files(directory);
                all.extend(files.iter().filter_map(|path| file(tree, kind, path)));
            }
            _ => units(tree, directory, kind, has_own, &Text::default(), all),
        }
    }
    for home in homes {
        let directory = home.path.join(".config/systemd/user");
        units(tree, &directory, "systemd_user", true, &home.owner, all);
    }
}

fn units(
    tree: &Tree<'_>,
    directory: &Path,
    kind: &'static str,
    has_own: bool,
    user: &Text,
    all: &mut Vec<Autorun>,
) {
    for name in tree.names(directory) {
        let path = directory.join(&name);
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".wants") || name.ends_with(".requires") || name.ends_with(".upholds") {
            for unit in tree.names(&path) {
                all.extend(enabled(tree, kind, &path.join(unit), user));
            }
        } else if name.ends_with(".d") {
            // What is dropped in may replace what a unit starts.
            let dropped = tree.files(&path).into_iter().filter(|path| path.extension().is_some());
            all.extend(dropped.filter_map(|path| written(tree, kind, &path, user)));
        } else if has_own && STARTS.iter().any(|end| name.ends_with(end)) && !is_link(tree, &path) {
            all.extend(written(tree, kind, &path, user));
        }
    }
}

fn is_link(tree: &Tree<'_>, path: &Path) -> bool {
    tree.metadata(path).is_some_and(|metadata| metadata.is_symlink())
}

/// A link that enables a unit, with what the unit starts.
fn enabled(tree: &Tree<'_>, kind: &'static str, path: &Path, user: &Text) -> Option<Autorun> {
    let target = tree.link(path);
    let unit = target.as_deref().map_or_else(|| path.to_owned(), |target| real(path, target));
    let told = written(tree, kind, &unit, user);
    let Autorun { command, when, sha256, user, .. } =
        told.unwrap_or_else(|| Autorun { user: user.clone(), ..Autorun::default() });
    let entry = if target.is_some() {
        joined(&[b"> ", text(&unit).as_bytes()], b"")
    } else {
        Text::default()
    };
    Some(Autorun {
        kind,
        path: text(path),
        entry,
        user,
        when,
        command,
        sha256,
        ..Autorun::default()
    })
}

/// Where a link leads from where it stands.
fn real(path: &Path, target: &Path) -> PathBuf {
    let mut real = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    for part in target.components() {
        match part {
            Component::ParentDir => {
                real.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => real.push(part),
        }
    }
    real
}

/// A unit's file, with what it starts and when.
fn written(tree: &Tree<'_>, kind: &'static str, path: &Path, user: &Text) -> Option<Autorun> {
    let found = file(tree, kind, path)?;
    let content = tree.read(path).unwrap_or_default();
    let says = says(&content);
    let user = if says.user.is_empty() { user.clone() } else { says.user };
    Some(Autorun { user, when: says.when, command: says.command, ..found })
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Says {
    command: Text,
    when: Text,
    user: Text,
}

/// What of a unit says what is started, and when. Several are told with `; ` between.
fn says(content: &[u8]) -> Says {
    const COMMANDS: [&[u8]; 4] = [b"ExecStart", b"ExecStartPre", b"ExecStartPost", b"ExecStop"];
    let mut commands: Vec<&[u8]> = Vec::new();
    let mut moments: Vec<&[u8]> = Vec::new();
    let mut user = Text::default();
    for line in content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = line.split_at(at);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = name.trim_ascii();
        if value.is_empty() {
            continue;
        } else if COMMANDS.contains(&name) {
            commands.push(value);
        } else if name == b"User" {
            user = value.into();
        } else if is_moment(name) {
            moments.push(line);
        }
    }
    Says { command: joined(&commands, b"; "), when: joined(&moments, b"; "), user }
}

/// Whether a setting says when, or on what, something is started.
fn is_moment(name: &[u8]) -> bool {
    name == b"OnCalendar"
        || (name.starts_with(b"On") && name.ends_with(b"Sec"))
        || name.starts_with(b"Listen")
        || name.starts_with(b"Path")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::check;
    use super::*;

    const UNIT: &str = "[Service]\nUser=eve\nExecStartPre=-/bin/a\nExecStart = /bin/b --c\n";

    #[test]
    fn enabled_units_are_told_with_what_they_start() {
        check(
            &[
                ("usr/lib/systemd/system/b.service", UNIT),
                ("usr/lib/systemd/system/idle.service", UNIT),
                (
                    "etc/systemd/system/multi-user.target.wants/b.service",
                    ">/usr/lib/systemd/system/b.service",
                ),
                ("usr/lib/systemd/system/timers.target.wants/t.timer", ">../t.timer"),
                ("usr/lib/systemd/system/t.timer", "[Timer]\nOnCalendar=daily\n"),
                ("etc/systemd/system/x.target.wants/gone.service", ">/nowhere"),
            ],
            &[
                "systemd /etc/systemd/system/multi-user.target.wants/b.service > \
                 /usr/lib/systemd/system/b.service: kind=systemd \
                 path=/etc/systemd/system/multi-user.target.wants/b.service user=eve \
                 command=-/bin/a; /bin/b --c #725d",
                "systemd /etc/systemd/system/x.target.wants/gone.service > /nowhere: \
                 kind=systemd path=/etc/systemd/system/x.target.wants/gone.service",
                "systemd /usr/lib/systemd/system/timers.target.wants/t.timer > \
                 /usr/lib/systemd/system/t.timer: kind=systemd \
                 path=/usr/lib/systemd/system/timers.target.wants/t.timer \
                 when=OnCalendar=daily #1615",
            ],
        );
    }

    #[test]
    fn units_that_somebody_wrote_are_told_also_those_of_users() {
        check(
            &[
                ("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n"),
                ("etc/systemd/system/own.timer", "abc"),
                ("etc/systemd/system/ssh.service.d/o.conf", "abc"),
                ("etc/systemd/system/alias.service", ">/usr/lib/systemd/system/b.service"),
                ("etc/systemd/system/notes.txt", "abc"),
                ("home/ann/.config/systemd/user/m.service", "[Service]\nExecStart=/m\n"),
                ("etc/systemd/system-generators/g", "abc"),
            ],
            &[
                "systemd /etc/systemd/system/own.timer: kind=systemd \
                 path=/etc/systemd/system/own.timer #ba78",
                "systemd /etc/systemd/system/ssh.service.d/o.conf: kind=systemd \
                 path=/etc/systemd/system/ssh.service.d/o.conf #ba78",
                "systemd_generator /etc/systemd/system-generators/g: kind=systemd_generator \
                 path=/etc/systemd/system-generators/g #ba78",
                "systemd_user /home/ann/.config/systemd/user/m.service: kind=systemd_user \
                 path=/home/ann/.config/systemd/user/m.service user=ann command=/m #e3ba",
            ],
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(content: Vec<u8>) {
            says(&content);
        }
    }
}
