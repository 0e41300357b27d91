//! What a person sees when capture begins, and how it gets onto the screen.

use std::fmt;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

use crate::config::Config;
use crate::http::Listener;
use model::{AttachMethod, FlowSource};

/// What a person sees when capture begins: what runs how, and where.
pub(crate) struct Screen<'a> {
    pub(crate) config: &'a Config,
    pub(crate) method: AttachMethod,
    pub(crate) http: Option<&'a Listener>,
    pub(crate) interfaces: &'a str,
}

impl fmt::Display for Screen<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            config,
            method,
            http,
            interfaces,
        } = self;
        let files = &config.files;
        let naming = files.naming;
        let (format, compression) = (naming.format.extension(), naming.compression.extension());
        let pid = std::process::id();
        writeln!(out, "packet-headers {}", env!("CARGO_PKG_VERSION"))?;
        match &config.source {
            FlowSource::Kernel(prefix) => {
                writeln!(
                    out,
                    "  names    {prefix}_<socket cookie>, from this kernel's sockets"
                )?;
            }
            FlowSource::TcpInfo(socket, _) => {
                writeln!(out, "  names    from tcp-info at {socket}")?;
            }
            FlowSource::Hybrid(socket, _) => {
                writeln!(
                    out,
                    "  names    from tcp-info at {socket}, and from this kernel's sockets"
                )?;
            }
        }
        writeln!(
            out,
            "  files    {}/YYYY/MM/DD/<UUID>{format}{compression}, each when its connection ended",
            files.data.display()
        )?;
        writeln!(out, "  packets  by {method}")?;
        if let Some(http) = http {
            writeln!(out, "  metrics  {}", http.url())?;
        }
        writeln!(out, "  counters kill -USR1 {pid}")?;
        writeln!(out, "  stop     Ctrl-C, or kill {pid}")?;
        write!(out, "capturing {interfaces}")
    }
}

/// Writes to standard output. A reader that went away is no reason to stop capturing.
pub(crate) fn say(text: &impl fmt::Display) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}
