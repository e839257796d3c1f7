//! Timelines and properties of responses.

use cordon_proto::command::ActionKind;
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
    Policy {
        client: "acme".parse().unwrap(),
        version: 3,
        exemptions: Vec::new(),
        critical: Vec::new(),
        redactions: None,
        responses: Some(responses),
    }
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
#[derive(Clone, Copy, Default)]
struct State {
    critical: bool,
    stands: bool,
    no_leave: bool,
}

fn tried(responder: &mut Responder, state: State, now_secs: u64, seen: &Observation) -> Vec<Fired> {
    let autonomy = Autonomy {
        actions: ActionKind::ALL.to_vec(),
        lease_secs_max: 3600,
        per_hour_max: PER_HOUR_MAX,
    };
    let gateway: IpAddr = "192.0.2.1".parse().unwrap();
    let own = Own {
        autonomy: Some(&autonomy).filter(|_| !state.no_leave),
        critical: state.critical,
        vital: &|address| (address == gateway).then_some("gateway"),
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
                responder.resume(Some(&read).filter(|_| deed == "restart"), now_secs);
                continue;
            }
            "other" => exec(1, "/bin/true"),
            run => exec(run.strip_prefix("run ").unwrap().parse().unwrap(), PATH),
        };
        for Fired { reacted, action, .. } in tried(&mut responder, state, now_secs, &event) {
            assert_eq!(reacted.action, action.as_ref().map(Action::kind));
            let what = match (reacted.action, reacted.withheld) {
                (Some(action), None) => action.name().to_owned(),
                (None, Some(why)) => format!("withheld: {why}"),
                (None, None) => "raised".to_owned(),
                (Some(_), Some(_)) => panic!("both done and withheld"),
            };
            told.push(format!("{at}: {what} +{}", reacted.repeated));
            if action.is_some() {
                kept = responder.kept();
            }
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
        "10: other\n 11: run 1\n 12: run 2\n 13: run 3\n 71: run 4",
        &["11: isolate +0", "71: isolate +2"],
    );
}

#[test]
fn no_more_is_done_within_any_hour_than_policy_says() {
    let spent = "withheld: it was done 2 time(s) within an hour already";
    check(
        kill(2),
        "0: run 1\n 100: run 2\n 200: run 3\n 210: run 4\n 3599: run 5\n 3600: run 6\n 3610: run 7\n \
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
        "0: run 1\n 5: restart\n 100: run 2\n 200: policy\n 300: run 3\n 3600: run 4",
        &["0: kill +0", &format!("100: {spent}"), &format!("300: {spent}"), "3600: kill +0"],
    );
    check(
        kill(1),
        "0: run 1\n 5: lost\n 100: run 2\n 3604: run 3\n 3605: run 4",
        &["0: kill +0", &format!("100: {spent}"), &format!("3604: {spent}"), "3605: kill +0"],
    );
}

#[test]
fn an_isolation_that_somebody_ended_is_not_put_up_again_before_its_time() {
    let again = "withheld: it was done already, and its time is not over";
    check(
        isolate(9),
        "0: run 1\n 1: restart\n 30: run 2\n 59: run 3\n 60: run 4",
        &["0: isolate +0", &format!("30: {again} +0"), "60: isolate +1"],
    );
}

#[test]
fn what_operators_asked_for_is_not_replaced() {
    let stands = "0: withheld: it stands already, asked for by somebody else +0";
    check(isolate(9), "0: standing\n 0: run 1", &[stands]);
}

#[test]
fn a_critical_endpoint_is_never_cut_off_by_itself() {
    check(isolate(9), "0: critical\n 0: run 1", &["0: withheld: this endpoint is critical +0"]);
    check(kill(9), "0: critical\n 0: run 1", &["0: kill +0"]);
}

#[test]
fn a_roster_that_no_longer_lets_it_is_obeyed_at_once() {
    check(
        kill(9),
        "0: run 1\n 1: no leave\n 70: run 2",
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
        "0: run 1\n 1: run 2\n 2: run 3\n 60: run 4\n 120: run 5\n 3600: run 6",
        &["0: raised +0", "60: raised +2", "3600: raised +1"],
    );
}

#[track_caller]
fn check_connection(then: Reaction, began: Option<Began>, remote: &str, expected: &str) {
    let mut responder = Responder::default();
    responder.set_policy(&policy(vec![response(Field::PeerPort, "4444", then, 9)]));
    let fired = tried(&mut responder, State::default(), 0, &opened(began, remote));
    let [Fired { reacted, action, .. }] = fired.as_slice() else { panic!("{fired:?}") };
    let said = match (action, &reacted.withheld) {
        (Some(action), _) => action.kind().name().to_owned(),
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
                6 => (1_u32..20).prop_map(Deed::Run),
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
                    responder.resume(Some(&kept), now_secs);
                }
                Deed::Run(pid) => {
                    for fired in tried(&mut responder, State::default(), now_secs, &exec(pid, PATH)) {
                        if let Some(action) = fired.action {
                            kept = responder.kept();
                            done.push((now_secs, action));
                        }
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
