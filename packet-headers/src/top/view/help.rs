//! What the keys do, and what the columns mean.

use crate::terminal::folded;

/// How far the second column begins.
const INDENT: usize = 17;

const HELP: &str = "\
p b i            sort by packets a second, bytes a second, or time without a packet
/                show only connections with a text in their addresses, state or name
u                names instead of addresses, and back
↑ ↓              mark a connection; also Page Up, Page Down, Home, End
Enter            everything about the connection that is marked
?                this help
q Esc Ctrl-C     quit

seen/s, lost/s   packets seen, and those that should be in files and are not, over the time that you have watched
rtt, retrans     the kernel's round-trip time, and segments sent again: known once the connection's socket is closed
held             packets that are in memory, or in a file that is not complete yet

Connections to the daemon's own HTTP port, such as those of this view, are left out: look for the port with / to see them.";

/// The lines of a terminal that is so wide.
pub(super) fn lines(width: u16) -> Vec<String> {
    let fold = |line: &str| {
        let indent = if line.get(..INDENT).is_some_and(|title| title.ends_with(' ')) {
            INDENT
        } else {
            0
        };
        folded(line, usize::from(width).max(2 * INDENT), indent)
    };
    HELP.lines().flat_map(fold).collect()
}
