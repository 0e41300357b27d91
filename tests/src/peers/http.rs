//! Requests over HTTP from inside a namespace, and the answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};

use crate::world::netns::Namespace;
use crate::world::wait::LIMIT;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, whole.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The body of an answer whose status must be 200.
    ///
    /// # Errors
    /// It has another status.
    pub fn good(self) -> Result<String> {
        ensure!(self.status == 200, "{self:?}");
        Ok(self.body)
    }
}

/// Requests `path`.
///
/// # Errors
/// There is no answer.
pub fn get(from: &Namespace, at: SocketAddr, path: &str) -> Result<Answer> {
    request(from, at, &format!("GET {path} HTTP/1.1\r\n"))
}

/// Sends a request with these first lines to the address that it is for; further ones are added.
///
/// # Errors
/// There is no answer.
pub fn request(from: &Namespace, at: SocketAddr, head: &str) -> Result<Answer> {
    raw(from, at, &format!("{head}Host: {at}\r\n"))
}

/// Sends a request with these lines, and one that makes the daemon close the connection.
///
/// # Errors
/// There is no answer.
pub fn raw(from: &Namespace, at: SocketAddr, head: &str) -> Result<Answer> {
    let text = from.run(|| {
        let mut stream = TcpStream::connect_timeout(&at, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        // At once: an answer may come, and the connection end, before a second piece.
        let request = format!("{head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    let text = text.with_context(|| format!("{at}: {}", head.trim_end()))?;
    let (head, body) = text.split_once("\r\n\r\n").context("no whole head")?;
    answer(head, body.to_owned())
}

/// The answer with this head and body.
fn answer(head: &str, body: String) -> Result<Answer> {
    let status = head.split(' ').nth(1).context("no status")?;
    Ok(Answer {
        status: status.parse().with_context(|| head.to_owned())?,
        head: head.to_owned(),
        body,
    })
}

/// A client that sends one request after another on one connection.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// It cannot.
    pub fn open(from: &Namespace, at: SocketAddr) -> Result<Self> {
        let stream = from.run(|| Ok(TcpStream::connect_timeout(&at, LIMIT)?))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Requests `path`.
    ///
    /// # Errors
    /// There is no answer, or none with a length.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut head, mut length) = (String::new(), None);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            ensure!(!line.is_empty(), "closed after {head:?}");
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>()?);
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length.context("no length")?];
        self.stream.read_exact(&mut body)?;
        answer(&head, String::from_utf8(body)?)
    }
}

/// Scrapes `/metrics`.
///
/// # Errors
/// There is no good answer.
pub fn metrics(from: &Namespace, at: SocketAddr) -> Result<Metrics> {
    Metrics::parse(&get(from, at, "/metrics")?.good()?)
}

/// The metrics of one scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The type of each, by name.
    pub types: BTreeMap<String, String>,
    /// The value of each sample, by name with labels: `name{label="value"}`.
    pub samples: BTreeMap<String, f64>,
}

impl Metrics {
    /// Parses the text format.
    ///
    /// # Errors
    /// A line that is malformed, or two lines for one name.
    pub fn parse(text: &str) -> Result<Self> {
        let (mut types, mut samples) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            let twice = if let Some(line) = line.strip_prefix("# TYPE ") {
                let (name, kind) = line.split_once(' ').context("no type")?;
                types.insert(name.to_owned(), kind.to_owned()).is_some()
            } else if line.starts_with("# HELP ") {
                false
            } else {
                let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
                let value = value.parse().with_context(|| line.to_owned())?;
                samples.insert(name.to_owned(), value).is_some()
            };
            if twice {
                bail!("twice: {line}");
            }
        }
        Ok(Self { types, samples })
    }

    /// The value of a sample.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, sample: &str) -> Result<f64> {
        let value = self.samples.get(sample).copied();
        value.with_context(|| format!("no {sample}"))
    }
}
