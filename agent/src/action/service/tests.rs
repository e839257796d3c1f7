//! Services of a made-up machine: `systemctl` is a program of the test's that keeps their state in a
//! folder and answers as systemd 252 does.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// Stops what needs a unit along with it, starts nothing that is masked and no socket of a service
/// that runs, and asks for a reload where
/// links were changed since the last, as systemd does.
const PROGRAM: &str = r#"#!/bin/sh
set -eu
root='ROOT'
state="$root/state"
masks="$root/etc/systemd/system.control"
[ "$1" = --system ] && [ "$2" = --no-ask-password ] || exit 9
shift 2
verb=$1
shift
canon() { if [ -f "$state/$1.alias" ]; then cat "$state/$1.alias"; else echo "$1"; fi; }
is_masked() { grep -qx "$1" "$state/masked" 2>/dev/null; }
prop() { cat "$state/$1.$2" 2>/dev/null || true; }
stop() {
    unit=$(canon "$1")
    for other in $(prop "$unit" needed-by); do stop "$other"; done
    unit=$(canon "$1")
    if [ ! -f "$state/$unit.stuck" ]; then echo inactive > "$state/$unit.active"; fi
}
case "$verb" in
show)
    shift 2
    [ "$1" = -- ] && shift
    first=yes
    for name in "$@"; do
        [ $first = yes ] || echo
        first=no
        unit=$(canon "$name")
        load=loaded
        [ -f "$state/$unit.active" ] || load=not-found
        if is_masked "$unit"; then load=masked; fi
        echo "Id=$unit"
        echo "Names=$unit $(prop "$unit" names)"
        echo "RequiredBy=$(prop "$unit" needed-by)"
        echo "BoundBy="
        echo "ConsistsOf="
        echo "TriggeredBy=$(prop "$unit" triggers)"
        echo "LoadState=$load"
        echo "ActiveState=$(cat "$state/$unit.active" 2>/dev/null || echo inactive)"
        echo "RefuseManualStop=no"
    done ;;
stop)
    [ "$1" = -- ] && shift
    for name in "$@"; do stop "$name"; done ;;
start)
    [ "$1" = -- ] && shift
    for name in "$@"; do
        unit=$(canon "$name")
        if is_masked "$unit"; then echo "Unit $unit is masked." >&2; exit 1; fi
        service="${unit%.socket}.service"
        if [ "$service" != "$unit.service" ] && [ "$(prop "$service" active)" = active ]; then
            echo "Socket service $service already active, refusing." >&2
            refused=yes
            continue
        fi
        echo active > "$state/$unit.active"
    done
    [ -z "${refused:-}" ] ;;
daemon-reload)
    ls "$masks" > "$state/masked" 2>/dev/null || true ;;
*) exit 9 ;;
esac
"#;

struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    /// `unit=active`, and more of a unit by its file: `unit.triggers=…`.
    fn new(state: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["run/systemd/system", "state", "etc/systemd"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for (name, value) in state {
            std::fs::write(root.path().join("state").join(name), value).unwrap();
        }
        let program = root.path().join("systemctl");
        let script = PROGRAM.replace("ROOT", root.path().to_str().unwrap());
        // Written by a child: one that another test starts would hold a file of ours open, and
        // what is open for writing cannot be started.
        let mut write = Command::new("/bin/sh");
        write.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&program).stdin(Stdio::piped());
        let mut child = write.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        Self { root }
    }

    fn usual() -> Self {
        Self::new(&[
            ("web.service.active", "active"),
            ("web.service.names", "www.service"),
            ("www.service.alias", "web.service"),
            ("web.service.triggers", "web.socket web.timer"),
            ("web.socket.active", "active"),
            ("web.timer.active", "inactive"),
            ("web.service.needed-by", "app.service"),
            ("app.service.active", "active"),
            ("other.service.active", "active"),
        ])
    }

    fn state(&self) -> String {
        let units = ["web.service", "web.socket", "web.timer", "app.service", "other.service"];
        let state = |unit: &&str| {
            let path = self.root.path().join(format!("state/{unit}.active"));
            std::fs::read_to_string(path).unwrap().trim() == "active"
        };
        units.iter().filter(|unit| state(unit)).copied().collect::<Vec<_>>().join(" ")
    }

    fn masks(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.path().join(MASKS)) else {
            return Vec::new();
        };
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn with<T>(&self, unit: &str, disable: bool, act: impl FnOnce(&Service<'_>) -> T) -> T {
        let wanted = StopService { unit: unit.to_owned(), disable, lease_secs: None };
        let program = self.root.path().join("systemctl");
        act(&Service { root: self.root.path(), program: &program, wanted: &wanted, lab: false })
    }
}

const ALL: &str = "web.service web.socket app.service other.service";

#[test]
fn a_service_stops_with_what_starts_it_and_all_that_ran_runs_again() {
    for disable in [false, true] {
        let machine = Machine::usual();
        // By another of its names.
        machine.with("www.service", disable, |service| {
            let before = service.prepare().unwrap();
            let done = service.apply(&before).unwrap();
            assert_eq!(done.missing, [""; 0]);
            assert_eq!(done.probes.len(), if disable { 4 } else { 3 });
            assert_eq!(machine.state(), "other.service");
            let masks: &[&str] = if disable { &["web.service", "www.service"] } else { &[] };
            assert_eq!(machine.masks(), masks);
            assert!(matches!(service.look(&before), Seen::Holds(_)));
            let done = service.undo(&before).unwrap();
            assert_eq!(done.missing, [""; 0]);
            assert_eq!(machine.state(), ALL);
            assert!(!machine.root.path().join(MASKS).exists());
        });
    }
}

#[test]
fn what_was_stopped_before_is_not_started() {
    let machine = Machine::new(&[("web.service.active", "inactive")]);
    machine.with("web.service", true, |service| {
        let before = service.prepare().unwrap();
        service.apply(&before).unwrap();
        let done = service.undo(&before).unwrap();
        assert!(done.missing.is_empty() && done.probes[0].passed, "{done:?}");
        let state = machine.root.path().join("state/web.service.active");
        assert_eq!(std::fs::read_to_string(state).unwrap().trim(), "inactive");
    });
}

#[test]
fn one_that_is_started_again_is_found_and_stopped_again() {
    let machine = Machine::usual();
    machine.with("web.service", true, |service| {
        let before = service.prepare().unwrap();
        service.apply(&before).unwrap();
        std::fs::remove_file(service.link("web.service")).unwrap();
        let systemctl = service.systemctl();
        systemctl.reload().unwrap();
        systemctl.start(&["web.service".to_owned()]).unwrap();
        let Seen::Drifted(found) = service.look(&before) else { panic!("not found") };
        assert!(found.contains("kept from starting") && found.contains("active"), "{found}");
        service.apply(&before).unwrap();
        assert!(matches!(service.look(&before), Seen::Holds(_)));
        assert!(systemctl.start(&["web.service".to_owned()]).is_err());
    });
}

#[test]
fn one_that_does_not_stop_is_told_as_missing() {
    let machine = Machine::usual();
    std::fs::write(machine.root.path().join("state/web.service.stuck"), "").unwrap();
    machine.with("web.service", false, |service| {
        let done = service.apply(&service.prepare().unwrap()).unwrap();
        assert_eq!(done.missing, ["not so: web.service is stopped; it is active"]);
    });
}

#[test]
fn a_link_of_somebody_else_stays() {
    let machine = Machine::usual();
    machine.with("web.service", true, |service| {
        let before = service.prepare().unwrap();
        service.apply(&before).unwrap();
        std::fs::remove_file(service.link("web.service")).unwrap();
        std::fs::write(service.link("web.service"), "[Service]\n").unwrap();
        let done = service.undo(&before).unwrap();
        assert!(done.missing[0].contains("is not ours any more"), "{done:?}");
        assert_eq!(machine.masks(), ["web.service"]);
    });
}

#[track_caller]
fn refused(machine: &Machine, unit: &str, why: &str) {
    machine.with(unit, true, |service| match service.prepare() {
        Err(NotDone::Refused(said)) => assert!(said.contains(why), "{said}"),
        other => panic!("{other:?}"),
    });
}

#[test]
fn what_is_protected_or_not_there_or_would_stop_what_is_protected_is_refused() {
    let machine = Machine::usual();
    for (name, value) in [
        ("dbus.service.active", "active"),
        ("app.service.needed-by", "dbus.service"),
        ("cordon-agent.service.active", "active"),
    ] {
        std::fs::write(machine.root.path().join("state").join(name), value).unwrap();
    }
    refused(&machine, "dbus.service", "dbus.service is protected");
    refused(&machine, "cordon-agent.service", "Cordon's own");
    refused(&machine, "web.service", "it would stop another: dbus.service is protected");
    refused(&machine, "nginx.service", "there is no unit nginx.service");
    refused(&machine, "multi-user.target", "is no service");
}

#[test]
fn without_systemd_and_in_a_lab_it_is_refused() {
    let machine = Machine::usual();
    std::fs::remove_dir_all(machine.root.path().join("run")).unwrap();
    refused(&machine, "web.service", "systemd does not run");
    let machine = Machine::usual();
    machine.with("web.service", true, |service| {
        let service = Service { lab: true, ..*service };
        assert!(matches!(service.prepare(), Err(NotDone::Refused(_))));
    });
}
