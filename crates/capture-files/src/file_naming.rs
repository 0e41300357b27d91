//! What the files of flows are called.

use model::FlowUuid;
use uuid::{Uuid, uuid};

use crate::compress::Compression;
use crate::file_name::FileName;
use crate::format::Format;

/// What a file is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowId {
    /// The flow's name as it is: the UUID that the flow source gave it.
    #[default]
    Mlab,
    /// An RFC 9562 UUIDv5 of the flow's name.
    Uuid,
}

/// How files are named, which includes their format and compression.
///
/// ```
/// use capture_files::{Compression, FileNaming, Format};
/// use model::FlowUuid;
///
/// let naming = FileNaming {
///     format: Format::Pcapng,
///     compression: Compression::Zstd,
///     ..FileNaming::PLAIN
/// };
/// let uuid = FlowUuid::new("host_1700000000_unsafe_00000000000010AB")?;
/// assert_eq!(naming.name(&uuid, 0), "host_1700000000_unsafe_00000000000010AB.pcapng.zst");
/// // The third file of that name on one day.
/// assert_eq!(naming.name(&uuid, 2), "host_1700000000_unsafe_00000000000010AB.2.pcapng.zst");
/// # Ok::<(), model::uuid::BadUuid>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileNaming {
    /// What a file is called by.
    pub id: FlowId,
    /// How packets are laid out in it.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

impl FileNaming {
    /// `<UUID>.pcap`, by the flow's own name.
    pub const PLAIN: Self = Self {
        id: FlowId::Mlab,
        format: Format::Pcap,
        compression: Compression::None,
    };

    /// The name of a flow's file. `number` tells several files of one flow apart: the first has 0,
    /// which its name does not show.
    #[must_use]
    pub fn name(&self, uuid: &FlowUuid, number: u32) -> String {
        let named = |uuid: &str| {
            let name = FileName {
                uuid,
                number,
                format: self.format,
                compression: self.compression,
            };
            name.build()
        };
        match self.id {
            FlowId::Mlab => named(uuid.as_str()),
            FlowId::Uuid => named(&name_based(uuid).to_string()),
        }
    }
}

/// The namespace of [`name_based`] UUIDs: the UUIDv5 of `https://github.com/m-lab/uuid`, which
/// describes the names, in the namespace of URLs (RFC 9562, 6.6).
const NAMESPACE: Uuid = uuid!("e0f5e26e-3a18-500c-acb2-c3f625c2d722");

/// The UUIDv5 (RFC 9562, 5.5) of a flow's name.
fn name_based(uuid: &FlowUuid) -> Uuid {
    Uuid::new_v5(&NAMESPACE, uuid.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid() -> FlowUuid {
        FlowUuid::new("vm_1_unsafe_0000000000001002").unwrap()
    }

    #[test]
    fn a_name_says_format_and_compression_and_which_of_several() {
        let mut naming = FileNaming::default();
        assert_eq!(naming.name(&uuid(), 0), "vm_1_unsafe_0000000000001002.pcap");
        naming.compression = Compression::Gzip;
        assert_eq!(
            naming.name(&uuid(), 2),
            "vm_1_unsafe_0000000000001002.2.pcap.gz"
        );
        (naming.format, naming.compression) = (Format::Pcapng, Compression::Zstd);
        assert_eq!(
            naming.name(&uuid(), 0),
            "vm_1_unsafe_0000000000001002.pcapng.zst"
        );
    }

    #[test]
    fn a_name_based_uuid_is_the_one_that_every_tool_computes() {
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://github.com/m-lab/uuid");
        assert_eq!(namespace, NAMESPACE);
        let naming = FileNaming {
            id: FlowId::Uuid,
            ..FileNaming::default()
        };
        // By another program: Python's uuid.uuid5 of the same namespace and name.
        let want = "23355110-3301-505b-a48a-934d49860fa4.pcap";
        assert_eq!(naming.name(&uuid(), 0), want);
    }
}
