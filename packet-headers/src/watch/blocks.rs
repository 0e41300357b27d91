//! What a client has to know of pcapng: which blocks say that packets are missing.

/// The type of Interface Statistics Blocks (draft-ietf-opsawg-pcapng, 4.6), and what they have before their
/// options: type, length, interface and time.
const STATISTICS: [u8; 4] = 5_u32.to_le_bytes();
const BEFORE_OPTIONS: usize = 20;

/// Option `opt_comment`.
const COMMENT: u16 = 1;

/// What a block says of packets that are missing, if it does.
pub(super) fn loss(block: &[u8]) -> Option<&str> {
    if !block.starts_with(&STATISTICS) {
        return None;
    }
    let (option, rest) = block.get(BEFORE_OPTIONS..)?.split_first_chunk::<4>()?;
    let code = u16::from_le_bytes([option[0], option[1]]);
    let length = u16::from_le_bytes([option[2], option[3]]);
    let text = rest.get(..length.into())?;
    (code == COMMENT).then(|| str::from_utf8(text).ok())?
}

#[cfg(test)]
mod tests {
    use capture_files::{InterfaceNames, PacketStream, Record};
    use model::WallNanos;
    use packet_headers_common::{Direction, LinkType};

    use super::*;

    #[test]
    fn what_a_daemon_says_of_missing_packets_is_found() {
        let mut out = Vec::new();
        let mut stream = PacketStream::begin("test", &mut out);
        assert!(
            !stream.lost(3, WallNanos(1), &mut out),
            "no packet came yet"
        );
        assert_eq!(loss(&out), None);
        out.clear();
        let record = Record {
            time: WallNanos(1),
            wire_len: 60,
            ifindex: 2,
            segments: 1,
            direction: Direction::Ingress,
            link_type: LinkType::Ethernet,
            l3: 14,
            l4: 34,
            headers: &[0; 54],
        };
        stream.packet(&record, &InterfaceNames::default(), &mut out);
        assert_eq!(loss(&out), None);
        out.clear();
        assert!(stream.lost(3, WallNanos(1), &mut out));
        assert_eq!(
            loss(&out),
            Some("3 packets are missing here: they were read too slowly")
        );
        for length in 0..out.len() {
            let _cut_off = loss(&out[..length]);
        }
    }
}
