//! Commands that are right in every way, and in every way but one.

use std::net::Ipv4Addr;

use cordon_proto::command::{Isolate, Target};
use cordon_proto::policy::{Exemption, Transport};
use cordon_proto::query::Query;
use cordon_proto::roster::{Grant, OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::SigningKey;

use super::*;

const OWN: &[u8] = b"own";

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&cordon_proto::sign::sha256(name.as_bytes())).unwrap()
}

fn operator(name: &str, role: Role) -> Operator {
    let keys = vec![
        OperatorKey::File(key(name).verifying()),
        OperatorKey::File(key(&format!("{name}'s other")).verifying()),
    ];
    Operator { id: name.parse().unwrap(), keys, roles: vec![role], sealing: None }
}

fn roster() -> Held {
    let row = |action, role, approvals, targets_max| Grant { action, role, approvals, targets_max };
    let roster = Roster {
        client: "acme".parse().unwrap(),
        version: 7,
        made_ns: 0,
        operators: vec![
            operator("ann", Role::Responder),
            operator("bob", Role::Responder),
            operator("cy", Role::Administrator),
            operator("eve", Role::Viewer),
        ],
        grants: vec![
            row(ActionKind::Isolate, Role::Responder, 1, 1),
            row(ActionKind::Isolate, Role::Responder, 2, 3),
            row(ActionKind::Release, Role::Responder, 1, 9),
            row(ActionKind::SetPolicy, Role::Administrator, 1, 9),
            row(ActionKind::Query, Role::Responder, 1, 9),
        ],
        ceilings: Ceilings {
            lease_secs_max: 3600,
            exemptions_max: 1,
            policy_min: 5,
            autonomy: None,
        },
        ca_pins: vec![],
        collectors: vec![],
    };
    let reference = RosterRef { version: 7, hash: Hash::of(b"roster") };
    Held { roster, reference, bytes: vec![] }
}

/// An isolation of the own endpoint that is right in every way, for a test to spoil in one.
fn command() -> Command {
    Command {
        id: CommandId(uuid::Uuid::from_u128(1)),
        client: "acme".parse().unwrap(),
        targets: vec![target(OWN)],
        action: Action::Isolate(Isolate { lease_secs: 3600, ..Isolate::default() }),
        age_max_secs: 900,
        queued: false,
        roster_min: RosterRef { version: 7, hash: Hash::of(b"roster") },
        reason: "test".to_owned(),
        incident: None,
        snapshot: None,
    }
}

fn target(name: &[u8]) -> Target {
    let nonce = Nonce { boot_count: 1, endpoint_secs: 100, mac: [0; 16] };
    Target { endpoint: EndpointId::of(name), host_name: "web-1".to_owned(), nonce }
}

fn policy(version: u64) -> Policy {
    Policy::new("acme".parse().unwrap(), version)
}

fn sign(command: Command, signers: &[&str]) -> Vec<u8> {
    let mut signed = SignedCommand::sign(command, &key(signers[0]));
    signers[1..].iter().for_each(|signer| signed.add(&key(signer)));
    signed.to_bytes()
}

/// What the endpoint knows; held apart from [`Own`], which only borrows.
#[derive(Default)]
struct World {
    policy: Option<Policy>,
    stale: Option<&'static str>,
    accepted: Accepted,
}

impl World {
    fn judge(&self, bytes: &[u8]) -> Result<Authorised, Refusal> {
        let roster = roster();
        let own = Own {
            endpoint: EndpointId::of(OWN),
            host_name: "web-1",
            client: &roster.roster.client,
            roster: &roster,
            policy: self.policy.as_ref(),
            endpoint_secs: 200,
            stale: &|_, age_max_secs, queued| {
                assert_eq!((age_max_secs, queued), (900, false));
                self.stale.map(str::to_owned)
            },
            accepted: &self.accepted,
        };
        judge(bytes, &own)
    }

    #[track_caller]
    fn check(&self, command: Command, signers: &[&str], verdict: &str) {
        let said = match self.judge(&sign(command, signers)) {
            Ok(authorised) => {
                let names = authorised.signers.iter().map(ToString::to_string);
                names.collect::<Vec<_>>().join("+")
            }
            Err(refusal) => format!("{:?}: {}", refusal.check, refusal.reason),
        };
        assert_eq!(said, verdict);
    }
}

#[track_caller]
fn check(spoil: impl FnOnce(&mut Command), signers: &[&str], verdict: &str) {
    let mut command = command();
    spoil(&mut command);
    World::default().check(command, signers, verdict);
}

#[test]
fn a_command_that_is_right_in_every_way_may_run() {
    check(|_| (), &["ann"], "ann");
    check(|_| (), &["bob", "ann"], "ann+bob");
    check(|c| c.roster_min = RosterRef { version: 6, hash: Hash::of(b"old") }, &["ann"], "ann");
    check(|c| c.action = Action::Release, &["ann"], "ann");
    check(|c| c.action = Action::SetPolicy(policy(5)), &["cy"], "cy");
    let may = World::default().judge(&sign(command(), &["ann"])).unwrap();
    assert_eq!(may.forget_secs, 1001, "one second after the nonce is too old");
}

#[test]
fn what_is_no_command_is_refused_for_its_form() {
    for bytes in [&b""[..], b"command", &[0xff; 300 << 10], &sign(command(), &["ann"])[1..]] {
        let refusal = World::default().judge(bytes).unwrap_err();
        assert_eq!((refusal.check, refusal.command), (Check::Form, None));
        assert_eq!(refusal.hash, Hash::of(bytes));
    }
    let empty = "Form: the command reason is 0 bytes long; it must be 1 to 1024";
    check(|c| c.reason.clear(), &["ann"], empty);
    check(
        |c| c.targets.clear(),
        &["ann"],
        "Form: the command names 0 endpoints; it must be 1 to 256",
    );
}

#[test]
fn a_command_for_somebody_else_is_refused() {
    let other = "Client: the command is for client other, not acme";
    check(|c| c.client = "other".parse().unwrap(), &["ann"], other);
    let not_named = "Target: the command does not name this endpoint";
    check(|c| c.targets = vec![target(b"other")], &["ann"], not_named);
    let renamed = "Target: the signers saw this endpoint as 'WEB-1'; it is 'web-1'";
    check(|c| c.targets[0].host_name = "WEB-1".to_owned(), &["ann"], renamed);
}

#[test]
fn the_roster_that_the_signers_assumed_must_be_held() {
    let newer = "Roster: the command assumes roster version 8; version 7 is held";
    check(|c| c.roster_min.version = 8, &["ann"], newer);
    let other = "Roster: the command assumes another roster of version 7";
    check(|c| c.roster_min.hash = Hash::of(b"other"), &["ann"], other);
}

#[test]
fn every_signature_must_be_a_rostered_operators() {
    let mallory = key("mallory").id().short();
    let unknown = format!("Signature: key {mallory} is not in roster version 7");
    check(|_| (), &["mallory"], &unknown);
    check(|_| (), &["ann", "mallory"], &unknown);
    let bytes = sign(command(), &["ann"]);
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(World::default().judge(&wrong).unwrap_err().check, Check::Signature);
}

#[test]
fn no_single_bit_of_a_command_can_be_changed() {
    let bytes = sign(command(), &["ann"]);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(World::default().judge(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn the_signers_must_be_enough_distinct_persons_with_the_role() {
    check(|_| (), &["eve"], "Role: no signer has a role that may isolate");
    check(|_| (), &["cy"], "Role: no signer has a role that may isolate");
    let two = |c: &mut Command| c.targets.push(target(b"other"));
    let one_of_two = "Approvals: signed by 1 of 2 operators that isolate on 2 endpoint(s) needs";
    check(two, &["ann"], one_of_two);
    check(two, &["ann", "ann's other"], one_of_two);
    check(two, &["ann", "eve"], one_of_two);
    check(two, &["ann", "bob"], "ann+bob");
    check(
        |c| c.targets.extend([target(b"b"), target(b"c"), target(b"d")]),
        &["ann", "bob"],
        "Approvals: no number of approvals allows isolate on 4 endpoints with one command",
    );
}

#[test]
fn a_critical_endpoint_takes_two() {
    let critical = vec![EndpointId::of(OWN)];
    let world = World { policy: Some(Policy { critical, ..policy(5) }), ..World::default() };
    let one_of_two = "Approvals: signed by 1 of 2 operators that isolate on 1 endpoint(s) needs";
    world.check(command(), &["ann"], one_of_two);
    world.check(command(), &["ann", "bob"], "ann+bob");
    let critical = vec![EndpointId::of(b"other")];
    let world = World { policy: Some(Policy { critical, ..policy(5) }), ..World::default() };
    world.check(command(), &["ann"], "ann");
}

#[test]
fn a_stale_nonce_is_refused() {
    let world = World { stale: Some("the nonce is too old"), ..World::default() };
    world.check(command(), &["ann"], "Freshness: the nonce is too old");
}

#[test]
fn a_command_is_obeyed_once() {
    let mut world = World::default();
    world.accepted.note(command().id, 1001);
    world.check(command(), &["ann"], "Replay: the command was obeyed before");
    world.accepted.forget(1001);
    world.check(command(), &["ann"], "ann");
}

#[test]
fn a_lease_stays_below_the_rosters_ceiling() {
    check(
        |c| c.action = Action::Isolate(Isolate { lease_secs: 3601, ..Isolate::default() }),
        &["ann"],
        "Parameters: a lease of 3601 s is over the roster's ceiling of 3600 s",
    );
}

#[test]
fn a_policy_stays_within_the_rosters_ceilings_and_only_grows() {
    let asks = |policy| Command { action: Action::SetPolicy(policy), ..command() };
    let check = |held: u64, spoil: &dyn Fn(&mut Policy), verdict: &str| {
        let mut asked = policy(9);
        spoil(&mut asked);
        let held = (held > 0).then(|| policy(held));
        World { policy: held, ..World::default() }.check(asks(asked), &["cy"], verdict);
    };
    let exemption = |address: [u8; 4], port| Exemption {
        address: Ipv4Addr::from(address).into(),
        port,
        transport: Transport::Tcp,
        process: None,
        user: None,
    };
    check(8, &|_| (), "cy");
    check(9, &|_| (), "Parameters: the policy has version 9; 10 or newer is required");
    let below = "Parameters: the policy has version 4; 5 or newer is required";
    check(0, &|p| p.version = 4, below);
    let other = "Parameters: the policy is for client other, not acme";
    check(0, &|p| p.client = "other".parse().unwrap(), other);
    let many = "Parameters: the policy exempts 2 destinations; 1 is the most";
    check(0, &|p| p.exemptions = vec![exemption([10, 0, 0, 1], 22); 2], many);
    check(0, &|p| p.exemptions = vec![exemption([10, 0, 0, 1], 22)], "cy");
    let any = "Parameters: the policy exempts 0.0.0.0 port 22, which is no one place";
    check(0, &|p| p.exemptions = vec![exemption([0; 4], 22)], any);
    let narrowed = |process: Option<&str>, user: Option<&str>| {
        let (process, user) = (process.map(str::to_owned), user.map(str::to_owned));
        vec![Exemption { process, user, ..exemption([10, 0, 0, 1], 22) }]
    };
    check(0, &|p| p.exemptions = narrowed(None, Some("rmm")), "cy");
    let program = "Parameters: the policy exempts a program, and a packet does not show which \
                   program sent it; name a user instead";
    check(0, &|p| p.exemptions = narrowed(Some("/opt/rmm/agent"), None), program);
    let name = "Parameters: the policy exempts a user whose name is not 1 to 32 bytes long";
    check(0, &|p| p.exemptions = narrowed(None, Some("")), name);
    check(0, &|p| p.exemptions = narrowed(None, Some(&"r".repeat(33))), name);
    let many = "Parameters: the policy calls 4097 endpoints critical; that is too many";
    check(0, &|p| p.critical = vec![EndpointId::of(b"x"); 4097], many);
}

#[test]
fn checks_run_in_their_declared_order_and_the_first_that_fails_is_named() {
    let mut world = World { stale: Some("stale"), ..World::default() };
    world.accepted.note(command().id, 1001);
    let mut spoilt = Command {
        reason: String::new(),
        client: "other".parse().unwrap(),
        targets: vec![target(b"other")],
        roster_min: RosterRef { version: 8, hash: Hash::default() },
        action: Action::Isolate(Isolate { lease_secs: 3601, ..Isolate::default() }),
        ..command()
    };
    let mut signers = vec!["mallory"];
    let mut failed = Vec::new();
    // Mends one thing after the other; each time the next check in the order must be the one named.
    while let Err(refusal) = world.judge(&sign(spoilt.clone(), &signers)) {
        failed.push(refusal.check);
        match refusal.check {
            Check::Form => spoilt.reason = "test".to_owned(),
            Check::Client => spoilt.client = command().client,
            Check::Target => spoilt.targets = vec![target(OWN), target(b"other")],
            Check::Roster => spoilt.roster_min = command().roster_min,
            Check::Signature => signers = vec!["eve"],
            Check::Role => signers = vec!["ann"],
            Check::Approvals => signers = vec!["ann", "bob"],
            Check::Freshness => world.stale = None,
            Check::Replay => world.accepted.forget(1001),
            Check::Parameters => spoilt.action = command().action,
            Check::Subject => panic!("the guard does not look at what it would be done to"),
        }
    }
    let order = [
        Check::Form,
        Check::Client,
        Check::Target,
        Check::Roster,
        Check::Signature,
        Check::Role,
        Check::Approvals,
        Check::Freshness,
        Check::Replay,
        Check::Parameters,
    ];
    assert_eq!(failed, order);
}

fn query() -> Query {
    Query { sql: "SELECT 1".to_owned(), rows_max: 1, bytes_max: 1, time_ms_max: 1 }
}

#[test]
fn a_query_is_judged_as_every_command_is() {
    check(|c| c.action = Action::Query(query()), &["ann"], "ann");
    let may_not = "Role: no signer has a role that may query";
    check(|c| c.action = Action::Query(query()), &["cy"], may_not);
    check(|c| c.action = Action::Query(query()), &["eve"], may_not);
    let world = World { stale: Some("too old"), ..World::default() };
    let asked = Command { action: Action::Query(query()), ..command() };
    world.check(asked.clone(), &["ann"], "Freshness: too old");
    let queued = "Form: the command is a query that may wait for an endpoint that is switched off; \
                  queries cannot";
    check(|c| (c.action, c.queued) = (Action::Query(query()), true), &["ann"], queued);
    let endless = Query { time_ms_max: u64::MAX, ..query() };
    let range = "Form: the command time_ms_max is 18446744073709551615; it must be 1 to 60000";
    check(|c| c.action = Action::Query(endless), &["ann"], range);
    let long = Query { sql: "x".repeat(20_000), ..query() };
    let length = "Form: the command sql is 20000 bytes long; it must be 1 to 16384";
    check(|c| c.action = Action::Query(long), &["ann"], length);
}

#[test]
fn reading_a_critical_endpoint_needs_no_second_person_and_changing_it_does() {
    let critical = Policy { critical: vec![EndpointId::of(OWN)], ..policy(5) };
    let world = World { policy: Some(critical), ..World::default() };
    let asked = Command { action: Action::Query(query()), ..command() };
    world.check(asked, &["ann"], "ann");
    let one = "Approvals: signed by 1 of 2 operators that isolate on 1 endpoint(s) needs";
    world.check(command(), &["ann"], one);
}
