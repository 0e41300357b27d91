//! A disk whose write cache is lost with its power: a qcow2 overlay on a raw image.
//!
//! Killing an emulator does not lose what it has written, because the host's kernel keeps it, flushed or
//! not. But qcow2 keeps in the emulator's memory where it has put what was written, until the machine
//! flushes its disk. So each first write to a block of an empty overlay is lost with the emulator, unless
//! a flush followed it. All tables are there from the beginning: the making of one would write others.
//!
//! The format is that of `docs/interop/qcow2` of qemu.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};

/// The length of a cluster, which is what the overlay counts in, and its logarithm.
const CLUSTER_BITS: u32 = 12;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Addresses in a cluster.
const ADDRESSES: u64 = CLUSTER / 8;
/// Reference counts, of 16 bits, in a cluster.
const COUNTS: u64 = CLUSTER / 2;
/// In an entry of a table: nothing else uses the cluster.
const ONLY_USER: u64 = 1 << 63;
/// In an entry of a table: the cluster's address.
const ADDRESS: u64 = 0x00ff_ffff_ffff_fe00;
/// In an entry of a second table: the cluster is all zeros.
const ZEROS: u64 = 1;
/// That the reference counts may lag behind, so that they order nothing.
const LAZY_COUNTS: u64 = 1;
/// The header extension with the format of the image below.
const FORMAT_BELOW: u32 = 0xe279_2aca;
const HEADER: u32 = 104;

/// Where the tables of an overlay are, in clusters.
struct Layout {
    size: u64,
    count_blocks: u64,
    /// The first table, of one cluster.
    first: u64,
    /// How many second tables follow it.
    seconds: u64,
}

impl Layout {
    /// The layout for an image of `size` bytes.
    fn of(size: u64) -> Result<Self> {
        let seconds = size.div_ceil(CLUSTER * ADDRESSES);
        ensure!(seconds <= ADDRESSES, "the image is too large for one table");
        // What all of the image and all tables would take, and the counts themselves.
        let clusters = size.div_ceil(CLUSTER) + seconds + ADDRESSES;
        let count_blocks = clusters.div_ceil(COUNTS);
        Ok(Self {
            size,
            count_blocks,
            first: 2 + count_blocks,
            seconds,
        })
    }

    /// How many clusters the tables take.
    fn tables(&self) -> u64 {
        self.first + 1 + self.seconds
    }

    fn header(&self, below: &Path) -> Result<Vec<u8>> {
        let below = below.to_str().context("the image's path is not UTF-8")?;
        let extensions_end = HEADER + 8 + 8 + 8;
        let mut header = Vec::new();
        header.extend(b"QFI\xfb");
        header.extend(3u32.to_be_bytes());
        header.extend(u64::from(extensions_end).to_be_bytes());
        header.extend(u32::try_from(below.len())?.to_be_bytes());
        header.extend(CLUSTER_BITS.to_be_bytes());
        header.extend(self.size.to_be_bytes());
        header.extend(0u32.to_be_bytes()); // not encrypted
        header.extend(u32::try_from(self.seconds)?.to_be_bytes());
        header.extend((self.first * CLUSTER).to_be_bytes());
        header.extend(CLUSTER.to_be_bytes()); // the table of reference counts
        header.extend(1u32.to_be_bytes()); // its clusters
        header.extend(0u32.to_be_bytes()); // no snapshots
        header.extend(0u64.to_be_bytes());
        header.extend(0u64.to_be_bytes()); // nothing that a reader must know
        header.extend(LAZY_COUNTS.to_be_bytes());
        header.extend(0u64.to_be_bytes());
        header.extend(4u32.to_be_bytes()); // counts of 2^4 bits
        header.extend(HEADER.to_be_bytes());
        header.extend(FORMAT_BELOW.to_be_bytes());
        header.extend(3u32.to_be_bytes());
        header.extend(b"raw\0\0\0\0\0");
        header.extend([0; 8]); // the end of extensions
        header.extend(below.as_bytes());
        Ok(header)
    }
}

/// Makes an empty overlay on a raw image.
pub(crate) fn create(overlay: &Path, below: &Path) -> Result<()> {
    let size = fs::metadata(below)
        .with_context(|| format!("finding {}", below.display()))?
        .len();
    let layout = Layout::of(size)?;
    let out = File::create(overlay).with_context(|| format!("creating {}", overlay.display()))?;
    out.set_len(layout.tables() * CLUSTER)?;
    out.write_all_at(&layout.header(below)?, 0)?;
    let entries = |range: std::ops::Range<u64>, flag: u64| -> Vec<u8> {
        let entries = range.map(|cluster| (cluster * CLUSTER) | flag);
        entries.flat_map(u64::to_be_bytes).collect()
    };
    out.write_all_at(&entries(2..2 + layout.count_blocks, 0), CLUSTER)?;
    let counts = 1u16.to_be_bytes().repeat(usize::try_from(layout.tables())?);
    out.write_all_at(&counts, 2 * CLUSTER)?;
    let seconds = layout.first + 1..layout.tables();
    out.write_all_at(&entries(seconds, ONLY_USER), layout.first * CLUSTER)?;
    (&out).flush()?;
    Ok(())
}

/// Copies what an overlay holds into the image below.
pub(crate) fn apply(overlay: &Path, below: &Path) -> Result<()> {
    let above = File::open(overlay).with_context(|| format!("opening {}", overlay.display()))?;
    let image = File::options()
        .write(true)
        .open(below)
        .with_context(|| format!("opening {}", below.display()))?;
    let size = image.metadata()?.len();
    let layout = Layout::of(size)?;
    let mut table = vec![0; usize::try_from(CLUSTER)?];
    let mut data = vec![0; usize::try_from(CLUSTER)?];
    for second in 0..layout.seconds {
        above.read_exact_at(&mut table, (layout.first + 1 + second) * CLUSTER)?;
        for (at, entry) in (0..).zip(table.as_chunks::<8>().0) {
            let entry = u64::from_be_bytes(*entry);
            let place = (second * ADDRESSES + at) * CLUSTER;
            match entry & ADDRESS {
                _ if entry & ZEROS != 0 => data.fill(0),
                0 => continue,
                address => read_at(&above, &mut data, address)?,
            }
            image.write_all_at(&data, place)?;
        }
    }
    Ok(())
}

/// Reads a cluster that may have never been written to its end.
fn read_at(file: &File, data: &mut [u8], at: u64) -> Result<()> {
    data.fill(0);
    let mut done = 0;
    while done < data.len() {
        match file.read_at(&mut data[done..], at + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_overlay_holds_gets_into_the_image_and_nothing_else_changes() {
        let home = tempfile::tempdir().unwrap();
        let (below, overlay) = (home.path().join("below"), home.path().join("overlay"));
        let size = 64 << 20;
        fs::write(&below, vec![7; size]).unwrap();
        create(&overlay, &below).unwrap();
        apply(&overlay, &below).unwrap();
        assert_eq!(fs::read(&below).unwrap(), vec![7; size], "it is empty");

        // As the emulator does it: a cluster at the end, and its address in the second table.
        let layout = Layout::of(size as u64).unwrap();
        let file = File::options().write(true).open(&overlay).unwrap();
        let end = layout.tables() * CLUSTER;
        file.write_all_at(&[9; 100], end).unwrap();
        let entry = |second: u64, at: u64| (layout.first + 1 + second) * CLUSTER + at * 8;
        let address = (end | ONLY_USER).to_be_bytes();
        file.write_all_at(&address, entry(1, 3)).unwrap();
        file.write_all_at(&ZEROS.to_be_bytes(), entry(0, 0))
            .unwrap();
        apply(&overlay, &below).unwrap();
        let mut expected = vec![7; size];
        expected[..4096].fill(0);
        let place = (2 << 20) + 3 * 4096;
        expected[place..place + 4096].fill(0);
        expected[place..place + 100].fill(9);
        assert!(fs::read(&below).unwrap() == expected);
    }
}
