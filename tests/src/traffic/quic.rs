//! QUIC connections between programs that are not ours: aioquic at both ends.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};

use crate::world::netns::Namespace;
use crate::world::process::{Process, Stream};
use crate::world::python;

/// What one end does: the versions that it speaks, as hexadecimal numbers; the length of its connection IDs; and what
/// else it is told, as in `quic_end.py`.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// In the order of preference.
    pub versions: &'static str,
    /// In bytes, 0 to 20.
    pub id_len: usize,
    /// Further words.
    pub words: &'static [&'static str],
}

impl End {
    /// RFC 9000 with IDs of this length.
    #[must_use]
    pub const fn of_version_1(id_len: usize) -> Self {
        Self {
            versions: "1",
            id_len,
            words: &[],
        }
    }

    /// RFC 9369 with IDs of this length.
    #[must_use]
    pub const fn of_version_2(id_len: usize) -> Self {
        Self {
            versions: "6b3343cf",
            ..Self::of_version_1(id_len)
        }
    }

    /// Told these words.
    #[must_use]
    pub const fn told(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    /// With these versions.
    #[must_use]
    pub const fn speaking(self, versions: &'static str) -> Self {
        Self { versions, ..self }
    }

    fn start(self, role: &str, at: &Namespace, server: SocketAddr) -> Result<Process> {
        let mut command = python::program("quic_end.py")?;
        command.args([role, &server.ip().to_string(), &server.port().to_string()]);
        command.args([&self.id_len.to_string(), self.versions]);
        command.args(self.words);
        Process::start(at, &mut command)
    }
}

/// A server that runs; killed on drop.
#[derive(Debug)]
pub struct Server {
    end: End,
    process: Process,
    address: SocketAddr,
}

/// A client that runs.
#[derive(Debug)]
pub struct Client {
    end: End,
    process: Process,
    ip: IpAddr,
}

impl Server {
    /// Starts one at a port that is free, and waits until it serves.
    ///
    /// # Errors
    /// It does not begin to serve.
    pub fn start(end: End, (namespace, ip): (&Namespace, IpAddr)) -> Result<Self> {
        let mut process = end.start("serve", namespace, SocketAddr::new(ip, 0))?;
        let ready = |line: &str| line.starts_with("ready ");
        process.wait_for_line((Stream::Out, 0), "it serves", ready)?;
        let port = said(&process, "ready").remove(0).parse()?;
        Ok(Self {
            end,
            process,
            address: SocketAddr::new(ip, port),
        })
    }

    /// Starts a client of it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn connect(&self, end: End, (namespace, ip): (&Namespace, IpAddr)) -> Result<Client> {
        Ok(Client {
            end,
            process: end.start("connect", namespace, self.address)?,
            ip,
        })
    }

    /// Waits until the client has done what it was told; what both made.
    ///
    /// # Errors
    /// The client failed.
    pub fn finish(&self, client: Client) -> Result<Quic> {
        let mut process = client.process;
        let status = process.wait()?;
        let transcripts = || format!("{}{}", process.transcript(), self.process.transcript());
        anyhow::ensure!(status.success(), "{status}: {}", transcripts());
        let ids = |process, word| -> Result<Vec<_>> {
            said(process, word).iter().map(|id| Id::of(id)).collect()
        };
        let ports = said(&process, "port").into_iter();
        let addresses = ports.map(|port| Ok(SocketAddr::new(client.ip, port.parse()?)));
        Ok(Quic {
            server: self.address,
            clients: addresses.collect::<Result<_>>().with_context(transcripts)?,
            moves: client.end.words.contains(&"migrate") || client.end.words.contains(&"rebind"),
            id_lens: [self.end.id_len, client.end.id_len],
            ids: [ids(&self.process, "id")?, ids(&process, "id")?],
            chosen: [ids(&self.process, "first")?, ids(&process, "first")?].concat(),
            versions: said(&process, "version"),
        })
    }
}

/// A connection ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(pub Vec<u8>);

impl Id {
    fn of(digits: &str) -> Result<Self> {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16);
        let bytes = (0..digits.len()).step_by(2).map(byte);
        Ok(Self(bytes.collect::<Result<_, _>>()?))
    }
}

/// What a client and a server made, by their own words.
#[derive(Debug, Clone)]
pub struct Quic {
    /// Where the server is.
    pub server: SocketAddr,
    /// Where the client was, from first to last.
    pub clients: Vec<SocketAddr>,
    /// Whether all of these are of one connection.
    pub moves: bool,
    /// The lengths of the IDs that the server has, and the client.
    pub id_lens: [usize; 2],
    /// The IDs of the server, and of the client.
    pub ids: [Vec<Id>; 2],
    /// IDs of a server before it has one: a client chooses it, and a server that asks to come back with a token.
    pub chosen: Vec<Id>,
    /// In which version each connection ended.
    pub versions: Vec<String>,
}

/// What follows a word in the lines that a program printed.
fn said(process: &Process, word: &str) -> Vec<String> {
    let lines = process.lines(Stream::Out).into_iter();
    let rest = lines.filter_map(|line| match line.split_once(' ') {
        Some((first, rest)) => (first == word).then(|| rest.to_owned()),
        // An ID of no bytes.
        None => (line == word).then(String::new),
    });
    rest.collect()
}
