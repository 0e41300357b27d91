//! The processors that the daemon is built for, and what others call them.

use std::env;

use clap::ValueEnum;

/// A kind of processor, named as Debian names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// x86-64
    #[value(aliases = ["x86_64", "x86_64-unknown-linux-gnu"])]
    Amd64,
    /// 64-bit Arm, little-endian
    #[value(aliases = ["aarch64", "aarch64-unknown-linux-gnu"])]
    Arm64,
}

impl Architecture {
    /// As Debian names it.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As `uname -m` prints it.
    pub(crate) const fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Rust's triple.
    pub(crate) fn triple(self) -> String {
        format!("{}-unknown-linux-gnu", self.machine())
    }

    /// GNU's triple: in the names of its compilers, and of the directories of Debian's libraries.
    pub(crate) fn gnu(self) -> String {
        format!("{}-linux-gnu", self.machine())
    }

    /// Whether it is this machine's.
    pub(crate) fn is_here(self) -> bool {
        env::consts::ARCH == self.machine()
    }
}
