//! What is to be held, judged by what there is on the disk: the record, who signed it, endpoint
//! time. What is damaged or missing never opens the endpoint, and never holds it without an end.
//!
//! Pure.

use std::net::SocketAddr;

use cordon_proto::command::{Action, Command};
use cordon_proto::id::Hash;
use cordon_proto::limits::{LEASE_SECS_DEFAULT, LEASE_SECS_MAX};

use crate::action::isolate::record::{AtEnd, Plan, Record, Terms, Unproved};
use crate::endpoint_time::{EndpointTime, Kept};
use crate::kept::{Found, KeptIsolation};

/// A record that nobody can read says neither for how long nor for whom: it holds for an hour, as
/// long as anything that no person has signed.
pub const UNREADABLE_SECS: u64 = 60 * 60;
/// A lease whose beginning is not known is taken for one of the usual length.
const LEASE_UNKNOWN_SECS: u64 = LEASE_SECS_DEFAULT;

/// Judges the signatures of a command that was obeyed before.
pub type Verify<'a> = &'a dyn Fn(&[u8]) -> Result<Command, String>;

/// What there is to judge by.
pub struct Evidence<'a> {
    /// The record.
    pub found: Found,
    /// Judges signatures; the reason where identity or roster are missing.
    pub verify: Result<Verify<'a>, String>,
    /// Endpoint time, unless it cannot be read.
    pub time: Option<EndpointTime>,
    /// The kernel's id of this boot, and its clock.
    pub boot: (&'a str, u64),
    /// The agent's mark and the collectors' addresses, for a record that cannot be read.
    pub open: (u32, Vec<SocketAddr>),
}

/// What is to be held.
#[derive(Clone, Debug)]
pub struct Held {
    /// The isolation.
    pub kept: KeptIsolation,
    /// What its lease is counted in.
    pub time: EndpointTime,
    /// Whether that is endpoint time, which is kept on the disk.
    pub is_endpoint_time: bool,
    /// Whether the record was made up, because the one there is cannot be read.
    pub is_made_up: bool,
    /// What is wrong, for people.
    pub doubts: Vec<String>,
}

/// What is to be held; nothing where there is no record.
#[must_use]
pub fn judge(evidence: Evidence<'_>) -> Option<Held> {
    let Evidence { found, verify, time, boot: (boot_id, boot_ns), open } = evidence;
    let mut doubts = Vec::new();
    let is_endpoint_time = time.is_some();
    let mut lost = |counted: Option<Kept>, began_secs| {
        let on = counted.filter(|counted| counted.secs >= began_secs);
        let from = if on.is_some() { "on from where a supervisor left it" } else { "from now" };
        doubts.push(format!("endpoint time cannot be read; its lease is counted {from}"));
        let anew =
            || Kept { secs: began_secs, boot_ns, boot_count: 0, boot_id: boot_id.to_owned() };
        EndpointTime::resume(Some(on.unwrap_or_else(anew)), boot_id, boot_ns)
    };
    let (mut kept, time, is_made_up) = match found {
        Found::Nothing => return None,
        Found::Isolation(kept) => {
            let until_secs = kept.record.until_secs;
            let began = kept.saved_secs.unwrap_or(until_secs.saturating_sub(LEASE_UNKNOWN_SECS));
            let time = time.unwrap_or_else(|| lost(kept.counted.clone(), began));
            doubts.extend(authority(&kept, &verify).err());
            (*kept, time, false)
        }
        Found::Unreadable(reason) => {
            let time = time.unwrap_or_else(|| lost(None, 0));
            doubts.push(format!("its record cannot be read ({reason}); it is held for an hour"));
            (made_up(open, time.secs(boot_ns)), time, true)
        }
    };
    let now_secs = time.secs(boot_ns);
    let terms = &mut kept.record.terms;
    if (verify.is_err() || !is_endpoint_time) && terms.at_end == AtEnd::Stay {
        // Without a roster nobody's release could be judged, and without endpoint time none would
        // be fresh: it would stand for ever.
        terms.at_end = AtEnd::LetBack;
        doubts.push("nobody could release it, so that it ends with its lease".to_owned());
    }
    let latest_secs = now_secs.saturating_add(LEASE_SECS_MAX);
    kept.record.until_secs = kept.record.until_secs.min(latest_secs);
    Some(Held { kept, time, is_endpoint_time, is_made_up, doubts })
}

/// Whether the record says what the operators signed.
fn authority(kept: &KeptIsolation, verify: &Result<Verify<'_>, String>) -> Result<(), String> {
    let verify = verify.as_ref();
    let verify = verify.map_err(|why| format!("who signed it cannot be checked: {why}"))?;
    let signed = kept.signed.as_deref().ok_or("its record does not hold the signed command")?;
    if Hash::of(signed) != kept.command_hash {
        return Err("its record holds another command than the one that it names".to_owned());
    }
    let command =
        verify(signed).map_err(|reason| format!("its signatures do not count now: {reason}"))?;
    let isolates = matches!(command.action, Action::Isolate(_));
    if !isolates || command.id.0.into_bytes() != kept.record.command {
        return Err("the command in its record did not ask for it".to_owned());
    }
    Ok(())
}

/// Closed but for the agent, for an hour.
#[must_use]
pub fn made_up((mark, collectors): (u32, Vec<SocketAddr>), now_secs: u64) -> KeptIsolation {
    let plan = Plan { mark, collectors, exemptions: Vec::new(), dhcp_servers: Vec::new() };
    let record = Record {
        command: [0; 16],
        until_secs: now_secs.saturating_add(UNREADABLE_SECS),
        terms: Terms::new(Unproved::Hold, AtEnd::LetBack, true),
        plan,
    };
    let saved_secs = Some(now_secs);
    let command_hash = Hash::default();
    KeptIsolation { record, command_hash, signed: None, saved_secs, counted: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::tests::{command, kept};

    const BOOT: &str = "boot";

    fn time(secs: u64) -> EndpointTime {
        let boot_id = BOOT.to_owned();
        EndpointTime::resume(Some(Kept { secs, boot_ns: 0, boot_count: 3, boot_id }), BOOT, 0)
    }

    /// A record that was saved at 100 and ends at 700, found when endpoint time is 200.
    #[track_caller]
    fn check(
        found: Found,
        verify: Result<Verify<'_>, String>,
        time: Option<EndpointTime>,
    ) -> String {
        let open = (7, vec!["192.0.2.7:7443".parse().unwrap()]);
        let evidence = Evidence { found, verify, time, boot: (BOOT, 0), open };
        let Some(held) = judge(evidence) else { return "nothing".to_owned() };
        let left_secs = held.kept.record.until_secs - held.time.secs(0);
        let end = held.kept.record.terms.at_end;
        format!("{left_secs} {end:?}: {}", held.doubts.join("; "))
    }

    fn found(change: impl FnOnce(&mut KeptIsolation)) -> Found {
        let mut kept = kept();
        change(&mut kept);
        Found::Isolation(Box::new(kept))
    }

    #[test]
    fn what_the_operators_signed_is_held_as_they_signed_it() {
        let good: Verify<'_> = &|_| Ok(command());
        assert_eq!(check(Found::Nothing, Ok(good), Some(time(200))), "nothing");
        assert_eq!(check(found(|_| ()), Ok(good), Some(time(200))), "500 LetBack: ");
        let stays = found(|kept| kept.record.terms.at_end = AtEnd::Stay);
        assert_eq!(check(stays, Ok(good), Some(time(200))), "500 Stay: ");
    }

    #[test]
    fn what_does_not_verify_is_held_all_the_same_and_says_so() {
        let good: Verify<'_> = &|_| Ok(command());
        let revoked: Verify<'_> = &|_| Err("key 0123 is not in roster version 8".to_owned());
        let says = |found, verify| check(found, Ok(verify), Some(time(200)));
        assert_eq!(
            says(found(|_| ()), revoked),
            "500 LetBack: its signatures do not count now: key 0123 is not in roster version 8"
        );
        let said = says(found(|kept| kept.signed = None), good);
        assert_eq!(said, "500 LetBack: its record does not hold the signed command");
        let said = says(found(|kept| kept.signed = Some(b"other".to_vec())), good);
        assert!(said.ends_with("another command than the one that it names"), "{said}");
        let said = says(found(|kept| kept.record.command = [9; 16]), good);
        assert!(said.ends_with("did not ask for it"), "{said}");
    }

    #[test]
    fn without_a_roster_it_ends_with_its_lease_though_it_was_to_stay() {
        let stays = found(|kept| kept.record.terms.at_end = AtEnd::Stay);
        let said = check(stays, Err("no roster".to_owned()), Some(time(200)));
        assert!(said.starts_with("500 LetBack: who signed it cannot be checked: no roster"));
        assert!(said.ends_with("nobody could release it, so that it ends with its lease"));
    }

    #[test]
    fn without_endpoint_time_it_ends_with_its_lease_because_no_release_would_be_fresh() {
        let good: Verify<'_> = &|_| Ok(command());
        let stays = found(|kept| kept.record.terms.at_end = AtEnd::Stay);
        let said = check(stays, Ok(good), None);
        assert!(said.starts_with("600 LetBack: endpoint time cannot be read"), "{said}");
    }

    #[test]
    fn without_endpoint_time_what_was_left_when_it_was_saved_is_counted_from_now() {
        let good: Verify<'_> = &|_| Ok(command());
        assert!(check(found(|_| ()), Ok(good), None).starts_with("600 LetBack: endpoint time"));
        let earlier = found(|kept| (kept.saved_secs, kept.record.until_secs) = (None, 200_000));
        assert!(check(earlier, Ok(good), None).starts_with("86400 LetBack"));
    }

    /// Ten minutes, of which a supervisor has counted this many seconds in a boot.
    #[track_caller]
    fn check_counted(secs: u64, boot_id: &str, expected: &str) {
        let good: Verify<'_> = &|_| Ok(command());
        let boot_id = boot_id.to_owned();
        let counted = Some(Kept { secs: 100 + secs, boot_ns: 0, boot_count: 0, boot_id });
        let said = check(found(|kept| kept.counted = counted), Ok(good), None);
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn without_endpoint_time_a_lease_goes_on_where_a_supervisor_left_it_and_a_boot_costs_a_minute()
    {
        let on = "LetBack: endpoint time cannot be read; its lease is counted on from where";
        check_counted(0, BOOT, &format!("600 {on}"));
        check_counted(200, BOOT, &format!("400 {on}"));
        check_counted(200, "an earlier boot", &format!("340 {on}"));
    }

    /// Every minute is written down, and every start goes on from there: however often the machine
    /// boots, the lease ends.
    #[test]
    fn without_endpoint_time_no_number_of_boots_makes_a_lease_longer() {
        let mut kept = kept();
        let mut boots = 0;
        loop {
            let boot = format!("boot {boots}");
            let evidence = Evidence {
                found: Found::Isolation(Box::new(kept.clone())),
                verify: Err("no roster".to_owned()),
                time: None,
                boot: (&boot, 0),
                open: (7, vec![]),
            };
            let mut held = judge(evidence).unwrap();
            if held.time.secs(0) >= held.kept.record.until_secs {
                break;
            }
            kept.counted = Some(held.time.keep(0));
            boots += 1;
        }
        assert_eq!(boots, 10, "ten minutes at a minute a boot; the first start costs nothing");
    }

    #[test]
    fn a_record_that_cannot_be_read_holds_for_an_hour() {
        let good: Verify<'_> = &|_| Ok(command());
        for time in [Some(time(200)), None] {
            let said = check(Found::Unreadable("damaged".to_owned()), Ok(good), time);
            assert!(said.starts_with("3600 LetBack"), "{said}");
        }
    }

    #[test]
    fn no_record_holds_longer_than_any_order_could_ask_for() {
        let good: Verify<'_> = &|_| Ok(command());
        let endless = found(|kept| kept.record.until_secs = u64::MAX);
        let said = check(endless, Ok(good), Some(time(200)));
        assert_eq!(said, format!("{LEASE_SECS_MAX} LetBack: "));
    }
}
