//! A path between two namespaces that a test makes as good or bad as it likes: packets are delayed, lost,
//! overtaken or doubled as it says. It is a tun device at each end, and a thread for each direction between.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::world::netns::{Namespace, first, second};
use crate::world::tun::{LARGEST, PERIOD, device};

/// What becomes of a packet, which is given from its IP header on and may be changed: the delays after which
/// it arrives, each time. None: it is lost.
pub type Fate = Box<dyn FnMut(&mut [u8]) -> Vec<Duration> + Send>;

/// A path, whose ends are removed on drop.
#[derive(Debug)]
pub struct Path {
    stop: Arc<AtomicBool>,
    carriers: Vec<JoinHandle<()>>,
}

impl Path {
    /// Makes a device of this name in each namespace, with the addresses of subnet `number`. The fates are of
    /// what `a` sends, and of what `b` sends.
    ///
    /// # Errors
    /// /dev/net/tun is missing, or the privilege to use it.
    pub fn open(ends: [&Namespace; 2], name: &str, number: u8, fates: [Fate; 2]) -> Result<Self> {
        let mut files = Vec::new();
        for (namespace, [v4, v6]) in ends.into_iter().zip([first(number), second(number)]) {
            files.push(Arc::new(namespace.run(|| device(name))?));
            namespace.ip(&["addr", "add", &format!("{v4}/24"), "dev", name])?;
            let v6 = format!("{v6}/64");
            namespace.ip(&["addr", "add", &v6, "dev", name, "nodad"])?;
            namespace.ip(&["link", "set", name, "up"])?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut carriers = Vec::new();
        for (from, mut fate) in fates.into_iter().enumerate() {
            let (from, to) = (Arc::clone(&files[from]), Arc::clone(&files[1 - from]));
            let stop = Arc::clone(&stop);
            carriers.push(thread::spawn(move || carry(&from, &to, &mut fate, &stop)));
        }
        Ok(Self { stop, carriers })
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for carrier in self.carriers.drain(..) {
            if carrier.join().is_err() {
                eprintln!("a path broke down");
            }
        }
    }
}

fn carry(mut from: &File, mut to: &File, fate: &mut Fate, stop: &AtomicBool) {
    let mut packet = vec![0; LARGEST];
    // By when they arrive; those of the same time in the order in which they were sent.
    let mut travelling = BTreeMap::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::Acquire) {
        match from.read(&mut packet) {
            Ok(length) => {
                let now = Instant::now();
                for delay in fate(&mut packet[..length]) {
                    number += 1;
                    travelling.insert((now + delay, number), packet[..length].to_vec());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let next = travelling.first_key_value().map(|((at, _), _)| *at);
                let wait = next.map_or(PERIOD, |at| at.saturating_duration_since(Instant::now()));
                thread::sleep(wait.min(PERIOD));
            }
            Err(_) => break,
        }
        while let Some(first) = travelling.first_entry()
            && first.key().0 <= Instant::now()
        {
            // A packet that the other side does not accept is lost, as on any wire.
            drop(to.write(&first.remove()));
        }
    }
}
