//! Archives that a kernel unpacks as its first filesystem: cpio's "new ASCII" format, as in the kernel's
//! `driver-api/early-userspace/buffer-format`.

use std::io::{self, Write};

/// Directory, regular file, symbolic link, character device: the type bits of a mode (inode(7)).
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const DEVICE: u32 = 0o020_000;

/// An archive that is being written. Every file may be read and executed by all.
pub(super) struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    /// A directory; its parent must be there.
    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY | 0o755, (0, 0), b"")
    }

    /// A regular file.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.entry(name, REGULAR | 0o755, (0, 0), content)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, LINK | 0o777, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub(super) fn device(&mut self, name: &str, numbers: (u32, u32)) -> io::Result<()> {
        self.entry(name, DEVICE | 0o600, numbers, b"")
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), b"")?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let length = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
        let (size, name_size) = (length(data.len())?, length(name.len() + 1)?);
        let fields = [
            self.entries, // inode
            mode,
            0, // user
            0, // group
            1, // links
            0, // time
            size,
            0, // device that it is on
            0,
            device.0,
            device.1,
            name_size,
            0, // checksum, which this format leaves out
        ];
        let mut head = String::from("070701");
        for field in fields {
            head.push_str(&format!("{field:08X}"));
        }
        head.push_str(name);
        head.push('\0');
        self.padded(head.as_bytes())?;
        self.padded(data)
    }

    /// Each part begins at a multiple of four.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all(&[0; 3][..rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_begins_at_a_multiple_of_four() {
        let mut archive = Archive::new(Vec::new());
        archive.directory("bin").unwrap();
        archive.file("bin/a", b"hello").unwrap();
        archive.link("bin/b", "a").unwrap();
        archive.device("console", (5, 1)).unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let heads: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(heads.len(), 5);
        assert!(heads.iter().all(|at| at % 4 == 0), "{heads:?}");
        let file = &text[heads[1]..heads[2]];
        // Inode 2, mode 100755, size 5, a name of 6 bytes.
        assert!(file.starts_with("07070100000002000081ED"), "{file}");
        assert_eq!(&file[54..62], "00000005");
        assert_eq!(&file[94..102], "00000006");
        assert_eq!(&file[110..], "bin/a\0hello\0\0\0");
    }
}
