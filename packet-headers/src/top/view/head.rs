//! The upper part: the daemon's figures, and how its rates went.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline};

use super::super::figures::{self, TITLES};
use super::super::model::Model;
use crate::terminal::folded_figures;

/// What went wrong: red can be read on light and on dark.
const WRONG: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// The figures, each line as long as the terminal is wide, at most.
pub(super) fn lines(model: &Model, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width).max(2 * TITLES);
    let mut lines = Vec::new();
    let mut add = |text: &str, indent, style| {
        let folded = folded_figures(text, width, indent).into_iter();
        lines.extend(folded.map(|line| Line::styled(line, style)));
    };
    if let Some(trouble) = &model.trouble {
        add(
            &format!("no answer, retrying: {trouble}"),
            2,
            Style::new().add_modifier(Modifier::REVERSED),
        );
    }
    if model.last.is_some() {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        for (at, line) in figures::lines(model).iter().enumerate() {
            match at {
                0 => add(line, 2, bold),
                _ if line.starts_with(figures::NOT_READY) => add(line, TITLES + 1, WRONG),
                _ => add(line, TITLES + 1, Style::new()),
            }
        }
    } else if model.trouble.is_none() {
        add(
            &format!("connecting to {} …", model.address),
            2,
            Style::new(),
        );
    }
    lines
}

/// Draws packets seen and packets lost per second, over the time that was watched: one line.
pub(super) fn rates(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2);
    let halves: [Rect; 2] = halves.areas(area);
    for ((title, style, at), half) in [("seen/s", Style::new(), 0), ("lost/s", WRONG, 1)]
        .into_iter()
        .zip(halves)
    {
        let parts = [Constraint::Length(TITLES as u16 + 1), Constraint::Min(0)];
        let [name, plot] = Layout::horizontal(parts).areas(half);
        frame.render_widget(Paragraph::new(title), name);
        let shown = model.history.len().min(plot.width.into());
        let rates = model.history.iter().skip(model.history.len() - shown);
        // The cast saturates.
        let rates = rates.map(|rates| rates[at].round() as u64);
        frame.render_widget(Sparkline::default().data(rates).style(style), plot);
    }
}
