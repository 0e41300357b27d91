//! The event socket's file: never accessible to other users, not even for a moment; replaces that of
//! a dead server; removed at the end.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use model::Diagnostic;
use rustix::fs::{Access, AtFlags, CWD, Mode, accessat, fchmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// Owner and group may connect, which requires write permission.
const MODE: u32 = 0o660;

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 64;

/// A listening socket and its file.
#[derive(Debug)]
pub struct EventListener {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

impl EventListener {
    /// Listens at `path`, whose directory must exist.
    ///
    /// # Errors
    /// When another program serves the path, or the file cannot be created; the message says what to
    /// do.
    pub fn bind(path: &Path) -> Result<Self> {
        let shown = path.display();
        match inspect(path)? {
            Place::Free => {}
            Place::LeftOver => fs::remove_file(path)
                .with_context(|| format!("removing the dead socket {shown}"))?,
        }
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .context("creating the event socket")?;
        // The file gets the socket's mode, less the umask, so it never has more than this.
        fchmod(&socket, Mode::from_raw_mode(MODE)).context("setting the event socket's mode")?;
        bind(&socket, &address).with_context(|| format!("creating the event socket {shown}"))?;
        let file = SocketFile::of(path)?;
        // Adds back what the umask removed.
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))
            .with_context(|| format!("setting the mode of {shown}"))?;
        listen(&socket, BACKLOG).with_context(|| format!("listening at {shown}"))?;
        let listener = socket.into();
        Ok(Self { listener, file })
    }
}

/// What is at the path of a socket that is to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    Free,
    /// The socket of a program that has ended.
    LeftOver,
}

/// Checks whether a socket can be created at a path, and changes nothing.
///
/// # Errors
/// Why it cannot, and what to do.
pub(crate) fn inspect(path: &Path) -> Result<Place, Diagnostic> {
    let shown = path.display();
    SocketAddrUnix::new(path).map_err(|error| {
        Diagnostic::new(
            format!("{shown} is too long for a socket: {error}"),
            "use a path below 108 bytes for --eventsocket.listen",
        )
    })?;
    inspect_directory(path)?;
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::Free),
        Err(error) => return Err(taken(format!("looking at {shown}: {error}"))),
    };
    if !found.file_type().is_socket() {
        return Err(taken(format!("{shown} exists and is not a socket")));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Place::LeftOver),
        Err(error) => Err(taken(format!(
            "checking whether {shown} is in use: {error}"
        ))),
        Ok(_) => Err(Diagnostic::new(
            format!("another program serves {shown}"),
            "stop it, or use another --eventsocket.listen",
        )),
    }
}

/// Checks whether a file can be created in the directory of `path`.
fn inspect_directory(path: &Path) -> Result<(), Diagnostic> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or_else(|| Path::new("."));
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, above, access, AtFlags::EACCESS).map_err(|errno| {
        let (above, error) = (above.display(), io::Error::from(errno));
        Diagnostic::new(
            format!("the event socket cannot be created in {above}: {error}"),
            "its directory must exist and be writable by this user; or use another \
             --eventsocket.listen",
        )
    })
}

/// The path is taken by something that the daemon must not remove.
fn taken(problem: String) -> Diagnostic {
    Diagnostic::new(problem, "remove it, or use another --eventsocket.listen")
}

/// The file of a socket. It is removed on drop, unless another file has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    place: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> Result<Self> {
        let place = place(path).with_context(|| format!("looking at {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { path, place })
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The device and inode of a file.
fn place(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if place(&self.path).is_ok_and(|place| place == self.place)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("removing the event socket {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests;
