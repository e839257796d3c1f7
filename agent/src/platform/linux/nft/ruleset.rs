//! A set of nf_tables tables as a value: what we ask for and what the kernel says it has.
//!
//! Both sides have one canonical text and one digest, so "read back equal" is a comparison of
//! what the rules do, with handles, counters and ownership left out.

use std::fmt::{self, Display, Write};

use ring::digest::{SHA256, digest};

use super::expr::Expr;
use super::set::Set;
use crate::platform::linux::netlink::wire::Encoder;

pub const NEW_TABLE: u16 = 0xa00;
pub const DELETE_TABLE: u16 = 0xa02;
pub const NEW_CHAIN: u16 = 0xa03;
pub const NEW_RULE: u16 = 0xa06;

/// Family, version and resource id, in front of every nf_tables message.
pub const HEADER_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    Inet = 1,
    Netdev = 5,
}

/// SHA-256 of a ruleset's canonical text.
pub type Digest = [u8; 32];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub tables: Vec<Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub family: Family,
    pub name: Vec<u8>,
    /// A dormant table is there and does nothing.
    pub dormant: bool,
    pub sets: Vec<Set>,
    pub chains: Vec<Chain>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub name: Vec<u8>,
    /// Where the kernel calls it from; nothing where only other chains do.
    pub hook: Option<Hook>,
    pub rules: Vec<Vec<Expr>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub number: u32,
    pub priority: i32,
    /// What happens to a packet that no rule took.
    pub policy: Policy,
    /// `filter`, in every chain of ours.
    pub kind: Vec<u8>,
    pub devices: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Policy {
    Drop = 0,
    Accept = 1,
}

impl Ruleset {
    pub fn digest(&self) -> Digest {
        let mut bytes = Digest::default();
        bytes.copy_from_slice(digest(&SHA256, self.to_string().as_bytes()).as_ref());
        bytes
    }

    /// Adds the messages that make these tables; returns the number of the last one, which asks
    /// for an acknowledgement.
    pub fn encode(&self, encoder: &mut Encoder, table_flags: u32, create: u16, ack: u16) -> u32 {
        let mut last = 0;
        let rules = |chain: &Chain| chain.rules.len();
        let mut left: usize = self.tables.iter().flat_map(|table| &table.chains).map(rules).sum();
        for table in &self.tables {
            last = message(encoder, NEW_TABLE, create, table.family, |body| {
                body.name(1, &table.name);
                body.be32(2, table_flags);
            });
            for set in &table.sets {
                set.encode(encoder, table.family, &table.name, create);
            }
            for chain in &table.chains {
                last = message(encoder, NEW_CHAIN, create, table.family, |body| {
                    chain.encode(body, &table.name);
                });
            }
            for chain in &table.chains {
                for rule in &chain.rules {
                    left -= 1;
                    let flags = create
                        | crate::platform::linux::netlink::wire::APPEND
                        | if left == 0 { ack } else { 0 };
                    last = message(encoder, NEW_RULE, flags, table.family, |body| {
                        body.name(1, &table.name);
                        body.name(2, &chain.name);
                        body.nest(4, |list| rule.iter().for_each(|expr| expr.encode(list)));
                    });
                }
            }
        }
        last
    }
}

/// Adds one nf_tables message and returns its number.
pub fn message(
    encoder: &mut Encoder,
    kind: u16,
    flags: u16,
    family: Family,
    body: impl FnOnce(&mut Encoder),
) -> u32 {
    encoder.message(kind, flags, |message| {
        message.raw(&[family as u8, 0, 0, 0]);
        body(message);
    })
}

impl Chain {
    fn encode(&self, body: &mut Encoder, table: &[u8]) {
        body.name(1, table);
        body.name(3, &self.name);
        let Some(hook) = &self.hook else { return };
        body.nest(4, |inner| {
            inner.be32(1, hook.number);
            inner.attribute(2, &hook.priority.to_be_bytes());
            if let [device] = hook.devices.as_slice() {
                inner.name(3, device);
            } else if !hook.devices.is_empty() {
                inner.nest(4, |list| hook.devices.iter().for_each(|device| list.name(1, device)));
            }
        });
        body.be32(5, hook.policy as u32);
        body.name(7, &hook.kind);
    }
}

impl Display for Ruleset {
    /// The canonical text: tables, sets and chains in order of their names, rules in their own
    /// order.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|table| (table.family, &table.name));
        for table in tables {
            let family = match table.family {
                Family::Inet => "inet",
                Family::Netdev => "netdev",
            };
            write!(formatter, "table {family} {}", table.name.escape_ascii())?;
            writeln!(formatter, "{}", if table.dormant { " dormant" } else { "" })?;
            let mut sets: Vec<_> = table.sets.iter().collect();
            sets.sort_by_key(|set| &set.name);
            sets.into_iter().try_for_each(|set| write!(formatter, "{set}"))?;
            let mut chains: Vec<_> = table.chains.iter().collect();
            chains.sort_by_key(|chain| &chain.name);
            chains.into_iter().try_for_each(|chain| write!(formatter, "{chain}"))?;
        }
        Ok(())
    }
}

impl Display for Chain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, " chain {}", self.name.escape_ascii())?;
        if let Some(hook) = &self.hook {
            let policy = match hook.policy {
                Policy::Drop => "drop",
                Policy::Accept => "accept",
            };
            let kind = hook.kind.escape_ascii();
            write!(formatter, " {kind} hook {} at {} {policy}", hook.number, hook.priority)?;
            let mut devices: Vec<_> = hook.devices.iter().collect();
            devices.sort();
            for device in devices {
                write!(formatter, " on {}", device.escape_ascii())?;
            }
        }
        formatter.write_char('\n')?;
        for rule in &self.rules {
            for (at, expr) in rule.iter().enumerate() {
                write!(formatter, "{}{expr}", if at == 0 { "  " } else { "; " })?;
            }
            formatter.write_char('\n')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruleset() -> Ruleset {
        let chain = |name: &[u8], number| Chain {
            name: name.to_vec(),
            hook: Some(Hook {
                number,
                priority: -310,
                policy: Policy::Drop,
                kind: b"filter".to_vec(),
                devices: Vec::new(),
            }),
            rules: vec![vec![Expr::Accept], vec![Expr::Count]],
        };
        let chains = vec![chain(b"input", 1), chain(b"output", 3)];
        let (name, sets) = (b"cordon".to_vec(), Vec::new());
        let table = Table { family: Family::Inet, name, dormant: false, sets, chains };
        Ruleset { tables: vec![table] }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Table), digest_stays: bool) {
        let mut changed = ruleset();
        change(&mut changed.tables[0]);
        assert_eq!(changed.digest() == ruleset().digest(), digest_stays, "{changed}");
    }

    #[test]
    fn the_order_in_which_the_kernel_lists_chains_does_not_matter() {
        check(|table| table.chains.reverse(), true);
    }

    #[test]
    fn whatever_changes_what_the_rules_do_changes_the_digest() {
        check(|table| table.dormant = true, false);
        check(|table| table.chains[0].rules.swap(0, 1), false);
        check(|table| table.chains[0].hook = None, false);
        check(|table| table.chains[1].hook.as_mut().unwrap().policy = Policy::Accept, false);
        check(|table| table.chains[1].hook.as_mut().unwrap().priority = -309, false);
        check(|table| table.chains[1].rules.insert(0, vec![Expr::Accept]), false);
        check(|table| drop(table.chains.pop()), false);
    }
}
