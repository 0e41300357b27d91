//! The programs that watch sockets, on a cgroup.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, ProgramError};

use super::link_state::LinkDescriptor;
use super::load::{OwnerProgram, Programs};

/// The programs that watch sockets, on a cgroup. Dropping it detaches them.
#[derive(Debug)]
pub struct SocketLink(Vec<Attached>);

/// One of them.
#[derive(Debug)]
struct Attached {
    /// The ID of the program.
    program: u32,
    /// Where to look whether it is still attached.
    descriptor: LinkDescriptor,
    _link: FdLink,
}

/// Links allow no other mode, which does not exclude other programs here.
const MODE: CgroupAttachMode = CgroupAttachMode::Single;

impl SocketLink {
    /// Attaches to a cgroup: the sockets of every process in it and below are watched.
    ///
    /// # Errors
    /// When the directory cannot be opened or the kernel refuses.
    pub fn attach(programs: &mut Programs, cgroup: &Path) -> Result<Self> {
        let directory =
            File::open(cgroup).with_context(|| format!("opening cgroup {}", cgroup.display()))?;
        // First those that know whose socket it is: the other one tells of it.
        let mut links = Vec::new();
        for program in programs.owner_programs() {
            match note_owners(program, &directory) {
                Ok(attached) => links.push(attached),
                Err(error) => tracing::warn!("some connections have no owner: {error:#}"),
            }
        }
        let program = programs.socket_program()?;
        let link = program
            .attach(directory, MODE)
            .with_context(|| format!("attaching to cgroup {}", cgroup.display()))?;
        let link = FdLink::try_from(program.take_link(link)?)?;
        links.push(Attached::new(program.info()?.id(), link)?);
        Ok(Self(links))
    }

    /// Why one of them is not attached any more, in words, if that is so.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn gone(&self) -> Result<Option<String>> {
        for attached in &self.0 {
            if let Some(why) = attached.descriptor.gone(attached.program)? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }
}

impl Attached {
    fn new(program: u32, link: FdLink) -> Result<Self> {
        Ok(Self {
            program,
            descriptor: LinkDescriptor::find(link.info()?.id())?,
            _link: link,
        })
    }
}

/// Attaches a program that notes whose sockets they are.
fn note_owners(program: OwnerProgram<'_>, cgroup: &File) -> Result<Attached> {
    let refused = |error: ProgramError| {
        let error = anyhow::Error::from(error);
        error.context("attaching a program that notes whose sockets they are")
    };
    let (program, link) = match program {
        OwnerProgram::Socket(program) => {
            let link = program.attach(cgroup, MODE).map_err(refused)?;
            (
                program.info()?.id(),
                FdLink::try_from(program.take_link(link)?)?,
            )
        }
        OwnerProgram::Connect(program) => {
            let link = program.attach(cgroup, MODE).map_err(refused)?;
            (
                program.info()?.id(),
                FdLink::try_from(program.take_link(link)?)?,
            )
        }
    };
    Attached::new(program, link)
}
