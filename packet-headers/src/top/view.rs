//! The live view: what it shows, and its keys.

mod connection;
mod head;
mod help;
mod table;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::widgets::{Paragraph, Wrap};

use super::model::{Model, Order};
use table::Columns;

/// The user's choices.
#[derive(Debug, Default)]
pub(super) struct View {
    order: Order,
    filter: String,
    /// Whether names are shown instead of addresses.
    names: bool,
    /// The row of the table that is marked, if one is.
    marked: Option<usize>,
    /// The first row that is shown.
    first: usize,
    front: Front,
}

/// What is in front: what keys are for.
#[derive(Debug, Default)]
enum Front {
    #[default]
    Table,
    /// Keys are typed into the filter.
    Filter,
    /// One connection, by its key.
    Connection([String; 3]),
    Help,
}

/// Rows that a page key scrolls.
const PAGE: usize = 10;

/// The longest filter in bytes, longer than any UUID.
const FILTER: usize = 256;

impl View {
    /// Handles a key. Returns true if it quits.
    pub(super) fn press(&mut self, key: KeyEvent, model: &Model) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return key.code == KeyCode::Char('c');
        }
        match self.front {
            Front::Table => return self.choose(key.code, model),
            Front::Filter => self.type_filter(key.code),
            Front::Help => self.front = Front::Table,
            Front::Connection(_) if key.code == KeyCode::Char('q') => return true,
            Front::Connection(_) => {
                let help = key.code == KeyCode::Char('?');
                self.front = if help { Front::Help } else { Front::Table };
            }
        }
        false
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "keyboards have more keys than we have uses for"
    )]
    fn choose(&mut self, code: KeyCode, model: &Model) -> bool {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('p') => self.order = Order::Packets,
            KeyCode::Char('b') => self.order = Order::Bytes,
            KeyCode::Char('i') => self.order = Order::Idle,
            KeyCode::Char('u') => self.names = !self.names,
            KeyCode::Char('/') => self.front = Front::Filter,
            KeyCode::Char('?' | 'h') => self.front = Front::Help,
            KeyCode::Enter => self.open(model),
            KeyCode::Down => self.mark(|marked| marked.map_or(0, |at| at.saturating_add(1))),
            KeyCode::Up => self.mark(|marked| marked.unwrap_or(0).saturating_sub(1)),
            KeyCode::PageDown => self.mark(|marked| marked.unwrap_or(0).saturating_add(PAGE)),
            KeyCode::PageUp => self.mark(|marked| marked.unwrap_or(0).saturating_sub(PAGE)),
            KeyCode::Home => self.mark(|_| 0),
            KeyCode::End => self.mark(|_| usize::MAX),
            _ => {}
        }
        false
    }

    /// Marks another row. One that is behind the last is the last one when it is drawn.
    fn mark(&mut self, to: impl FnOnce(Option<usize>) -> usize) {
        self.marked = Some(to(self.marked));
    }

    /// Shows the connection that is marked, or the first one.
    fn open(&mut self, model: &Model) {
        let rows = model.rows(self.order, &self.filter);
        let marked = self.marked.unwrap_or(0);
        if let Some(row) = rows.get(marked.min(rows.len().saturating_sub(1))) {
            let (uuid, local, remote) = row.flow.key();
            self.front = Front::Connection([uuid, local, remote].map(str::to_owned));
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "keyboards have more keys than we have uses for"
    )]
    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.front = Front::Table,
            KeyCode::Esc => {
                self.front = Front::Table;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) if self.filter.len() < FILTER => self.filter.push(character),
            _ => {}
        }
        (self.marked, self.first) = (None, 0);
    }

    /// Draws everything.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, model: &Model) {
        let area = frame.area();
        let head = head::lines(model, area.width);
        let text = match &self.front {
            Front::Help => Some(help::lines(area.width)),
            Front::Connection(key) => Some(connection::lines(model, key, area.width)),
            Front::Table | Front::Filter => None,
        };
        let rates = u16::from(!model.history.is_empty());
        // A low terminal shows fewer figures: some connections have room, or the whole of a text.
        let most = text.as_ref().map_or(area.height / 5 * 3, |text| {
            let beside = height(text.len()).saturating_add(rates + 2);
            area.height.saturating_sub(beside).max(1)
        });
        let parts = [
            Constraint::Length(height(head.len()).min(most)),
            Constraint::Length(rates),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ];
        let [above, rates, _, middle, below] = Layout::vertical(parts).areas(area);
        frame.render_widget(Paragraph::new(head), above);
        head::rates(frame, rates, model);
        match text {
            Some(text) => frame.render_widget(Paragraph::new(text.join("\n")), middle),
            None => self.connections(frame, middle, model),
        }
        frame.render_widget(Paragraph::new(self.keys(area.width)), below);
    }

    fn connections(&mut self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        if let Some(Err(why)) = model.last.as_ref().map(|last| &last.flows) {
            let said = Paragraph::new(format!("connections cannot be listed: {why}"));
            return frame.render_widget(said.wrap(Wrap::default()), area);
        }
        let rows = model.rows(self.order, &self.filter);
        let layout = Columns::new(&rows, self.names, area.width);
        let room = usize::from(layout.rows_in(area.height));
        let last = rows.len().saturating_sub(1);
        self.marked = self.marked.map(|marked| marked.min(last));
        // What is marked is shown.
        let marked = self.marked.unwrap_or(0);
        self.first = self
            .first
            .clamp(marked.saturating_sub(room.saturating_sub(1)), marked);
        let shown = rows.iter().skip(self.first).take(room);
        let mark = self.marked.map(|marked| marked - self.first);
        frame.render_widget(layout.table(shown, mark), area);
    }

    fn keys(&self, width: u16) -> String {
        match self.front {
            Front::Filter => {
                return format!(
                    "show only connections with: {}_  (Enter: keep, Esc: clear)",
                    self.filter
                );
            }
            Front::Help | Front::Connection(_) => return "any key: back  q quit".to_owned(),
            Front::Table => {}
        }
        let by = match self.order {
            Order::Packets => "packets/s",
            Order::Bytes => "bytes/s",
            Order::Idle => "idle",
        };
        let only = if self.filter.is_empty() {
            String::new()
        } else {
            format!(", only with {:?}", self.filter)
        };
        let more = "   p packets  b bytes  i idle  / filter  Enter details  ? help  q quit";
        let less = "   ? help  q quit";
        let line = format!("by {by}{only}");
        let fits = line.len() + more.len() <= width.into();
        line + if fits { more } else { less }
    }
}

/// How many lines there are, as a terminal counts.
fn height(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
