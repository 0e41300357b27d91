//! The filesystem of the data directory: its type, and how much of it is free.

use std::path::Path;

use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use rustix::fs::{statfs, statvfs};

use super::finding::Group;

/// The properties of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// The magic number of its type (statfs(2)).
    magic: u32,
    /// Bytes: total, and available to this user.
    bytes: (u64, u64),
    /// Inodes: total, and available; both 0 on filesystems without a fixed number.
    inodes: (u64, u64),
}

impl Space {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let asking = || format!("reading the filesystem of {}", path.display());
        let kind = statfs(path).with_context(asking)?;
        let space = statvfs(path).with_context(asking)?;
        Ok(Self {
            // A magic number has 32 bits, in a field that is wider and signed on some machines.
            magic: (i128::from(kind.f_type) & 0xffff_ffff) as u32,
            bytes: (
                space.f_blocks.saturating_mul(space.f_frsize),
                space.f_bavail.saturating_mul(space.f_frsize),
            ),
            inodes: (space.f_files, space.f_favail),
        })
    }
}

/// What a type of filesystem means for captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    /// Its files are in memory only.
    Memory,
    /// A container's writable layer, which is removed with the container.
    Layer,
    Network,
}

/// Filesystems by their magic numbers (linux/magic.h).
const KINDS: [(u32, &str, Kind); 13] = [
    (0xef53, "ext", Kind::Good),
    (0x5846_5342, "xfs", Kind::Good),
    (0x9123_683e, "btrfs", Kind::Good),
    (0x2fc1_2fc1, "zfs", Kind::Good),
    (0xf2f5_2010, "f2fs", Kind::Good),
    (0x0102_1994, "tmpfs", Kind::Memory),
    (0x8584_58f6, "ramfs", Kind::Memory),
    (0x794c_7630, "overlay", Kind::Layer),
    (0x6969, "NFS", Kind::Network),
    (0xff53_4d42, "CIFS", Kind::Network),
    (0xfe53_4d42, "SMB", Kind::Network),
    (0x0102_1997, "9p", Kind::Network),
    (0x00c3_6400, "Ceph", Kind::Network),
];

/// Fewer free bytes than this are a problem.
const LITTLE: u64 = 64 << 20;

/// Fewer free inodes than this are a problem: each connection takes one.
const FEW: u64 = 1000;

/// Less than one part in so many free is a problem, too.
const PART: u64 = 100;

pub(super) fn judge(group: &mut Group, space: Space, limit: Option<u64>) {
    kind(group, space.magic);
    let (size, free) = space.bytes;
    let found = format!("{} of {} free", ByteSize(free), ByteSize(size));
    let help = "make room, or let old files be removed with --max-disk or --max-age";
    if free < LITTLE.max(size / PART) {
        group.problem("free space", found, help);
    } else if let Some(limit) = limit.filter(|&limit| limit > size) {
        let found = format!("{found}: --max-disk {} is never reached", ByteSize(limit));
        group.note(
            "free space",
            found,
            "use a --max-disk below the filesystem's size",
        );
    } else {
        group.ok("free space", found);
    }
    let (all, free) = space.inodes;
    if all > 0 && free < FEW.max(all / PART) {
        let found = format!("{free} of {all} free; each connection takes one");
        group.problem("free inodes", found, help);
    } else if all > 0 {
        group.ok("free inodes", format!("{free} of {all} free"));
    }
}

fn kind(group: &mut Group, magic: u32) {
    const NAME: &str = "filesystem";
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    let Some(&(_, name, kind)) = known else {
        return group.ok(NAME, format!("of an unknown type ({magic:#x})"));
    };
    match kind {
        Kind::Good => group.ok(NAME, name),
        Kind::Memory => group.mention(NAME, format!("{name}: files are lost at a reboot")),
        Kind::Layer => group.note(
            NAME,
            format!("{name}: files are lost with the container"),
            "mount a volume, with --datadir and --partial-dir on it",
        ),
        Kind::Network => group.note(
            NAME,
            format!(
                "{name}: packets are lost when it is slow or unreachable, and it may not be able to \
                 lock directories"
            ),
            "write to a local disk, and let an uploader move files away",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    const GOOD: Space = Space {
        magic: 0xef53,
        bytes: (100 << 30, 50 << 30),
        inodes: (1_000_000, 500_000),
    };

    fn judged(space: Space, limit: Option<u64>, name: &str) -> State {
        let mut group = Group::new("files");
        judge(&mut group, space, limit);
        group.the(name).state
    }

    #[test]
    fn little_space_and_few_inodes_are_problems() {
        let with = |free| Space {
            bytes: (100 << 30, free),
            ..GOOD
        };
        assert_eq!(judged(GOOD, None, "free space"), State::Ok);
        assert_eq!(judged(with(1 << 20), None, "free space"), State::Problem);
        assert_eq!(judged(with(1 << 29), None, "free space"), State::Problem);
        assert_eq!(judged(with(2 << 30), None, "free space"), State::Ok);
        let few = Space {
            inodes: (1_000_000, 9000),
            ..GOOD
        };
        assert_eq!(judged(few, None, "free inodes"), State::Problem);
        assert_eq!(judged(GOOD, None, "free inodes"), State::Ok);
    }

    #[test]
    fn a_limit_that_is_never_reached_is_noted() {
        assert_eq!(judged(GOOD, Some(200 << 30), "free space"), State::Note);
        assert_eq!(judged(GOOD, Some(20 << 30), "free space"), State::Ok);
    }

    #[test]
    fn filesystems_that_lose_or_delay_files_are_noted() {
        for (magic, state) in [
            (0xef53, State::Ok),
            (0x1234, State::Ok),
            (0x0102_1994, State::Note),
            (0x794c_7630, State::Note),
            (0x6969, State::Note),
        ] {
            let space = Space { magic, ..GOOD };
            assert_eq!(judged(space, None, "filesystem"), state, "{magic:#x}");
        }
    }
}
