//! What the kernel knows of a connection when its socket is closed.

use core::fmt;

/// Defines [`SocketTotals`]: each field once, with the value that stands for "not known", if there is
/// one. So a field's place, name and text cannot disagree.
macro_rules! socket_totals {
    ($(#[$attribute:meta])* struct $name:ident {
        $($(#[doc = $doc:literal])+ $field:ident: $type:ident $(unless $unknown:literal)?,)+
    }) => {
        $(#[$attribute])*
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $name {
            /// Totals of which nothing is known.
            pub const UNKNOWN: Self = Self { $($field: 0 $(+ $unknown)?,)+ };

            /// How many fields there are.
            pub const FIELDS: usize = [$(stringify!($field)),+].len();

            /// Every field's name, which does not change, and its value, if that is known.
            #[must_use]
            pub fn fields(&self) -> [(&'static str, Option<u64>); Self::FIELDS] {
                [$((
                    stringify!($field),
                    Some(self.$field)$(.filter(|&value| value != $unknown))?.map(u64::from),
                ),)+]
            }

            /// Decodes totals by offset; `None` if they do not have the length of this build.
            #[must_use]
            pub fn parse(bytes: &[u8]) -> Option<Self> {
                $(
                    let (field, bytes) = bytes.split_first_chunk()?;
                    let $field = $type::from_ne_bytes(*field);
                )+
                bytes.is_empty().then_some(Self { $($field,)+ })
            }

            /// Sets a field by its name. Returns whether there is such a field, which holds this value.
            fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($field) => match $type::try_from(value) {
                        Ok(value) => self.$field = value,
                        Err(_too_large) => return false,
                    },)+
                    _ => return false,
                }
                true
            }
        }
    };
}

socket_totals! {
    /// What the kernel knows of a connection when its socket is closed, for the whole life of the
    /// connection. The names are those of `struct tcp_info`, as far as it has the field (Linux,
    /// include/uapi/linux/tcp.h), and so is what each number includes. Read by `bpf_tcp_sock`, which
    /// programs at sockets can call since Linux 5.3.
    ///
    /// "Sent" is what this host's socket sent. A segment is what is one packet on the wire, unless the
    /// NIC or the kernel (GRO) merges segments on the way in: these are counted by what they were.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    struct SocketTotals {
        /// Sequence numbers sent and acknowledged: bytes of payload, and one each for an acknowledged FIN
        /// and for the SYN of a socket that connected.
        bytes_acked: u64,
        /// Sequence numbers received in order: bytes of payload, and one for a FIN that the socket saw.
        bytes_received: u64,
        /// Smoothed round-trip time in microseconds (RFC 6298); 0 if none was measured.
        srtt_us: u32 unless 0,
        /// The least round-trip time in microseconds, of the last five minutes or more
        /// (`net.ipv4.tcp_min_rtt_wlen`); `u32::MAX` if none was measured.
        min_rtt_us: u32 unless 0xffff_ffff,
        /// Segments sent again, with SYNs, SYN-ACKs, FINs and probes for a lost tail.
        total_retrans: u32,
        /// Segments sent, with those sent again. SYN-ACKs are not among them.
        segs_out: u32,
        /// Of these, segments with payload.
        data_segs_out: u32,
        /// Segments received, with duplicates. The SYN that a listener received is not among them.
        segs_in: u32,
        /// Of these, segments with payload.
        data_segs_in: u32,
        /// Segments taken for lost and neither sent again nor acknowledged.
        lost: u32,
        /// Segments acknowledged selectively, beyond what is acknowledged.
        sacked: u32,
        /// Sequence numbers sent and not acknowledged (`snd_nxt` - `snd_una`).
        unacked_bytes: u32,
        /// Congestion window, in segments.
        snd_cwnd: u32,
        /// Segments delivered in the sample that the delivery rate is of, which lasted
        /// [`rate_interval_us`](Self::rate_interval_us): see [`delivery_rate`](Self::delivery_rate).
        rate_delivered: u32,
        /// The length of that sample in microseconds; 0 if there was none.
        rate_interval_us: u32 unless 0,
        /// Segments with payload whose acknowledgment reported that they had met congestion (ECE).
        delivered_ce: u32,
        /// Segments that arrived twice, by D-SACK (RFC 2883): sent again without need.
        dsack_dups: u32,
        /// The largest payload of a segment sent, in bytes (`mss_cache`): after the other end's MSS, the
        /// path's MTU and the options of each segment.
        snd_mss: u16,
        /// ECN, in bits: 1 it was negotiated (RFC 3168), 2 and 4 a CWR or ECE was to be sent, 8 marked
        /// packets were received; 16 it is accurate ECN (RFC 9768, Linux 6.18). Linux,
        /// include/net/tcp_ecn.h.
        ecn_flags: u8,
        /// The state that the socket was in before, as in `tcpi_state`: 1 is ESTABLISHED, 4 FIN_WAIT1,
        /// 5 FIN_WAIT2, 8 CLOSE_WAIT, 9 LAST_ACK, 11 CLOSING. A connection that both ends have shut down
        /// comes from 5, 9 or 11; others were reset, timed out or given up.
        state: u8,
    }
}

/// Bytes of a [`SocketTotals`].
pub const SOCKET_TOTALS_LEN: usize = size_of::<SocketTotals>();

/// What each field's name begins with in a text.
const PREFIX: &str = "kernel.";

const _: () = {
    assert!(SOCKET_TOTALS_LEN == 80);
    assert!(core::mem::offset_of!(SocketTotals, srtt_us) == 16);
    assert!(core::mem::offset_of!(SocketTotals, dsack_dups) == 72);
    assert!(core::mem::offset_of!(SocketTotals, snd_mss) == 76);
    assert!(core::mem::offset_of!(SocketTotals, state) == 79);
};

impl SocketTotals {
    /// Smoothed round-trip time in microseconds, if one was measured.
    #[must_use]
    pub const fn rtt(&self) -> Option<u32> {
        match self.srtt_us {
            0 => None,
            measured => Some(measured),
        }
    }

    /// The least round-trip time in microseconds, if one was measured.
    #[must_use]
    pub const fn min_rtt(&self) -> Option<u32> {
        match self.min_rtt_us {
            u32::MAX => None,
            measured => Some(measured),
        }
    }

    /// The rate at which payload was delivered last while the connection, not its application, was what
    /// limited it, or the highest one since then, in bytes per second: what `tcpi_delivery_rate` says
    /// (Linux, `tcp_compute_delivery_rate`).
    #[must_use]
    pub fn delivery_rate(&self) -> Option<u64> {
        let bytes = u64::from(self.rate_delivered) * u64::from(self.snd_mss);
        (bytes * 1_000_000).checked_div(self.rate_interval_us.into())
    }

    /// Reads what [`Display`](fmt::Display) has written out of a text, whatever else is in it. `None` if
    /// nothing of it is there. Names that are not known are passed over, and fields that are missing are
    /// not known.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut totals = Self::UNKNOWN;
        let mut any = false;
        for word in text.split_ascii_whitespace() {
            let field = word.strip_prefix(PREFIX).and_then(|it| it.split_once('='));
            if let Some((name, value)) = field
                && let Ok(value) = value.parse()
            {
                any |= totals.set(name, value);
            }
        }
        any.then_some(totals)
    }
}

/// `kernel.bytes_acked=1449 kernel.srtt_us=215 …`: every field whose value is known.
impl fmt::Display for SocketTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for (name, value) in self.fields() {
            if let Some(value) = value {
                write!(f, "{space}{PREFIX}{name}={value}")?;
                space = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::ToString as _;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn totals() -> SocketTotals {
        SocketTotals {
            bytes_acked: 1 << 40,
            bytes_received: 2,
            srtt_us: 3,
            min_rtt_us: 4,
            total_retrans: 5,
            segs_out: 6,
            data_segs_out: 7,
            segs_in: 8,
            data_segs_in: 9,
            lost: 10,
            sacked: 11,
            unacked_bytes: 12,
            snd_cwnd: 13,
            rate_delivered: 14,
            rate_interval_us: 15,
            delivered_ce: 16,
            dsack_dups: 17,
            snd_mss: 1448,
            ecn_flags: 9,
            state: 5,
        }
    }

    #[test]
    fn every_field_is_read_from_its_place() {
        let mut bytes = Vec::new();
        bytes.extend((1_u64 << 40).to_ne_bytes());
        bytes.extend(2_u64.to_ne_bytes());
        for field in 3_u32..=17 {
            bytes.extend(field.to_ne_bytes());
        }
        bytes.extend(1448_u16.to_ne_bytes());
        bytes.extend([9, 5]);
        assert_eq!(SocketTotals::parse(&bytes), Some(totals()));
        assert_eq!(SocketTotals::parse(&bytes[1..]), None);
        bytes.push(0);
        assert_eq!(SocketTotals::parse(&bytes), None);
    }

    #[test]
    fn the_text_names_every_field_and_never_changes() {
        assert_eq!(
            totals().to_string(),
            "kernel.bytes_acked=1099511627776 kernel.bytes_received=2 kernel.srtt_us=3 kernel.min_rtt_us=4 \
             kernel.total_retrans=5 kernel.segs_out=6 kernel.data_segs_out=7 kernel.segs_in=8 \
             kernel.data_segs_in=9 kernel.lost=10 kernel.sacked=11 kernel.unacked_bytes=12 \
             kernel.snd_cwnd=13 kernel.rate_delivered=14 kernel.rate_interval_us=15 \
             kernel.delivered_ce=16 kernel.dsack_dups=17 kernel.snd_mss=1448 kernel.ecn_flags=9 \
             kernel.state=5"
        );
    }

    #[test]
    fn what_was_measured_is_said() {
        let totals = SocketTotals {
            srtt_us: 215,
            min_rtt_us: 198,
            ..SocketTotals::UNKNOWN
        };
        assert_eq!((totals.rtt(), totals.min_rtt()), (Some(215), Some(198)));
    }

    #[test]
    fn what_was_not_measured_is_not_said() {
        let nothing = SocketTotals::UNKNOWN;
        assert_eq!(
            (nothing.rtt(), nothing.min_rtt(), nothing.delivery_rate()),
            (None, None, None)
        );
        let text = nothing.to_string();
        assert!(
            !text.contains("rtt") && !text.contains("interval"),
            "{text}"
        );
        assert!(text.contains("kernel.total_retrans=0 "), "{text}");
        assert_eq!(SocketTotals::from_text(&text), Some(nothing));
    }

    #[test]
    fn a_text_may_have_more_or_less_than_is_known() {
        let text =
            "uuid=x kernel.srtt_us=7 kernel.of_tomorrow=1 kernel.snd_mss=65536 kernel.lost=-1";
        let expected = SocketTotals {
            srtt_us: 7,
            ..SocketTotals::UNKNOWN
        };
        assert_eq!(SocketTotals::from_text(text), Some(expected));
        assert_eq!(
            SocketTotals::from_text("srtt_us=7 kernel.of_tomorrow=1"),
            None
        );
    }

    #[test]
    fn the_delivery_rate_is_computed_as_the_kernel_does() {
        let rate = SocketTotals {
            rate_delivered: 10,
            rate_interval_us: 2000,
            snd_mss: 1448,
            ..SocketTotals::UNKNOWN
        };
        assert_eq!(rate.delivery_rate(), Some(7_240_000));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), SOCKET_TOTALS_LEN)) {
            let totals = SocketTotals::parse(&bytes).expect("any bytes of this length are totals");
            prop_assert_eq!(SocketTotals::from_text(&format!("a=b {totals} c")), Some(totals));
        }

        #[test]
        fn arbitrary_bytes_and_texts_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            text in ".*",
        ) {
            let _totals = SocketTotals::parse(&bytes);
            let _read = SocketTotals::from_text(&text);
        }
    }
}
