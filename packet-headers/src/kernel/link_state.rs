//! What has become of a BPF link, by /proc/self/fdinfo: whoever may may detach or change it.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, RawFd};

use anyhow::{Context as _, Result};

/// The descriptors of this process, one file each (proc_pid_fdinfo(5)).
const DESCRIPTORS: &str = "/proc/self/fdinfo";

/// A link of this process, for as long as it is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkDescriptor(RawFd);

/// What the kernel says about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkState {
    /// The ID of the link.
    id: u32,
    /// The ID of the program that it runs.
    program: u32,
    /// The index of the interface or the ID of the cgroup that it is attached to, or 0.
    target: u64,
}

impl LinkDescriptor {
    /// Of a link that shows its descriptor.
    pub(super) fn of(link: impl AsFd) -> Self {
        Self(link.as_fd().as_raw_fd())
    }

    /// Of the link with this ID.
    ///
    /// # Errors
    /// When this process has none, or /proc cannot be read.
    pub(super) fn find(id: u32) -> Result<Self> {
        let descriptors = fs::read_dir(DESCRIPTORS).context(DESCRIPTORS)?;
        let numbers = descriptors
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(Self);
        let of = |link: &Self| link.state().ok().flatten().map(|state| state.id);
        let mut found = numbers.filter(|link| of(link) == Some(id));
        found
            .next()
            .with_context(|| format!("{DESCRIPTORS} has no link {id}"))
    }

    /// Why the link does not run this program any more, in words, if it does not.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(super) fn gone(self, program: u32) -> Result<Option<String>> {
        let state = self.state()?.context("not a link")?;
        Ok(state.gone(program))
    }

    fn state(self) -> Result<Option<LinkState>> {
        let path = format!("{DESCRIPTORS}/{}", self.0);
        let text = fs::read_to_string(&path).context(path)?;
        Ok(LinkState::parse(&text))
    }
}

impl LinkState {
    /// Parses the file of a descriptor; `None` if it is not a link.
    fn parse(text: &str) -> Option<Self> {
        let mut state = Self {
            id: 0,
            program: 0,
            target: 0,
        };
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match key {
                "link_id" => state.id = value.parse().ok()?,
                "prog_id" => state.program = value.parse().ok()?,
                "ifindex" | "cgroup_id" => state.target = value.parse().ok()?,
                _ => {}
            }
        }
        (state.id != 0).then_some(state)
    }

    fn gone(&self, program: u32) -> Option<String> {
        if self.target == 0 {
            Some("detached".to_owned())
        } else if self.program != program {
            Some(format!("replaced by program {}", self.program))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.18 writes it.
    const TCX: &str = "pos:\t0\nflags:\t02000000\nmnt_id:\t17\nino:\t1038\nlink_type:\ttcx\n\
        link_id:\t8388\nprog_tag:\tb2e4b8d51eef8b25\nprog_id:\t26165\nifindex:\t3\n\
        attach_type:\t46 (ingress)\n";
    const CGROUP: &str = "pos:\t0\nflags:\t02000000\nmnt_id:\t17\nino:\t1038\nlink_type:\tcgroup\n\
        link_id:\t4\nprog_tag:\tb40f3a1651b620cf\nprog_id:\t12\ncgroup_id:\t1\nattach_type:\t3\n";

    #[test]
    fn a_link_without_a_target_is_detached_and_one_with_another_program_is_replaced() {
        for (text, program, target) in [(TCX, 26165, "ifindex:\t3"), (CGROUP, 12, "cgroup_id:\t1")]
        {
            let gone = |text: &str, program| LinkState::parse(text).unwrap().gone(program);
            assert_eq!(gone(text, program), None);
            let detached = text.replace(target, target.trim_end_matches(['1', '3']));
            assert_eq!(LinkState::parse(&detached), None);
            let detached = detached.replace("ifindex:\t", "ifindex:\t0");
            let detached = detached.replace("cgroup_id:\t", "cgroup_id:\t0");
            assert_eq!(gone(&detached, program).unwrap(), "detached");
            assert_eq!(
                gone(text, 7).unwrap(),
                format!("replaced by program {program}")
            );
        }
    }

    #[test]
    fn a_descriptor_that_is_no_link_has_no_state() {
        assert_eq!(LinkState::parse("pos:\t0\nflags:\t02\nprog_id:\t5\n"), None);
        assert!(LinkDescriptor::find(u32::MAX).is_err());
    }
}
