//! The live view: what it shows, and its keys.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row as TableRow, Table, Wrap};

use super::figures::{COLUMNS, columns, lines};
use super::model::{Model, Order};

/// The user's choices.
#[derive(Debug, Default)]
pub(super) struct View {
    order: Order,
    filter: String,
    /// Whether keys are being typed into the filter.
    typing: bool,
    /// Rows above the first one shown.
    skip: usize,
}

/// Rows that a page key scrolls.
const PAGE: usize = 10;

/// The longest filter in bytes, longer than any UUID.
const FILTER: usize = 256;

impl View {
    /// Handles a key. Returns true if it quits.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "keyboards have more keys than we have uses for"
    )]
    pub(super) fn press(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return key.code == KeyCode::Char('c');
        }
        if self.typing {
            self.type_filter(key.code);
            return false;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('p') => self.order = Order::Packets,
            KeyCode::Char('b') => self.order = Order::Bytes,
            KeyCode::Char('i') => self.order = Order::Idle,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Down => self.skip = self.skip.saturating_add(1),
            KeyCode::Up => self.skip = self.skip.saturating_sub(1),
            KeyCode::PageDown => self.skip = self.skip.saturating_add(PAGE),
            KeyCode::PageUp => self.skip = self.skip.saturating_sub(PAGE),
            KeyCode::Home => self.skip = 0,
            _ => {}
        }
        false
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "keyboards have more keys than we have uses for"
    )]
    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) if self.filter.len() < FILTER => self.filter.push(character),
            _ => {}
        }
        self.skip = 0;
    }

    /// Draws everything.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, model: &Model) {
        let head = self.head(model);
        let height = u16::try_from(head.len()).unwrap_or(u16::MAX);
        let parts = [
            Constraint::Length(height),
            Constraint::Min(0),
            Constraint::Length(1),
        ];
        let [above, middle, below] = Layout::vertical(parts).areas(frame.area());
        frame.render_widget(Paragraph::new(head), above);
        self.flows(frame, middle, model);
        frame.render_widget(Paragraph::new(self.keys()), below);
    }

    fn head(&self, model: &Model) -> Vec<Line<'static>> {
        let mut head = Vec::new();
        if let Some(trouble) = &model.trouble {
            let warning = Style::new().add_modifier(Modifier::REVERSED);
            head.push(Line::styled(
                format!("no answer, retrying: {trouble}"),
                warning,
            ));
        }
        if model.last.is_some() {
            head.extend(lines(model).into_iter().map(Line::from));
        } else if model.trouble.is_none() {
            head.push(Line::from(format!("connecting to {} …", model.address)));
        }
        head.push(Line::default());
        head
    }

    fn flows(&mut self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        if let Some(Err(why)) = model.last.as_ref().map(|last| &last.flows) {
            let said = Paragraph::new(format!("connections cannot be listed: {why}"));
            return frame.render_widget(said.wrap(Wrap::default()), area);
        }
        let rows = model.rows(self.order, &self.filter);
        self.skip = self.skip.min(rows.len().saturating_sub(1));
        let shown = rows.iter().skip(self.skip).take(area.height.into());
        let widths = [24, 24, 9, 8, 9, 10, 8, 9, 7].map(Constraint::Length);
        let widths = widths.into_iter().chain([Constraint::Min(10)]);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let table = Table::new(shown.map(|row| TableRow::new(columns(row))), widths)
            .header(TableRow::new(COLUMNS).style(bold));
        frame.render_widget(table, area);
    }

    fn keys(&self) -> String {
        if self.typing {
            return format!(
                "show only connections with: {}_  (Enter: keep, Esc: clear)",
                self.filter
            );
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
        format!("by {by}{only}   keys: p packets  b bytes  i idle  / filter  q quit")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use anyhow::anyhow;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::tests::snapshot;
    use super::*;

    fn drawn(view: &mut View, model: &Model) -> String {
        let mut terminal = Terminal::new(TestBackend::new(140, 16)).unwrap();
        terminal.draw(|frame| view.draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    fn press(view: &mut View, code: KeyCode) -> bool {
        view.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn model() -> Model {
        let (mut model, start) = (Model::new("http://localhost:9990"), Instant::now());
        let before = [("10.98.0.2:1000", 100, 9.0), ("10.98.0.2:2000", 10, 3.0)];
        let after = [("10.98.0.2:1000", 110, 0.1), ("10.98.0.2:2000", 60, 2.0)];
        model.take(Ok(snapshot(start, 0, 100, &before)));
        model.take(Ok(snapshot(start, 1, 160, &after)));
        model
    }

    fn before(text: &str, first: &str, second: &str) -> bool {
        text.find(first).unwrap() < text.find(second).unwrap()
    }

    #[test]
    fn it_shows_figures_rates_and_the_fastest_flows_first() {
        let mut view = View::default();
        let text = drawn(&mut view, &model());
        assert!(text.contains("seen 160 (60/s)"), "{text}");
        assert!(text.contains("discarded  not_ip 2"), "{text}");
        assert!(before(&text, "10.98.0.2:2000", "10.98.0.2:1000"), "{text}");
        assert!(text.contains("by packets/s"), "{text}");
        assert!(!press(&mut view, KeyCode::Char('i')));
        let text = drawn(&mut view, &model());
        assert!(before(&text, "10.98.0.2:1000", "10.98.0.2:2000"), "{text}");
        assert!(text.contains("by idle"), "{text}");
    }

    #[test]
    fn a_filter_is_typed_and_forgotten() {
        let mut view = View::default();
        for key in "/q:2000".chars() {
            assert!(!press(&mut view, KeyCode::Char(key)), "{key} ended it");
        }
        for _ in 0..6 {
            press(&mut view, KeyCode::Backspace);
        }
        for key in ":2000".chars() {
            press(&mut view, KeyCode::Char(key));
        }
        press(&mut view, KeyCode::Enter);
        let text = drawn(&mut view, &model());
        assert!(
            text.contains("10.98.0.2:2000") && !text.contains("10.98.0.2:1000"),
            "{text}"
        );
        press(&mut view, KeyCode::Char('/'));
        assert!(!press(&mut view, KeyCode::Esc));
        assert!(drawn(&mut view, &model()).contains("10.98.0.2:1000"));
    }

    #[test]
    fn a_daemon_that_is_away_is_said_above_what_was_known() {
        let mut model = model();
        model.take(Err(anyhow!("connection refused")));
        let text = drawn(&mut View::default(), &model);
        assert!(
            text.contains("no answer, retrying: connection refused"),
            "{text}"
        );
        assert!(text.contains("seen 160"), "{text}");
    }

    #[test]
    fn flows_that_are_refused_are_said_with_why_beside_the_rest() {
        let mut refused = snapshot(Instant::now(), 0, 100, &[]);
        refused.flows = Err("403 Forbidden".to_owned());
        let mut model = Model::new("x");
        model.take(Ok(refused));
        let text = drawn(&mut View::default(), &model);
        let said = "connections cannot be listed: 403 Forbidden";
        assert!(text.contains(said), "{text}");
        assert!(text.contains("seen 100"), "{text}");
    }

    #[test]
    fn q_escape_and_control_c_end_it() {
        let mut view = View::default();
        assert!(press(&mut view, KeyCode::Char('q')));
        assert!(press(&mut view, KeyCode::Esc));
        assert!(view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!press(&mut view, KeyCode::Char('c')));
    }

    #[test]
    fn a_small_terminal_and_much_scrolling_are_no_matter() {
        let mut view = View::default();
        for _ in 0..20 {
            press(&mut view, KeyCode::PageDown);
        }
        let mut terminal = Terminal::new(TestBackend::new(3, 2)).unwrap();
        terminal.draw(|frame| view.draw(frame, &model())).unwrap();
        assert!(drawn(&mut view, &model()).contains("10.98.0.2:1000"));
    }
}
