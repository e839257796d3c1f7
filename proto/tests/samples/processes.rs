//! Commands about processes and programs, and the policy that protects some.

use cordon_proto::Text;
use cordon_proto::codec;
use cordon_proto::command::{Action, Deny, Executable, Kill, ProcessTarget, Suspend};
use cordon_proto::id::Hash;
use cordon_proto::policy::Policy;

use super::{check, endpoint, sample};

fn process() -> ProcessTarget {
    let (pid, start_boot_ns) = (4242, 811_530_000_000);
    ProcessTarget { pid, start_boot_ns, sha256: Some(Hash::of(b"a program")) }
}

#[test]
fn what_is_asked_about_processes_encodes_to_the_same_bytes_for_ever() {
    let known = ProcessTarget { sha256: None, ..process() };
    let by_path = Executable::Path(Text::from(&b"/tmp/\xff"[..]));
    let by_hash = Executable::Sha256(Hash::of(b"a program"));
    let table = [
        ("action-kill.cbor", Action::Kill(Kill { process: process(), tree: true })),
        (
            "action-suspend.cbor",
            Action::Suspend(Suspend { process: known, tree: false, lease_secs: Some(3600) }),
        ),
        ("action-deny-path.cbor", Action::Deny(Deny { what: by_path, lease_secs: None })),
        ("action-deny-hash.cbor", Action::Deny(Deny { what: by_hash, lease_secs: Some(60) })),
    ];
    for (name, action) in table {
        let bytes = codec::encode(&action);
        check(name, &bytes);
        assert_eq!(codec::decode_strict::<Action>(&sample(name, &bytes)).unwrap(), action);
    }
}

#[test]
fn a_policy_that_protects_programs_encodes_to_the_same_bytes_for_ever() {
    let mut policy: Policy = codec::decode_strict(&sample("policy.cbor", b"")).unwrap();
    assert_eq!(policy.critical, [endpoint()]);
    policy.protected = Some(vec!["/usr/sbin/mariadbd".into()]);
    let bytes = codec::encode(&policy);
    check("policy-protected.cbor", &bytes);
    assert_eq!(codec::decode_strict::<Policy>(&bytes).unwrap(), policy);
}
