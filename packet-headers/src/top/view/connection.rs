//! One connection, with everything that is known of it.

use super::super::figures::{bytes, idle, name};
use super::super::flows::{Kernel, Owner};
use super::super::model::{Model, Order, Row};
use crate::terminal::{folded, visible};

/// The width of the column of titles.
const TITLES: usize = 9;

/// What lies between two columns of the kernel's figures.
const BETWEEN: &str = "   ";

/// The lines of a terminal that is so wide.
pub(super) fn lines(model: &Model, key: &[String; 3], width: u16) -> Vec<String> {
    let rows = model.rows(Order::Idle, &key[1]);
    let row = rows.iter().find(|row| {
        let (uuid, local, remote) = row.flow.key();
        // A candidate gets its name while it is looked at.
        (key[0].is_empty() || uuid == key[0]) && (local, remote) == (&key[1], &key[2])
    });
    let width = usize::from(width).max(2 * TITLES);
    match row {
        Some(row) => {
            let lines = told(row, width).into_iter();
            lines.flat_map(|line| broken(&line, width)).collect()
        }
        None => folded(&gone(key), width, TITLES),
    }
}

/// A line in pieces that are no longer than `width`, wherever these end: the path of a cgroup is one long word.
fn broken(line: &str, width: usize) -> Vec<String> {
    let characters: Vec<_> = line.chars().collect();
    let (first, rest) = characters.split_at(characters.len().min(width));
    let rest = rest.chunks(width - TITLES);
    let rest = rest.map(|piece| " ".repeat(TITLES) + &String::from_iter(piece));
    [String::from_iter(first)].into_iter().chain(rest).collect()
}

fn told(row: &Row<'_>, width: usize) -> Vec<String> {
    let flow = row.flow;
    let mut lines = vec![
        format!("name     {}", name(flow)),
        format!("local    {}", flow.local),
        format!("remote   {}", flow.remote),
        format!("state    {}, idle {}", flow.state(), idle(flow)),
        format!("opened   {}", flow.opened.as_deref().unwrap_or("not known")),
        format!(
            "packets  {} ({:.0}/s), {} ({}/s)",
            flow.packets,
            row.packets,
            bytes(flow.bytes as f64),
            bytes(row.bytes)
        ),
    ];
    lines.extend(flow.owner.iter().flat_map(whose));
    lines.push(String::new());
    match &flow.kernel {
        None => {
            lines.push("The kernel tells its own figures when the socket is closed.".to_owned());
        }
        Some(kernel) => {
            lines.push("The kernel's figures, over its whole life:".to_owned());
            lines.extend(columns(kernel, width));
        }
    }
    lines
}

/// The kernel's figures, as many beside each other as there is room for.
fn columns(kernel: &Kernel, width: usize) -> Vec<String> {
    let figures = kernel.0.iter().map(|(field, value)| {
        let value = value.map_or_else(|| "not measured".to_owned(), |value| value.to_string());
        (field.as_str(), value)
    });
    let figures: Vec<_> = figures.collect();
    let names = figures.iter().map(|(field, _)| field.len()).max();
    let values = figures.iter().map(|(_, value)| value.len()).max();
    let (names, values) = (names.unwrap_or(0), values.unwrap_or(0));
    let cells: Vec<_> = figures
        .iter()
        .map(|(field, value)| format!("{field:<names$} {value:>values$}"))
        .collect();
    let beside = (width + BETWEEN.len()) / (names + 1 + values + BETWEEN.len());
    let down = cells.len().div_ceil(beside.max(1));
    let line = |at| {
        let line: Vec<_> = cells.iter().skip(at).step_by(down.max(1)).collect();
        let line: Vec<_> = line.into_iter().map(String::as_str).collect();
        line.join(BETWEEN)
    };
    (0..down).map(line).collect()
}

/// The path of a cgroup names container and pod.
fn whose(owner: &Owner) -> Vec<String> {
    let process = owner.process.as_deref().unwrap_or("not known");
    let pid = owner.pid.map(|pid| format!(" (pid {pid})"));
    let (process, pid) = (visible(process), pid.unwrap_or_default());
    let process = format!("process  {process}{pid}, user {}", owner.uid);
    let cgroup = owner.cgroup.as_deref().map(visible);
    let cgroup = cgroup.map(|path| format!("cgroup   {path}"));
    [process].into_iter().chain(cgroup).collect()
}

fn gone([uuid, local, remote]: &[String; 3]) -> String {
    let name = if uuid.is_empty() {
        "it had no name"
    } else {
        uuid
    };
    format!("{local} {remote}: the daemon does not list it any more ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_longer_than_the_terminal_is_wide_is_whole() {
        let path = "x".repeat(170);
        let lines = broken(&format!("cgroup   {path}"), 80);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= 80), "{lines:?}");
        let letters = lines.concat().matches('x').count();
        assert_eq!(letters, path.len());
        assert_eq!(broken("", 80), [""]);
    }

    #[test]
    fn figures_stand_beside_each_other_and_each_is_whole() {
        let numbers = (0..18_u64).map(|at| (format!("figure_{at:02}"), (at > 0).then_some(at)));
        let kernel = Kernel(numbers.collect());
        for (width, down) in [(20, 18), (80, 6), (120, 5), (400, 2)] {
            let lines = columns(&kernel, width);
            assert_eq!(lines.len(), down, "{lines:?}");
            assert!(
                width == 20 || lines.iter().all(|line| line.len() <= width),
                "{lines:?}"
            );
            let text = lines.join(BETWEEN);
            assert!(text.contains("figure_00 not measured"), "{text}");
            assert!(text.contains("figure_17           17"), "{text}");
        }
        assert_eq!(columns(&Kernel(Default::default()), 80), [""; 0]);
    }
}
