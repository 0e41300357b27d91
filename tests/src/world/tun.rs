//! A tunnel between two namespaces: a tun device in each, whose packets are IP packets without a
//! link layer, and threads that carry them across.
#![allow(
    unsafe_code,
    reason = "no safe wrapper knows TUNSETIFF, which gives a tun device to its descriptor"
)]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::world::netns::{Namespace, first, second};

/// More bytes than any packet has.
pub(super) const LARGEST: usize = 1 << 16;
/// The time between two looks for packets. The descriptors do not block, so that the threads can
/// end.
pub(super) const PERIOD: Duration = Duration::from_micros(200);

/// Two joined tun devices, removed on drop.
#[derive(Debug)]
pub struct Tunnel {
    stop: Arc<AtomicBool>,
    carriers: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// Makes a device of this name in each namespace, with the addresses of subnet `number`.
    ///
    /// # Errors
    /// /dev/net/tun is missing, or the privilege to use it.
    pub fn open(a: &Namespace, b: &Namespace, name: &str, number: u8) -> Result<Self> {
        let ends = [(a, first(number)), (b, second(number))];
        let [a, b] = ends.map(|(namespace, [address, _])| {
            let file = Arc::new(namespace.run(|| device(name))?);
            namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", name])?;
            namespace.ip(&["link", "set", name, "up"])?;
            anyhow::Ok(file)
        });
        let (a, b) = (a?, b?);
        let stop = Arc::new(AtomicBool::new(false));
        let carriers = [(Arc::clone(&a), Arc::clone(&b)), (b, a)].map(|(from, to)| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || carry(&from, &to, &stop))
        });
        Ok(Self {
            stop,
            carriers: carriers.into(),
        })
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for carrier in self.carriers.drain(..) {
            if carrier.join().is_err() {
                eprintln!("a tunnel broke down");
            }
        }
    }
}

fn carry(mut from: &File, mut to: &File, stop: &AtomicBool) {
    let mut packet = vec![0; LARGEST];
    while !stop.load(Ordering::Acquire) {
        match from.read(&mut packet) {
            // A packet that the other side does not accept is lost, as on any wire.
            Ok(length) => drop(to.write(&packet[..length])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PERIOD),
            Err(_) => break,
        }
    }
}

/// `struct ifreq` of netdevice(7); TUNSETIFF reads its name and flags.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());

/// Makes a tun device in this thread's namespace. It lives as long as its descriptor.
pub(super) fn device(name: &str) -> Result<File> {
    let path = "/dev/net/tun";
    let file = File::options().read(true).write(true).open(path);
    let file = file.context(path)?;
    rustix::io::ioctl_fionbio(&file, true)?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        rest: [0; 22],
    };
    ensure!(name.len() < libc::IFNAMSIZ, "{name} is too long a name");
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the kernel reads and writes a struct ifreq, which this is in size and layout.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if done != 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("making {name}"));
    }
    Ok(file)
}
