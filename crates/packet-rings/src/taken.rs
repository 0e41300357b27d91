//! Which packets a socket takes, and how much of each.

use packet_headers_common::LinkType;

use crate::assembler::{Ancillary, Assembler, Compare, Label, MAX_INSTRUCTIONS, Program};
use crate::headers::{self, Ends, Entries};

/// The most interfaces that a program can name.
pub const MAX_TAKEN: usize = 1024;

/// How many bytes are copied of a packet whose headers are malformed. No headers are so short, so that the
/// length says it.
pub(crate) const MALFORMED: u32 = 1;

/// How many are copied of one whose headers reach too far.
pub(crate) const TOO_LONG: u32 = 2;

/// So many interfaces are looked through one after the other.
const BLOCK: usize = 32;

/// Which packets a socket takes: of each TCP packet the headers, of each whose headers are malformed or reach
/// too far a byte or two, which say so, and of all others nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whether TCP inside of a tunnel counts.
    pub decapsulate: bool,
}

/// A program cannot name so many interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet socket's filter has room for {MAX_TAKEN} interfaces, not {0}")]
pub struct TooManyInterfaces(pub usize);

/// The entries for packets with a link header, and without.
#[derive(Clone, Copy)]
struct Starts {
    ethernet: Label,
    raw: Label,
}

impl Taken {
    /// The program for these interfaces, given by their index and what their packets begin with.
    ///
    /// # Errors
    /// When there are too many of them.
    pub fn of_interfaces(
        self,
        interfaces: &[(u32, LinkType)],
    ) -> Result<Program, TooManyInterfaces> {
        if interfaces.len() > MAX_TAKEN {
            return Err(TooManyInterfaces(interfaces.len()));
        }
        if interfaces.is_empty() {
            return Ok(Program::nothing());
        }
        let mut sorted = interfaces.to_vec();
        sorted.sort_unstable_by_key(|(index, _)| *index);
        let mut code = Assembler::default();
        let starts = Starts {
            ethernet: code.label(),
            raw: code.label(),
        };
        let none = code.label();
        code.load_ancillary(Ancillary::InterfaceIndex);
        for block in sorted.chunks(BLOCK) {
            choose(&mut code, block, starts, none);
        }
        code.jump(none);
        self.write(&mut code, starts, none);
        let program = code.finish();
        debug_assert!(program.instructions().len() <= MAX_INSTRUCTIONS);
        Ok(program)
    }

    /// The program for packets that begin with this, whatever interface they are of.
    #[must_use]
    pub fn of_all(self, link: LinkType) -> Program {
        let mut code = Assembler::default();
        let starts = Starts {
            ethernet: code.label(),
            raw: code.label(),
        };
        let none = code.label();
        code.jump(match link {
            LinkType::Ethernet => starts.ethernet,
            LinkType::RawIp => starts.raw,
        });
        self.write(&mut code, starts, none);
        code.finish()
    }

    fn write(self, code: &mut Assembler, starts: Starts, none: Label) {
        /// Where an Ethernet header's EtherType is.
        const ETHERTYPE: u32 = 12;
        let entries = Entries {
            ethertype: code.label(),
            behind_ethertype: code.label(),
            ip: code.label(),
        };
        let end = code.label();
        let ends = Ends {
            tcp4: end,
            tcp6: end,
            none,
            malformed: code.label(),
            too_long: code.label(),
        };
        code.place(starts.ethernet);
        headers::begin(code);
        code.set_index(ETHERTYPE);
        code.jump(entries.ethertype);
        code.place(starts.raw);
        headers::begin(code);
        code.set_index(0);
        code.jump(entries.ip);
        headers::walk(code, entries, self.decapsulate, ends);
        code.place(end);
        code.return_accumulator();
        code.place(ends.malformed);
        code.returns(MALFORMED);
        code.place(ends.too_long);
        code.returns(TOO_LONG);
        code.place(none);
        code.returns(0);
    }
}

/// Goes where packets of an interface begin that is one of these; on, if its index, in `A`, is higher than all.
fn choose(code: &mut Assembler, block: &[(u32, LinkType)], starts: Starts, none: Label) {
    let Some((highest, _)) = block.last() else {
        return;
    };
    let beyond = code.label();
    code.jump_if(Compare::Greater, *highest, beyond);
    for (link, start) in [
        (LinkType::Ethernet, starts.ethernet),
        (LinkType::RawIp, starts.raw),
    ] {
        let of_it = block.iter().filter(|(_, its)| *its == link);
        let indices: Vec<_> = of_it.map(|(index, _)| *index).collect();
        code.jump_if_any(&indices, start);
    }
    code.jump(none);
    code.place(beyond);
}
