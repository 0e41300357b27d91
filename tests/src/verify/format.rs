//! The formats of capture files, which the endings of their names tell, and their decompression.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::world::command::bytes_of;

/// The file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// pcap.
    Pcap,
    /// pcapng.
    PcapNg,
}

/// The compression of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// A format of capture files with its compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The file format.
    pub container: Container,
    /// Its compression.
    pub compression: Compression,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = {
        use Compression::{Gzip, None, Zstd};
        use Container::{Pcap, PcapNg};
        [
            Self::new(Pcap, None),
            Self::new(Pcap, Gzip),
            Self::new(Pcap, Zstd),
            Self::new(PcapNg, None),
            Self::new(PcapNg, Gzip),
            Self::new(PcapNg, Zstd),
        ]
    };

    /// The daemon's default.
    pub const DEFAULT: Self = Self::new(Container::Pcap, Compression::None);

    /// A file format with a compression.
    #[must_use]
    pub const fn new(container: Container, compression: Compression) -> Self {
        Self {
            container,
            compression,
        }
    }

    /// How the names of such files end, without the dot before it.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match (self.container, self.compression) {
            (Container::Pcap, Compression::None) => "pcap",
            (Container::Pcap, Compression::Gzip) => "pcap.gz",
            (Container::Pcap, Compression::Zstd) => "pcap.zst",
            (Container::PcapNg, Compression::None) => "pcapng",
            (Container::PcapNg, Compression::Gzip) => "pcapng.gz",
            (Container::PcapNg, Compression::Zstd) => "pcapng.zst",
        }
    }

    /// The daemon's flags that select it.
    #[must_use]
    pub const fn flags(self) -> [&'static str; 2] {
        let container = match self.container {
            Container::Pcap => "--format=pcap",
            Container::PcapNg => "--format=pcapng",
        };
        let compression = match self.compression {
            Compression::None => "--compression=none",
            Compression::Gzip => "--compression=gzip",
            Compression::Zstd => "--compression=zstd",
        };
        [container, compression]
    }

    /// The part of a file's name before the extension, and the format that the extension tells.
    #[must_use]
    pub fn of(name: &str) -> Option<(&str, Self)> {
        Self::ALL.into_iter().find_map(|format| {
            let stem = name.strip_suffix(format.extension())?.strip_suffix('.')?;
            Some((stem, format))
        })
    }

    /// The format of the file at `path`.
    ///
    /// # Errors
    /// Its name is not that of a capture file.
    pub fn at(path: &Path) -> Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let found = name.and_then(Self::of);
        let (_, format) = found.with_context(|| format!("{path:?} is not a capture file"))?;
        Ok(format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// The bytes of a capture file, decompressed by gzip or zstd, which must find the file whole and
/// print no warning.
///
/// # Errors
/// The file cannot be read, or what the program printed.
pub fn contents(path: &Path) -> Result<Vec<u8>> {
    let program = match Format::at(path)?.compression {
        Compression::None => {
            return fs::read(path).with_context(|| format!("reading {}", path.display()));
        }
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    let mut command = Command::new(program);
    let (bytes, said) = bytes_of(command.arg("-dc").arg(path), program)?;
    ensure!(said.is_empty(), "{program} warns: {said}");
    Ok(bytes)
}

/// Compresses bytes by the program that everybody has for it.
///
/// # Errors
/// The program is missing or failed.
pub fn compress(bytes: &[u8], compression: Compression) -> Result<Vec<u8>> {
    let program = match compression {
        Compression::None => return Ok(bytes.to_owned()),
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), bytes)?;
    let mut command = Command::new(program);
    let (packed, _) = bytes_of(command.arg("-c").arg(file.path()), program)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        for format in Format::ALL {
            let name = format!("lab_1_unsafe_00.1.{format}");
            assert_eq!(Format::of(&name), Some(("lab_1_unsafe_00.1", format)));
        }
        for name in ["x.cap", "xpcap", "x.pcap.xz", "x.pcap."] {
            assert_eq!(Format::of(name), None, "{name}");
        }
    }
}
