//! A virtual machine: a kernel and its initramfs, emulated, with a serial console, and what else it is
//! given.

use std::{
    ffi::OsString,
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::architecture::Architecture;

use super::debian::{self, Kernel};

const MEBIBYTES: &str = "1536";
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];
/// The time between two looks at a machine.
const PERIOD: Duration = Duration::from_millis(10);

/// A running machine; it is killed when this is dropped.
pub(crate) struct Machine {
    emulator: Child,
    name: String,
}

impl Machine {
    /// Starts one with an image; what it prints goes into `console`. `devices` are further arguments
    /// of the emulator.
    pub(crate) fn start(
        tools: &Path,
        kernel: &Kernel,
        (image, console): (&Path, &Path),
        devices: &[OsString],
    ) -> Result<Self> {
        let out =
            File::create(console).with_context(|| format!("creating {}", console.display()))?;
        let machine = kernel.architecture.machine();
        let mut command = Command::new(tools.join(format!("usr/bin/qemu-system-{machine}")));
        command.env("LD_LIBRARY_PATH", debian::library_path(tools)?);
        for firmware in FIRMWARE {
            command.arg("-L").arg(tools.join(firmware));
        }
        // Without hardware support, which a virtual host mostly has not to give.
        command
            .args(["-m", MEBIBYTES])
            .args(hardware(kernel.architecture));
        command.args(["-nodefaults", "-nographic", "-no-reboot"]);
        command.args(["-serial", "stdio"]);
        command.arg("-kernel").arg(&kernel.vmlinuz);
        command.arg("-initrd").arg(image);
        command.arg("-append").arg(parameters(kernel.architecture));
        command.args(devices);
        command.stdin(Stdio::null());
        command.stderr(out.try_clone()?).stdout(out);
        Ok(Self {
            emulator: command.spawn().context("starting qemu")?,
            name: format!("{}: see {}", kernel.release, console.display()),
        })
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.has_ended()? {
            self.check(deadline)?;
            thread::sleep(PERIOD);
        }
        Ok(())
    }

    /// Waits for something else than its end.
    pub(crate) fn until(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !condition()? {
            ensure!(!self.has_ended()?, "it ended too early: {}", self.name);
            self.check(deadline)?;
            thread::sleep(PERIOD);
        }
        Ok(())
    }

    fn check(&self, deadline: Instant) -> Result<()> {
        ensure!(
            Instant::now() < deadline,
            "it takes too long: {}",
            self.name
        );
        Ok(())
    }

    fn has_ended(&mut self) -> Result<bool> {
        match self.emulator.try_wait()? {
            Some(status) if !status.success() => bail!("qemu: {status}: {}", self.name),
            ended => Ok(ended.is_some()),
        }
    }

    /// Ends it at once, by SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.emulator.kill()?;
        self.emulator.wait()?;
        Ok(())
    }
}

/// What is emulated.
const fn hardware(architecture: Architecture) -> &'static [&'static str] {
    match architecture {
        Architecture::Amd64 => &["-accel", "tcg", "-cpu", "max"],
        // Two processors that run at the same time. Signed pointers as the architecture has them take most of
        // the time.
        Architecture::Arm64 => &[
            "-machine",
            "virt",
            "-accel",
            "tcg,thread=multi",
            "-smp",
            "2",
            "-cpu",
            "max,pauth-impdef=on",
        ],
    }
}

/// What the kernel is told.
const fn parameters(architecture: Architecture) -> &'static str {
    match architecture {
        // On a busy host the emulated timer fails the kernel's check of it.
        Architecture::Amd64 => "console=ttyS0 quiet panic=-1 no_timer_check",
        Architecture::Arm64 => "console=ttyAMA0 quiet panic=-1",
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended.
        let _gone = self.kill();
    }
}
