//! Classic BPF programs, put together with labels: linux/filter.h and
//! Documentation/networking/filter.rst.

/// An instruction: `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// How many instructions are skipped when a comparison holds.
    pub jt: u8,
    /// How many are when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

/// A whole program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// The program that takes no packet.
    #[must_use]
    pub fn nothing() -> Self {
        let mut code = Assembler::default();
        code.returns(0);
        code.finish()
    }

    /// Its instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }
}

/// The most instructions of a program (`BPF_MAXINSNS`).
pub(crate) const MAX_INSTRUCTIONS: usize = 4096;

/// A place in a program that is not written yet: every jump leads forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// How many bytes are loaded, as a number of at most 32 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    Word = 0x00,
    Half = 0x08,
    Byte = 0x10,
}

/// A comparison of the accumulator with a constant or with the index register.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Compare {
    Equal = 0x10,
    Greater = 0x20,
    AtLeast = 0x30,
    AnyBit = 0x40,
}

/// What is computed with the accumulator and a constant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Compute {
    Add = 0x00,
    Multiply = 0x20,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
}

/// One of the words that a program has for itself (`M[]`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scratch(pub(crate) u32);

/// What the kernel knows of a packet beside its bytes (`SKF_AD_OFF`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ancillary {
    Protocol = 0,
    PacketType = 4,
    InterfaceIndex = 8,
    HardwareType = 28,
}

/// Where the loads of [`Ancillary`] begin (`SKF_AD_OFF`, -0x1000).
const ANCILLARY: u32 = 0xffff_f000;

const LD_IMMEDIATE: u16 = 0x00;
const LD_IMMEDIATE_X: u16 = 0x01;
const LD_INDIRECT: u16 = 0x40;
const LD_ABSOLUTE: u16 = 0x20;
const LD_LENGTH: u16 = 0x80;
const LD_SCRATCH: u16 = 0x60;
const LDX_SCRATCH: u16 = 0x61;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const ALU_ADD_X: u16 = 0x0c;
const ALU_XOR_X: u16 = 0xac;
const JUMP: u16 = 0x05;
const BY_X: u16 = 0x08;
const RET: u16 = 0x06;
const RET_A: u16 = 0x16;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;

/// A program in the making. The accumulator is `A` and the index register `X`, as in the kernel's
/// documentation.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    code: Vec<Instruction>,
    /// Where labels are, once they are.
    labels: Vec<Option<usize>>,
    /// Jumps (`ja`), and where they lead.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// A label that is to be [placed](Self::place).
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label here.
    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    fn emit(&mut self, code: u16, k: u32) {
        let (jt, jf) = (0, 0);
        self.code.push(Instruction { code, jt, jf, k });
    }

    /// `A` = the bytes at `X + at`, in network order. The program ends with 0 if the packet has none there.
    pub(crate) fn load(&mut self, size: Size, at: u32) {
        self.emit(LD_INDIRECT | size as u16, at);
    }

    /// `A` = what the kernel knows beside.
    pub(crate) fn load_ancillary(&mut self, what: Ancillary) {
        self.emit(LD_ABSOLUTE, ANCILLARY + what as u32);
    }

    /// `A` = bytes of the packet.
    pub(crate) fn load_length(&mut self) {
        self.emit(LD_LENGTH, 0);
    }

    /// `A` = a word of its own.
    pub(crate) fn recall(&mut self, word: Scratch) {
        self.emit(LD_SCRATCH, word.0);
    }

    /// `X` = a word of its own.
    pub(crate) fn recall_index(&mut self, word: Scratch) {
        self.emit(LDX_SCRATCH, word.0);
    }

    /// A word of its own = `A`.
    pub(crate) fn store(&mut self, word: Scratch) {
        self.emit(ST, word.0);
    }

    /// A word of its own = `X`.
    pub(crate) fn store_index(&mut self, word: Scratch) {
        self.emit(STX, word.0);
    }

    /// `A` = a constant.
    pub(crate) fn set(&mut self, k: u32) {
        self.emit(LD_IMMEDIATE, k);
    }

    /// `X` = a constant.
    pub(crate) fn set_index(&mut self, k: u32) {
        self.emit(LD_IMMEDIATE_X, k);
    }

    /// `X` = `A`.
    pub(crate) fn copy_to_index(&mut self) {
        self.emit(TAX, 0);
    }

    /// `A` = `X`.
    pub(crate) fn copy_from_index(&mut self) {
        self.emit(TXA, 0);
    }

    /// `A` = `A` with a constant.
    pub(crate) fn compute(&mut self, what: Compute, k: u32) {
        self.emit(ALU | what as u16, k);
    }

    /// `A` = `A` + `X`.
    pub(crate) fn add_index(&mut self) {
        self.emit(ALU_ADD_X, 0);
    }

    /// `A` = `A` ^ `X`.
    pub(crate) fn xor_index(&mut self) {
        self.emit(ALU_XOR_X, 0);
    }

    /// `X` = `X` + a constant. `A` is lost.
    pub(crate) fn advance(&mut self, by: u32) {
        self.copy_from_index();
        self.compute(Compute::Add, by);
        self.copy_to_index();
    }

    /// Goes to a label.
    pub(crate) fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(JUMP, 0);
    }

    /// Goes to a label if a comparison with a constant holds.
    pub(crate) fn jump_if(&mut self, compare: Compare, k: u32, to: Label) {
        self.skip_unless(compare as u16, k);
        self.jump(to);
    }

    /// Goes to a label if a comparison with a constant does not hold.
    pub(crate) fn jump_unless(&mut self, compare: Compare, k: u32, to: Label) {
        let (code, jt, jf) = (JUMP | compare as u16, 1, 0);
        self.code.push(Instruction { code, jt, jf, k });
        self.jump(to);
    }

    /// Goes to a label if a comparison with `X` holds.
    pub(crate) fn jump_if_index(&mut self, compare: Compare, to: Label) {
        self.skip_unless(compare as u16 | BY_X, 0);
        self.jump(to);
    }

    /// Goes to a label if `A` is one of these constants.
    pub(crate) fn jump_if_any(&mut self, constants: &[u32], to: Label) {
        let Some((last, before)) = constants.split_last() else {
            return;
        };
        let code = JUMP | Compare::Equal as u16;
        for (number, &k) in before.iter().enumerate() {
            // Over the others, and over the skip of the last.
            let jt = (before.len() - number) as u8;
            let jf = 0;
            self.code.push(Instruction { code, jt, jf, k });
        }
        self.jump_if(Compare::Equal, *last, to);
    }

    fn skip_unless(&mut self, compare: u16, k: u32) {
        let (code, jt, jf) = (JUMP | compare, 0, 1);
        self.code.push(Instruction { code, jt, jf, k });
    }

    /// Ends with a constant.
    pub(crate) fn returns(&mut self, k: u32) {
        self.emit(RET, k);
    }

    /// Ends with `A`.
    pub(crate) fn return_accumulator(&mut self) {
        self.emit(RET_A, 0);
    }

    /// The program. Every label that is jumped to must have been placed behind the jump.
    pub(crate) fn finish(mut self) -> Program {
        for (at, label) in self.jumps {
            let to = self.labels[label.0];
            // The kernel refuses a program that leads out of itself.
            let to = to.unwrap_or(MAX_INSTRUCTIONS);
            self.code[at].k = to.wrapping_sub(at + 1) as u32;
        }
        Program(self.code)
    }
}
