//! What kinds of files there are, and how a name tells them apart. Depends on nothing.

/// How packets are laid out in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// draft-ietf-opsawg-pcap, with nanoseconds.
    #[default]
    Pcap,
    /// draft-ietf-opsawg-pcapng.
    Pcapng,
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As gzip members, one after the other (RFC 1952).
    Gzip,
    /// As Zstandard frames, one after the other (RFC 8878).
    Zstd,
}

impl Format {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Pcap, Self::Pcapng];

    /// What a file's name ends in, before that of its compression.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pcap => ".pcap",
            Self::Pcapng => ".pcapng",
        }
    }
}

impl Compression {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// What a file's name ends in: nothing when it is not compressed.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}
