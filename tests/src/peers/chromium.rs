//! Chromium, which shows a file as people see it.

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::world::command::output_of;

/// What the screen is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A page as its scripts have left it after so many of its own seconds; and what the browser said of
/// it, such as that something broke the page's policy. The namespace of the calling thread leads to the
/// page.
///
/// # Errors
/// What Chromium says; or that it does not end.
pub fn document(url: &str, after: Duration) -> Result<(String, String)> {
    let home = TempDir::new()?;
    let mut command = chromium(home.path(), Some(after));
    command.args(["--enable-logging=stderr", "--dump-dom", url]);
    output_of(&mut command, "coreutils chromium")
}

/// Chromium, which resolves no names, and reaches no address but 127.0.0.1. It is as if so many seconds passed for the page, however long its
/// requests take.
fn chromium(home: &Path, after: Option<Duration>) -> Command {
    let mut command = Command::new("timeout");
    command.args([
        "300",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ]);
    command.arg(format!("--user-data-dir={}", home.display()));
    if let Some(after) = after {
        command.arg(format!("--virtual-time-budget={}", after.as_millis()));
    }
    command
}

/// What Chromium shows: pixels, row by row.
#[derive(Debug)]
pub struct Screenshot {
    /// How many pixels there are in a row.
    pub width: usize,
    /// Red, green, and blue.
    pub pixels: Vec<[u8; 3]>,
}

impl Screenshot {
    /// Shows a file in a window of so many pixels, without a network.
    ///
    /// # Errors
    /// What Chromium says; or that it does not end.
    pub fn of(file: &Path, size: (u32, u32), screen: Screen) -> Result<Self> {
        let url = format!("file://{}", file.canonicalize()?.display());
        Self::save(&url, size, screen, None).map(|(shot, _)| shot)
    }

    /// Shows a page in a window of so many pixels, to which the namespace of the calling thread leads;
    /// after as many of the page's own seconds. Returns the picture as PNG, too.
    ///
    /// # Errors
    /// What Chromium says; or that it does not end.
    pub fn of_page(
        url: &str,
        size: (u32, u32),
        screen: Screen,
        after: Duration,
    ) -> Result<(Self, Vec<u8>)> {
        Self::save(url, size, screen, Some(after))
    }

    fn save(
        url: &str,
        (width, height): (u32, u32),
        screen: Screen,
        after: Option<Duration>,
    ) -> Result<(Self, Vec<u8>)> {
        let home = TempDir::new()?;
        let image = home.path().join("screenshot.png");
        let scheme = match screen {
            Screen::Dark => 0,
            Screen::Light => 1,
        };
        let mut command = chromium(home.path(), after);
        command.arg(format!("--window-size={width},{height}"));
        command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
        command.arg(format!("--screenshot={}", image.display()));
        let (_, said) = output_of(command.arg(url), "coreutils chromium")?;
        let image = fs::read(&image).with_context(|| format!("no screenshot: {said}"))?;
        Ok((Self::read(&image)?, image))
    }

    fn read(image: &[u8]) -> Result<Self> {
        let mut reader = png::Decoder::new(Cursor::new(image)).read_info()?;
        let size = reader
            .output_buffer_size()
            .context("a picture of that size")?;
        let mut bytes = vec![0; size];
        let info = reader.next_frame(&mut bytes)?;
        let channels = info.color_type.samples();
        ensure!(
            channels >= 3 && info.bit_depth == png::BitDepth::Eight,
            "{info:?}"
        );
        let pixels = bytes[..info.buffer_size()].chunks_exact(channels);
        Ok(Self {
            width: usize::try_from(info.width)?,
            pixels: pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        })
    }

    /// The colour that most pixels have.
    #[must_use]
    pub fn background(&self) -> [u8; 3] {
        let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
        for pixel in &self.pixels {
            *counts.entry(*pixel).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.map_or([0; 3], |(colour, _)| colour)
    }

    /// How many pixels have about this colour.
    #[must_use]
    pub fn count(&self, colour: [u8; 3]) -> usize {
        let near = |pixel: &&[u8; 3]| {
            let channels = pixel.iter().zip(colour);
            channels
                .map(|(own, other)| own.abs_diff(other))
                .all(|difference| difference <= 12)
        };
        self.pixels.iter().filter(near).count()
    }
}
