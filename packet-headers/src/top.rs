//! `top`: a running daemon's numbers, rates and connections, in the terminal.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::cli::TopArguments;
use crate::terminal::print;

mod client;
mod figures;
mod flows;
mod model;
mod view;

use client::Client;
use model::{Answer, Model};
use view::View;

/// How long to wait for a key before the view is drawn again.
const KEYS: Duration = Duration::from_millis(100);

/// The shortest `--interval`: polling more often shows nobody more, and loads the daemon.
const SHORTEST: Duration = Duration::from_millis(100);

/// Shows a running daemon until the user quits, or once.
///
/// # Errors
/// With `--once`, when the daemon does not answer; without it, when there is no terminal.
pub fn run(arguments: &TopArguments) -> Result<()> {
    ensure!(
        arguments.interval >= SHORTEST,
        "--interval must be at least {}",
        humantime::format_duration(SHORTEST)
    );
    let client = Client::new(&arguments.address);
    let mut model = Model::new(client.address());
    if arguments.once {
        model.take(Ok(client.ask()?));
        return print(&figures::Text(&model));
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        bail!("the live view needs a terminal; use --once to print one snapshot as text");
    }
    let answers = ask_for_ever(client, arguments.interval)?;
    // This also makes a panic restore the terminal before it is printed.
    let mut terminal = ratatui::try_init().context("preparing the terminal")?;
    let shown = show(&mut terminal, &mut model, &answers);
    let restored = ratatui::try_restore().context("restoring the terminal");
    shown.and(restored)
}

/// Polls the daemon on another thread, so that keys work while it does not answer.
fn ask_for_ever(client: Client, interval: Duration) -> Result<Receiver<Answer>> {
    let (send, answers) = sync_channel(1);
    let ask = move || {
        while send.send(client.ask()).is_ok() {
            thread::sleep(interval);
        }
    };
    let thread = thread::Builder::new().name("ask".to_owned()).spawn(ask);
    thread.context("starting the polling thread")?;
    Ok(answers)
}

fn show(
    terminal: &mut DefaultTerminal,
    model: &mut Model,
    answers: &Receiver<Answer>,
) -> Result<()> {
    let mut view = View::default();
    loop {
        match answers.try_recv() {
            Ok(answer) => model.take(answer),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => bail!("the polling thread has ended"),
        }
        terminal
            .draw(|frame| view.draw(frame, model))
            .context("drawing on the terminal")?;
        if event::poll(KEYS).context("waiting for a key")?
            && let Event::Key(key) = event::read().context("reading a key")?
            && key.kind == KeyEventKind::Press
            && view.press(key, model)
        {
            return Ok(());
        }
    }
}
