//! A Unix socket to listen at: never accessible to other users, not even for a moment. Its file replaces
//! that of a dead server, and is removed at the end.

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

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// What messages call it.
    pub name: &'static str,
    /// The flag that says where it is.
    pub flag: &'static str,
}

/// A listening socket and its file.
#[derive(Debug)]
pub struct Listener {
    pub(crate) listener: UnixListener,
    pub(crate) file: SocketFile,
}

impl Listener {
    /// Listens at `path`, whose directory must exist.
    ///
    /// # Errors
    /// When another program serves the path, or the file cannot be created; the message says what to
    /// do.
    pub fn bind(path: &Path, purpose: Purpose) -> Result<Self> {
        let (shown, name) = (path.display(), purpose.name);
        match inspect(path, purpose)? {
            Place::Free => {}
            Place::LeftOver => fs::remove_file(path)
                .with_context(|| format!("removing the dead socket {shown}"))?,
        }
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .with_context(|| format!("creating the {name}"))?;
        // The file gets the socket's mode, less the umask, so it never has more than this.
        fchmod(&socket, Mode::from_raw_mode(MODE))
            .with_context(|| format!("setting the mode of the {name}"))?;
        bind(&socket, &address).with_context(|| format!("creating the {name} {shown}"))?;
        let file = SocketFile::of(path, name)?;
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
pub(crate) fn inspect(path: &Path, purpose: Purpose) -> Result<Place, Diagnostic> {
    let (shown, flag) = (path.display(), purpose.flag);
    SocketAddrUnix::new(path).map_err(|error| {
        Diagnostic::new(
            format!("{shown} is too long for a socket: {error}"),
            format!("use a path below 108 bytes for {flag}"),
        )
    })?;
    inspect_directory(path, purpose)?;
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::Free),
        Err(error) => return Err(taken(format!("looking at {shown}: {error}"), purpose)),
    };
    if !found.file_type().is_socket() {
        return Err(taken(
            format!("{shown} exists and is not a socket"),
            purpose,
        ));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Place::LeftOver),
        Err(error) => Err(taken(
            format!("checking whether {shown} is in use: {error}"),
            purpose,
        )),
        Ok(_) => Err(Diagnostic::new(
            format!("another program serves {shown}"),
            format!("stop it, or use another {flag}"),
        )),
    }
}

/// Checks whether a file can be created in the directory of `path`.
fn inspect_directory(path: &Path, purpose: Purpose) -> Result<(), Diagnostic> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or_else(|| Path::new("."));
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, above, access, AtFlags::EACCESS).map_err(|errno| {
        let (above, error) = (above.display(), io::Error::from(errno));
        let Purpose { name, flag } = purpose;
        Diagnostic::new(
            format!("the {name} cannot be created in {above}: {error}"),
            format!("its directory must exist and be writable by this user; or use another {flag}"),
        )
    })
}

/// The path is taken by something that the daemon must not remove.
fn taken(problem: String, purpose: Purpose) -> Diagnostic {
    Diagnostic::new(
        problem,
        format!("remove it, or use another {}", purpose.flag),
    )
}

/// The file of a socket. It is removed on drop, unless another file has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    name: &'static str,
    path: PathBuf,
    place: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path, name: &'static str) -> Result<Self> {
        let place = place(path).with_context(|| format!("looking at {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { name, path, place })
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
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
            let (name, path) = (self.name, self.path.display());
            tracing::warn!("removing the {name} {path}: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
