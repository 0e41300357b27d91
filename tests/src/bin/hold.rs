//! One end of many connections, which it holds open until it is killed. It is a program of its own,
//! as one process may not have enough file descriptors for both ends.
//!
//! `hold listen ADDRESS:PORT` accepts and reads; `hold connect ADDRESS:PORT COUNT` connects and
//! writes.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, bail};
use end_to_end::traffic::payload;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Bytes that each connection carries.
const PAYLOAD: usize = 200;

fn main() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let held = match words[..] {
        ["listen", at] => listen(at)?,
        ["connect", to, count] => connect(to, count.parse()?)?,
        _ => bail!("hold listen ADDRESS:PORT, or hold connect ADDRESS:PORT COUNT"),
    };
    println!("holding {}", held.len());
    loop {
        thread::park();
    }
}

fn listen(at: &str) -> Result<Vec<TcpStream>> {
    let listener = TcpListener::bind(at).with_context(|| format!("bind {at}"))?;
    println!("listening");
    let mut held = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.context("accepting")?;
        let mut bytes = [0; PAYLOAD];
        stream.read_exact(&mut bytes).context("reading")?;
        held.push(stream);
    }
    Ok(held)
}

fn connect(to: &str, count: usize) -> Result<Vec<TcpStream>> {
    let payload = payload::bytes(PAYLOAD);
    let connect = |at| {
        let mut stream = TcpStream::connect(to).with_context(|| format!("connection {at}"))?;
        stream.write_all(&payload).context("writing")?;
        Ok(stream)
    };
    (0..count).map(connect).collect()
}
