//! Timelines and properties of responses.

use cordon_proto::command::{Deny, Executable, Kill, ProcessTarget, Quarantine};
use cordon_proto::event::network::{
    Connection, Direction as Began, Means, NetworkEvent, Opened, Owner, Peer as End, Transport,
};
use cordon_proto::event::process::{Exec, ProcessEvent, Tier};
use cordon_proto::event::{Body, Severity};
use cordon_proto::policy::responses::{Comparison, Field};
use proptest::prelude::*;

use super::*;

const PATH: &str = "/tmp/x";

fn policy(responses: Vec<Response>) -> Policy {
    Policy { responses: Some(responses), ..Policy::new("acme".parse().unwrap(), 3) }
}

fn response(field: Field, value: &str, then: Reaction, per_hour_max: u32) -> Response {
    let test = Test { field, comparison: Comparison::Is, value: value.to_owned() };
    Response { name: "one".to_owned(), when: vec![test], then, per_hour_max }
}

fn seen(body: Body) -> Observation {
    Observation { time_ns: 5, boot_ns: 5, severity: Severity::Informational, body }
}

fn exec(pid: u32, path: &str) -> Observation {
    let mut exec = Exec::new(Tier::Bpf, pid);
    exec.image = Some(path.into());
    exec.start_boot_ns = Some(u64::from(pid));
    seen(Body::Process(ProcessEvent::Exec(Box::new(exec))))
}

fn opened(direction: Option<Began>, remote: &str) -> Observation {
    let connection = Connection {
        means: Means::Bpf,
        transport: Transport::Tcp,
        direction,
        local: End { ip: "192.0.2.5".parse().unwrap(), port: 22 },
        remote: End { ip: remote.parse().unwrap(), port: 4444 },
        owner: Some(Owner {
            pid: 9,
            start_boot_ns: Some(9),
            uid: None,
            cgroup_id: None,
            name: None,
        }),
        host_name: None,
        netns: None,
    };
    let opened = NetworkEvent::Opened(Opened { connection, existing: false });
    seen(Body::Network(Box::new(opened)))
}

/// What may be said of the endpoint in a timeline.
#[derive(Clone, Copy)]
struct State {
    critical: bool,
    stands: bool,
    no_leave: bool,
    /// What the roster lets all responses together do within an hour.
    roster_max: u32,
}

impl Default for State {
    fn default() -> Self {
        Self { critical: false, stands: false, no_leave: false, roster_max: PER_HOUR_MAX }
    }
}

fn tried(responder: &mut Responder, state: State, now_secs: u64, seen: &Observation) -> Vec<Fired> {
    let autonomy = Autonomy { per_hour_max: state.roster_max, ..responses::any() };
    let gateway: IpAddr = "192.0.2.1".parse().unwrap();
    let own = Own {
        autonomy: Some(&autonomy).filter(|_| !state.no_leave),
        critical: state.critical,
        vital: &|address| (address == gateway).then_some("gateway"),
        spared: &|pid| (pid == 1).then_some("the machine's first one"),
        stands: &|_| state.stands,
        new_id: &|| CommandId(uuid::Uuid::from_u128(7)),
        now_secs,
    };
    responder.handle(seen, &own)
}

/// A timeline of `SECONDS: DEED`: `run PID` starts the program, `other` another one, `restart` is a
/// crash of the agent, `lost` one after which nothing can be read, `policy` brings the policy anew;
/// `critical`, `standing`, `no leave` hold from there on. Expected: what was told, by line.
#[track_caller]
fn check(response: Response, timeline: &str, expected: &[&str]) {
    let policy = policy(vec![response]);
    let mut responder = Responder::default();
    responder.set_policy(&policy);
    let (mut state, mut kept, mut told) = (State::default(), Kept::default(), Vec::new());
    for line in timeline.lines().map(str::trim) {
        let (at, deed) = line.split_once(": ").unwrap();
        let now_secs = at.parse().unwrap();
        let event = match deed {
            "critical" => {
                state.critical = true;
                continue;
            }
            "standing" => {
                state.stands = true;
                continue;
            }
            "no leave" => {
                state.no_leave = true;
                continue;
            }
            "policy" => {
                responder.set_policy(&policy);
                continue;
            }
            "restart" | "lost" => {
                let bytes = codec::encode(&kept);
                let read: Kept = codec::decode_strict(&bytes).unwrap();
                responder = Responder::default();
                responder.set_policy(&policy);
                responder.resume(Some(read).filter(|_| deed == "restart"), 1, now_secs);
                continue;
            }
            "other" => exec(2, "/bin/true"),
            run => exec(run.strip_prefix("run ").unwrap().parse().unwrap(), PATH),
        };
        for Fired { reacted, due } in tried(&mut responder, state, now_secs, &event) {
            assert_eq!(reacted.action, due.as_ref().map(|due| due.action.kind()));
            let what = match (reacted.action, reacted.withheld) {
                (Some(action), None) => action.name().to_owned(),
                (None, Some(why)) => format!("withheld: {why}"),
                (None, None) => "raised".to_owned(),
                (Some(_), Some(_)) => panic!("both done and withheld"),
            };
            told.push(format!("{at}: {what} +{}", reacted.repeated));
            kept = responder.kept();
        }
    }
    assert_eq!(told, expected);
}

fn isolate(per_hour_max: u32) -> Response {
    response(Field::ProcessPath, PATH, Reaction::Isolate { lease_secs: 60 }, per_hour_max)
}

fn kill(per_hour_max: u32) -> Response {
    response(Field::ProcessPath, PATH, Reaction::Kill { tree: false }, per_hour_max)
}

#[test]
fn an_event_that_meets_the_condition_is_reacted_to_once_while_it_stands() {
    check(
        isolate(9),
        "10: other\n 11: run 21\n 12: run 2\n 13: run 3\n 71: run 4",
        &["11: isolate +0", "71: isolate +2"],
    );
}

#[test]
fn no_more_is_done_within_any_hour_than_policy_says() {
    let spent = "withheld: it was done 2 time(s) within an hour already";
    check(
        kill(2),
        "0: run 21\n 100: run 2\n 200: run 3\n 210: run 4\n 3599: run 5\n 3600: run 6\n 3610: run 7\n \
         3700: run 8",
        &[
            "0: kill +0",
            "100: kill +0",
            &format!("200: {spent} +0"),
            &format!("3599: {spent} +1"),
            "3600: kill +0",
            "3700: kill +1",
        ],
    );
}

#[test]
fn a_restart_or_the_same_policy_anew_does_not_begin_the_hour_anew() {
    let spent = "withheld: it was done 1 time(s) within an hour already +0";
    check(
        kill(1),
        "0: run 21\n 5: restart\n 100: run 2\n 200: policy\n 300: run 3\n 3600: run 4",
        &["0: kill +0", &format!("100: {spent}"), &format!("300: {spent}"), "3600: kill +0"],
    );
    check(
        kill(1),
        "0: run 21\n 5: lost\n 100: run 2\n 3604: run 3\n 3605: run 4",
        &["0: kill +0", &format!("100: {spent}"), &format!("3604: {spent}"), "3605: kill +0"],
    );
}

#[test]
fn an_isolation_that_somebody_ended_is_not_put_up_again_before_its_time() {
    let again = "withheld: it was done already, and its time is not over";
    check(
        Response { then: Reaction::Isolate { lease_secs: 200 }, ..isolate(9) },
        "0: run 21\n 1: restart\n 100: run 2\n 120: run 3\n 200: run 4",
        &["0: isolate +0", &format!("100: {again} +0"), "200: isolate +1"],
    );
}

#[test]
fn what_operators_asked_for_is_not_replaced() {
    let stands = "0: withheld: it stands already, asked for by somebody else +0";
    check(isolate(9), "0: standing\n 0: run 21", &[stands]);
}

#[test]
fn a_critical_endpoint_is_never_cut_off_by_itself() {
    check(isolate(9), "0: critical\n 0: run 21", &["0: withheld: this endpoint is critical +0"]);
    check(kill(9), "0: critical\n 0: run 21", &["0: kill +0"]);
}

#[test]
fn a_roster_that_no_longer_lets_it_is_obeyed_at_once() {
    check(
        kill(9),
        "0: run 21\n 1: no leave\n 70: run 2",
        &[
            "0: kill +0",
            "70: withheld: the policy has a response 'one' that would kill, which the roster does \
             not let endpoints do by themselves +0",
        ],
    );
}

#[test]
fn findings_alone_are_summed_up_and_bounded_too() {
    let raise = response(Field::ProcessPath, PATH, Reaction::Raise, 2);
    check(
        raise,
        "0: run 21\n 1: run 2\n 2: run 3\n 60: run 4\n 120: run 5\n 3600: run 6",
        &["0: raised +0", "60: raised +2", "3600: raised +1"],
    );
}

#[track_caller]
fn check_connection(then: Reaction, began: Option<Began>, remote: &str, expected: &str) {
    let mut responder = Responder::default();
    responder.set_policy(&policy(vec![response(Field::PeerPort, "4444", then, 9)]));
    let fired = tried(&mut responder, State::default(), 0, &opened(began, remote));
    let [Fired { reacted, due }] = fired.as_slice() else { panic!("{fired:?}") };
    let said = match (due, &reacted.withheld) {
        (Some(due), _) => due.action.kind().name().to_owned(),
        (None, why) => why.clone().unwrap_or_default(),
    };
    assert_eq!(said, expected);
}

#[test]
fn who_connects_to_us_cannot_have_us_cut_off_nor_our_services_ended() {
    let isolate = || Reaction::Isolate { lease_secs: 60 };
    let theirs = "the connection was begun by the other side";
    check_connection(isolate(), Some(Began::Inbound), "203.0.113.9", theirs);
    check_connection(Reaction::Kill { tree: false }, Some(Began::Inbound), "203.0.113.9", theirs);
    let unknown = "it is not known who began the connection";
    check_connection(isolate(), None, "203.0.113.9", unknown);
    check_connection(isolate(), Some(Began::Outbound), "203.0.113.9", "isolate");
}

#[test]
fn what_the_endpoint_needs_is_not_blocked() {
    let block = || Reaction::Block { lease_secs: 60 };
    check_connection(block(), Some(Began::Inbound), "203.0.113.9", "block");
    let vital = "this endpoint cannot do without 192.0.2.1 (gateway)";
    check_connection(block(), Some(Began::Inbound), "192.0.2.1", vital);
    check_connection(block(), Some(Began::Inbound), "::ffff:192.0.2.1", vital);
}

#[test]
fn nothing_is_tried_on_what_no_response_looks_at() {
    let mut responder = Responder::default();
    assert!(!responder.looks_at(Class::Process));
    responder.set_policy(&policy(vec![kill(1)]));
    assert!(responder.looks_at(Class::Process) && !responder.looks_at(Class::Log));
    responder.set_policy(&policy(Vec::new()));
    assert!(!responder.looks_at(Class::Process));
}

#[test]
fn all_responses_together_keep_to_the_roster_whatever_their_names() {
    let named = |name: &str| Response { name: name.to_owned(), ..kill(9) };
    let mut responder = Responder::default();
    let state = State { roster_max: 2, ..State::default() };
    let mut told = Vec::new();
    for (name, now_secs) in [("one", 0), ("two", 60), ("three", 120), ("four", 3600)] {
        responder.set_policy(&policy(vec![Response { per_hour_max: 2, ..named(name) }]));
        let pid = u32::try_from(now_secs).unwrap() + 2;
        let fired = tried(&mut responder, state, now_secs, &exec(pid, PATH));
        told.extend(fired.into_iter().map(|one| one.reacted.withheld.unwrap_or_default()));
    }
    let over = "all responses together did kill 2 time(s) within an hour already";
    assert_eq!(told, ["", "", over, ""]);
}

/// Decided at 100 under boot 1; what is to be done after a restart.
#[track_caller]
fn check_unfinished(
    response: Response,
    heard: bool,
    boot_count: u64,
    now_secs: u64,
    says: &[&str],
) {
    let policy = policy(vec![response]);
    let mut responder = Responder::default();
    responder.set_policy(&policy);
    responder.resume(Some(Kept::default()), 1, 100);
    let fired = tried(&mut responder, State::default(), 100, &exec(21, PATH));
    let due = fired[0].due.clone().unwrap();
    if heard {
        assert!(responder.handle_receipt(due.id), "the first receipt changes what is kept");
        assert!(!responder.handle_receipt(due.id), "and no later one does");
    }
    let kept = responder.kept();
    let mut after = Responder::default();
    after.set_policy(&policy);
    after.resume(Some(kept), boot_count, now_secs);
    let said = after.unfinished(now_secs).into_iter().map(|(found, may)| {
        assert_eq!((found.id, &found.action, found.policy), (due.id, &due.action, due.policy));
        may.err().unwrap_or_else(|| "done now".to_owned())
    });
    assert_eq!(said.collect::<Vec<_>>(), says);
    let again = tried(&mut after, State::default(), now_secs, &exec(21, PATH));
    let is_over = now_secs >= due.until_secs || boot_count != 1;
    let done = again.iter().any(|fired| fired.due.is_some());
    assert!(!done || is_over, "decided twice while the first is due");
}

#[test]
fn what_was_decided_before_a_crash_is_done_after_it_once() {
    let too_late = "the agent was stopped until its time was over";
    check_unfinished(isolate(9), false, 1, 101, &["done now"]);
    check_unfinished(isolate(9), false, 2, 161, &[too_late]);
    check_unfinished(isolate(9), true, 1, 101, &[]);
    check_unfinished(kill(9), false, 1, 159, &["done now"]);
    check_unfinished(kill(9), false, 1, 160, &[too_late]);
    // In another boot the same number, started as long after the boot, is another process.
    check_unfinished(kill(9), false, 2, 101, &[too_late]);
    check_unfinished(kill(9), true, 2, 101, &[]);
}

#[test]
fn a_policy_that_is_replaced_leaves_what_was_done_and_its_limits() {
    let mut responder = Responder::default();
    responder.set_policy(&policy(vec![isolate(1)]));
    let first = tried(&mut responder, State::default(), 0, &exec(21, PATH));
    let id = first[0].due.as_ref().unwrap().id;
    responder.set_policy(&policy(Vec::new()));
    assert_eq!(tried(&mut responder, State::default(), 1, &exec(22, PATH)), []);
    assert_eq!(responder.unfinished(1).len(), 1, "what was decided is still to be done");
    assert!(responder.handle_receipt(id));
    responder.set_policy(&policy(vec![isolate(1)]));
    let state = State { roster_max: 1, ..State::default() };
    let again = tried(&mut responder, state, 70, &exec(23, PATH));
    assert!(again[0].due.is_none(), "taken away and brought back, and the hour began anew");
}

#[test]
fn the_first_process_and_the_agent_are_never_touched() {
    check(kill(9), "0: run 1", &["0: withheld: the process is the machine's first one +0"]);
    check(isolate(9), "0: run 1", &["0: isolate +0"]);
}

/// What a response comes down to for the start of a program whose content is or is not known.
#[track_caller]
fn check_order(then: Reaction, sha256: Option<Hash>, expected: Result<Action, &str>) {
    let mut exec = Exec::new(Tier::Bpf, 21);
    exec.image = Some(PATH.into());
    exec.image_resolved = Some("/tmp/real".into());
    exec.start_boot_ns = Some(7);
    exec.sha256 = sha256;
    let body = Body::Process(ProcessEvent::Exec(Box::new(exec)));
    let found = order::action(&then, &body).map(Option::unwrap);
    assert_eq!(found, expected.map_err(str::to_owned));
}

#[test]
fn what_is_done_aims_at_the_process_or_the_content_of_the_event_itself() {
    let sha256 = Some(Hash::of(b"program"));
    let process = |sha256| ProcessTarget { pid: 21, start_boot_ns: 7, sha256 };
    let kill = |sha256| Action::Kill(Kill { process: process(sha256), tree: true });
    check_order(Reaction::Kill { tree: true }, sha256, Ok(kill(sha256)));
    check_order(Reaction::Kill { tree: true }, None, Ok(kill(None)));
    let taken = Action::Quarantine(Quarantine { path: "/tmp/real".into(), sha256 });
    check_order(Reaction::Quarantine, sha256, Ok(taken));
    check_order(Reaction::Quarantine, None, Err("the content of the file is not known"));
    let deny = || Reaction::Deny { lease_secs: 9 };
    let what = Executable::Sha256(Hash::of(b"program"));
    check_order(deny(), sha256, Ok(Action::Deny(Deny { what, lease_secs: Some(9) })));
    check_order(deny(), None, Err("the content of the program is not known"));
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Run(u32),
    Policy,
    Restart,
}

proptest! {
    /// Whatever comes, and however often the agent restarts in between, no hour sees more than
    /// policy says, and nothing is done twice to the same within a minute.
    #[test]
    fn no_sequence_of_events_exceeds_the_limits(
        deeds in prop::collection::vec(
            (0_u64..900, prop_oneof![
                6 => (2_u32..20).prop_map(Deed::Run),
                1 => Just(Deed::Policy),
                2 => Just(Deed::Restart),
            ]),
            0..120,
        ),
        per_hour_max in 1_u32..5,
    ) {
        let policy = policy(vec![kill(per_hour_max)]);
        let mut responder = Responder::default();
        responder.set_policy(&policy);
        let (mut kept, mut now_secs) = (Kept::default(), 0_u64);
        let mut done: Vec<(u64, Action)> = Vec::new();
        for (later, deed) in deeds {
            now_secs += later;
            match deed {
                Deed::Policy => responder.set_policy(&policy),
                Deed::Restart => {
                    responder = Responder::default();
                    responder.set_policy(&policy);
                    responder.resume(Some(kept.clone()), 1, now_secs);
                }
                Deed::Run(pid) => {
                    for fired in tried(&mut responder, State::default(), now_secs, &exec(pid, PATH)) {
                        kept = responder.kept();
                        done.extend(fired.due.map(|due| (now_secs, due.action)));
                    }
                }
            }
        }
        for (at, action) in &done {
            let within = |from: u64, length: u64| move |(other, _): &&(u64, Action)| {
                *other >= from && *other < from + length
            };
            let hour = done.iter().filter(within(*at, HOUR_SECS)).count();
            prop_assert!(hour <= usize::try_from(per_hour_max).unwrap());
            let same = done.iter().filter(within(*at, SUM_SECS));
            prop_assert_eq!(same.filter(|(_, other)| other == action).count(), 1);
        }
    }
}
