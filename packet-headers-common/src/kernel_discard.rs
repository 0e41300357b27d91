//! The reasons for which a kernel program discards a packet.

use crate::DiscardReason;

/// Defines the subset of [`DiscardReason`]; names and documentation stay there.
macro_rules! subset {
    ($($reason:ident,)+) => {
        /// Why a kernel program discards a packet: the error type of the parser and of all that
        /// follows it. The daemon's reasons are none of these, nor is anything that is counted beside
        /// them, so that neither can be returned in their place:
        ///
        /// ```
        /// use packet_headers_common::KernelDiscard;
        ///
        /// fn parse() -> Result<(), KernelDiscard> {
        ///     Err(KernelDiscard::Malformed)
        /// }
        /// ```
        ///
        /// ```compile_fail,E0308
        /// use packet_headers_common::{KernelDiscard, PacketCounter};
        ///
        /// fn parse() -> Result<(), KernelDiscard> {
        ///     Err(PacketCounter::Seen)
        /// }
        /// ```
        ///
        /// ```compile_fail,E0308
        /// use packet_headers_common::{DiscardReason, KernelDiscard};
        ///
        /// fn parse() -> Result<(), KernelDiscard> {
        ///     Err(DiscardReason::WriterBehind)
        /// }
        /// ```
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum KernelDiscard {
            $(#[doc = concat!("See [`DiscardReason::", stringify!($reason), "`].")] $reason,)+
        }

        impl KernelDiscard {
            /// Every reason, in the order of [`Self::index`].
            pub const ALL: &'static [Self] = &[$(Self::$reason,)+];

            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The reason's slot in an array of [`Self::COUNT`] counters.
            #[inline(always)]
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl From<KernelDiscard> for DiscardReason {
            fn from(reason: KernelDiscard) -> Self {
                match reason {
                    $(KernelDiscard::$reason => Self::$reason,)+
                }
            }
        }
    };
}

subset! {
    NotIp,
    NotTcp,
    LaterFragment,
    Malformed,
    HeadersTooLong,
    BadQuote,
    TooManyErrors,
    Filtered,
    Ignored,
    AfterCapture,
    Duplicate,
    AdmittedRingFull,
    CandidateRingFull,
    UdpRingFull,
    CopyFailed,
}
