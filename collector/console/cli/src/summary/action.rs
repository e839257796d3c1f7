//! An action in words, with every parameter: what an operator reads before he signs.

use cordon_proto::Text;
use cordon_proto::command::{
    Action, AtEnd, Block, Direction, Executable, IfUnproved, Isolate, Network, Peer, Ports,
    ProcessTarget, Rule, Target,
};
use cordon_proto::policy::responses::{Comparison, Field, Reaction, Response, Test};
use cordon_proto::policy::{Budget, Policy, Redactions, Transport};

use crate::moment;
use crate::output::text::plain;

/// An action with all its parameters.
#[must_use]
pub fn action(action: &Action) -> String {
    match action {
        Action::Isolate(isolate) => self::isolate(isolate),
        Action::Release => "release: let back onto the network".to_owned(),
        Action::SetPolicy(policy) => self::policy(policy),
        Action::Query(query) => format!(
            "query: read, for {} ms, {} row(s) and {} bytes at most: {}",
            query.time_ms_max,
            query.rows_max,
            query.bytes_max,
            plain(&query.sql)
        ),
        Action::Undo { of } => format!("undo: put back what command {of} changed"),
        Action::ReleaseAll => {
            "release_all: undo EVERYTHING that stands, the latest first".to_owned()
        }
        Action::Kill(kill) => format!("kill: end {}", process(&kill.process, kill.tree)),
        Action::Suspend(suspend) => format!(
            "suspend: stop {} where it is{}",
            process(&suspend.process, suspend.tree),
            lease(suspend.lease_secs)
        ),
        Action::Quarantine(quarantine) => {
            let content = quarantine.sha256.map(|hash| format!(", if its SHA-256 is {hash}"));
            let content = content.unwrap_or_else(|| ", WHATEVER IT CONTAINS".to_owned());
            format!("quarantine: take {} away{content}", plain(&quarantine.path.to_lossy()))
        }
        Action::Deny(deny) => {
            let what = match &deny.what {
                Executable::Sha256(hash) => format!("whatever has the SHA-256 {hash}"),
                Executable::Path(path) => format!("whatever is at {}", plain(&path.to_lossy())),
            };
            format!("deny: let {what} not be started{}", lease(deny.lease_secs))
        }
        Action::Block(block) => self::block(block),
        Action::LockAccount(lock) => {
            let sessions = if lock.end_sessions { " and END ITS SESSIONS" } else { "" };
            let user = plain(&lock.user);
            format!("lock_account: lock {user}{sessions}{}", lease(lock.lease_secs))
        }
        Action::StopService(stop) => {
            let disable = if stop.disable { " and keep it from starting" } else { "" };
            format!("stop_service: stop {}{disable}{}", plain(&stop.unit), lease(stop.lease_secs))
        }
        Action::BlockStorage(storage) => {
            format!("block_storage: no removable storage{}", lease(storage.lease_secs))
        }
        Action::Collect(collect) => {
            let sources = collect.sources.iter().map(|source| source.name().to_owned());
            let globs = collect.globs.iter().map(|glob| plain(&glob.to_lossy()).into_owned());
            let all: Vec<_> = sources.chain(globs).collect();
            let unsealed = if collect.unsealed == Some(true) {
                "; goes UNSEALED if nobody who may collect has a sealing key"
            } else {
                ""
            };
            format!("collect: {}; {} bytes at most{unsealed}", all.join(", "), collect.bytes_max)
        }
    }
}

fn process(process: &ProcessTarget, tree: bool) -> String {
    let tree = if tree { " and all that it started" } else { "" };
    let content = process.sha256.map(|hash| format!(", if its executable is {}", hash.short()));
    let started = process.start_boot_ns / 1_000_000;
    let (pid, content) = (process.pid, content.unwrap_or_default());
    format!("process {pid}, started {started} ms after boot{content},{tree}")
}

/// The groups of a command that an endpoint is in: they say which rules are for it.
pub(super) fn groups(action: &Action, target: &Target) -> String {
    let Action::Block(Block { groups: Some(groups), .. }) = action else { return String::new() };
    let numbered = groups.iter().enumerate();
    let of = numbered.filter(|(_, group)| group.contains(&target.endpoint));
    of.map(|(at, _)| format!("  group {}", at + 1)).collect()
}

/// Who is in a group stands with the command's endpoints.
fn block(block: &Block) -> String {
    let rules: Vec<_> = block.rules.iter().map(rule).collect();
    let network = |Network { address, bits }: &Network| format!("{address}/{bits}");
    let except: Vec<_> = block.except.iter().flatten().map(network).collect();
    let except = match except.as_slice() {
        [] => String::new(),
        all => format!(" BUT NOT {}", all.join(", ")),
    };
    let groups = block.groups.iter().flatten().enumerate().map(|(at, group)| {
        let endpoints = if at == 0 { " endpoint(s)" } else { "" };
        format!("group {} is {}{endpoints}", at + 1, group.len())
    });
    let groups: Vec<_> = groups.collect();
    let groups = if groups.is_empty() { String::new() } else { format!("; {}", groups.join(", ")) };
    format!("block: {}{except}{}{groups}", rules.join("; "), lease(block.lease_secs))
}

fn rule(rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::Anyone => "anyone".to_owned(),
        Peer::Network { address, bits } => format!("{address}/{bits}"),
        Peer::Name(name) => plain(name).into_owned(),
    };
    let way = match rule.direction {
        Direction::Both => "to and from",
        Direction::In => "from",
        Direction::Out => "to",
    };
    let ports = rule.ports.map(|ports| {
        let name = match ports.transport {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        };
        let Ports { first, last, .. } = ports;
        if first == last { format!("{name} {first} ") } else { format!("{name} {first}-{last} ") }
    });
    let at = rule.at.map(|at| format!("group {}: ", u16::from(at) + 1));
    format!("{}{}{way} {peer}", at.unwrap_or_default(), ports.unwrap_or_default())
}

fn lease(lease_secs: Option<u64>) -> String {
    match lease_secs {
        Some(secs) => format!(", for {}", moment::length(secs)),
        None => ", UNTIL IT IS UNDONE".to_owned(),
    }
}

fn isolate(isolate: &Isolate) -> String {
    let lease = moment::length(isolate.lease_secs);
    let at_end = match isolate.at_end {
        AtEnd::LetBack => "is let back when it ends",
        AtEnd::Stay => "STAYS CUT OFF when it ends, until a signed release",
    };
    let if_unproved = match isolate.if_unproved {
        IfUnproved::Hold => "stands even if it cannot be proved",
        IfUnproved::Release => {
            "is UNDONE if it cannot be proved (who blocks the collector can wait for that)"
        }
    };
    let accept_loss = if isolate.accept_loss {
        "; goes on EVEN IF something the endpoint needs cannot be kept open"
    } else {
        ""
    };
    format!("isolate: cut off from the network for {lease}; {at_end}; {if_unproved}{accept_loss}")
}

fn policy(policy: &Policy) -> String {
    let responses = policy.responses.iter().flatten().map(|one| format!("; {}", response(one)));
    format!(
        "set_policy: version {} of client {}: {} exemption(s), {} critical endpoint(s){}{}{}{}",
        policy.version,
        policy.client,
        policy.exemptions.len(),
        policy.critical.len(),
        policy.redactions.as_ref().map(redactions).unwrap_or_default(),
        protected(policy.protected.as_deref().unwrap_or_default()),
        policy.budget.map_or(String::new(), |held| format!(
            "; the agent may cost {} (what an endpoint's own settings say, if that is less)",
            budget(Some(&held))
        )),
        responses.collect::<String>()
    )
}

/// What an agent may cost.
#[must_use]
pub fn budget(held: Option<&Budget>) -> String {
    let Some(held) = held.filter(|held| **held != Budget::default()) else {
        return "what each endpoint's own settings say".to_owned();
    };
    let limits = [
        held.cpu_percent.map(|percent| format!("{percent} % of a core")),
        held.memory_bytes.map(|bytes| format!("{bytes} bytes of memory")),
        held.spool_bytes.map(|bytes| format!("{bytes} bytes on its disk")),
        held.bandwidth_bytes_per_s.map(|rate| format!("{rate} bytes a second to the collector")),
    ];
    limits.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What endpoints will do by themselves, with nobody asked any more: every response in words.
#[must_use]
pub fn response(response: &Response) -> String {
    let lease = |lease_secs: &u64| format!("for {}", moment::length(*lease_secs));
    let tree = |tree: &bool| if *tree { " AND ALL THAT IT STARTED" } else { "" };
    let then = match &response.then {
        Reaction::Raise => "a finding is raised".to_owned(),
        Reaction::Isolate { lease_secs } => {
            format!("the endpoint CUTS ITSELF OFF {}", lease(lease_secs))
        }
        Reaction::Kill { tree: all } => format!("the endpoint KILLS the process{}", tree(all)),
        Reaction::Suspend { tree: all, lease_secs } => {
            format!("the endpoint STOPS the process{} {}", tree(all), lease(lease_secs))
        }
        Reaction::Block { lease_secs } => {
            format!("the endpoint BLOCKS the other side's address {}", lease(lease_secs))
        }
        Reaction::Quarantine => {
            "the endpoint TAKES THE FILE AWAY until somebody undoes it".to_owned()
        }
        Reaction::Deny { lease_secs } => format!(
            "the endpoint LETS NOBODY START what has the program's content (of a script: its \
             interpreter's) {}",
            lease(lease_secs)
        ),
        Reaction::LockAccount { user, end_sessions, lease_secs } => {
            let ends = if *end_sessions { " AND ENDS ITS SESSIONS" } else { "" };
            format!("the endpoint LOCKS account {}{ends} {}", plain(user), lease(lease_secs))
        }
        Reaction::StopService { unit, disable, lease_secs } => {
            let off = if *disable { " AND LETS NOBODY START IT" } else { "" };
            format!("the endpoint STOPS {}{off} {}", plain(unit), lease(lease_secs))
        }
        Reaction::BlockStorage { lease_secs } => {
            format!("the endpoint LETS NOBODY USE removable storage {}", lease(lease_secs))
        }
    };
    let when: Vec<_> = response.when.iter().map(test).collect();
    let (name, most) = (plain(&response.name), response.per_hour_max);
    format!("response {name}: when {}, {then}, {most} time(s) an hour at most", when.join(" and "))
}

fn test(test: &Test) -> String {
    let field = match test.field {
        Field::ProcessPath => "the path of a program that is started",
        Field::ProcessResolvedPath => "the resolved path of a program that is started",
        Field::ProcessArguments => "its arguments",
        Field::ProcessSha256 => "the SHA-256 of a program that is started",
        Field::ProcessUid => "the user's number",
        Field::FindingRule => "the rule of a finding",
        Field::PeerAddress => "the other side's address",
        Field::PeerPort => "the other side's port",
        Field::LocalPort => "the port here",
        Field::FilePath => "the path of a file that changes",
        Field::LogLine => "a log's line",
        Field::LoginUser => "the user of a login",
        Field::LoginFrom => "where a login comes from",
        Field::LoginStatus => "how a login went",
        Field::DeviceKind => "the kind of a device that is attached",
        Field::DeviceVendor => "the maker that a device names",
        Field::DeviceModel => "the model that a device names",
        Field::DeviceSerial => "the serial number that a device names",
        Field::FileSha256 => "the SHA-256 of a file that changes",
        Field::FileActorPath => "the program that changes a file",
        Field::FindingActorPath => "the program that a finding is about",
    };
    let comparison = match test.comparison {
        Comparison::Is => "is",
        Comparison::IsNot => "IS NOT",
        Comparison::BeginsWith => "begins with",
        Comparison::EndsWith => "ends with",
        Comparison::Contains => "contains",
        Comparison::Within => "is within",
    };
    format!("{field} {comparison} '{}'", plain(&test.value))
}

/// Whoever can put a program at one of these places is safe from being ended.
fn protected(paths: &[Text]) -> String {
    if paths.is_empty() {
        return String::new();
    }
    let paths: Vec<_> = paths.iter().map(|path| plain(&path.to_lossy()).into_owned()).collect();
    format!("; NEVER ENDED, STOPPED OR DENIED: {}", paths.join(", "))
}

/// What a policy lets out or takes out must be read by whoever signs it.
fn redactions(redactions: &Redactions) -> String {
    let own: Vec<_> = redactions.patterns.iter().map(|pattern| pattern.name.as_str()).collect();
    let mut words = format!("; {} redaction(s) of its own", own.len());
    if !own.is_empty() {
        words.push_str(&format!(": {}", plain(&own.join(", "))));
    }
    if !redactions.off.is_empty() {
        words.push_str(&format!("; SECRETS ARE LET OUT by {}", plain(&redactions.off.join(", "))));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_endpoints_will_do_by_themselves_is_said_aloud() {
        let test = Test {
            field: Field::ProcessPath,
            comparison: Comparison::BeginsWith,
            value: "/tmp/\u{1b}[2J".to_owned(),
        };
        let said = |then| {
            let (name, when) = ("dropper".to_owned(), vec![test.clone()]);
            let words = response(&Response { name, when, then, per_hour_max: 2 });
            assert!(!words.contains('\u{1b}'), "{words}");
            words
        };
        let isolate = said(Reaction::Isolate { lease_secs: 600 });
        assert!(
            isolate.starts_with("response dropper: when the path of a program that is started"),
            "{isolate}"
        );
        assert!(
            isolate.ends_with("CUTS ITSELF OFF for 10m, 2 time(s) an hour at most"),
            "{isolate}"
        );
        let kill = said(Reaction::Kill { tree: true });
        assert!(kill.contains("KILLS the process AND ALL THAT IT STARTED"), "{kill}");
    }

    #[test]
    fn what_is_dangerous_about_an_isolation_is_said_aloud() {
        let usual = action(&Action::Isolate(Isolate::default()));
        assert_eq!(
            usual,
            "isolate: cut off from the network for 1d; is let back when it ends; stands even if it \
             cannot be proved"
        );
        let all = action(&Action::Isolate(Isolate {
            lease_secs: 3600,
            if_unproved: IfUnproved::Release,
            at_end: AtEnd::Stay,
            accept_loss: true,
        }));
        for word in ["STAYS CUT OFF", "is UNDONE", "EVEN IF"] {
            assert!(all.contains(word), "{all}");
        }
    }
}
