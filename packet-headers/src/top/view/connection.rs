//! One connection, with everything that is known of it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::{Paragraph, Wrap};

use super::super::figures::{bytes, idle, name};
use super::super::flows::Owner;
use super::super::model::{Model, Order, Row};
use crate::terminal::visible;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, key: &[String; 3]) {
    let rows = model.rows(Order::Idle, &key[1]);
    let row = rows.iter().find(|row| {
        let (uuid, local, remote) = row.flow.key();
        // A candidate gets its name while it is looked at.
        (key[0].is_empty() || uuid == key[0]) && (local, remote) == (&key[1], &key[2])
    });
    let text = row.map_or_else(|| gone(key), told);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
}

fn told(row: &Row<'_>) -> String {
    let flow = row.flow;
    let mut lines = vec![
        format!("name     {}", name(flow)),
        format!("local    {}", flow.local),
        format!("remote   {}", flow.remote),
        format!("state    {}", flow.state),
        format!("opened   {}", flow.opened.as_deref().unwrap_or("not known")),
        format!("packets  {} ({:.0}/s)", flow.packets, row.packets),
        format!(
            "bytes    {} ({}/s)",
            bytes(flow.bytes as f64),
            bytes(row.bytes)
        ),
        format!("idle     {}", idle(flow)),
    ];
    lines.extend(flow.owner.iter().flat_map(whose));
    lines.push(String::new());
    match &flow.kernel {
        None => {
            lines.push("The kernel tells its own figures when the socket is closed.".to_owned());
        }
        Some(kernel) => {
            lines.push("The kernel's figures, over its whole life:".to_owned());
            let fields = kernel.0.iter().map(|(field, value)| {
                let value =
                    value.map_or_else(|| "not measured".to_owned(), |value| value.to_string());
                format!("{field} {value}")
            });
            lines.push(fields.collect::<Vec<_>>().join("  "));
        }
    }
    lines.join("\n")
}

fn whose(owner: &Owner) -> Vec<String> {
    let of = |name: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        Some(format!("{name:9}{}", visible(text)))
    };
    let process = owner.process.as_deref().unwrap_or("not known");
    let mut process = format!("process  {}", visible(process));
    if let Some(pid) = owner.pid {
        process.push_str(&format!(" (pid {pid})"));
    }
    process.push_str(&format!(", user {}", owner.uid));
    let more = [
        of("cgroup", &owner.cgroup),
        of(
            "in",
            &owner.container.as_ref().map(|id| format!("container {id}")),
        ),
        of("in", &owner.pod.as_ref().map(|uid| format!("pod {uid}"))),
    ];
    [process]
        .into_iter()
        .chain(more.into_iter().flatten())
        .collect()
}

fn gone([uuid, local, remote]: &[String; 3]) -> String {
    let name = if uuid.is_empty() {
        "it had no name"
    } else {
        uuid
    };
    format!("{local} {remote}: the daemon does not list it any more ({name})")
}
