//! Chromium, which shows a file as people see it.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

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
    pub fn of(file: &Path, (width, height): (u32, u32), screen: Screen) -> Result<Self> {
        let home = TempDir::new()?;
        let image = home.path().join("screenshot.png");
        let file = file.canonicalize()?;
        let scheme = match screen {
            Screen::Dark => 0,
            Screen::Light => 1,
        };
        let mut command = Command::new("timeout");
        command.args([
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
        ]);
        command.args([
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ]);
        command.arg("--host-resolver-rules=MAP * ~NOTFOUND");
        command.arg(format!("--user-data-dir={}", home.path().display()));
        command.arg(format!("--window-size={width},{height}"));
        command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
        command.arg(format!("--screenshot={}", image.display()));
        command.arg(format!("file://{}", file.display()));
        let (_, said) = output_of(&mut command, "coreutils chromium")?;
        let image = File::open(&image).with_context(|| format!("no screenshot: {said}"))?;
        Self::read(image)
    }

    fn read(image: File) -> Result<Self> {
        let mut reader = png::Decoder::new(BufReader::new(image)).read_info()?;
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
