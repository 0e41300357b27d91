//! The machine that a test builds, and what that machine says about itself.

pub mod bpf;
pub mod container;
pub mod deploy;
pub mod kernel;
pub mod links;
pub mod mount;
pub mod netns;
pub mod process;
pub mod procfs;
pub mod ss;
pub mod systemd;
pub mod tun;
pub mod wait;
