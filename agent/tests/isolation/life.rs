//! The wall's own life: put up, looked at, tampered with, put up again, taken down.

use std::net::SocketAddr;
use std::time::Duration;

use cordon_agent::action::isolate::drift::Drift;
use cordon_agent::action::isolate::shell::ShellError;
use cordon_agent::action::isolate::{Check, CutOutcome, Seen};
use cordon_agent::platform::linux::netns::Netns;
use cordon_agent::platform::linux::nft::{Nftables, Touched, Watch};
use rustix::time::{ClockId, clock_gettime};

use crate::lab::{ATTACKER, COLLECTOR, Isolated, Lab, answers, peer4, peer6, plan, shell};
use crate::platform::packet::{PacketSocket, udp_frame};
use crate::{Needs, Test};

pub(crate) const TESTS: &[Test] = &[
    ("refuses_the_initial_namespace_before_it_touches_anything", refuses_initial, Needs::Root),
    ("refuses_what_would_lose_the_collector", refuses_loss, Needs::Root),
    ("refuses_a_way_through_a_tunnel_or_ipsec", refuses_wrapped, Needs::Root),
    ("release_puts_the_rules_back_as_they_were", release_is_exact, Needs::Nft),
    ("isolating_again_changes_nothing", again_changes_nothing, Needs::Root),
    ("outlives_the_agent_and_is_taken_up_again", outlives_the_agent, Needs::Root),
    ("is_proved", is_proved, Needs::Root),
    ("a_silent_collector_is_told_from_an_open_wall", silent_is_not_open, Needs::Root),
    ("others_cannot_edit_the_wall", others_cannot_edit, Needs::Nft),
    ("a_wall_that_was_removed_is_seen_and_put_up_again", removal_is_seen, Needs::Nft),
    ("a_wall_that_somebody_took_over_gets_another_beside_it", taken_over, Needs::Root),
    ("a_change_by_others_is_heard_and_our_own_is_not", change_is_heard, Needs::Nft),
    ("a_device_that_appears_later_is_closed_too", later_devices, Needs::Root),
    ("the_cut_takes_less_than_ten_milliseconds", is_quick, Needs::Root),
];

pub(crate) const ADMIN: &str = "table inet admin {
    set known { type ipv4_addr; elements = { 10.77.0.2, 192.0.2.9 }; }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state established,related accept
        ip saddr @known tcp dport { 22, 443 } accept
    }
}
table ip nat {
    chain post {
        type nat hook postrouting priority srcnat;
        oifname g0 masquerade
    }
}";

fn refuses_initial(_lab: &Lab) {
    assert!(Netns::own().unwrap().is_initial().unwrap(), "not where this test belongs");
    let plan = plan();
    let mut shell = shell();
    let cut = shell.cut_off(&plan, Check::Again, &[]);
    let Err(error @ ShellError::InitialNetns) = cut else { panic!("{cut:?}") };
    assert!(matches!(error.outcome(), CutOutcome::Refused(_)));
    assert!(matches!(shell.look(&plan), Err(ShellError::InitialNetns)));
    assert!(matches!(shell.let_back(), Err(ShellError::InitialNetns)));
}

fn refuses_loss(lab: &Lab) {
    let mut plan = plan();
    plan.collectors = vec!["198.51.100.7:7443".parse().unwrap()];
    let mut isolated = Isolated { lab, shell: shell(), plan };
    let refused = isolated.cut_off(Check::Full, &[]).unwrap_err();
    assert!(matches!(refused, ShellError::Preflight(_)), "{refused}");
    assert!(refused.to_string().contains("198.51.100.7"), "{refused}");
    isolated.plan.collectors.clear();
    assert!(isolated.cut_off(Check::Full, &[]).is_err());
    lab.endpoint.session(peer4(ATTACKER));
}

fn refuses_wrapped(lab: &Lab) {
    let collector = "10.81.0.2:7443";
    let mut plan = plan();
    plan.collectors = vec![collector.parse().unwrap()];
    let mut isolated = Isolated { lab, shell: shell(), plan };
    lab.endpoint.ip("link add vx0 type vxlan id 9 remote 10.77.0.2 dstport 4789 dev e0");
    lab.endpoint.ip("addr add 10.81.0.1/24 dev vx0");
    lab.endpoint.ip("link set vx0 up");
    let refused = isolated.cut_off(Check::Full, &[]).unwrap_err().to_string();
    assert!(refused.contains("through a tunnel (vxlan)"), "{refused}");
    lab.endpoint.ip("link del vx0");
    lab.endpoint.ip("route add 10.81.0.0/24 via 10.77.0.2");
    let template = "tmpl src 10.77.0.1 dst 10.77.0.2 proto esp mode tunnel";
    let policy = "src 0.0.0.0/0 dst 10.81.0.0/24 dir out";
    lab.endpoint.ip(&format!("xfrm policy add {policy} {template}"));
    let refused = isolated.cut_off(Check::Full, &[]).unwrap_err().to_string();
    assert!(refused.contains("through IPsec"), "{refused}");
    // Nothing was changed, and the order may accept the loss.
    lab.endpoint.session(peer4(ATTACKER));
    isolated.cut_off(Check::AcceptLoss, &[]).unwrap();
    assert!(isolated.let_back());
    lab.endpoint.ip(&format!("xfrm policy delete {policy}"));
    isolated.cut_off(Check::Full, &[]).unwrap();
}

/// The whole ruleset as an administrator sees it, the kernel's own numbering left out.
pub(crate) fn ruleset(lab: &Lab) -> String {
    let output = lab.endpoint.output("nft", &["-j", "list", "ruleset"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut ruleset: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for item in ruleset["nftables"].as_array_mut().unwrap() {
        for object in item.as_object_mut().unwrap().values_mut() {
            object.as_object_mut().unwrap().remove("handle");
        }
    }
    ruleset.to_string()
}

fn release_is_exact(lab: &Lab) {
    let loaded = lab.endpoint.output("nft", &[ADMIN]);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    let before = ruleset(lab);
    assert!(before.contains("admin") && before.contains("masquerade"), "{before}");
    let mut isolated = lab.isolate(&[]);
    assert_ne!(ruleset(lab), before);
    assert!(isolated.let_back());
    assert_eq!(ruleset(lab), before);
    assert!(!isolated.let_back(), "there was nothing left to take down");
    assert_eq!(ruleset(lab), before);
    lab.endpoint.session(peer4(ATTACKER));
}

fn again_changes_nothing(lab: &Lab) {
    let stream = lab.endpoint.session(peer4(COLLECTOR));
    let mut isolated = lab.isolate(&[&stream]);
    let first = isolated.prove();
    for check in [Check::Full, Check::Again, Check::AcceptLoss] {
        isolated.cut_off(check, &[&stream]).unwrap();
        let again = isolated.prove();
        assert_eq!((again.read_back, again.seen()), (first.read_back, Seen::Proved));
        assert!(answers(&stream), "the agent's stream was cut by isolating again");
    }
    assert!(isolated.let_back());
    lab.endpoint.session(peer4(ATTACKER));
}

fn outlives_the_agent(lab: &Lab) {
    let mut isolated = lab.isolate(&[]);
    let digest = isolated.prove().read_back;
    drop(isolated);
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err(), "the wall fell with the agent");
    let mut restarted = Isolated { lab, shell: shell(), plan: plan() };
    restarted.cut_off(Check::Again, &[]).unwrap();
    assert_eq!(restarted.prove().read_back, digest);
    drop(restarted);
    // Another agent process can release, too.
    let mut released = Isolated { lab, shell: shell(), plan: plan() };
    assert!(released.let_back());
    lab.endpoint.session(peer4(ATTACKER));
}

fn is_proved(lab: &Lab) {
    let mut isolated = lab.isolate(&[]);
    let before = isolated.prove();
    assert_eq!(before.seen(), Seen::Proved, "{before:?}");
    assert!(before.packet_sockets_closed, "this kernel has no egress hook");
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
    let after = isolated.prove();
    assert!(after.dropped_packets > before.dropped_packets, "{after:?}");
    assert_eq!(isolated.drift(), None);
}

fn silent_is_not_open(lab: &Lab) {
    let mut plan = plan();
    // An address on this link that nobody has.
    plan.collectors = vec![SocketAddr::from(([10, 77, 0, 9], COLLECTOR))];
    let mut isolated = Isolated { lab, shell: shell(), plan };
    isolated.cut_off(Check::Full, &[]).unwrap();
    let proof = isolated.prove();
    assert_eq!(proof.seen(), Seen::CollectorSilent, "{proof:?}");
}

fn others_cannot_edit(lab: &Lab) {
    let mut isolated = lab.isolate(&[]);
    if !isolated.cut_off(Check::Again, &[]).unwrap().owned {
        // Older kernels cannot; there the change is seen instead.
        return removal_is_seen(lab);
    }
    for edit in [
        "delete table inet cordon",
        "flush table inet cordon",
        "add rule inet cordon output accept",
        "delete table netdev cordon",
        "add table inet cordon { flags dormant; }",
    ] {
        let edited = lab.endpoint.output("nft", &[edit]);
        assert!(!edited.status.success(), "{edit:?} was taken");
    }
    // Takes away what it can, which is not ours.
    lab.endpoint.output("nft", &["flush ruleset"]);
    assert_eq!(isolated.drift(), None);
    assert_eq!(isolated.prove().seen(), Seen::Proved);
    assert!(lab.endpoint.connect(peer6(ATTACKER)).is_err());
}

fn removal_is_seen(lab: &Lab) {
    // Plain tables, as an older kernel has them: nobody owns them while no agent runs.
    drop(lab.isolate(&[]));
    for edit in ["insert rule inet cordon output accept", "delete table inet cordon"] {
        let edited = lab.endpoint.output("nft", &[edit]);
        assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
        let read = lab.endpoint.run(|| Nftables::open(true).unwrap().read(b"cordon").unwrap());
        let mut isolated = lab.isolate(&[]);
        let proof = isolated.prove();
        assert_eq!(proof.seen(), Seen::Proved);
        assert_ne!(read.digest, proof.read_back, "{edit:?} was not seen");
    }
}

fn taken_over(lab: &Lab) {
    // Whoever holds our tables' name could have put anything in them; here it is another shell,
    // in this process, which no agent ends.
    let mut holder = lab.isolate(&[]);
    if !holder.cut_off(Check::Again, &[]).unwrap().owned {
        return; // Older kernels know no owners: nobody can take a table over.
    }
    let mut second = Isolated { lab, shell: shell(), plan: plan() };
    let held = second.cut_off(Check::Full, &[]).unwrap().held.expect("the holder was not noticed");
    let own = format!("(process {}, ", std::process::id());
    assert!(held.contains(&own) && held.contains("or the agent itself"), "{held}");
    let proof = second.prove();
    assert_eq!(proof.seen(), Seen::Proved, "{proof:?}");
    let read =
        |table: &[u8]| lab.endpoint.run(|| Nftables::open(true).unwrap().read(table).unwrap());
    assert_eq!(read(b"cordon-2").digest, proof.read_back);
    // What is held by somebody else cannot be let back, and that is told; our own part is.
    let refused = lab.endpoint.run(|| second.shell.let_back()).unwrap_err();
    assert!(matches!(refused, ShellError::Held { .. }), "{refused}");
    assert!(read(b"cordon-2").ruleset.tables.is_empty());
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
    drop(holder);
    assert!(second.let_back());
    lab.endpoint.session(peer4(ATTACKER));
}

fn change_is_heard(lab: &Lab) {
    let mut watch = lab.endpoint.run(|| Watch::open().unwrap());
    let mut isolated = lab.isolate(&[]);
    isolated.cut_off(Check::Again, &[]).unwrap();
    let mut heard = |port| watch.touched(port).unwrap();
    let port = isolated.shell.port();
    assert_eq!(heard(port), Touched::default(), "our own change was taken for others'");
    // What an administrator does elsewhere is none of our business.
    lab.endpoint.output("nft", &["add table inet other"]);
    lab.endpoint.output("nft", &["add chain inet other cordon"]);
    assert_eq!(heard(port), Touched::default());
    drop(isolated);
    let edited = lab.endpoint.output("nft", &["insert rule inet cordon output accept"]);
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    let touched = heard(port);
    assert!(touched.ours);
    let [author] = touched.authors.as_slice() else { panic!("{touched:?}") };
    assert_eq!(author.name, b"nft");
    assert!(author.pid > 1);
    assert_eq!(heard(port), Touched::default(), "one change was heard twice");
}

fn later_devices(lab: &Lab) {
    let mut isolated = lab.isolate(&[]);
    assert_eq!(isolated.drift(), None);
    lab.endpoint.veth("late0", ["10.79.0.1", "fd79::1"], &lab.peer, "l0", ["10.79.0.2", "fd79::2"]);
    let late = SocketAddr::from(([10, 79, 0, 2], ATTACKER));
    assert!(lab.endpoint.connect(late).is_err(), "a device that appeared later is open");
    assert_eq!(isolated.drift(), Some(Drift::Devices), "the new device was not noticed");
    isolated.cut_off(Check::Again, &[]).unwrap();
    assert_eq!(isolated.drift(), None);
    let here = lab.endpoint.run(|| PacketSocket::open("late0"));
    let there = lab.peer.run(|| PacketSocket::open("l0"));
    here.send(&udp_frame(0x0800, [10, 79, 0, 2], 4242, b"late-frame"), 0x0800);
    assert!(!there.sees(b"late-frame", Duration::from_millis(150)));
}

fn is_quick(lab: &Lab) {
    let mut isolated = lab.isolate(&[]);
    let mut times = Vec::new();
    for _ in 0..9 {
        isolated.let_back();
        times.push(lab.endpoint.run(|| {
            let start = microseconds();
            isolated.shell.cut_off(&isolated.plan, Check::Full, &[]).unwrap();
            microseconds() - start
        }));
    }
    times.sort_unstable();
    // The median, as other tests share the machine.
    assert!(times[4] < 10_000, "{times:?} µs");
}

fn microseconds() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}
