//! What the daemon says when capture begins.

use std::env;
use std::fmt;
use std::path::Path;

use crate::config::Config;
use crate::http::Listener;
use crate::terminal::as_written;
use model::{AttachMethod, FlowSource};

/// What the daemon says when capture begins: its main settings, and where to find what it produces.
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

    /// Logs it as one record.
    pub(super) fn log(&self) {
        let metrics = self.http.map(Listener::url);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            names = self.names().as_str(),
            files = self.files(None).as_str(),
            packets = self.method.to_string().as_str(),
            metrics = metrics.as_deref(),
            "capturing {}",
            self.interfaces
        );
    }

    /// What connections are called.
    fn names(&self) -> String {
        match &self.config.source {
            FlowSource::Kernel(prefix) => {
                format!("{prefix}_<socket cookie>, from this kernel's sockets")
            }
            FlowSource::TcpInfo(socket, _) => format!("from tcp-info at {socket}"),
            FlowSource::Hybrid(socket, _) => {
                format!("from tcp-info at {socket}, and from this kernel's sockets")
            }
        }
    }

    /// Where files appear, for someone who is in `here`.
    fn files(&self, here: Option<&Path>) -> String {
        let files = &self.config.files;
        let naming = files.naming;
        let (format, compression) = (naming.format.extension(), naming.compression.extension());
        let data = as_written(&files.data, here);
        format!("{data}/YYYY/MM/DD/<UUID>{format}{compression}")
    }
}

impl fmt::Display for StartupBanner<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = std::process::id();
        writeln!(out, "packet-headers {}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "  names    {}", self.names())?;
        writeln!(
            out,
            "  files    {}, each once its connection ended",
            self.files(env::current_dir().ok().as_deref())
        )?;
        writeln!(out, "  packets  captured by {}", self.method)?;
        if let Some(http) = self.http {
            writeln!(out, "  metrics  {}", http.url())?;
        }
        writeln!(out, "  accounts kill -USR1 {pid}")?;
        writeln!(out, "  live     packet-headers top")?;
        writeln!(out, "  stop     Ctrl-C, or kill {pid}")?;
        write!(out, "capturing {}", self.interfaces)
    }
}
