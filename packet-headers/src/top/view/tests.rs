use std::time::Instant;

use anyhow::anyhow;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::top::flows::{Kernel, Owner};
use crate::top::model::tests::snapshot;

fn drawn(view: &mut View, model: &Model) -> String {
    drawn_in(view, model, (140, 20))
}

fn drawn_in(view: &mut View, model: &Model, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame, model)).unwrap();
    terminal.backend().to_string()
}

fn press(view: &mut View, code: KeyCode) -> bool {
    view.press(KeyEvent::new(code, KeyModifiers::NONE), &model())
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
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(view.press(control_c, &model()));
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

/// Connections with long addresses, and names as the daemon gives them.
fn long() -> Model {
    let (mut model, start) = (Model::new("http://localhost:9990"), Instant::now());
    let remotes = [
        "198.51.100.123:50000",
        "[2001:db8:1111:2222:3333:4444:5555:6666]:50001",
    ];
    let flows = remotes.map(|remote| (remote, 1000, 0.5));
    model.take(Ok(snapshot(start, 0, 100, &flows)));
    model.take(Ok(snapshot(start, 1, 160, &flows)));
    model
}

#[test]
fn nothing_that_tells_connections_apart_is_cut() {
    for size in [(80, 24), (120, 40), (60, 20), (200, 50)] {
        let text = drawn_in(&mut View::default(), &long(), size);
        for end in [
            "10.98.0.1:443",
            "198.51.100.123:50000",
            "[2001:db8:1111:2222:3333:4444:5555:6666]:50001",
        ] {
            assert!(text.contains(end), "{end} is not in\n{text}");
        }
        let mut view = View::default();
        press(&mut view, KeyCode::Char('u'));
        let text = drawn_in(&mut view, &long(), size);
        assert!(text.contains("lab_1_198.51.100.123:50000"), "{text}");
    }
    let text = drawn_in(&mut View::default(), &model(), (80, 24));
    assert!(text.contains("10.98.0.1:443 10.98.0.2:1000 "), "{text}");
    for heading in ["packets/s", "bytes/s", "idle", "retrans"] {
        assert!(text.contains(heading), "{text}");
    }
}

#[test]
fn no_figure_is_cut_on_a_small_terminal() {
    let text = drawn_in(&mut View::default(), &model(), (60, 24));
    let lines = text.lines().map(|line| line.trim_matches('"').trim());
    let text: Vec<_> = lines.collect();
    let text = text.join(" ");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for figure in [
        "names from kernel, on wan0",
        "discarded 2 (0/s) held 0",
        "process 0 B",
    ] {
        assert!(words.contains(figure), "{figure} is not in {words}");
    }
}

#[test]
fn enter_shows_everything_about_the_connection_that_is_marked() {
    let mut view = View::default();
    press(&mut view, KeyCode::Down);
    press(&mut view, KeyCode::Down);
    press(&mut view, KeyCode::Enter);
    let text = drawn(&mut view, &model());
    for told in [
        "lab_1_10.98.0.2:1000",
        "packets  110 (10/s)",
        "opened   2026-11-29T14:05:09.25Z",
    ] {
        assert!(text.contains(told), "{told} is not in\n{text}");
    }
    assert!(!text.contains("10.98.0.2:2000"), "{text}");
    assert!(!press(&mut view, KeyCode::Esc));
    assert!(drawn(&mut view, &model()).contains("10.98.0.2:2000"));
    // One that is gone is said to be.
    press(&mut view, KeyCode::Enter);
    let text = drawn(&mut view, &long());
    assert!(text.contains("does not list it any more"), "{text}");
}

#[test]
fn help_says_what_keys_and_columns_are_on_the_smallest_of_usual_terminals() {
    let mut view = View::default();
    press(&mut view, KeyCode::Char('?'));
    let text = drawn_in(&mut view, &model(), (80, 24));
    for said in [
        "sort by packets a second",
        "names instead of addresses",
        "segments sent again",
        "HTTP port",
        "look for the port with / to see them.",
        "any key: back",
        "packet-headers 0.1.0",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    assert!(!press(&mut view, KeyCode::Char('x')));
    assert!(drawn(&mut view, &model()).contains("10.98.0.2:1000"));
}

#[test]
fn everything_about_a_connection_fits_the_smallest_of_usual_terminals() {
    let mut model = model();
    let fields = (0..18_u64).map(|at| (format!("rate_interval_{at:02}"), Some(at)));
    if let Some(Ok(flows)) = model.last.as_mut().map(|last| &mut last.flows) {
        flows.flows[1].kernel = Some(Kernel(fields.collect()));
        let pod = "kubepods-burstable-pod01234567_89ab_cdef_0123_456789abcdef.slice";
        let container = format!("cri-containerd-{}.scope", "0123456789abcdef".repeat(4));
        flows.flows[1].owner = Some(Owner {
            uid: 1000,
            pid: Some(812),
            process: Some("nginx".to_owned()),
            cgroup: Some(format!(
                "/kubepods.slice/kubepods-burstable.slice/{pod}/{container}"
            )),
        });
    }
    let mut view = View::default();
    press(&mut view, KeyCode::Enter);
    let text = drawn_in(&mut view, &model, (80, 24));
    for at in 0..18 {
        let field = format!("rate_interval_{at:02}");
        assert!(text.contains(&field), "{field} is not in\n{text}");
    }
    for said in [
        "name     lab_1_10.98.0.2:2000",
        "(pid 812), user 1000",
        ".scope",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}

#[test]
fn what_is_marked_stays_in_sight() {
    let (mut model, start) = (Model::new("x"), Instant::now());
    let names: Vec<_> = (0..50)
        .map(|number| format!("10.98.0.2:{}", 1000 + number))
        .collect();
    let flows: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(at, name)| (name.as_str(), 1, at as f64))
        .collect();
    model.take(Ok(snapshot(start, 0, 100, &flows)));
    let mut view = View::default();
    press(&mut view, KeyCode::Char('i'));
    press(&mut view, KeyCode::End);
    let text = drawn(&mut view, &model);
    assert!(
        text.contains("10.98.0.2:1049") && !text.contains("10.98.0.2:1000"),
        "{text}"
    );
    for _ in 0..10 {
        press(&mut view, KeyCode::PageUp);
    }
    assert!(drawn(&mut view, &model).contains("10.98.0.2:1000"));
}

#[test]
fn whose_a_connection_is_is_shown_and_no_name_moves_the_cursor() {
    let (mut model, start) = (Model::new("http://localhost:9990"), Instant::now());
    let mut seen = snapshot(start, 0, 100, &[("10.98.0.2:1000", 100, 9.0)]);
    for flow in &mut seen.flows.as_mut().unwrap().flows {
        flow.owner = Some(Owner {
            uid: 33,
            pid: Some(812),
            process: Some("ng\u{1b}[2Jinx".to_owned()),
            cgroup: Some("/system.slice/x".to_owned()),
        });
    }
    model.take(Ok(seen));
    let mut view = View::default();
    let text = drawn(&mut view, &model);
    assert!(text.contains("ng\\u{1b}[2Jinx"), "{text}");
    for key in ['/', 'i', 'n', 'x'] {
        view.press(
            KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE),
            &model,
        );
    }
    for _ in 0..2 {
        view.press(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE), &model);
    }
    let text = drawn(&mut view, &model);
    for said in [
        "process  ng\\u{1b}[2Jinx (pid 812), user 33",
        "cgroup   /system.slice/x",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
}
