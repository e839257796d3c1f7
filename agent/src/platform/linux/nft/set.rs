//! Sets of addresses in nf_tables: runs of them, to and from the kernel's form.
//!
//! The kernel keeps a run as its first element and, marked as an end, the one after its last.

use std::fmt::{self, Display};

use super::ruleset::{Family, HEADER_BYTES, message};
use super::span::Spans;
use crate::platform::linux::netlink::wire::{Attributes, Encoder, Malformed};
use crate::platform::linux::netlink::{Netlink, NetlinkError};

const NEW_SET: u16 = 0xa09;
const GET_SET: u16 = 0xa0a;
const NEW_ELEMENTS: u16 = 0xa0c;
const GET_ELEMENTS: u16 = 0xa0d;

const TABLE: u16 = 1;
const NAME: u16 = 2;
const FLAGS: u16 = 3;
const KEY_TYPE: u16 = 4;
const KEY_BYTES: u16 = 5;
const DATA_TYPE: u16 = 6;
const ID: u16 = 10;
const LIST: u16 = 3;
const ITEM: u16 = 1;
const ITEM_KEY: u16 = 1;
const ITEM_FLAGS: u16 = 3;
const VALUE: u16 = 1;

const OF_INTERVALS: u32 = 4;
const END: u32 = 1;
/// What `nft` calls `ipv4_addr` and `ipv6_addr`, so that its lists read well.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
/// Keeps one list of elements well below the 64 KiB that an attribute may hold.
const ITEMS_PER_MESSAGE: usize = 1000;

/// A set as we make it, or as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub name: Vec<u8>,
    pub flags: u32,
    pub key_bytes: u32,
    /// Names the set within the transaction that makes it; the kernel does not tell it.
    pub id: u32,
    /// Ascending.
    pub elements: Vec<Element>,
}

/// A key and its flags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    key: Vec<u8>,
    flags: u32,
}

impl Set {
    /// A set of addresses of one family, all in these runs.
    pub fn of(name: &str, id: u32, spans: &Spans) -> Self {
        let mut elements = Vec::new();
        for (first, last) in spans.iter() {
            elements.push(Element { key: spans.bytes(first), flags: 0 });
            if last < spans.top() {
                elements.push(Element { key: spans.bytes(last + 1), flags: END });
            }
        }
        let key_bytes = if spans.is_ipv4() { 4 } else { 16 };
        Self { name: name.into(), flags: OF_INTERVALS, key_bytes, id, elements }
    }

    /// Adds the messages that make it.
    pub fn encode(&self, encoder: &mut Encoder, family: Family, table: &[u8], create: u16) {
        message(encoder, NEW_SET, create, family, |body| {
            body.name(TABLE, table);
            body.name(NAME, &self.name);
            body.be32(FLAGS, self.flags);
            body.be32(KEY_TYPE, if self.key_bytes == 4 { TYPE_IPV4 } else { TYPE_IPV6 });
            body.be32(KEY_BYTES, self.key_bytes);
            body.be32(ID, self.id);
        });
        for elements in self.elements.chunks(ITEMS_PER_MESSAGE) {
            message(encoder, NEW_ELEMENTS, create, family, |body| {
                body.name(TABLE, table);
                body.name(NAME, &self.name);
                body.nest(LIST, |list| elements.iter().for_each(|element| element.encode(list)));
            });
        }
    }
}

impl Element {
    fn encode(&self, list: &mut Encoder) {
        list.nest(ITEM, |item| {
            if self.flags != 0 {
                item.be32(ITEM_FLAGS, self.flags);
            }
            item.nest(ITEM_KEY, |key| key.attribute(VALUE, &self.key));
        });
    }
}

/// The sets of a table, with what is in them.
pub(super) fn read(
    socket: &mut Netlink,
    family: Family,
    table: &[u8],
) -> Result<Vec<Set>, NetlinkError> {
    let mut sets: Vec<Set> = Vec::new();
    let ask = |encoder: &mut Encoder| {
        encoder.raw(&[family as u8, 0, 0, 0]);
        encoder.name(TABLE, table);
    };
    socket.dump("list the sets", GET_SET, ask, |message| {
        if message.kind == NEW_SET {
            sets.push(read_set(message.attributes(HEADER_BYTES)?)?);
        }
        Ok(())
    })?;
    for set in &mut sets {
        let name = set.name.clone();
        let ask = |encoder: &mut Encoder| {
            encoder.raw(&[family as u8, 0, 0, 0]);
            encoder.name(TABLE, table);
            encoder.name(NAME, &name);
        };
        socket.dump("list what is in a set", GET_ELEMENTS, ask, |message| {
            if message.kind == NEW_ELEMENTS {
                read_elements(message.attributes(HEADER_BYTES)?, &mut set.elements)?;
            }
            Ok(())
        })?;
        set.elements.sort();
    }
    Ok(sets)
}

fn read_set(attributes: Attributes<'_>) -> Result<Set, Malformed> {
    let mut set = Set { name: Vec::new(), flags: 0, key_bytes: 0, id: 0, elements: Vec::new() };
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NAME => set.name = attribute.name().into(),
            FLAGS => set.flags = attribute.be32()?,
            KEY_BYTES => set.key_bytes = attribute.be32()?,
            // A map is none of ours; said in the flags, which then differ.
            DATA_TYPE => set.flags |= 1 << 31,
            _ => {}
        }
    }
    Ok(set)
}

fn read_elements(attributes: Attributes<'_>, into: &mut Vec<Element>) -> Result<(), Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind != LIST {
            continue;
        }
        for item in attribute.nested() {
            let mut element = Element { key: Vec::new(), flags: 0 };
            for field in item?.nested() {
                let field = field?;
                match field.kind {
                    ITEM_KEY => {
                        for value in field.nested() {
                            element.key = value?.value.to_vec();
                        }
                    }
                    ITEM_FLAGS => element.flags = field.be32()?,
                    _ => {}
                }
            }
            into.push(element);
        }
    }
    Ok(())
}

impl Display for Set {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, flags, key_bytes, id: _, elements } = self;
        write!(formatter, " set {} flags {flags:x} of {key_bytes}:", name.escape_ascii())?;
        for Element { key, flags } in elements {
            write!(formatter, " ")?;
            key.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
            if *flags != 0 {
                write!(formatter, "/{flags:x}")?;
            }
        }
        writeln!(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::netlink::wire::messages;

    #[test]
    fn what_is_written_is_read_again() {
        let mut spans = Spans::ipv4();
        spans.add_network([192, 0, 2, 0].into(), 25);
        spans.add_network([255, 255, 255, 0].into(), 24);
        let set = Set::of("strip-0-4", 7, &spans);
        let mut encoder = Encoder::new(1);
        set.encode(&mut encoder, Family::Inet, b"table", 0);
        let (bytes, _) = encoder.finish().unwrap();
        let all: Vec<_> = messages(&bytes).map(Result::unwrap).collect();
        let [made, filled] = all.as_slice() else { panic!("{all:?}") };
        let mut read = read_set(made.attributes(HEADER_BYTES).unwrap()).unwrap();
        read_elements(filled.attributes(HEADER_BYTES).unwrap(), &mut read.elements).unwrap();
        assert_eq!(read, Set { id: 0, ..set.clone() });
        assert_eq!(set.to_string(), " set strip-0-4 flags 4 of 4: c0000200 c0000280/1 ffffff00\n");
    }
}
