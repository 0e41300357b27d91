//! Flags for where files go and what they look like.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, ValueEnum};

use super::named_file::NamedFile;
use super::refusal::Refusal;
use super::{duration, go, group, size};
use anonymize::Method;

use super::key_file;
use crate::config::Files;
use capture_files::{FileNaming, RetentionLimits, partial_directory};

/// Flags for where files go and what they look like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(super) struct FileArguments {
    /// Where published files go: DATADIR/YYYY/MM/DD/UUID.pcap. It is made if it is not there, its
    /// parents are not
    #[arg(long, value_name = "DIRECTORY", default_value = "captures")]
    datadir: PathBuf,

    /// Where files grow; must be on the same filesystem as DATADIR [default: DATADIR.partial]
    #[arg(long, value_name = "DIRECTORY", hide_short_help = true)]
    partial_dir: Option<PathBuf>,

    /// File format
    #[arg(long, value_enum, default_value_t = Format::Pcap)]
    format: Format,

    /// Compression of files
    #[arg(long, value_enum, default_value_t = Compression::None)]
    compression: Compression,

    /// Compression level: 1 to 9 for gzip [default: 1], 1 to 22 for zstd [default: 3]
    #[arg(long, value_name = "LEVEL", hide_short_help = true)]
    compression_level: Option<u32>,

    /// What file names are made of
    #[arg(long, value_enum, default_value_t = FlowId::Mlab, hide_short_help = true)]
    flow_id: FlowId,

    /// How addresses in files are anonymized
    #[arg(long = "anonymize.ip", value_name = "METHOD", value_enum, default_value_t = Anonymize::None, help_heading = "Anonymization")]
    anonymize_ip: Anonymize,

    /// A file with the key for prefix-preserving: 64 hexadecimal digits, readable by its owner only
    #[arg(
        long = "anonymize.key-file",
        value_name = "FILE",
        help_heading = "Anonymization"
    )]
    anonymize_key_file: Option<PathBuf>,

    /// Longest time a packet stays in memory only, and so is lost if the daemon is killed; at least
    /// 20ms
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse, hide_short_help = true)]
    spill_interval: Duration,

    /// Group that may read files and directories: a name or a number [default: the daemon's group]
    #[arg(long, value_name = "GROUP", value_parser = group::parse, hide_short_help = true)]
    file_group: Option<u32>,

    /// Sync files to disk before publishing them, so that a power failure cannot empty them
    #[arg(long, value_name = "BOOL", default_value_t = false, value_parser = go::boolean, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_short_help = true)]
    fsync: bool,

    /// Disk space that files may take; the oldest are removed first [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_disk: Option<ByteSize>,

    /// How many files there may be; the oldest are removed first [default: no limit]
    #[arg(long, value_name = "NUMBER")]
    max_files: Option<u64>,

    /// Percent of the filesystem's space and inodes to leave free: below it, the oldest files are
    /// removed, then new ones are refused; 0 for no such limit
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=90))]
    min_free: u64,

    /// How old published files may get [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_age: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With nanosecond timestamps
    Pcap,
    /// Also has interfaces, directions, the connection's UUID and the number of lost packets
    Pcapng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    /// No compression
    None,
    /// Files end in .gz
    Gzip,
    /// Files end in .zst
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FlowId {
    /// The connection's UUID: prefix and socket cookie
    Mlab,
    /// A UUIDv5 (RFC 9562) derived from it
    Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Anonymize {
    /// No anonymization
    None,
    /// Keep only the /24 of IPv4 and the /48 of IPv6 addresses; this host's own stay whole
    Netblock,
    /// Encrypt addresses with a key; addresses with a common prefix keep one (ipcrypt-pfx)
    PrefixPreserving,
}

/// The shortest `--spill-interval`: below it, almost every packet would be a write of its own.
const MIN_SPILL: Duration = Duration::from_millis(20);

impl FileArguments {
    /// Refuses flags that contradict each other.
    ///
    /// # Errors
    /// The message.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let invalid = |message: &str| Err((ErrorKind::ValueValidation, message.to_owned()));
        if let Some(level) = self.compression_level {
            let levels = capture_files::Compression::from(self.compression).levels();
            if self.compression == Compression::None {
                return invalid("--compression-level needs --compression=gzip or zstd");
            }
            if !levels.contains(&level) {
                let (from, to) = (levels.start(), levels.end());
                let message = format!("--compression-level must be {from} to {to}");
                return invalid(&message);
            }
        }
        if self.spill_interval < MIN_SPILL {
            return invalid("--spill-interval must be at least 20ms");
        }
        let needs_key = self.anonymize_ip == Anonymize::PrefixPreserving;
        match (needs_key, &self.anonymize_key_file) {
            (true, None) => Err((
                ErrorKind::MissingRequiredArgument,
                "--anonymize.ip=prefix-preserving needs --anonymize.key-file".to_owned(),
            )),
            (false, Some(_)) => {
                invalid("--anonymize.key-file needs --anonymize.ip=prefix-preserving")
            }
            _ => Ok(()),
        }
    }

    /// Tries the key file, if one was given, and drops the flag if the file cannot be used.
    pub(super) fn try_key(&mut self) -> Option<NamedFile> {
        let path = self.anonymize_key_file.as_deref()?;
        let (file, key) = NamedFile::new("--anonymize.key-file", path, key_file::read(path));
        if key.is_none() {
            self.anonymize_key_file = None;
        }
        Some(file)
    }

    /// Whether addresses are hidden.
    pub(super) fn hides_addresses(&self) -> bool {
        self.anonymize_ip != Anonymize::None
    }

    /// `--spill-interval`.
    pub(super) const fn spill_interval(&self) -> Duration {
        self.spill_interval
    }

    /// How much is kept.
    pub(super) fn retention(&self) -> RetentionLimits {
        RetentionLimits {
            disk: self.max_disk.map(|size| size.as_u64()),
            files: self.max_files,
            age: self.max_age,
            free: self.min_free,
        }
    }

    /// The configuration of files.
    ///
    /// # Errors
    /// When the key file cannot be used.
    pub(super) fn into_config(self) -> Result<Files> {
        let retention = self.retention();
        let absolute = |path: PathBuf| {
            let relative = || format!("making {} an absolute path", path.display());
            std::path::absolute(&path).with_context(relative)
        };
        let data = absolute(self.datadir)?;
        let partial = self.partial_dir.map(absolute).transpose()?;
        let anonymize = match (self.anonymize_ip, self.anonymize_key_file) {
            (Anonymize::None, _) => None,
            (Anonymize::Netblock, _) | (Anonymize::PrefixPreserving, None) => {
                Some(Method::Netblock)
            }
            (Anonymize::PrefixPreserving, Some(file)) => {
                Some(Method::PrefixPreserving(key_file::read(&file)?))
            }
        };
        Ok(Files {
            partial: partial.unwrap_or_else(|| partial_directory(&data)),
            data,
            group: self.file_group,
            fsync: self.fsync,
            naming: FileNaming {
                id: match self.flow_id {
                    FlowId::Mlab => capture_files::FlowId::Mlab,
                    FlowId::Uuid => capture_files::FlowId::Uuid,
                },
                format: match self.format {
                    Format::Pcap => capture_files::Format::Pcap,
                    Format::Pcapng => capture_files::Format::Pcapng,
                },
                compression: self.compression.into(),
            },
            level: self.compression_level,
            anonymize,
            retention,
        })
    }
}

impl From<Compression> for capture_files::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        files: FileArguments,
    }

    fn parse(arguments: &[&str]) -> FileArguments {
        let line = [&["packet-headers"], arguments].concat();
        Line::try_parse_from(line).unwrap().files
    }

    #[test]
    fn nothing_is_plain_pcap_below_captures() {
        let files = parse(&[]);
        files.check().unwrap();
        let files = files.into_config().unwrap();
        assert!(files.data.ends_with("captures") && files.data.is_absolute());
        assert!(files.partial.ends_with("captures.partial"));
        assert_eq!(files.naming, FileNaming::default());
        assert!(files.anonymize.is_none() && !files.fsync);
        let nothing = RetentionLimits {
            free: 5,
            ..RetentionLimits::default()
        };
        assert_eq!(files.retention, nothing);
    }

    #[test]
    fn everything_can_be_said() {
        let files = parse(&[
            "--partial-dir=/p",
            "--format=pcapng",
            "--compression=zstd",
            "--compression-level=19",
            "--flow-id=uuid",
            "--anonymize.ip=netblock",
            "--fsync",
            "--file-group=65534",
            "--max-disk=10GB",
            "--max-files=1000",
            "--max-age=7days",
            "--min-free=0",
        ]);
        files.check().unwrap();
        let files = files.into_config().unwrap();
        assert_eq!(files.partial, PathBuf::from("/p"));
        assert_eq!(files.naming.format, capture_files::Format::Pcapng);
        assert_eq!(files.naming.compression, capture_files::Compression::Zstd);
        assert_eq!(files.naming.id, capture_files::FlowId::Uuid);
        assert_eq!((files.level, files.group), (Some(19), Some(65_534)));
        assert!(matches!(files.anonymize, Some(Method::Netblock)) && files.fsync);
        assert_eq!(files.retention.disk, Some(10_000_000_000));
        assert_eq!(
            (files.retention.files, files.retention.free),
            (Some(1000), 0)
        );
        assert_eq!(files.retention.age, Some(Duration::from_secs(7 * 86_400)));
    }

    #[test]
    fn contradictions_are_refused() {
        for (arguments, said) in [
            (&["--compression-level=3"][..], "needs --compression"),
            (&["--compression=gzip", "--compression-level=10"], "1 to 9"),
            (&["--spill-interval=1ms"], "at least 20ms"),
            (
                &["--anonymize.ip=prefix-preserving"],
                "needs --anonymize.key-file",
            ),
            (&["--anonymize.key-file=/k"], "needs --anonymize.ip"),
        ] {
            let (_, message) = parse(arguments).check().unwrap_err();
            assert!(message.contains(said), "{message}");
        }
    }
}
