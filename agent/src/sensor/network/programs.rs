//! The BPF programs that see sockets change, emitted for this kernel's structures.
//!
//! They only read and report. Those of control groups could refuse what they see; they have one
//! way out, and it allows. Each is a straight line without loops.

use std::os::fd::RawFd;

use crate::platform::linux::bpf::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::platform::linux::bpf::asm::{
    AsmError, Assembler, Instruction, KernelCall, Label, Size, When,
};
use crate::platform::linux::bpf::btf::{Btf, BtfError, Kind, Structure};

use super::record::{
    Place, RecordKind, STATE_CLOSE, STATE_ESTABLISHED, STATE_LISTEN, STATE_SYN_SENT,
};

/// Counters of what the ring had no room for: of TCP, of UDP.
pub(super) const DROP_COUNTERS: u32 = 2;

/// A datagram's process and address; see [`super::flows::Key`].
pub(super) const KEY_BYTES: i16 = 32;
/// How often, and when last.
pub(super) const VALUE_BYTES: i16 = 16;

/// Where the key and its value stand on the stack, below the record.
const KEY: i16 = -(Place::END + KEY_BYTES);
const VALUE: i16 = KEY - VALUE_BYTES;

/// Where the beginning of a socket is copied to, below the number of a counter.
const COMMON_BYTES: i16 = 128;
const COMMON: i16 = VALUE - 8 - COMMON_BYTES;

const FAMILY_IPV4: i32 = 2;
const FAMILY_IPV6: i32 = 10;
const TCP: i32 = 6;
const UDP: i32 = 17;

/// Where this kernel keeps what the programs read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offsets {
    /// The kernel's number for the trace point's type.
    pub(super) point: u32,
    socket: Socket,
    content: Option<Content>,
    task: Task,
    net_number: i16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Socket {
    protocol: i16,
    error: i16,
    family: i16,
    flags: i16,
    own_port: i16,
    local_port: i16,
    remote_port: i16,
    local4: i16,
    remote4: i16,
    /// Kernels can be built without IPv6.
    six: Option<(i16, i16)>,
    net: i16,
}

/// How many bytes a TCP socket sent, sent again and received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Content {
    sent: i16,
    resent: i16,
    received: i16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Task {
    group_leader: i16,
    start: i16,
    name: i16,
}

/// The maps that the programs use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    pub(super) ring: RawFd,
    pub(super) drops: RawFd,
    pub(super) flows: RawFd,
}

/// Which sockets are reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    /// Only those of the network namespace with this number.
    pub(super) only_netns: Option<u32>,
    /// Also connections that stay within the machine.
    pub(super) loopback: bool,
}

impl Offsets {
    pub(super) fn read(btf: &Btf) -> Result<Self, BtfError> {
        let sock = btf.structure("sock")?;
        let common = |member: &str| sock.offset(&format!("__sk_common.{member}"));
        let six = common("skc_v6_rcv_saddr").ok().zip(common("skc_v6_daddr").ok());
        let task = btf.structure("task_struct")?;
        Ok(Self {
            point: btf.find(Kind::Typedef, "btf_trace_inet_sock_set_state")?,
            socket: Socket {
                protocol: sock.offset("sk_protocol")?,
                error: sock.offset("sk_err")?,
                flags: common("skc_flags")?,
                own_port: btf.structure("inet_sock")?.offset("inet_sport")?,
                family: common("skc_family")?,
                local_port: common("skc_num")?,
                remote_port: common("skc_dport")?,
                local4: common("skc_rcv_saddr")?,
                remote4: common("skc_daddr")?,
                six,
                net: common("skc_net.net")?,
            },
            content: btf.structure("tcp_sock").ok().and_then(|tcp| Content::read(&tcp)),
            task: Task {
                group_leader: task.offset("group_leader")?,
                start: task.offset("start_boottime")?,
                name: task.offset("comm")?,
            },
            net_number: btf.structure("net")?.offset("ns.inum")?,
        })
    }
}

impl Content {
    fn read(tcp: &Structure<'_>) -> Option<Self> {
        let offset = |member| tcp.offset(member).ok();
        Some(Self {
            sent: offset("bytes_sent")?,
            resent: offset("bytes_retrans")?,
            received: offset("bytes_received")?,
        })
    }
}

/// `inet_sock_set_state(socket, old state, new state)`: a TCP socket changes its state. The owner
/// is whoever runs when it begins to listen or to connect; later changes come from anywhere.
pub(super) fn tcp(
    offsets: &Offsets,
    maps: Maps,
    wanted: Wanted,
) -> Result<Vec<Instruction>, AsmError> {
    let mut asm = Assembler::default();
    let (keep, end, whose, listens, send_it) =
        (asm.label(), asm.label(), asm.label(), asm.label(), asm.label());
    let socket = &offsets.socket;
    asm.load(Size::Double, R6, R1, 0).load(Size::Double, R7, R1, 8).load(Size::Double, R9, R1, 16);
    asm.load(Size::Half, R1, R6, socket.protocol).jump_if(R1, When::Differs, TCP, end);
    for state in [STATE_SYN_SENT, STATE_ESTABLISHED, STATE_CLOSE, STATE_LISTEN] {
        asm.jump_if(R9, When::Equal, state, keep);
    }
    asm.jump(end).bind(keep);
    empty_record(&mut asm, RecordKind::Tcp);
    asm.load(Size::Double, R1, R6, socket.net).load(Size::Word, R1, R1, offsets.net_number);
    if let Some(number) = wanted.only_netns {
        asm.set_word(R2, number).jump_if_reg(R1, When::Differs, R2, end);
    }
    asm.store(Size::Word, R8, Place::NETNS, R1);
    ends(&mut asm, socket, end);
    asm.jump_if(R9, When::Equal, STATE_LISTEN, listens);
    asm.jump_if(R7, When::Equal, STATE_LISTEN, listens);
    if !wanted.loopback {
        skip_loopback(&mut asm, R8, Place::REMOTE, end);
    }
    asm.bind(listens);
    asm.store(Size::Double, R8, Place::SOCKET, R6);
    asm.store(Size::Word, R8, Place::OLD, R7).store(Size::Word, R8, Place::NEW, R9);
    asm.load(Size::Word, R1, R6, socket.error).store(Size::Word, R8, Place::ERROR, R1);
    asm.call(KernelCall::BootTime).store(Size::Double, R8, Place::TIME, R0);
    asm.jump_if(R9, When::Equal, STATE_LISTEN, whose);
    asm.jump_if(R9, When::Equal, STATE_SYN_SENT, whose);
    asm.jump_if(R9, When::Differs, STATE_CLOSE, send_it);
    asm.jump_if(R7, When::Equal, STATE_LISTEN, send_it);
    at_end(&mut asm, offsets);
    asm.jump(send_it).bind(whose);
    owner(&mut asm, &offsets.task);
    asm.bind(send_it);
    send(&mut asm, maps, 0, end);
    asm.bind(end).set(R0, 0).exit();
    asm.finish()
}

/// What a TCP socket in R6 tells at its end. Its port has been given back by then, but not from
/// where packets take it.
fn at_end(asm: &mut Assembler, offsets: &Offsets) {
    /// The kernel's flag of a socket whose other end is done.
    const DONE: i32 = 1 << 1;
    let socket = &offsets.socket;
    asm.load(Size::Double, R1, R6, socket.flags).and(R1, DONE);
    asm.store(Size::Double, R8, Place::FINISHED, R1);
    asm.copy(R3, R6).add(R3, i32::from(socket.own_port));
    read_kernel(asm, Place::OWN_PORT);
    let Some(content) = &offsets.content else { return };
    asm.store_value(Size::Word, R8, Place::KIND, RecordKind::TcpCounted as i32);
    let counts = [
        (Place::SENT, content.sent),
        (Place::RESENT, content.resent),
        (Place::RECEIVED, content.received),
    ];
    for (place, offset) in counts {
        asm.copy(R3, R6).add(R3, i32::from(offset));
        read_kernel(asm, place);
    }
}

/// A datagram is about to leave for an IPv4 or IPv6 address, or a UDP socket is about to be
/// connected to one. The first one of a process to an address is reported; the rest is counted.
pub(super) fn udp(
    offsets: &Offsets,
    maps: Maps,
    wanted: Wanted,
    six: bool,
) -> Result<Vec<Instruction>, AsmError> {
    let mut asm = Assembler::default();
    let (allow, first) = (asm.label(), asm.label());
    asm.copy(R6, R1).load(Size::Word, R1, R6, Context::PROTOCOL);
    asm.jump_if(R1, When::Differs, UDP, allow);
    key(&mut asm, six, allow);
    if !wanted.loopback {
        // Who asks a resolver on this machine is worth knowing, though it is not told by itself.
        let resolver = asm.label();
        asm.load(Size::Word, R1, R10, KEY + Key::PORT);
        asm.jump_if(R1, When::Equal, i32::from(53u16.to_be()), resolver);
        skip_loopback(&mut asm, R10, KEY + Key::IP, allow);
        asm.bind(resolver);
    }
    asm.load_map(R1, maps.flows).copy(R2, R10).add(R2, i32::from(KEY)).call(KernelCall::MapLookup);
    asm.jump_if(R0, When::Equal, 0, first);
    asm.copy(R7, R0).set(R1, 1).atomic_add(R7, 0, R1);
    asm.call(KernelCall::BootTime).store(Size::Double, R7, 8, R0).jump(allow);
    asm.bind(first).call(KernelCall::BootTime).copy(R7, R0);
    asm.store_value(Size::Double, R10, VALUE, 1).store(Size::Double, R10, VALUE + 8, R7);
    asm.load_map(R1, maps.flows).copy(R2, R10).add(R2, i32::from(KEY));
    asm.copy(R3, R10).add(R3, i32::from(VALUE)).set(R4, 0).call(KernelCall::MapUpdate);
    empty_record(&mut asm, RecordKind::Udp);
    asm.store(Size::Double, R8, Place::TIME, R7);
    context_ends(&mut asm, six);
    owner(&mut asm, &offsets.task);
    socket_netns(&mut asm, offsets);
    send(&mut asm, maps, 1, allow);
    // The one way out.
    asm.bind(allow).set(R0, 1).exit();
    asm.finish()
}

/// Where fields stand in `bpf_sock_addr`, what a program of a control group is given, and in the
/// `bpf_sock` that it points to.
struct Context;

impl Context {
    const REMOTE4: i16 = 4;
    const REMOTE6: i16 = 8;
    const REMOTE_PORT: i16 = 24;
    const PROTOCOL: i16 = 36;
    const SOCKET: i16 = 64;
    const SOCKET_LOCAL4: i16 = 24;
    const SOCKET_LOCAL6: i16 = 28;
    const SOCKET_LOCAL_PORT: i16 = 44;
}

/// Where fields stand in the key of the map of flows.
pub(super) struct Key;

impl Key {
    pub(super) const PID: i16 = 0;
    pub(super) const FAMILY: i16 = 4;
    pub(super) const IP: i16 = 8;
    pub(super) const PORT: i16 = 24;
}

fn words(six: bool) -> std::ops::Range<i16> {
    if six { 0..4 } else { 0..1 }
}

fn family(six: bool) -> i32 {
    if six { FAMILY_IPV6 } else { FAMILY_IPV4 }
}

/// Process and address as the key on the stack; port 0 is no address at all.
fn key(asm: &mut Assembler, six: bool, allow: Label) {
    for place in (0..KEY_BYTES).step_by(8) {
        asm.store_value(Size::Double, R10, KEY + place, 0);
    }
    asm.load(Size::Word, R1, R6, Context::REMOTE_PORT).jump_if(R1, When::Equal, 0, allow);
    asm.store(Size::Word, R10, KEY + Key::PORT, R1);
    let remote = if six { Context::REMOTE6 } else { Context::REMOTE4 };
    for word in words(six) {
        asm.load(Size::Word, R1, R6, remote + 4 * word);
        asm.store(Size::Word, R10, KEY + Key::IP + 4 * word, R1);
    }
    asm.call(KernelCall::CurrentPids).shift_right(R0, 32);
    asm.store(Size::Word, R10, KEY + Key::PID, R0);
    asm.store_value(Size::Word, R10, KEY + Key::FAMILY, family(six));
}

/// Both ends of a datagram, into the record.
fn context_ends(asm: &mut Assembler, six: bool) {
    asm.store_value(Size::Word, R8, Place::FAMILY, family(six));
    asm.load(Size::Word, R1, R10, KEY + Key::PORT).store(Size::Word, R8, Place::REMOTE_PORT, R1);
    asm.load(Size::Double, R2, R6, Context::SOCKET);
    let local = if six { Context::SOCKET_LOCAL6 } else { Context::SOCKET_LOCAL4 };
    for word in words(six) {
        asm.load(Size::Word, R1, R10, KEY + Key::IP + 4 * word);
        asm.store(Size::Word, R8, Place::REMOTE + 4 * word, R1);
        asm.load(Size::Word, R1, R2, local + 4 * word);
        asm.store(Size::Word, R8, Place::LOCAL + 4 * word, R1);
    }
    asm.load(Size::Word, R1, R2, Context::SOCKET_LOCAL_PORT);
    asm.store(Size::Word, R8, Place::LOCAL_PORT, R1);
}

/// Both ends of the TCP socket in R6, into the record; other families are passed over.
fn ends(asm: &mut Assembler, socket: &Socket, end: Label) {
    let (four, done) = (asm.label(), asm.label());
    asm.load(Size::Half, R1, R6, socket.local_port).store(Size::Word, R8, Place::LOCAL_PORT, R1);
    asm.load(Size::Half, R1, R6, socket.remote_port).store(Size::Word, R8, Place::REMOTE_PORT, R1);
    asm.load(Size::Half, R1, R6, socket.family).store(Size::Word, R8, Place::FAMILY, R1);
    asm.jump_if(R1, When::Equal, FAMILY_IPV4, four);
    if let Some((local, remote)) = socket.six {
        asm.jump_if(R1, When::Differs, FAMILY_IPV6, end);
        for half in [0, 8] {
            asm.load(Size::Double, R1, R6, local + half);
            asm.store(Size::Double, R8, Place::LOCAL + half, R1);
            asm.load(Size::Double, R1, R6, remote + half);
            asm.store(Size::Double, R8, Place::REMOTE + half, R1);
        }
        asm.jump(done);
    } else {
        asm.jump(end);
    }
    asm.bind(four);
    asm.load(Size::Word, R1, R6, socket.local4).store(Size::Word, R8, Place::LOCAL, R1);
    asm.load(Size::Word, R1, R6, socket.remote4).store(Size::Word, R8, Place::REMOTE, R1);
    asm.bind(done);
}

/// Leaves for addresses of 127.0.0.0/8 and ::1. Rarer ways to stay within the machine are passed
/// over by the reader.
fn skip_loopback(
    asm: &mut Assembler,
    base: crate::platform::linux::bpf::asm::Reg,
    at: i16,
    end: Label,
) {
    let outside = asm.label();
    asm.load(Size::Byte, R1, base, at).jump_if(R1, When::Equal, 127, end);
    asm.load(Size::Double, R1, base, at).jump_if(R1, When::Differs, 0, outside);
    asm.load(Size::Word, R1, base, at + 8).jump_if(R1, When::Differs, 0, outside);
    asm.set_word(R2, 1u32.to_be()).load(Size::Word, R1, base, at + 12);
    asm.jump_if_reg(R1, When::Equal, R2, end).bind(outside);
}

/// A record of zeros at R8.
fn empty_record(asm: &mut Assembler, kind: RecordKind) {
    asm.copy(R8, R10).add(R8, -i32::from(Place::END));
    for place in (0..Place::END).step_by(8) {
        asm.store_value(Size::Double, R8, place, 0);
    }
    asm.store_value(Size::Word, R8, Place::KIND, kind as i32);
}

/// The process that runs now, into the record. Its name is that of its first thread: others may have
/// names of their own.
fn owner(asm: &mut Assembler, task: &Task) {
    asm.call(KernelCall::CurrentPids).shift_right(R0, 32).store(Size::Word, R8, Place::PID, R0);
    asm.call(KernelCall::CurrentIds).store(Size::Word, R8, Place::UID, R0);
    asm.call(KernelCall::CurrentCgroupId).store(Size::Double, R8, Place::CGROUP, R0);
    asm.call(KernelCall::CurrentTask).copy(R3, R0).add(R3, i32::from(task.group_leader));
    read_kernel(asm, Place::START);
    asm.load(Size::Double, R3, R8, Place::START).add(R3, i32::from(task.name));
    asm.copy(R1, R8).add(R1, i32::from(Place::NAME)).set(R2, 16).call(KernelCall::ReadKernel);
    asm.load(Size::Double, R3, R8, Place::START).add(R3, i32::from(task.start));
    read_kernel(asm, Place::START);
}

/// The number of the network namespace of the socket that the context at R6 points to, into the
/// record. The verifier lets nobody count from such a pointer, so all before the namespace is read.
fn socket_netns(asm: &mut Assembler, offsets: &Offsets) {
    let (bytes, end) = (i32::from(offsets.socket.net) + 8, asm.label());
    if bytes > i32::from(COMMON_BYTES) {
        return;
    }
    asm.load(Size::Double, R3, R6, Context::SOCKET).jump_if(R3, When::Equal, 0, end);
    asm.copy(R1, R10).add(R1, i32::from(COMMON)).set(R2, bytes).call(KernelCall::ReadKernel);
    asm.jump_if(R0, When::Differs, 0, end);
    asm.load(Size::Double, R3, R10, COMMON + offsets.socket.net);
    asm.add(R3, i32::from(offsets.net_number));
    read_kernel(asm, Place::SOCKET);
    asm.load(Size::Word, R1, R8, Place::SOCKET).store(Size::Word, R8, Place::NETNS, R1);
    asm.store_value(Size::Double, R8, Place::SOCKET, 0).bind(end);
}

/// Eight bytes of the kernel's memory at R3, into the record; zeros where it cannot be read.
fn read_kernel(asm: &mut Assembler, place: i16) {
    asm.copy(R1, R8).add(R1, i32::from(place)).set(R2, 8).call(KernelCall::ReadKernel);
}

/// Sends the record into the ring; counts it when there is no room.
fn send(asm: &mut Assembler, maps: Maps, counter: i32, end: Label) {
    asm.load_map(R1, maps.ring).copy(R2, R8).set(R3, i32::from(Place::END)).set(R4, 0);
    asm.call(KernelCall::RingOutput).jump_if(R0, When::Equal, 0, end);
    asm.store_value(Size::Word, R10, VALUE - 8, counter)
        .copy(R2, R10)
        .add(R2, i32::from(VALUE - 8));
    asm.load_map(R1, maps.drops).call(KernelCall::MapLookup).jump_if(R0, When::Equal, 0, end);
    asm.set(R1, 1).atomic_add(R0, 0, R1);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: Maps = Maps { ring: 3, drops: 4, flows: 5 };
    const EXIT: u8 = 0x95;

    fn offsets() -> Offsets {
        Offsets {
            point: 1,
            socket: Socket {
                protocol: 500,
                error: 504,
                flags: 96,
                own_port: 800,
                family: 16,
                local_port: 14,
                remote_port: 12,
                local4: 4,
                remote4: 0,
                six: Some((72, 56)),
                net: 48,
            },
            content: Some(Content { sent: 1600, resent: 1608, received: 1616 }),
            task: Task { group_leader: 24, start: 40, name: 56 },
            net_number: 150,
        }
    }

    fn programs() -> Vec<Vec<Instruction>> {
        let mut all = Vec::new();
        for (only_netns, loopback) in [(None, true), (Some(0xf000_0001), false)] {
            let wanted = Wanted { only_netns, loopback };
            all.push(tcp(&offsets(), MAPS, wanted).unwrap());
            all.extend([false, true].map(|six| udp(&offsets(), MAPS, wanted, six).unwrap()));
        }
        all
    }

    #[test]
    fn every_program_is_a_short_straight_line() {
        for code in programs() {
            assert!(code.len() < 200, "{} instructions", code.len());
            for [op, _, low, high, ..] in code {
                let is_jump = op & 0x07 == 0x05 && op != 0x85 && op != EXIT;
                assert!(!is_jump || i16::from_ne_bytes([low, high]) >= 0);
            }
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_program_of_a_control_group_has_one_way_out_and_it_allows() {
        for six in [false, true] {
            for loopback in [false, true] {
                let wanted = Wanted { only_netns: None, loopback };
                let code = udp(&offsets(), MAPS, wanted, six).unwrap();
                assert_eq!(code.iter().filter(|line| line[0] == EXIT).count(), 1);
                let [.., allow, exit] = code.as_slice() else { panic!("two instructions") };
                assert_eq!(exit[0], EXIT);
                assert_eq!(*allow, [0xb7, 0, 0, 0, 1, 0, 0, 0], "the result is set to 1");
            }
        }
    }

    #[test]
    fn everything_fits_the_stack() {
        assert!(i32::from(COMMON) >= -512);
        assert_eq!(i32::from(VALUE) % 8, 0, "counters are added to in place");
    }

    #[test]
    fn a_kernel_without_the_types_is_named_as_the_reason() {
        let blob = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0].iter().copied().chain([0; 16]).collect();
        let btf = Btf::parse(blob).unwrap();
        let error = Offsets::read(&btf).unwrap_err().to_string();
        assert_eq!(error, "this kernel's types have no sock");
    }
}
