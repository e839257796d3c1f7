//! A policy as a file that people write: read, and every mistake in it told at once.

use std::path::Path;

use anyhow::{Context as _, bail};
use cordon_proto::policy::{Policy, mistakes};
use cordon_proto::roster::Ceilings;

use crate::file;
use crate::output::text::plain;

/// A file of a policy; far above what any policy needs.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the help shows.
pub(super) const EXAMPLE: &str = "Examples:
  cordon policy check acme.toml
  cordon policy check acme.toml --client acme      # by the client's roster, too

A policy as a file:

  client = \"acme\"
  version = 4
  critical = []                 # ids of endpoints: two persons for each action, never cut off alone
  protected = [\"/usr/sbin/mariadbd\"]   # programs that nobody ends, stops or denies, no response either

  [[exemptions]]                # what stays open while an endpoint is cut off
  address = \"192.0.2.10\"
  port = 443
  transport = \"tcp\"

  [budget]                      # what an agent may cost; its own settings bind where they are lower
  cpu_percent = 10              # of one core, over some seconds; 5 or more
  memory_bytes = 50331648       # 25165824 or more
  spool_bytes = 134217728       # on its disk; 16777216 or more
  bandwidth_bytes_per_s = 65536 # 4096 or more; findings, receipts and health never wait

  [[responses]]                 # what endpoints do by themselves, within the roster's ceilings
  name = \"mass-change\"
  per_hour_max = 2
  when = [{ field = \"finding_rule\", comparison = \"is\", value = \"files.mass_change\" }]
  then = { do = \"isolate\", lease_secs = 3600 }

field, by the class of its events:
  process         process_path, process_resolved_path, process_arguments, process_sha256, process_uid
  network         peer_address, peer_port, local_port
  file            file_path, file_sha256, file_actor_path
  finding         finding_rule, finding_actor_path
  log             log_line
  authentication  login_user, login_from, login_status (success, failure)
  device          device_kind (usb, disk, partition, input, network), device_vendor, device_model,
                  device_serial
comparison: is, is_not, begins_with, ends_with, contains, within (addresses: 192.0.2.0/24)
All of `when` must be so of one event; what an event does not have is not so, whatever is asked of it.

do, with leases of an hour at most:
  raise           a finding, and nothing else; for any class
  isolate         lease_secs                          process, network, file, finding
  kill            tree                                process, network, file, finding
  suspend         tree, lease_secs                    process, network, file, finding
  quarantine                                          process, file; `cordon undo` brings it back
  deny            lease_secs                          process
  block           lease_secs                          network, authentication
  lock_account    user, end_sessions, lease_secs      process, network, file, finding
  stop_service    unit, disable, lease_secs           process, network, file, finding
  block_storage   lease_secs                          process, network, file, finding, device
Only what the kernel saw may do more than raise, because anybody can write a line into a log; of a
login, the address that it comes from may be blocked. A finding must be named: files.mass_change. The
client's roster says, in [ceilings.autonomy], which of these endpoints may do at all, for how long, and
how often in an hour each action, whichever responses ask for it.";

/// Reads a policy's file.
pub(super) fn read(path: &Path) -> anyhow::Result<Policy> {
    let policy = read_unchecked(path)?;
    refuse(&policy, None)?;
    Ok(policy)
}

/// Reads a policy's file that may have mistakes.
pub(super) fn read_unchecked(path: &Path) -> anyhow::Result<Policy> {
    let bytes = file::read(path, FILE_BYTES_MAX)?;
    let bytes = bytes.with_context(|| format!("there is no file {}", path.display()))?;
    let text = String::from_utf8(bytes).context("a policy's file is UTF-8 text")?;
    let json = path.extension().is_some_and(|extension| extension == "json");
    parse(&text, json).with_context(|| format!("{} is no policy", path.display()))
}

/// Refuses a policy that the roster does not let anybody set, or that cannot be; every mistake is
/// told.
pub(super) fn refuse(policy: &Policy, ceilings: Option<&Ceilings>) -> anyhow::Result<()> {
    let mistakes = mistakes(policy, ceilings);
    if mistakes.is_empty() {
        return Ok(());
    }
    let mistakes: Vec<_> = mistakes.iter().map(|one| plain(one).into_owned()).collect();
    bail!("the policy cannot be set:\n  it {}", mistakes.join("\n  it "))
}

fn parse(text: &str, json: bool) -> anyhow::Result<Policy> {
    // A key that is misspelt is refused instead of left out.
    let policy: Policy = if json { serde_json::from_str(text)? } else { toml::from_str(text)? };
    Ok(policy)
}

#[cfg(test)]
pub(super) mod tests {
    use cordon_proto::command::Action;

    use super::*;
    use crate::summary;

    /// The file that the help shows.
    pub(in crate::command::policy) fn example() -> Policy {
        parse(&text(), false).unwrap()
    }

    fn text() -> String {
        let file = EXAMPLE.split("A policy as a file:").nth(1).unwrap();
        file.split("\nfield, by").next().unwrap().to_owned()
    }

    #[test]
    fn the_file_that_the_help_shows_is_a_policy() {
        let policy = example();
        assert_eq!((policy.version, policy.exemptions.len()), (4, 1));
        assert_eq!(mistakes(&policy, None), [""; 0]);
        let words = summary::action(&Action::SetPolicy(policy.clone()));
        assert!(words.contains("CUTS ITSELF OFF for 1h"), "{words}");
        let again = toml::to_string(&policy).unwrap();
        assert_eq!(parse(&again, false).unwrap(), policy, "what `show` writes, `set` reads");
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(parse(&json, true).unwrap(), policy);
    }

    #[test]
    fn what_is_misspelt_or_cannot_be_is_refused() {
        #[track_caller]
        fn check(from: &str, to: &str, says: &str) {
            assert!(text().contains(from));
            let parsed = parse(&text().replacen(from, to, 1), false);
            let refused = parsed.and_then(|policy| refuse(&policy, None));
            let error = refused.unwrap_err();
            assert!(format!("{error:#}").contains(says), "{error:#}");
        }
        check("per_hour_max", "per_hour", "unknown field");
        check("critical", "critcal", "unknown field");
        check("transport", "protocol", "unknown field");
        check("lease_secs = 3600", "lease = 3600", "unknown field");
        check("lease_secs = 3600", "lease_secs = 3601", "1 to 3600 is possible");
        check("\"files.mass_change\"", "\"logs.many\"", "it must name its rule");
        check("port = 443", "port = 0", "at port 0");
        check("/usr/sbin/mariadbd", "mariadbd", "is no whole path");
        check("version = 4", "version = 0", "the first one is 1");
    }

    #[test]
    fn every_mistake_is_told_at_once_by_the_roster_too() {
        let mut policy = example();
        policy.exemptions[0].port = 0;
        let ceilings =
            Ceilings { lease_secs_max: 60, exemptions_max: 0, policy_min: 9, autonomy: None };
        let error = refuse(&policy, Some(&ceilings)).unwrap_err().to_string();
        for says in [
            "1 exemptions; 0 is the most",
            "at port 0",
            "has version 4; the roster takes none below 9",
            "would isolate, which the roster does not let endpoints do by themselves",
        ] {
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
