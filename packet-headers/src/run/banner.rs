//! What the daemon prints when capture begins.

use std::fmt;

use crate::config::Config;
use crate::http::Listener;
use crate::terminal::{print_in_passing, visible};
use model::{AttachMethod, FlowSource};

/// What the daemon prints when capture begins: its main settings, and where to find what it
/// produces.
pub(crate) struct StartupBanner<'a> {
    config: &'a Config,
    method: AttachMethod,
    http: Option<&'a Listener>,
    /// The captured interfaces, in words.
    interfaces: &'a str,
}

impl<'a> StartupBanner<'a> {
    pub(super) const fn new(
        config: &'a Config,
        method: AttachMethod,
        http: Option<&'a Listener>,
        interfaces: &'a str,
    ) -> Self {
        Self {
            config,
            method,
            http,
            interfaces,
        }
    }

    /// Prints it. That this is not possible is no reason not to capture.
    pub(super) fn print(&self) {
        if let Err(error) = print_in_passing(self) {
            tracing::warn!("capturing, but cannot say so: {error:#}");
        }
    }
}

impl fmt::Display for StartupBanner<'_> {
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
            "  files    {}/YYYY/MM/DD/<UUID>{format}{compression}, each once its connection has ended",
            visible(&files.data.display().to_string())
        )?;
        writeln!(out, "  packets  captured by {method}")?;
        if let Some(http) = http {
            writeln!(out, "  metrics  {}", http.url())?;
        }
        writeln!(out, "  counters kill -USR1 {pid}")?;
        writeln!(out, "  stop     Ctrl-C, or kill {pid}")?;
        write!(out, "capturing {interfaces}")
    }
}
