//! The program that watches sockets, on a cgroup.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::{CgroupAttachMode, links::FdLink};

use super::link_state::LinkDescriptor;
use super::load::Programs;

/// The program that watches sockets, on a cgroup. Dropping it detaches it.
#[derive(Debug)]
pub struct SocketLink {
    /// The ID of the program.
    program: u32,
    /// Where to look whether it is still attached.
    descriptor: LinkDescriptor,
    _link: FdLink,
}

impl SocketLink {
    /// Attaches to a cgroup: the sockets of every process in it and below are watched.
    ///
    /// # Errors
    /// When the directory cannot be opened or the kernel refuses.
    pub fn attach(programs: &mut Programs, cgroup: &Path) -> Result<Self> {
        let directory =
            File::open(cgroup).with_context(|| format!("opening cgroup {}", cgroup.display()))?;
        let program = programs.socket_program()?;
        // Links allow no other mode than Single, which does not exclude other programs here.
        let link = program
            .attach(directory, CgroupAttachMode::Single)
            .with_context(|| format!("attaching to cgroup {}", cgroup.display()))?;
        let link = FdLink::try_from(program.take_link(link)?)?;
        Ok(Self {
            program: program.info()?.id(),
            descriptor: LinkDescriptor::find(link.info()?.id())?,
            _link: link,
        })
    }

    /// Why it is not attached any more, in words, if it is not.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn gone(&self) -> Result<Option<String>> {
        self.descriptor.gone(self.program)
    }
}
