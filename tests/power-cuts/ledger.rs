//! What the host is told: lines of words with tabs between them, the first of which is the time in
//! milliseconds since this began.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use end_to_end::peers::daemon::kernel_uuid;
use end_to_end::traffic::{Connection, Observer};

/// A port to the host, which has each line as soon as it is written.
pub(crate) struct Ledger {
    port: Mutex<File>,
    begun: Instant,
}

impl Ledger {
    /// The machine's port.
    pub(crate) fn open() -> Result<Self> {
        let ports = fs::read_dir("/sys/class/virtio-ports").context("listing ports")?;
        let port = ports.flatten().next().context("the machine has no port")?;
        let path = std::path::Path::new("/dev").join(port.file_name());
        let port = OpenOptions::new().write(true).open(&path);
        Ok(Self {
            port: Mutex::new(port.with_context(|| format!("opening {}", path.display()))?),
            begun: Instant::now(),
        })
    }

    /// Writes a line.
    pub(crate) fn tell(&self, words: &[&str]) -> Result<()> {
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!(
            "{}\t{}\n",
            self.begun.elapsed().as_millis(),
            words.join("\t")
        );
        port.write_all(line.as_bytes()).context("telling the host")
    }
}

impl Observer for Ledger {
    fn opened(&self, connection: &Connection) {
        let uuid = kernel_uuid(connection);
        let ends = format!("{} {}", connection.host, connection.peer);
        self.tell(&["opened", &uuid, &ends])
            .expect("the host listens");
    }

    fn closed(&self, connection: &Connection) {
        let uuid = kernel_uuid(connection);
        self.tell(&["closed", &uuid]).expect("the host listens");
    }
}
