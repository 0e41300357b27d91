//! What the keys do, and what the columns mean.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::{Paragraph, Wrap};

const HELP: &str = "\
p b i      sort by packets a second, bytes a second, or time without a packet
/          show only connections with a text in their addresses, state or name
u          names instead of addresses, and back
↑ ↓        mark a connection; also Page Up, Page Down, Home, End
Enter      everything about the connection that is marked
?          this help
q Esc ^C   quit

seen/s, lost/s  packets seen and discarded, over the time that you have watched
rtt, retrans    the kernel's round-trip time, and segments sent again: known once
                the connection's socket is closed
held            packets that are in memory, or in a file that is not complete yet

Connections to the daemon's own HTTP port, such as those of this view, are left
out: look for the port with / to see them.";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect) {
    frame.render_widget(Paragraph::new(HELP).wrap(Wrap { trim: false }), area);
}
