//! The arguments of `plot`, which draws one connection. They are not the daemon's, and take nothing from the
//! environment.

use std::path::{Path, PathBuf};

use capture_query::Filter;
use clap::Args;
use clap::error::ErrorKind;

use super::flows::FilterArguments;
use super::refusal::Refusal;

/// The end of the help.
const HELP: &str = "\
Examples:
  packet-headers plot download.pcap -o download.html
  packet-headers plot tcpdump.pcap --address 192.0.2.7 --port 50432 -o upload.svg
  packet-headers plot myhost_1795414125_unsafe_0000000000001002 --datadir captures > slow.svg

docs/plot.md shows how to read the picture.

Exit codes: 0 drawn, 1 not drawn, or of a file that could not be read to its end, 2 usage.";

/// Which connection to draw, and into what.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct PlotArguments {
    /// A capture, as `flows` reads them, with one connection or filters that choose one; or the UUID
    /// of a connection, whose file is looked for
    #[arg(value_name = "FILE|UUID")]
    pub connection: PathBuf,
    /// Where to: FILE.svg, or FILE.html for a page that needs nothing else [default: SVG to
    /// standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the file of a UUID is looked for; repeatable
    #[arg(long, value_name = "DIRECTORY", default_value = "captures")]
    pub datadir: Vec<PathBuf>,
    #[command(flatten)]
    filters: FilterArguments,
}

/// What a picture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Scalable Vector Graphics.
    Svg,
    /// A page of HTML.
    Html,
}

impl PlotArguments {
    /// Which connections may be meant.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.filters.filter()
    }

    /// What is written, by the output's name.
    ///
    /// # Errors
    /// The name says neither.
    pub(super) fn format_or_refusal(&self) -> Result<PictureFormat, Refusal> {
        let Some(output) = self
            .output
            .as_deref()
            .filter(|path| *path != Path::new("-"))
        else {
            return Ok(PictureFormat::Svg);
        };
        let extension = output.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("svg") => Ok(PictureFormat::Svg),
            Some("html" | "htm") => Ok(PictureFormat::Html),
            _ => {
                let message = format!(
                    "--output {} says neither .svg nor .html: name it by what it should be",
                    output.display()
                );
                Err((ErrorKind::InvalidValue, message))
            }
        }
    }
}
