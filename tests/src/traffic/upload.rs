//! Uploads: one end sends, the other reads when it likes, and both wait before they close.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};

use super::payload;
use crate::world::netns::Namespace;

/// A running upload.
#[derive(Debug)]
pub struct Upload {
    sender: TcpStream,
    receiver: TcpStream,
    sending: JoinHandle<std::io::Result<()>>,
}

impl Upload {
    /// Connects to `at` in the namespace `to`, and sends `bytes` bytes. The other end reads once `ready`
    /// has returned.
    ///
    /// # Errors
    /// There is no such address, or no connection to it.
    pub fn start(
        [from, to]: [&Namespace; 2],
        at: (IpAddr, u16),
        bytes: usize,
        ready: impl FnOnce() + Send + 'static,
    ) -> Result<Self> {
        let at = SocketAddr::from(at);
        let listener = to.run(|| TcpListener::bind(at).with_context(|| format!("bind {at}")))?;
        let sender = from
            .run(|| Ok(TcpStream::connect(at)?))
            .with_context(|| format!("connect to {at}"))?;
        let (receiver, _) = listener.accept()?;
        let (mut writes, mut reads) = (sender.try_clone()?, receiver.try_clone()?);
        let sending = thread::spawn(move || {
            let receiving = thread::spawn(move || {
                ready();
                let mut left = bytes;
                let mut buffer = vec![0; 64 << 10];
                while left > 0 {
                    left -= match reads.read(&mut buffer)? {
                        0 => break,
                        read => read,
                    };
                }
                std::io::Result::Ok(())
            });
            writes.write_all(&payload::bytes(bytes))?;
            receiving
                .join()
                .unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        });
        Ok(Self {
            sender,
            receiver,
            sending,
        })
    }

    /// The sender's address.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn sender(&self) -> Result<SocketAddr> {
        Ok(self.sender.local_addr()?)
    }

    /// Waits until everything was read.
    ///
    /// # Errors
    /// The connection broke.
    pub fn wait(self) -> Result<Sent> {
        let sent = self.sending.join();
        sent.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))?;
        Ok(Sent {
            sender: self.sender,
            receiver: self.receiver,
        })
    }
}

/// An upload of which everything was read, and that is still open.
#[derive(Debug)]
pub struct Sent {
    sender: TcpStream,
    receiver: TcpStream,
}

impl Sent {
    /// Closes it, the sender first.
    ///
    /// # Errors
    /// The connection broke.
    pub fn close(self) -> Result<()> {
        self.sender.shutdown(Shutdown::Write)?;
        for mut end in [self.receiver, self.sender] {
            ensure!(end.read(&mut [0])? == 0, "something came behind the end");
        }
        Ok(())
    }
}
