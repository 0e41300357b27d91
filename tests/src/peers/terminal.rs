//! A program in a terminal of its own: what is on the screen, which keys are pressed, and how the
//! program leaves the terminal.

pub mod picture;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use vt100::{Parser, Screen};

use crate::world::netns::Namespace;
use crate::world::wait;

/// How often the reader looks whether the terminal is to be closed: 20 ms.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Rows and columns.
const SIZE: (u16, u16) = (30, 160);

/// A program whose input and output are a terminal; killed on drop.
pub struct Terminal {
    child: Child,
    /// `None` once the terminal is closed.
    keys: Option<File>,
    reader: Option<JoinHandle<()>>,
    closed: Arc<AtomicBool>,
    screen: Arc<Mutex<Parser>>,
    /// The program's side, through which the settings can be read.
    peer: OwnedFd,
    before: Settings,
}

/// The settings of a terminal that a program may change and has to restore.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
}

impl Settings {
    fn of(terminal: impl AsFd) -> Result<Self> {
        let Termios {
            input_modes,
            output_modes,
            control_modes,
            local_modes,
            ..
        } = tcgetattr(terminal)?;
        Ok(Self {
            input: input_modes.bits(),
            output: output_modes.bits(),
            control: control_modes.bits(),
            local: local_modes.bits(),
        })
    }
}

impl Terminal {
    /// Starts a program inside a namespace, with this as its only and its controlling terminal.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(namespace: &Namespace, command: &Command) -> Result<Self> {
        Self::of_size(SIZE, namespace, command)
    }

    /// [`Terminal::start`] in a terminal of so many rows and columns.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn of_size(
        (ws_row, ws_col): (u16, u16),
        namespace: &Namespace,
        command: &Command,
    ) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).context("opening a terminal")?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let peer = ioctl_tiocgptpeer(&ours, flags)?;
        let size = Winsize {
            ws_row,
            ws_col,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size)?;
        let before = Settings::of(&peer)?;
        let mut inside = Command::new("setsid");
        inside.arg("--ctty");
        inside.arg(command.get_program()).args(command.get_args());
        inside.env("TERM", "xterm-256color");
        inside.stdin(peer.try_clone()?).stdout(peer.try_clone()?);
        inside.stderr(peer.try_clone()?);
        let child = namespace.spawn(&mut inside)?;
        let screen = Arc::new(Mutex::new(Parser::new(ws_row, ws_col, 0)));
        let closed = Arc::new(AtomicBool::new(false));
        let reader = read(File::from(ours.try_clone()?), &screen, &closed);
        Ok(Self {
            child,
            keys: Some(File::from(ours)),
            reader: Some(reader),
            closed,
            screen,
            peer,
            before,
        })
    }

    /// The program's process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal.
    ///
    /// # Errors
    /// It is gone already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.id())?).context("process id 0")?;
        kill_process(id, signal).with_context(|| format!("{signal:?}: {}", self.text()))
    }

    /// Closes the terminal, as the end of an ssh session does: the kernel sends SIGHUP, and nothing
    /// can be read or written any more.
    ///
    /// # Errors
    /// The reader of the screen has panicked.
    pub fn close(&mut self) -> Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        let reader = self.reader.take().map(JoinHandle::join);
        ensure!(!matches!(reader, Some(Err(_))), "the reader panicked");
        self.keys = None;
        Ok(())
    }

    /// Waits for the program's end, whatever it leaves.
    ///
    /// # Errors
    /// It still runs.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let ended = wait::until("the end of the program", || Ok(self.child.try_wait()?));
        ended.with_context(|| self.text())
    }

    /// The text on the screen.
    #[must_use]
    pub fn text(&self) -> String {
        lock(&self.screen).screen().contents()
    }

    /// What is on the screen, and how it looks.
    #[must_use]
    pub fn screen(&self) -> Screen {
        lock(&self.screen).screen().clone()
    }

    /// Waits until all of these words are on the screen.
    ///
    /// # Errors
    /// They are not; the message has the screen's text.
    pub fn wait_for(&mut self, words: &[&str]) -> Result<()> {
        let waited = wait::until(format!("{words:?} on the screen"), || {
            let text = self.text();
            let all = words.iter().all(|word| text.contains(word));
            ensure!(all || self.child.try_wait()?.is_none(), "it ended");
            Ok(all.then_some(()))
        });
        waited.with_context(|| self.text())
    }

    /// Presses keys.
    ///
    /// # Errors
    /// The program is gone.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        let keyboard = self.keys.as_mut().context("the terminal is closed")?;
        keyboard.write_all(keys.as_bytes()).context("pressing keys")
    }

    /// Whether the program has changed the terminal's settings.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn is_changed(&self) -> Result<bool> {
        Ok(Settings::of(&self.peer)? != self.before)
    }

    /// Waits for the program's end; the terminal must be as it was before.
    ///
    /// # Errors
    /// It still runs, or it has changed the terminal.
    pub fn end(mut self) -> Result<ExitStatus> {
        let status = self.wait()?;
        ensure!(!self.is_changed()?, "the terminal's settings have changed");
        wait::until("the screen is as it was", || {
            let parser = lock(&self.screen);
            let screen = parser.screen();
            let restored = !screen.alternate_screen() && !screen.hide_cursor();
            Ok(restored.then_some(()))
        })?;
        Ok(status)
    }
}

/// Shows what the program prints, until nobody has its side open any more, or the terminal is
/// `closed`.
fn read(mut output: File, screen: &Arc<Mutex<Parser>>, closed: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (screen, closed) = (Arc::clone(screen), Arc::clone(closed));
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while !closed.load(Ordering::Relaxed) {
            let mut wanted = [PollFd::new(&output, PollFlags::IN)];
            if !matches!(poll(&mut wanted, Some(&TICK)), Ok(1..)) {
                continue;
            }
            let Ok(length @ 1..) = output.read(&mut bytes) else {
                break;
            };
            lock(&screen).process(&bytes[..length]);
        }
    })
}

fn lock(screen: &Mutex<Parser>) -> MutexGuard<'_, Parser> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        if matches!(self.child.try_wait(), Ok(None))
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("killing a program in a terminal: {error}");
        }
    }
}
