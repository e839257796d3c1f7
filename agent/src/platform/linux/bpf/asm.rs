//! Assembles BPF instructions, with labels for jumps. Pure: bytes come out, nothing is loaded.

use std::os::fd::RawFd;

/// One instruction in the kernel's layout, native byte order.
pub type Instruction = [u8; 8];

/// A register. R1 to R5 carry arguments and are lost in a call; R6 to R9 are kept; R10 is the
/// frame, read-only; R0 is the result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reg {
    /// Result of calls and of the program.
    R0 = 0,
    /// First argument; the context at the start.
    R1,
    /// Second argument.
    R2,
    /// Third argument.
    R3,
    /// Fourth argument.
    R4,
    /// Fifth argument.
    R5,
    /// Kept over calls.
    R6,
    /// Kept over calls.
    R7,
    /// Kept over calls.
    R8,
    /// Kept over calls.
    R9,
    /// The stack frame: 512 bytes below it.
    R10,
}

/// How much is loaded or stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// Four bytes.
    Word = 0x00,
    /// Two bytes.
    Half = 0x08,
    /// One byte.
    Byte = 0x10,
    /// Eight bytes.
    Double = 0x18,
}

/// When a jump is taken. Comparisons are of 64 bits, unsigned where the name does not say signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// Equal.
    Equal = 0x10,
    /// Greater.
    Above = 0x20,
    /// Not equal.
    Differs = 0x50,
    /// Greater, signed.
    SignedAbove = 0x60,
    /// Less.
    Below = 0xa0,
    /// Less or equal.
    AtMost = 0xb0,
}

/// Where a jump goes; bound to a place once.
#[derive(Clone, Copy, Debug)]
pub struct Label(usize);

/// Kernel functions that programs call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KernelCall {
    /// `bpf_map_lookup_elem`
    MapLookup = 1,
    /// `bpf_map_update_elem`
    MapUpdate = 2,
    /// `bpf_get_current_pid_tgid`
    CurrentPids = 14,
    /// `bpf_get_current_uid_gid`
    CurrentIds = 15,
    /// `bpf_get_current_task`
    CurrentTask = 35,
    /// `bpf_get_current_cgroup_id`
    CurrentCgroupId = 80,
    /// `bpf_probe_read_user`
    ReadUser = 112,
    /// `bpf_probe_read_kernel`
    ReadKernel = 113,
    /// `bpf_probe_read_kernel_str`
    ReadKernelText = 115,
    /// `bpf_ktime_get_boot_ns`
    BootTime = 125,
    /// `bpf_ringbuf_output`
    RingOutput = 130,
    /// `bpf_ringbuf_query`
    RingQuery = 134,
}

/// Why a program could not be assembled: a mistake in the function that emitted it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AsmError {
    /// A jump leads nowhere.
    #[error("assembling a program: the jump at instruction {at} goes to a label without a place")]
    Unbound {
        /// The jump.
        at: usize,
    },
    /// A jump is too long for its field.
    #[error("assembling a program: the jump at instruction {at} is too long")]
    TooFar {
        /// The jump.
        at: usize,
    },
}

/// Collects instructions.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    instructions: Vec<Instruction>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// `to = from`
    pub fn copy(&mut self, to: Reg, from: Reg) -> &mut Self {
        self.emit(0xbf, to as u8, from as u8, 0, 0)
    }

    /// `to = value`
    pub fn set(&mut self, to: Reg, value: i32) -> &mut Self {
        self.emit(0xb7, to as u8, 0, 0, value)
    }

    /// `to = value`, the upper half zero: for numbers that are no signed 32 bits.
    pub fn set_word(&mut self, to: Reg, value: u32) -> &mut Self {
        self.emit(0xb4, to as u8, 0, 0, value.cast_signed())
    }

    /// `to >>= bits`, zeros coming in.
    pub fn shift_right(&mut self, to: Reg, bits: i32) -> &mut Self {
        self.emit(0x77, to as u8, 0, 0, bits)
    }

    /// `to += value`
    pub fn add(&mut self, to: Reg, value: i32) -> &mut Self {
        self.emit(0x07, to as u8, 0, 0, value)
    }

    /// `to += from`
    pub fn add_reg(&mut self, to: Reg, from: Reg) -> &mut Self {
        self.emit(0x0f, to as u8, from as u8, 0, 0)
    }

    /// `to &= value`
    pub fn and(&mut self, to: Reg, value: i32) -> &mut Self {
        self.emit(0x57, to as u8, 0, 0, value)
    }

    /// `to -= from`
    pub fn sub_reg(&mut self, to: Reg, from: Reg) -> &mut Self {
        self.emit(0x1f, to as u8, from as u8, 0, 0)
    }

    /// `to = *(from + offset)`
    pub fn load(&mut self, size: Size, to: Reg, from: Reg, offset: i16) -> &mut Self {
        self.emit(0x61 | size as u8, to as u8, from as u8, offset, 0)
    }

    /// `*(to + offset) = from`
    pub fn store(&mut self, size: Size, to: Reg, offset: i16, from: Reg) -> &mut Self {
        self.emit(0x63 | size as u8, to as u8, from as u8, offset, 0)
    }

    /// `*(to + offset) = value`
    pub fn store_value(&mut self, size: Size, to: Reg, offset: i16, value: i32) -> &mut Self {
        self.emit(0x62 | size as u8, to as u8, 0, offset, value)
    }

    /// `*(u64 *)(to + offset) += from`, in one step that no other processor can come between.
    pub fn atomic_add(&mut self, to: Reg, offset: i16, from: Reg) -> &mut Self {
        self.emit(0xdb, to as u8, from as u8, offset, 0)
    }

    /// `to = map`; the loader puts the map's address in the descriptor's place.
    pub fn load_map(&mut self, to: Reg, map: RawFd) -> &mut Self {
        const MAP_BY_DESCRIPTOR: u8 = 1;
        self.emit(0x18, to as u8, MAP_BY_DESCRIPTOR, 0, map).emit(0, 0, 0, 0, 0)
    }

    /// `R0 = helper(R1 … R5)`
    pub fn call(&mut self, helper: KernelCall) -> &mut Self {
        self.emit(0x85, 0, 0, 0, helper as i32)
    }

    /// Ends the program; R0 is its result.
    pub fn exit(&mut self) -> &mut Self {
        self.emit(0x95, 0, 0, 0, 0)
    }

    /// A new label without a place.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label before the next instruction.
    pub fn bind(&mut self, label: Label) -> &mut Self {
        let here = self.instructions.len();
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(here);
        }
        self
    }

    /// `goto label`
    pub fn jump(&mut self, label: Label) -> &mut Self {
        self.jump_with(0x05, 0, 0, 0, label)
    }

    /// `if left ? value goto label`
    pub fn jump_if(&mut self, left: Reg, when: When, value: i32, label: Label) -> &mut Self {
        self.jump_with(0x05 | when as u8, left as u8, 0, value, label)
    }

    /// `if left ? right goto label`
    pub fn jump_if_reg(&mut self, left: Reg, when: When, right: Reg, label: Label) -> &mut Self {
        self.jump_with(0x0d | when as u8, left as u8, right as u8, 0, label)
    }

    /// The program, with every jump in place.
    pub fn finish(mut self) -> Result<Vec<Instruction>, AsmError> {
        for (at, label) in self.jumps {
            let place = self.labels.get(label.0).copied().flatten();
            let place = place.ok_or(AsmError::Unbound { at })?;
            let distance = distance(at, place).ok_or(AsmError::TooFar { at })?;
            if let Some(jump) = self.instructions.get_mut(at) {
                jump[2..4].copy_from_slice(&distance.to_ne_bytes());
            }
        }
        Ok(self.instructions)
    }

    fn jump_with(&mut self, op: u8, left: u8, right: u8, value: i32, label: Label) -> &mut Self {
        self.jumps.push((self.instructions.len(), label));
        self.emit(op, left, right, 0, value)
    }

    fn emit(&mut self, op: u8, to: u8, from: u8, offset: i16, value: i32) -> &mut Self {
        let registers =
            if cfg!(target_endian = "little") { to | from << 4 } else { to << 4 | from };
        let [o0, o1] = offset.to_ne_bytes();
        let [v0, v1, v2, v3] = value.to_ne_bytes();
        self.instructions.push([op, registers, o0, o1, v0, v1, v2, v3]);
        self
    }
}

/// Jumps count from the instruction after the jump.
fn distance(at: usize, place: usize) -> Option<i16> {
    let (at, place) = (i64::try_from(at).ok()?, i64::try_from(place).ok()?);
    i16::try_from(place - at - 1).ok()
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;
    use Reg::{R0, R1, R2, R6, R10};

    /// Golden bytes as `llvm-objdump` prints them for the same instruction.
    #[track_caller]
    fn check(write: impl FnOnce(&mut Assembler), expected: &str) {
        let mut asm = Assembler::default();
        write(&mut asm);
        let hex = |byte: &u8| format!("{byte:02x}");
        let lines = asm.finish().unwrap();
        let lines = lines.iter().map(|line| line.iter().map(hex).collect::<Vec<_>>().join(" "));
        assert_eq!(lines.collect::<Vec<_>>().join("\n"), expected);
    }

    #[test]
    fn moves_and_sums_are_64_bits_wide() {
        let code = |asm: &mut Assembler| {
            asm.copy(R6, R1).set(R0, -1).add(R2, -8).add_reg(R1, R6).sub_reg(R2, R1).and(R2, 4);
            asm.set_word(R2, 0xefff_fff9).shift_right(R0, 32);
        };
        let bytes = "bf 16 00 00 00 00 00 00\nb7 00 00 00 ff ff ff ff\n07 02 00 00 f8 ff ff ff\n\
                     0f 61 00 00 00 00 00 00\n1f 12 00 00 00 00 00 00\n57 02 00 00 04 00 00 00\n\
                     b4 02 00 00 f9 ff ff ef\n77 00 00 00 20 00 00 00";
        check(code, bytes);
    }

    #[test]
    fn loads_and_stores_carry_size_and_offset() {
        let code = |asm: &mut Assembler| {
            asm.load(Size::Double, R6, R1, 16)
                .load(Size::Word, R1, R6, 0x1234)
                .load(Size::Byte, R1, R6, 1)
                .load(Size::Half, R1, R6, 2)
                .store(Size::Double, R10, -8, R1)
                .store_value(Size::Word, R10, -4, 7)
                .atomic_add(R0, 0, R1);
        };
        let bytes = "79 16 10 00 00 00 00 00\n61 61 34 12 00 00 00 00\n71 61 01 00 00 00 00 00\n\
                     69 61 02 00 00 00 00 00\n7b 1a f8 ff 00 00 00 00\n62 0a fc ff 07 00 00 00\n\
                     db 10 00 00 00 00 00 00";
        check(code, bytes);
    }

    #[test]
    fn a_map_takes_two_instructions_and_a_call_its_number() {
        let code = |asm: &mut Assembler| {
            asm.load_map(R1, 5).call(KernelCall::RingOutput).exit();
        };
        let bytes = "18 11 00 00 05 00 00 00\n00 00 00 00 00 00 00 00\n85 00 00 00 82 00 00 00\n\
                     95 00 00 00 00 00 00 00";
        check(code, bytes);
    }

    #[test]
    fn jumps_go_forward_and_back_to_their_labels() {
        let code = |asm: &mut Assembler| {
            let (start, end) = (asm.label(), asm.label());
            asm.bind(start).jump_if(R0, When::Differs, 0, end);
            asm.jump_if_reg(R1, When::AtMost, R2, start).jump(start);
            asm.jump_if(R0, When::SignedAbove, 1, end).bind(end).exit();
        };
        let bytes = "55 00 03 00 00 00 00 00\nbd 21 fe ff 00 00 00 00\n05 00 fd ff 00 00 00 00\n\
                     65 00 00 00 01 00 00 00\n95 00 00 00 00 00 00 00";
        check(code, bytes);
    }

    #[test]
    fn a_jump_that_leads_nowhere_or_too_far_is_refused() {
        let mut asm = Assembler::default();
        let nowhere = asm.label();
        asm.exit().jump(nowhere);
        assert_eq!(asm.clone().finish(), Err(AsmError::Unbound { at: 1 }));
        for _ in 0..=i16::MAX {
            asm.exit();
        }
        asm.bind(nowhere);
        assert_eq!(asm.finish(), Err(AsmError::TooFar { at: 1 }));
    }
}
