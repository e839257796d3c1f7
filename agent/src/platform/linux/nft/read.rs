//! Our tables as the kernel has them now, with what their counters counted.

use std::collections::BTreeMap;

use super::expr::{self, Expr};
use super::ruleset::{
    Chain, Family, HEADER_BYTES, Hook, NEW_CHAIN, NEW_RULE, NEW_TABLE, Policy, Ruleset, Table,
};
use super::set;
use crate::platform::linux::netlink::wire::{Attribute, Encoder, Malformed, Message};
use crate::platform::linux::netlink::{Netlink, NetlinkError};

const GET_TABLE: u16 = 0xa01;
const GET_CHAIN: u16 = 0xa04;
const GET_RULE: u16 = 0xa07;
const GET_GENERATION: u16 = 0xa10;
const DORMANT: u32 = 0x1;
/// Somebody who changes the ruleset all the time must not keep us reading for ever.
const ATTEMPTS_MAX: usize = 8;

/// A table that carries one of our names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub family: Family,
    pub name: Vec<u8>,
    /// The netlink port that owns it, where somebody does.
    pub owner: Option<u32>,
    dormant: bool,
}

/// Packets that each of our chains has dropped, by chain.
pub type Dropped = BTreeMap<Vec<u8>, u64>;

/// The number of the ruleset's current state; it grows with each change by anybody.
pub(super) fn generation(socket: &mut Netlink) -> Result<u32, NetlinkError> {
    socket.ask("ask for the state of nf_tables", GET_GENERATION, any_family, |message| {
        let found = message.attributes(HEADER_BYTES)?.next().transpose()?;
        found.map_or(Ok(0), |generation| generation.be32())
    })
}

/// The tables with one of `names`, whoever made them.
pub(super) fn tables(socket: &mut Netlink, names: &[&[u8]]) -> Result<Vec<Found>, NetlinkError> {
    let mut found = Vec::new();
    socket.dump("list the tables", GET_TABLE, any_family, |message| {
        let Some(family) = family(message) else { return Ok(()) };
        let mut table = Found { family, name: Vec::new(), owner: None, dormant: false };
        if message.kind == NEW_TABLE {
            for attribute in message.attributes(HEADER_BYTES)? {
                let attribute = attribute?;
                match attribute.kind {
                    1 => table.name = attribute.name().into(),
                    2 => table.dormant = attribute.be32()? & DORMANT != 0,
                    7 => table.owner = Some(attribute.be32()?),
                    _ => {}
                }
            }
            if names.contains(&table.name.as_slice()) {
                found.push(table);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Everything in the tables called `name`, all of one state of the ruleset.
pub(super) fn ruleset(
    socket: &mut Netlink,
    name: &[u8],
) -> Result<(Ruleset, Dropped), NetlinkError> {
    for _ in 0..ATTEMPTS_MAX {
        let before = generation(socket)?;
        match read_once(socket, name) {
            Ok(read) if generation(socket)? == before => return Ok(read),
            Ok(_) | Err(NetlinkError::Interrupted { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(NetlinkError::Interrupted { doing: "read our rules back" })
}

fn read_once(socket: &mut Netlink, name: &[u8]) -> Result<(Ruleset, Dropped), NetlinkError> {
    let mut ruleset = Ruleset::default();
    for found in tables(socket, &[name])? {
        let Found { family, name, dormant, owner: _ } = found;
        let (sets, chains) = (set::read(socket, family, &name)?, Vec::new());
        ruleset.tables.push(Table { family, name, dormant, sets, chains });
    }
    socket.dump("list the chains", GET_CHAIN, any_family, |message| {
        let Some(table) = table_of(message, &mut ruleset)? else { return Ok(()) };
        table.chains.push(read_chain(message)?);
        Ok(())
    })?;
    let mut dropped = Dropped::new();
    // Asked for a name in any family, the kernel stops after the first table that has it.
    for table in &mut ruleset.tables {
        let ask = |encoder: &mut Encoder| {
            encoder.raw(&[table.family as u8, 0, 0, 0]);
            encoder.name(1, name);
        };
        let chains = &mut table.chains;
        socket.dump("list the rules", GET_RULE, ask, |message| {
            let (chain_name, exprs, packets) = read_rule(message)?;
            if let Some(chain) = chains.iter_mut().find(|chain| chain.name == chain_name) {
                // Whatever a rule of ours counts does not pass.
                if exprs.contains(&Expr::Count) {
                    *dropped.entry(chain.name.clone()).or_default() += packets;
                }
                chain.rules.push(exprs);
            }
            Ok(())
        })?;
    }
    Ok((ruleset, dropped))
}

/// A rule's chain, its expressions, and how many packets its counter has counted.
fn read_rule<'a>(message: &Message<'a>) -> Result<(&'a [u8], Vec<Expr>, u64), Malformed> {
    let (mut chain, mut exprs, mut packets): (&[u8], _, _) = (&[], Vec::new(), 0);
    if message.kind == NEW_RULE {
        for attribute in message.attributes(HEADER_BYTES)? {
            let attribute = attribute?;
            match attribute.kind {
                2 => chain = attribute.name(),
                4 => (exprs, packets) = expr::read(attribute.nested())?,
                _ => {}
            }
        }
    }
    Ok((chain, exprs, packets))
}

fn read_chain(message: &Message<'_>) -> Result<Chain, Malformed> {
    let mut chain = Chain { name: Vec::new(), hook: None, rules: Vec::new() };
    let mut hook = Hook {
        number: 0,
        priority: 0,
        policy: Policy::Accept,
        kind: Vec::new(),
        devices: Vec::new(),
    };
    let mut hooked = false;
    for attribute in message.attributes(HEADER_BYTES)? {
        let attribute = attribute?;
        match attribute.kind {
            3 => chain.name = attribute.name().into(),
            4 => {
                hooked = true;
                read_hook(&attribute, &mut hook)?;
            }
            5 if attribute.be32()? == Policy::Drop as u32 => hook.policy = Policy::Drop,
            7 => hook.kind = attribute.name().into(),
            _ => {}
        }
    }
    chain.hook = hooked.then_some(hook);
    Ok(chain)
}

fn read_hook(attribute: &Attribute<'_>, hook: &mut Hook) -> Result<(), Malformed> {
    for field in attribute.nested() {
        let field = field?;
        match field.kind {
            1 => hook.number = field.be32()?,
            2 => hook.priority = i32::from_be_bytes(field.be32()?.to_be_bytes()),
            // The list of devices (4) repeats what the single device (3) says.
            3 if hook.devices.is_empty() => hook.devices.push(field.name().into()),
            4 => {
                hook.devices.clear();
                for device in field.nested() {
                    hook.devices.push(device?.name().into());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The table among ours that a chain belongs to.
fn table_of<'a>(
    message: &Message<'_>,
    ruleset: &'a mut Ruleset,
) -> Result<Option<&'a mut Table>, Malformed> {
    let (Some(family), true) = (family(message), message.kind == NEW_CHAIN) else {
        return Ok(None);
    };
    for attribute in message.attributes(HEADER_BYTES)? {
        let attribute = attribute?;
        if attribute.kind == 1 {
            let name = attribute.name();
            let mut tables = ruleset.tables.iter_mut();
            return Ok(tables.find(|table| table.family == family && table.name == name));
        }
    }
    Ok(None)
}

fn family(message: &Message<'_>) -> Option<Family> {
    [Family::Inet, Family::Netdev]
        .into_iter()
        .find(|family| message.body.first() == Some(&(*family as u8)))
}

fn any_family(encoder: &mut Encoder) {
    encoder.raw(&[0; HEADER_BYTES]);
}
