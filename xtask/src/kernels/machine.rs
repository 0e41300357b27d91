//! A virtual machine: a kernel and its initramfs, emulated, with a serial console and nothing else.

use std::{
    env,
    ffi::OsString,
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::debian::Kernel;

/// How long a machine may run. A quiet host needs two minutes.
const LIMIT: Duration = Duration::from_secs(600);
const MEBIBYTES: &str = "1536";
const LIBRARIES: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// Runs a machine to its end; what it printed is in `console`.
pub(super) fn run(tools: &Path, kernel: &Kernel, image: &Path, console: &Path) -> Result<()> {
    println!(
        "booting {}; its console is {}",
        kernel.release,
        console.display()
    );
    let out = File::create(console).with_context(|| format!("creating {}", console.display()))?;
    let mut command = Command::new(tools.join("usr/bin/qemu-system-x86_64"));
    command.env("LD_LIBRARY_PATH", search_path(tools)?);
    for firmware in FIRMWARE {
        command.arg("-L").arg(tools.join(firmware));
    }
    // Without hardware support, which a virtual host mostly has not to give.
    command.args(["-accel", "tcg", "-cpu", "max", "-m", MEBIBYTES]);
    command.args([
        "-nodefaults",
        "-nographic",
        "-no-reboot",
        "-serial",
        "stdio",
    ]);
    command.arg("-kernel").arg(&kernel.vmlinuz);
    command.arg("-initrd").arg(image);
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    command.stdin(Stdio::null());
    command.stderr(out.try_clone()?).stdout(out);
    let mut machine = command.spawn().context("starting qemu")?;
    let ended = wait(&mut machine);
    if ended.is_err() {
        machine.kill()?;
        machine.wait()?;
    }
    ended.with_context(|| format!("{}: see {}", kernel.release, console.display()))
}

fn wait(machine: &mut Child) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match machine.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("qemu: {status}"),
            None if Instant::now() >= deadline => bail!("the machine still runs after {LIMIT:?}"),
            None => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The unpacked libraries before the host's.
fn search_path(tools: &Path) -> Result<OsString> {
    let inherited = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let unpacked = LIBRARIES.map(|directory| tools.join(directory));
    let all = unpacked.into_iter().chain(env::split_paths(&inherited));
    Ok(env::join_paths(all)?)
}
