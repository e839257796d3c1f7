//! The services of this machine and their state, as systemd tells it, or OpenRC's files.
//!
//! systemd is asked through `systemctl`, and only on the machine itself; where it does not run and
//! there is no OpenRC, there is nothing to tell. Scripts in `/etc/init.d` are autoruns.

use std::path::Path;
use std::time::Duration;

use cordon_proto::Text;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row, child};
use crate::clock;

/// One service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: Text,
    /// Whether its file could be read: `loaded`, `not-found`, `masked` …
    pub load: Text,
    /// Whether it runs: `active`, `inactive`, `failed` …
    pub active: Text,
    /// The same, finer: `running`, `exited`, `dead` …
    pub sub: Text,
    /// Whether it is started with the machine: `enabled`, `disabled`, `static` …
    pub file_state: Text,
    /// The file that describes it.
    pub path: Text,
}

impl Row for Service {
    fn key(&self) -> Text {
        self.name.clone()
    }

    fn columns(&self, columns: &mut Columns) {
        // What runs for a moment now and then is, over time, neither running nor not.
        let is_passing = matches!(self.sub.as_bytes(), b"dead" | b"start" | b"exited");
        let (active, sub) = if is_passing && self.active.as_bytes() != b"failed" {
            (Text::from("at rest"), Text::default())
        } else {
            (self.active.clone(), self.sub.clone())
        };
        columns
            .text("load", &self.load)
            .text("active", &active)
            .text("sub", &sub)
            .text("file_state", &self.file_state)
            .text("path", &self.path);
    }
}

const PROGRAMS: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];

const ARGUMENTS: [&str; 6] = [
    "show",
    "*.service",
    "--all",
    "--no-pager",
    "--property=Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath",
    "--no-ask-password",
];

const WITHIN: Duration = Duration::from_secs(30);
const BYTES_MAX: usize = 4 << 20;

/// All services.
pub fn collect(root: &Path) -> Result<Found<Service>, CollectError> {
    let tree = Tree::new(root);
    // That this directory is there is how systemd itself tells whether it runs.
    let runs = tree.metadata("/run/systemd/system").is_some_and(|at| at.is_dir());
    let program = PROGRAMS.iter().find(|program| tree.metadata(program).is_some());
    let services = match program.filter(|_program| runs) {
        Some(_) if !tree.is_machine() => {
            tree.problem("systemd is asked on the machine itself only".to_owned());
            Vec::new()
        }
        Some(program) => {
            let now = || Duration::from_nanos(clock::boot_ns());
            parse(&child::ask(program, &ARGUMENTS, WITHIN, BYTES_MAX, now)?)
        }
        None => open_rc(&tree),
    };
    Ok(tree.found(services))
}

/// What `systemctl show` answers: `Name=value` lines, an empty one between services.
#[must_use]
pub fn parse(answer: &[u8]) -> Vec<Service> {
    let mut services = Vec::new();
    let mut service = Service::default();
    for line in answer.split(|byte| *byte == b'\n').chain([&b""[..]]) {
        if line.is_empty() {
            let service = std::mem::take(&mut service);
            if !service.name.is_empty() {
                services.push(service);
            }
        } else if let Some(at) = line.iter().position(|byte| *byte == b'=') {
            let (name, value) = line.split_at(at);
            let value = Text::from(value.get(1..).unwrap_or_default());
            match name {
                b"Id" => service.name = value,
                b"LoadState" => service.load = value,
                b"ActiveState" => service.active = value,
                b"SubState" => service.sub = value,
                b"UnitFileState" => service.file_state = value,
                b"FragmentPath" => service.path = value,
                _ => {}
            }
        }
    }
    services
}

/// OpenRC: links below `/etc/runlevels`, and one in `/run/openrc/started` for each that runs.
fn open_rc(tree: &Tree<'_>) -> Vec<Service> {
    let started = tree.names("/run/openrc/started");
    let mut services: Vec<Service> = Vec::new();
    for level in tree.names("/etc/runlevels") {
        for name in tree.names(Path::new("/etc/runlevels").join(&level)) {
            let active = if started.contains(&name) { "active" } else { "inactive" };
            let file_state = [b"enabled in ", level.as_encoded_bytes()].concat();
            let path = Path::new("/etc/init.d").join(&name);
            services.push(Service {
                name: name.as_encoded_bytes().into(),
                active: active.into(),
                sub: if active == "active" { "started".into() } else { "stopped".into() },
                file_state: file_state.into(),
                path: path.as_os_str().as_encoded_bytes().into(),
                load: Text::default(),
            });
        }
    }
    for name in started {
        let name: Text = name.as_encoded_bytes().into();
        if !services.iter().any(|known| known.name == name) {
            let (active, sub) = ("active".into(), "started".into());
            services.push(Service { name, active, sub, ..Service::default() });
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing;
    use super::*;

    #[test]
    fn what_systemd_answers_is_read_and_what_runs_now_and_then_is_no_change() {
        let answer = "Id=ssh.service\nLoadState=loaded\nActiveState=active\nSubState=running\n\
                      FragmentPath=/lib/systemd/system/ssh.service\nUnitFileState=enabled\n\n\
                      Id=fstrim.service\nLoadState=loaded\nActiveState=activating\nSubState=start\n\
                      UnitFileState=static\nFragmentPath=\n\n\
                      Id=bad.service\nLoadState=loaded\nActiveState=failed\nSubState=dead\n";
        assert_eq!(
            testing::show_all(&parse(answer.as_bytes())),
            [
                "bad.service: load=loaded active=failed sub=dead",
                "fstrim.service: load=loaded active=at rest file_state=static",
                "ssh.service: load=loaded active=active sub=running file_state=enabled \
                 path=/lib/systemd/system/ssh.service",
            ]
        );
    }

    #[test]
    fn openrc_is_read_from_its_files() {
        let root = testing::tree(&[
            ("etc/runlevels/default/sshd", ">/etc/init.d/sshd"),
            ("etc/runlevels/default/crond", ">/etc/init.d/crond"),
            ("run/openrc/started/sshd", ">/etc/init.d/sshd"),
            ("run/openrc/started/net", ">/etc/init.d/net"),
        ]);
        assert_eq!(
            testing::show_all(&collect(root.path()).unwrap().rows),
            [
                "crond: active=inactive sub=stopped file_state=enabled in default \
                 path=/etc/init.d/crond",
                "net: active=active sub=started",
                "sshd: active=active sub=started file_state=enabled in default \
                 path=/etc/init.d/sshd",
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(answer: Vec<u8>) {
            prop_assert!(parse(&answer).len() <= answer.len());
        }
    }
}
