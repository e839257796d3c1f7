//! Whether somebody looks after an isolation, and what is blocked, where no agent runs: the early supervisor's units, and
//! the agent's own.

use std::path::Path;
use std::time::Duration;

use super::{Finding, Grade};
use crate::clock;
use crate::config::Config;
use crate::inventory::child;
use crate::kept::{BLOCKS, ISOLATION};

const CHECK: &str = "hold";
/// That this is there is how systemd itself tells whether it runs.
const RUNS: &str = "/run/systemd/system";
const PROGRAMS: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
const PROPERTIES: &str = "--property=Id,LoadState,UnitFileState,ActiveState,Paths";
const WITHIN: Duration = Duration::from_secs(10);
const BYTES_MAX: usize = 64 << 10;

/// Puts an isolation up again at boot.
const SERVICE: &str = "cordon-hold.service";
/// Starts that as soon as an isolation is recorded.
const PATH: &str = "cordon-hold.path";
const AGENT: &str = "cordon-agent.service";

pub(super) fn finding(config: &Config) -> Finding {
    let (grade, found) = look(config);
    Finding::of(CHECK, grade, found)
}

fn look(config: &Config) -> (Grade, String) {
    if config.lab {
        return (Grade::Fine, "in a lab nobody is asked to".to_owned());
    }
    let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists());
    let Some(program) = program.filter(|_program| Path::new(RUNS).is_dir()) else {
        let found = "systemd does not run here: unless something else starts `cordon-agent hold` \
                     before the network, an isolation is open from a reboot until the agent starts";
        return (Grade::Less, found.to_owned());
    };
    let now = || Duration::from_nanos(clock::boot_ns());
    let asked = ["show", "--no-pager", PROPERTIES, "--", SERVICE, PATH, AGENT];
    match child::ask(program, &asked, WITHIN, BYTES_MAX, now) {
        Ok(answer) => judge(&String::from_utf8_lossy(&answer), &config.state_dir),
        Err(error) => (Grade::Less, format!("nobody can tell: {error}")),
    }
}

/// By what `systemctl show` says of the three, an empty line between them.
fn judge(answer: &str, state_dir: &Path) -> (Grade, String) {
    let units: Vec<&str> = answer.split("\n\n").collect();
    let of = |unit: &str, name: &str| {
        let id = format!("Id={unit}");
        let own = units.iter().find(|lines| lines.lines().any(|line| line == id));
        let lines = own.into_iter().flat_map(|own| own.lines());
        // There is a line for each path.
        let values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.collect::<Vec<_>>().join(" ")
    };
    let is_enabled = |unit: &str| of(unit, "UnitFileState").starts_with("enabled");
    let mut wrong = Vec::new();
    for (unit, then) in [
        (SERVICE, "an isolation is open from a reboot until the agent starts"),
        (PATH, "an isolation has nobody to count its lease while no agent runs"),
    ] {
        match of(unit, "LoadState").as_str() {
            "loaded" if is_enabled(unit) => {}
            "loaded" => wrong.push(format!("{unit} is not enabled: {then}")),
            "masked" => wrong.push(format!("{unit} is masked: {then}")),
            _ => wrong.push(format!("{unit} is not installed: {then}")),
        }
    }
    if wrong.is_empty() && of(PATH, "ActiveState") != "active" {
        wrong.push(format!("{PATH} does not run; `systemctl start {PATH}`"));
    }
    for record in [ISOLATION, BLOCKS].map(|name| state_dir.join(name)) {
        let waits = format!("{} (PathExists)", record.display());
        if wrong.is_empty() && !of(PATH, "Paths").contains(&waits) {
            let record = record.display();
            wrong
                .push(format!("{PATH} does not wait for {record}: change the paths in both units"));
        }
    }
    if !wrong.is_empty() {
        return (Grade::Bad, wrong.join("; "));
    }
    if !is_enabled(AGENT) {
        return (Grade::Less, format!("{AGENT} is not enabled: no agent starts with the machine"));
    }
    (Grade::Fine, "an isolation is put up again before the network, and looked after".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "\
Paths=/var/lib/cordon-agent/isolation.cbor (PathExists)
Paths=/var/lib/cordon-agent/blocks (PathExists)
Id=cordon-hold.path
LoadState=loaded
ActiveState=active
UnitFileState=enabled

Id=cordon-hold.service
LoadState=loaded
ActiveState=inactive
UnitFileState=enabled

Id=cordon-agent.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
";

    #[track_caller]
    fn check(changes: &[(&str, &str)], grade: Grade, says: &str) {
        let mut answer = ALL.to_owned();
        for (old, new) in changes {
            assert!(answer.contains(old), "{old}");
            answer = answer.replacen(old, new, 1);
        }
        let (found, said) = judge(&answer, Path::new("/var/lib/cordon-agent"));
        assert_eq!(found, grade, "{said}");
        assert!(said.contains(says), "{said}");
    }

    #[test]
    fn units_that_are_as_the_package_leaves_them_are_fine() {
        check(&[], Grade::Fine, "looked after");
    }

    #[test]
    fn units_that_are_missing_masked_or_off_are_named_with_what_follows() {
        let gone = "Id=cordon-hold.service\nLoadState=loaded";
        for (state, says) in [("not-found", "not installed"), ("masked", "masked")] {
            let new = format!("Id=cordon-hold.service\nLoadState={state}");
            let says = format!("cordon-hold.service is {says}: an isolation is open");
            check(&[(gone, &new)], Grade::Bad, &says);
        }
        let path = "Id=cordon-hold.path\nLoadState=loaded\nActiveState=active\nUnitFileState=";
        let off = format!("{path}disabled");
        check(&[(&format!("{path}enabled"), &off)], Grade::Bad, "cordon-hold.path is not enabled");
        check(&[("ActiveState=active", "ActiveState=inactive")], Grade::Bad, "does not run");
        for name in ["isolation.cbor", "blocks"] {
            let says = format!("does not wait for /var/lib/cordon-agent/{name}");
            check(&[(name, "another")], Grade::Bad, &says);
        }
    }

    #[test]
    fn an_agent_that_does_not_start_with_the_machine_is_less() {
        let agent = "ActiveState=active\nUnitFileState=enabled\n";
        let at = ALL.rfind(agent).unwrap();
        let answer = format!("{}ActiveState=active\nUnitFileState=disabled\n", &ALL[..at]);
        let (grade, said) = judge(&answer, Path::new("/var/lib/cordon-agent"));
        assert_eq!((grade, said.contains(AGENT)), (Grade::Less, true), "{said}");
    }

    #[test]
    fn an_answer_that_says_nothing_is_no_comfort() {
        assert_eq!(judge("", Path::new("/x")).0, Grade::Bad);
    }
}
