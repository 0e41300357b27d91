//! What /proc says about a process and about the interfaces of a namespace.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::world::netns::Namespace;

/// The most memory that a process has had at once, in bytes: its own pages, those of its files, and
/// those of the kernel that it maps.
///
/// # Errors
/// There is no such process.
pub fn peak_memory(process: u32) -> Result<u64> {
    memory_by(process, "VmHWM")
}

/// The memory that a process has now, in bytes, counted as in [`peak_memory`].
///
/// # Errors
/// There is no such process.
pub fn memory(process: u32) -> Result<u64> {
    memory_by(process, "VmRSS")
}

/// The memory of a process that no file backs, in bytes: what it has allocated.
///
/// # Errors
/// There is no such process.
pub fn anonymous_memory(process: u32) -> Result<u64> {
    memory_by(process, "RssAnon")
}

fn memory_by(process: u32, key: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let kib = field(&status, key)?.strip_suffix(" kB");
    let kib: u64 = kib.with_context(|| status.clone())?.parse()?;
    Ok(kib << 10)
}

/// The value of a field of a /proc/PID/status.
///
/// # Errors
/// It has no such field.
pub fn field<'a>(status: &'a str, key: &str) -> Result<&'a str> {
    let mut fields = status.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find_map(|(name, value)| (name == key).then_some(value));
    found
        .map(str::trim)
        .with_context(|| format!("no {key} in {status}"))
}

/// The status of each thread of a process.
///
/// # Errors
/// There is no such process.
pub fn threads(process: u32) -> Result<Vec<String>> {
    let tasks = format!("/proc/{process}/task");
    let mut all = Vec::new();
    for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
        let path = task?.path().join("status");
        match fs::read_to_string(&path) {
            Ok(status) => all.push(status),
            // The thread has ended in the meantime.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(all)
}

/// How long all threads of a process have run on processors, in user space and in the kernel.
///
/// # Errors
/// There is no such process.
pub fn processor_time(process: u32) -> Result<Duration> {
    // utime and stime.
    ticks(&format!("/proc/{process}/stat"), 14)
}

/// How long all programs that this process has started and that have ended have run on processors.
///
/// # Errors
/// /proc is not there.
pub fn processor_time_of_children() -> Result<Duration> {
    // cutime and cstime.
    ticks("/proc/self/stat", 16)
}

/// The sum of two fields of a stat, from this one on, counted from 1.
fn ticks(path: &str, field: usize) -> Result<Duration> {
    /// USER_HZ, which is 100 on every architecture that eBPF has a compiler for.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(path).with_context(|| path.to_owned())?;
    // The program's name, in parentheses, may contain spaces. Field 3 is behind it.
    let (_, rest) = stat.rsplit_once(')').with_context(|| stat.clone())?;
    let fields = rest.split_whitespace().skip(field - 3).take(2);
    let ticks: Result<Vec<u32>, _> = fields.map(str::parse).collect();
    Ok(TICK * ticks?.iter().sum())
}

/// How many file descriptors a process has open.
///
/// # Errors
/// There is no such process.
pub fn open_files(process: u32) -> Result<usize> {
    let path = format!("/proc/{process}/fd");
    Ok(fs::read_dir(&path).with_context(|| path.clone())?.count())
}

/// How many packets have passed an interface in both directions, including those that it dropped
/// while sending.
///
/// # Errors
/// There is no such interface.
pub fn packets(namespace: &Namespace, interface: &str) -> Result<u64> {
    // /proc/net would be the main thread's.
    let text = namespace.run(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")?))?;
    let line = text.lines().find_map(|line| {
        let (name, counters) = line.split_once(':')?;
        (name.trim() == interface).then_some(counters)
    });
    let line = line.with_context(|| format!("no {interface} in {text}"))?;
    let fields: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
    let fields = fields?;
    // Received: bytes, packets and six more; sent: bytes, packets, errors, dropped.
    let field = |at: usize| fields.get(at).copied().context("too few fields");
    Ok(field(1)? + field(9)? + field(11)?)
}
