//! The machine that a test builds, and what that machine says about itself.
//!
//! Uses no other part of the harness.

pub mod bpf;
pub mod cgroup;
pub mod command;
pub mod container;
pub mod deploy;
pub mod kernel;
pub mod links;
pub mod metronome;
pub mod mount;
pub mod netns;
pub mod parallel;
pub mod path;
pub mod process;
pub mod procfs;
pub mod python;
pub mod ss;
pub(crate) mod stamps;
pub mod stopped_thread;
pub mod systemd;
pub mod tun;
pub mod wait;
pub mod wakeups;
