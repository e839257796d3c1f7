//! What the supervisor's tests share, and who owns the rules when.

use cordon_proto::command::{Action, Command, Isolate};
use cordon_proto::id::{CommandId, Hash};
use cordon_proto::roster::RosterRef;

use super::*;
use crate::action::isolate::record::{AtEnd, Plan, Record, Terms, Unproved};
use crate::kept::KeptIsolation;

/// The command of [`kept`].
pub(crate) fn command() -> Command {
    Command {
        id: CommandId(uuid::Uuid::from_u128(1)),
        client: "acme".parse().unwrap(),
        targets: vec![],
        action: Action::Isolate(Isolate::default()),
        age_max_secs: 1,
        queued: false,
        roster_min: RosterRef::default(),
        reason: String::new(),
        incident: None,
        snapshot: None,
    }
}

/// An isolation that was saved at 100 and ends at 700.
pub(crate) fn kept() -> KeptIsolation {
    let plan = Plan {
        mark: 7,
        collectors: vec!["192.0.2.7:7443".parse().unwrap()],
        exemptions: vec![],
        dhcp_servers: vec![],
    };
    let record = Record {
        command: command().id.0.into_bytes(),
        until_secs: 700,
        terms: Terms::new(Unproved::Hold, AtEnd::LetBack, false),
        plan,
    };
    let signed = b"signed".to_vec();
    let command_hash = Hash::of(&signed);
    let (signed, saved_secs) = (Some(signed), Some(100));
    KeptIsolation { record, command_hash, signed, saved_secs, counted: None }
}

fn scene() -> (tempfile::TempDir, Config, StateDir) {
    let temp = tempfile::tempdir().unwrap();
    let config = Config { state_dir: temp.path().join("state"), ..Config::default() };
    let dir = StateDir::open(&config.state_dir).unwrap();
    (temp, config, dir)
}

#[test]
fn where_nothing_is_recorded_the_supervisor_ends_at_once() {
    let (_temp, config, _dir) = scene();
    run(&config).unwrap();
}

#[test]
fn an_agent_gets_the_lock_when_the_supervisor_stands_aside_and_not_before() {
    let (_temp, config, dir) = scene();
    let held = dir.lock().unwrap();
    assert!(matches!(take_over(&config, &dir), Err(StateDirError::InUse(_))), "nobody answers");
    let listener = control::listen(&control::hold_socket(&config)).unwrap();
    let supervisor = std::thread::spawn(move || {
        let (mut stream, ask) = taken(&listener).unwrap();
        assert_eq!(ask, Ask::StandAside);
        drop(held);
        control::answer(&mut stream, &Answer::done("")).unwrap();
        stream
    });
    let lock = take_over(&config, &dir).unwrap();
    drop(supervisor.join().unwrap());
    assert!(matches!(dir.lock(), Err(StateDirError::InUse(_))));
    drop(lock);
}

#[test]
fn a_supervisor_that_stands_by_ends_when_nothing_is_recorded_and_gets_the_lock_of_a_dead_agent() {
    let (_temp, _config, dir) = scene();
    let agent = dir.lock().unwrap();
    let waiting = dir.clone();
    dir.write(ISOLATION, &kept().to_bytes().unwrap()).unwrap();
    let supervisor =
        std::thread::spawn(move || stand_by(&waiting, None, &mut Ready::new()).unwrap().is_some());
    drop(agent);
    assert!(supervisor.join().unwrap());
}
