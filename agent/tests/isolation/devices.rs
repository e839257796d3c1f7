//! Devices that appear while the endpoint is cut off, of every kind that the kernel can make here,
//! and guests behind a bridge.

use std::time::Duration;

use cordon_agent::action::isolate::Check;
use cordon_agent::action::isolate::drift::Drift;

use crate::lab::{Isolated, Lab, PEER4};
use crate::platform::packet::{PacketSocket, udp_frame};
use crate::{Needs, Test};

pub(crate) const TESTS: &[Test] = &[
    ("every_kind_of_device_that_appears_is_closed_to_packet_sockets", kinds, Needs::Root),
    ("a_device_that_goes_or_is_renamed_is_nobodys_doing", goes, Needs::Root),
    ("guests_behind_a_bridge_are_closed", bridged, Needs::Root),
];

const WAIT: Duration = Duration::from_millis(150);

/// The new device is noticed, and after that not one frame passes it.
#[track_caller]
fn closed_on(isolated: &mut Isolated<'_>, device: &str, heard_on: &str) {
    let lab = isolated.lab;
    assert_eq!(isolated.drift(), Some(Drift::Devices), "{device} was not noticed");
    isolated.cut_off(Check::Again, &[]).unwrap();
    assert_eq!(isolated.drift(), None, "{device}");
    let here = lab.endpoint.run(|| PacketSocket::open(device));
    let there = lab.peer.run(|| PacketSocket::open(heard_on));
    for (at, bypass) in [false, true].into_iter().enumerate() {
        if bypass {
            here.bypass_queue();
        }
        let label = format!("late-frame-{device}-{at}");
        here.send(&udp_frame(0x0800, [10, 77, 0, 2], 4242, label.as_bytes()), 0x0800);
        assert!(!there.sees(label.as_bytes(), WAIT), "{device}, past the queue: {bypass}");
    }
}

fn kinds(lab: &Lab) {
    let mut isolated = lab.isolate(&[]);
    let (endpoint, peer) = (&lab.endpoint, &lab.peer);
    endpoint.veth("late0", ["10.79.0.1", "fd79::1"], peer, "l0", ["10.79.0.2", "fd79::2"]);
    closed_on(&mut isolated, "late0", "l0");
    endpoint.ip("link add link e0 name mac0 type macvlan mode bridge");
    endpoint.ip("link set mac0 up");
    closed_on(&mut isolated, "mac0", "p0");
    // Not every kernel is built with VLANs.
    if endpoint.can("link add link e0 name e0.7 type vlan id 7") {
        endpoint.ip("link set e0.7 up");
        closed_on(&mut isolated, "e0.7", "p0");
    }
    endpoint.ip("link add vx0 type vxlan id 9 remote 10.77.0.2 dstport 4789 dev e0");
    endpoint.ip("link set vx0 up");
    closed_on(&mut isolated, "vx0", "p0");
    endpoint.ip("tuntap add dev tap0 mode tap");
    endpoint.ip("link set tap0 up");
    closed_on(&mut isolated, "tap0", "p0");
    isolated.let_back();
    // The frames do pass where no wall is.
    let here = endpoint.run(|| PacketSocket::open("late0"));
    let there = peer.run(|| PacketSocket::open("l0"));
    here.send(&udp_frame(0x0800, [10, 79, 0, 2], 4242, b"frame-after"), 0x0800);
    assert!(there.sees(b"frame-after", WAIT));
}

fn goes(lab: &Lab) {
    lab.endpoint.ip("link add old0 type veth peer name old1");
    let mut isolated = lab.isolate(&[]);
    let mended = |isolated: &mut Isolated<'_>, what: &str| {
        // Some kernels take a device that is gone out of the rules themselves, some keep its name.
        assert!(matches!(isolated.drift(), None | Some(Drift::Devices)), "{what}");
        isolated.cut_off(Check::Again, &[]).unwrap();
        assert_eq!(isolated.drift(), None, "{what}");
    };
    lab.endpoint.ip("link set old0 name new0");
    mended(&mut isolated, "renamed");
    lab.endpoint.ip("link del new0");
    mended(&mut isolated, "deleted");
    lab.endpoint.ip("link add old0 type veth peer name old1");
    mended(&mut isolated, "come back");
}

fn bridged(lab: &Lab) {
    // A guest on a bridge of the endpoint, whose other port leads to the peer.
    let (endpoint, peer, guest) = (&lab.endpoint, &lab.peer, &lab.guest);
    endpoint.ip("link add br0 type bridge");
    endpoint.ip("link set br0 up");
    endpoint.ip(&format!("link add b0 type veth peer name v0 netns {}", guest.name));
    endpoint.ip(&format!("link add b1 type veth peer name v1 netns {}", peer.name));
    for port in ["b0", "b1"] {
        endpoint.ip(&format!("link set {port} master br0"));
        endpoint.ip(&format!("link set {port} up"));
    }
    for (space, device) in [(guest, "v0"), (peer, "v1")] {
        space.ip(&format!("link set {device} up"));
    }
    let (from, to) =
        (guest.run(|| PacketSocket::open("v0")), peer.run(|| PacketSocket::open("v1")));
    let mut at = 0;
    let mut passes = |from: &PacketSocket, to: &PacketSocket| {
        at += 1;
        let label = format!("bridged-{at}");
        from.send(&udp_frame(0x0800, [10, 80, 0, 2], 4242, label.as_bytes()), 0x0800);
        to.sees(label.as_bytes(), WAIT)
    };
    // A port of a bridge listens for a while before it passes frames on.
    assert!((0..100).any(|_| passes(&from, &to)), "the bridge does not pass frames to {PEER4}");
    assert!(passes(&to, &from));
    let mut isolated = lab.isolate(&[]);
    assert!(!passes(&from, &to), "a guest gets out through the bridge");
    assert!(!passes(&to, &from), "somebody reaches a guest through the bridge");
    isolated.let_back();
    assert!(passes(&from, &to) && passes(&to, &from));
}
