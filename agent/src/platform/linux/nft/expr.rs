//! The few nf_tables expressions that our rules are written in, to and from the kernel's form.
//!
//! Every value passes through register 1. Whatever the kernel shows that we never write becomes
//! [`Expr::Foreign`], so that a rule somebody slipped in can never look like ours.

use std::fmt::{self, Display};

use crate::platform::linux::netlink::wire::{Attribute, Attributes, Encoder, Malformed};

const EXPR_NAME: u16 = 1;
const EXPR_BODY: u16 = 2;
const LIST_ITEM: u16 = 1;
const REGISTER_VERDICT: u32 = 0;
const REGISTER: u32 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_DROP: u32 = 0;
const VERDICT_ACCEPT: u32 = 1;
const COMPARE_EQUAL: u32 = 0;
const COMPARE_AT_MOST: u32 = 3;
const COMPARE_AT_LEAST: u32 = 5;
const SOCKET_MARK: u32 = 1;
const COUNTER_PACKETS: u16 = 2;

/// What `meta` can tell of a packet; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Meta {
    /// The packet's protocol as the stack has it (two bytes, network order).
    Protocol = 1,
    /// The packet's mark (four bytes, the machine's order).
    Mark = 3,
    /// Index of the device it came in by (four bytes, the machine's order).
    In = 4,
    /// Index of the device it leaves by (four bytes, the machine's order).
    Out = 5,
    /// The user whose socket sends it (four bytes, the machine's order).
    SocketUser = 10,
    /// IPv4 or IPv6, in tables that see both (one byte).
    Family = 15,
    /// TCP, UDP … behind all extension headers (one byte).
    Transport = 16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    Meta(Meta),
    Payload {
        base: Base,
        offset: u32,
        bytes: u32,
    },
    /// The mark of the local socket that an incoming packet belongs to.
    SocketMark,
    /// Goes on only if the value loaded last is this one.
    Equal(Vec<u8>),
    /// … only if it is this one or a larger one, as bytes in their order.
    AtLeast(Vec<u8>),
    AtMost(Vec<u8>),
    /// … only if it is in the set of this name, in the same table.
    In(Vec<u8>),
    Accept,
    Drop,
    /// Counts what gets this far.
    Count,
    /// Not one of ours.
    Foreign {
        name: Vec<u8>,
        body: Vec<u8>,
    },
}

impl Expr {
    fn name(&self) -> &[u8] {
        match self {
            Self::Meta(_) => b"meta",
            Self::Payload { .. } => b"payload",
            Self::SocketMark => b"socket",
            Self::Equal(_) | Self::AtLeast(_) | Self::AtMost(_) => b"cmp",
            Self::In(_) => b"lookup",
            Self::Accept | Self::Drop => b"immediate",
            Self::Count => b"counter",
            Self::Foreign { name, .. } => name,
        }
    }

    pub fn encode(&self, encoder: &mut Encoder) {
        encoder.nest(LIST_ITEM, |item| {
            item.name(EXPR_NAME, self.name());
            item.nest(EXPR_BODY, |body| self.encode_body(body));
        });
    }

    fn encode_body(&self, body: &mut Encoder) {
        match self {
            Self::Meta(key) => {
                body.be32(1, REGISTER);
                body.be32(2, *key as u32);
            }
            Self::Payload { base, offset, bytes } => {
                body.be32(1, REGISTER);
                body.be32(2, *base as u32);
                body.be32(3, *offset);
                body.be32(4, *bytes);
            }
            Self::SocketMark => {
                body.be32(1, SOCKET_MARK);
                body.be32(2, REGISTER);
            }
            Self::Equal(value) => compare(body, COMPARE_EQUAL, value),
            Self::AtLeast(value) => compare(body, COMPARE_AT_LEAST, value),
            Self::AtMost(value) => compare(body, COMPARE_AT_MOST, value),
            Self::In(set) => {
                body.name(1, set);
                body.be32(2, REGISTER);
            }
            Self::Accept => verdict(body, VERDICT_ACCEPT),
            Self::Drop => verdict(body, VERDICT_DROP),
            Self::Count => {}
            Self::Foreign { body: bytes, .. } => body.raw(bytes),
        }
    }
}

fn compare(body: &mut Encoder, how: u32, value: &[u8]) {
    body.be32(1, REGISTER);
    body.be32(2, how);
    body.nest(3, |data| data.attribute(DATA_VALUE, value));
}

fn verdict(body: &mut Encoder, code: u32) {
    body.be32(1, REGISTER_VERDICT);
    body.nest(2, |data| data.nest(DATA_VERDICT, |verdict| verdict.be32(VERDICT_CODE, code)));
}

/// Reads a rule's expressions, and how many packets its counter has counted.
pub fn read(list: Attributes<'_>) -> Result<(Vec<Expr>, u64), Malformed> {
    let mut exprs = Vec::new();
    let mut packets: u64 = 0;
    for item in list {
        let (mut name, mut body): (&[u8], &[u8]) = (&[], &[]);
        let mut fields = [None; 8];
        for attribute in item?.nested() {
            let attribute = attribute?;
            match attribute.kind {
                EXPR_NAME => name = attribute.name(),
                EXPR_BODY => {
                    body = attribute.value;
                    for field in attribute.nested() {
                        let field = field?;
                        // An expression with a field past these is none of ours.
                        if let Some(slot) = fields.get_mut(usize::from(field.kind)) {
                            *slot = Some(field);
                        }
                    }
                }
                _ => {}
            }
        }
        let fields = Fields(fields);
        if name == b"counter" {
            packets = packets.saturating_add(fields.packets()?);
        }
        let expr = fields.ours(name)?;
        exprs.push(expr.unwrap_or_else(|| Expr::Foreign { name: name.into(), body: body.into() }));
    }
    Ok((exprs, packets))
}

/// The fields of one expression, by their number.
struct Fields<'a>([Option<Attribute<'a>>; 8]);

impl Fields<'_> {
    fn ours(&self, name: &[u8]) -> Result<Option<Expr>, Malformed> {
        Ok(match name {
            b"meta" if self.number(1)? == Some(REGISTER) => self.meta()?.map(Expr::Meta),
            b"payload" if self.number(1)? == Some(REGISTER) => self.payload()?,
            b"socket" => (self.number(1)? == Some(SOCKET_MARK)
                && self.number(2)? == Some(REGISTER))
            .then_some(Expr::SocketMark),
            b"cmp" => self.compared()?,
            b"lookup" => self.lookup()?,
            b"immediate" => self.verdict()?,
            b"counter" => Some(Expr::Count),
            _ => None,
        })
    }

    fn number(&self, kind: usize) -> Result<Option<u32>, Malformed> {
        self.0[kind].map(|field| field.be32()).transpose()
    }

    fn inner(&self, kind: usize, wanted: u16) -> Result<Option<Attribute<'_>>, Malformed> {
        let Some(field) = self.0[kind] else { return Ok(None) };
        for inner in field.nested() {
            let inner = inner?;
            if inner.kind == wanted {
                return Ok(Some(inner));
            }
        }
        Ok(None)
    }

    fn packets(&self) -> Result<u64, Malformed> {
        let field = self.0[usize::from(COUNTER_PACKETS)];
        Ok(field.map(|field| field.be64()).transpose()?.unwrap_or_default())
    }

    fn meta(&self) -> Result<Option<Meta>, Malformed> {
        let all = [
            Meta::Protocol,
            Meta::Mark,
            Meta::In,
            Meta::Out,
            Meta::SocketUser,
            Meta::Family,
            Meta::Transport,
        ];
        let key = self.number(2)?;
        Ok(all.into_iter().find(|meta| key == Some(*meta as u32)))
    }

    fn payload(&self) -> Result<Option<Expr>, Malformed> {
        let all = [Base::Link, Base::Network, Base::Transport];
        let base = self.number(2)?;
        let base = all.into_iter().find(|known| base == Some(*known as u32));
        Ok(match (base, self.number(3)?, self.number(4)?) {
            (Some(base), Some(offset), Some(bytes)) => Some(Expr::Payload { base, offset, bytes }),
            _ => None,
        })
    }

    fn compared(&self) -> Result<Option<Expr>, Malformed> {
        let (how, value) = (self.number(2)?, self.inner(3, DATA_VALUE)?);
        let (Some(value), Some(REGISTER)) = (value, self.number(1)?) else { return Ok(None) };
        let value = value.value.to_vec();
        Ok(match how {
            Some(COMPARE_EQUAL) => Some(Expr::Equal(value)),
            Some(COMPARE_AT_LEAST) => Some(Expr::AtLeast(value)),
            Some(COMPARE_AT_MOST) => Some(Expr::AtMost(value)),
            Some(_) | None => None,
        })
    }

    /// A lookup that is inverted, or that maps to something, is none of ours.
    fn lookup(&self) -> Result<Option<Expr>, Malformed> {
        let plain = self.number(2)? == Some(REGISTER)
            && self.0[3].is_none()
            && matches!(self.number(5)?, None | Some(0));
        let set = self.0[1].map(|set| set.name().to_vec());
        Ok(set.filter(|_| plain).map(Expr::In))
    }

    fn verdict(&self) -> Result<Option<Expr>, Malformed> {
        let Some(verdict) = self.inner(2, DATA_VERDICT)? else { return Ok(None) };
        for field in verdict.nested() {
            let field = field?;
            if field.kind == VERDICT_CODE {
                return Ok(match field.be32()? {
                    VERDICT_ACCEPT => Some(Expr::Accept),
                    VERDICT_DROP => Some(Expr::Drop),
                    _ => None,
                });
            }
        }
        Ok(None)
    }
}

impl Display for Expr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta(key) => write!(formatter, "meta {}", *key as u32),
            Self::Payload { base, offset, bytes } => {
                write!(formatter, "payload {} {offset} {bytes}", *base as u32)
            }
            Self::SocketMark => write!(formatter, "socket mark"),
            Self::Equal(value) => bytes(formatter, "=", value),
            Self::AtLeast(value) => bytes(formatter, ">=", value),
            Self::AtMost(value) => bytes(formatter, "<=", value),
            Self::In(set) => write!(formatter, "in {}", set.escape_ascii()),
            Self::Accept => write!(formatter, "accept"),
            Self::Drop => write!(formatter, "drop"),
            Self::Count => write!(formatter, "count"),
            Self::Foreign { name, body } => {
                write!(formatter, "foreign {}", name.escape_ascii())?;
                bytes(formatter, "", body)
            }
        }
    }
}

fn bytes(formatter: &mut fmt::Formatter<'_>, what: &str, value: &[u8]) -> fmt::Result {
    formatter.write_str(what)?;
    value.iter().try_for_each(|byte| write!(formatter, " {byte:02x}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::platform::linux::netlink::wire::messages;

    fn through_the_wire(exprs: &[Expr]) -> Vec<Expr> {
        let mut encoder = Encoder::new(1);
        encoder.message(1, 0, |message| exprs.iter().for_each(|expr| expr.encode(message)));
        let (bytes, _) = encoder.finish().unwrap();
        let message = messages(&bytes).next().unwrap().unwrap();
        read(message.attributes(0).unwrap()).unwrap().0
    }

    fn any_expr() -> impl Strategy<Value = Expr> {
        prop_oneof![
            proptest::sample::select(vec![
                Expr::Meta(Meta::Mark),
                Expr::Meta(Meta::SocketUser),
                Expr::Meta(Meta::Transport),
                Expr::SocketMark,
                Expr::Accept,
                Expr::Drop,
                Expr::Count,
                Expr::In(b"set-4".to_vec()),
            ]),
            (0u32..64, 1u32..17).prop_map(|(offset, bytes)| Expr::Payload {
                base: Base::Network,
                offset,
                bytes
            }),
            proptest::collection::vec(any::<u8>(), 1..17).prop_map(Expr::Equal),
            proptest::collection::vec(any::<u8>(), 1..17).prop_map(Expr::AtLeast),
            proptest::collection::vec(any::<u8>(), 1..17).prop_map(Expr::AtMost),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(exprs in proptest::collection::vec(any_expr(), 0..8)) {
            prop_assert_eq!(through_the_wire(&exprs), exprs);
        }
    }

    #[test]
    fn what_we_never_write_is_foreign() {
        let lookup = Expr::Foreign { name: b"lookup".to_vec(), body: vec![8, 0, 1, 0, 1, 2, 3, 4] };
        assert_eq!(through_the_wire(std::slice::from_ref(&lookup)), [lookup]);
        // A verdict other than accept and drop, under a name that we do use.
        let body = vec![8, 0, 1, 0, 0, 0, 0, 0, 16, 0, 2, 0, 12, 0, 2, 0, 8, 0, 1, 0, 0, 0, 0, 3];
        let queue = Expr::Foreign { name: b"immediate".to_vec(), body };
        assert_eq!(through_the_wire(std::slice::from_ref(&queue)), [queue]);
        // A lookup that holds for what is not in the set.
        let body = vec![6, 0, 1, 0, b's', 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 1, 8, 0, 5, 0, 0, 0, 0, 1];
        let inverted = Expr::Foreign { name: b"lookup".to_vec(), body };
        assert_eq!(through_the_wire(std::slice::from_ref(&inverted)), [inverted]);
    }
}
