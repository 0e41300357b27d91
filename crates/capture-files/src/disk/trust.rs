//! Which directories may be used.

use std::fmt;

use rustix::fs::{Mode, Stat};
use rustix::process::{Gid, geteuid};

/// Who may use a directory besides us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody: files grow there.
    Private,
    /// Its group may read, and even write where the owner of the host has arranged that: files are
    /// published there, and who takes them away works in it.
    WithGroup,
}

/// The permission of others than the owner and the group to write.
const OTHERS_WRITE: u32 = 0o002;
/// The permission of the group, or of a user or group that an access list names, to write.
const GROUP_WRITES: u32 = 0o020;
/// The superuser, who can write everywhere anyway.
const ROOT: u32 = 0;

/// Why a directory is not used: others could put things into it, or exchange what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrusted {
    /// It belongs to this user, who is not the one that this process runs as.
    Owner(u32),
    /// Its group can write, or a user or group that an access list names.
    GroupWrites,
    /// Everybody can write.
    EverybodyWrites,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(owner) => {
                let us = geteuid().as_raw();
                write!(out, "belongs to user {owner}, not to user {us}")
            }
            Self::GroupWrites => out.write_str("can be written by its group"),
            Self::EverybodyWrites => out.write_str("can be written by everybody"),
        }
    }
}

/// Whether a directory with this owner and mode may be used.
///
/// # Errors
/// Why not.
pub(crate) fn check(sharing: Sharing, stat: &Stat) -> Result<(), Untrusted> {
    let (owner, us) = (stat.st_uid, geteuid().as_raw());
    let trusted = owner == us || sharing == Sharing::WithGroup && owner == ROOT;
    if !trusted {
        return Err(Untrusted::Owner(owner));
    }
    if stat.st_mode & OTHERS_WRITE != 0 {
        return Err(Untrusted::EverybodyWrites);
    }
    if sharing == Sharing::Private && stat.st_mode & GROUP_WRITES != 0 {
        return Err(Untrusted::GroupWrites);
    }
    Ok(())
}

impl Sharing {
    /// The mode of directories.
    pub(super) const fn mode(self) -> Mode {
        match self {
            Self::Private => Mode::from_raw_mode(0o700),
            Self::WithGroup => Mode::from_raw_mode(0o750),
        }
    }

    /// The mode of a directory that has this mode, so that what is made in it gets its group.
    pub(super) fn inherited(self, mode: u32) -> Mode {
        let group = match self {
            Self::Private => Mode::empty(),
            Self::WithGroup => Mode::RGRP | Mode::XGRP,
        };
        Mode::from_raw_mode(mode & 0o7777) | Mode::SGID | group
    }
}

/// Whether a directory gives this group to what is made in it.
pub(super) fn gives(stat: &Stat, group: Gid) -> bool {
    stat.st_gid == group.as_raw() && Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID)
}

#[cfg(test)]
mod tests {
    use rustix::fs::stat;

    use super::*;

    #[test]
    fn another_owner_is_trusted_with_neither_and_root_with_what_is_published() {
        let temp = tempfile::tempdir().unwrap();
        let mut of = stat(temp.path()).unwrap();
        of.st_mode = of.st_mode & !0o777 | 0o750;
        let us = of.st_uid;
        for sharing in [Sharing::Private, Sharing::WithGroup] {
            of.st_uid = us;
            assert_eq!(check(sharing, &of), Ok(()));
            of.st_uid = us ^ 0x1_0000;
            assert_eq!(check(sharing, &of), Err(Untrusted::Owner(of.st_uid)));
        }
        of.st_uid = ROOT;
        assert_eq!(check(Sharing::WithGroup, &of), Ok(()));
        let private = check(Sharing::Private, &of);
        assert_eq!(private.is_ok(), us == ROOT);
    }
}
