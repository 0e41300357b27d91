//! Archives as uploaders make them.

use std::path::Path;

use super::common::{Order, classic};
use crate::{Buffer, ReadError, for_each_capture};

fn capture(packets: usize) -> Vec<u8> {
    classic(
        Order::Little,
        0xa1b2_c3d4,
        101,
        &vec![(0, 0, 1, &b"\x45"[..]); packets],
    )
}

fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A member's path, and how many packets it has or why it cannot be read.
type Counted = (String, Result<u32, String>);

fn members(file: &[u8]) -> (Vec<Counted>, Result<(), ReadError>) {
    let mut all = Vec::new();
    let mut buffer = Buffer::default();
    let read = for_each_capture(
        Box::new(file),
        Path::new("a.tgz"),
        &mut buffer,
        &mut |member| {
            let count = || {
                let mut capture = member.capture?;
                let mut packets = 0;
                while capture.next()?.is_some() {
                    packets += 1;
                }
                Ok(packets)
            };
            let counted = count().map_err(|error: ReadError| error.to_string());
            all.push((member.path.to_str().unwrap().to_owned(), counted));
            Ok(())
        },
    );
    (all, read)
}

#[test]
fn members_are_read_in_order_and_others_passed_over() {
    let long = format!("{}/x.pcap", "long".repeat(60));
    let file = archive(&[
        ("2026/11/29/a.pcap", capture(3)),
        ("2026/11/29/a.json", b"{}".to_vec()),
        ("b.pcap.gz", zstd::encode_all(&capture(5)[..], 3).unwrap()),
        (&long, capture(2)),
        ("broken.pcap", b"?!".to_vec()),
        (
            "c.pcapng.zst",
            zstd::encode_all(&capture(1)[..], 3).unwrap(),
        ),
    ]);
    let want = |all: &[Counted]| {
        let names: Vec<_> = all
            .iter()
            .map(|(name, _)| name.strip_prefix("a.tgz/").unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "2026/11/29/a.pcap",
                "b.pcap.gz",
                &long,
                "broken.pcap",
                "c.pcapng.zst"
            ]
        );
        let counts: Vec<_> = all.iter().map(|(_, count)| count.clone().ok()).collect();
        assert_eq!(counts, [Some(3), Some(5), Some(2), None, Some(1)]);
    };
    let (all, read) = members(&file);
    read.unwrap();
    want(&all);
    let (all, read) = members(&zstd::encode_all(&file[..], 3).unwrap());
    read.unwrap();
    want(&all);
}

#[test]
fn an_archive_that_is_cut_off_has_its_whole_members() {
    let file = archive(&[("a.pcap", capture(3)), ("b.pcap", capture(5))]);
    let (all, _) = members(&file[..1024 + 512 + 24 + 2 * 17 + 3]);
    assert_eq!(all[0].1, Ok(3));
    assert!(
        all[1].1.as_ref().unwrap_err().contains("cut off"),
        "{all:?}"
    );
    let (all, read) = members(&file[..1024 + 100]);
    assert_eq!(all.len(), 1);
    assert!(read.is_err_and(|error| error.is_cut_off()));
}

#[test]
fn no_name_leads_out_of_the_archive() {
    let mut header = tar::Header::new_ustar();
    let name = b"/etc/x.pcap";
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_size(24);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut file = header.as_bytes().to_vec();
    file.extend_from_slice(&capture(0));
    file.resize(2048 + 512, 0);
    assert_eq!(members(&file).0, [("a.tgz/etc/x.pcap".to_owned(), Ok(0))]);
}

#[test]
fn archives_within_archives_are_not_read() {
    let inner = archive(&[("a.pcap", capture(3))]);
    let (all, read) = members(&archive(&[("inner.pcap", inner)]));
    read.unwrap();
    assert!(
        all[0].1.as_ref().unwrap_err().contains("archives"),
        "{all:?}"
    );
}
