//! What can go wrong with flow events.

use crate::counter_set;

counter_set! {
    /// Why a flow event was refused, lost or ignored.
    EventIssues by EventIssue {
        /// A line of more than 64 KiB.
        TooLong = "too_long",
        /// A line that is not the JSON of an event.
        BadJson = "bad_json",
        /// An event number that is neither Open nor Close.
        UnknownEvent = "unknown_event",
        /// An Open without an ID.
        NilId = "nil_id",
        /// An Open with an invalid address.
        BadAddress = "bad_address",
        /// A UUID that cannot be a file name.
        BadUuid = "bad_uuid",
        /// An invalid timestamp.
        BadTimestamp = "bad_timestamp",
        /// An item of the kernel's event ring that this build does not understand.
        BadRecord = "bad_record",
        /// Another socket of a connection that already has a name: both ends are on this host.
        SecondSocket = "second_socket",
        /// An Open for a connection that already has that name.
        Repeated = "repeated",
        /// An Open of a connection that is not captured: there are too many, or the filters leave it
        /// out.
        Refused = "refused",
        /// A Close of a connection that is not known.
        UnknownClose = "unknown_close",
        /// The kernel reported a connection while the prefix of its UUID was not known.
        NoPrefix = "no_prefix",
        /// An event that clients of the event server did not get: its queue or its table was full.
        NotServed = "not_served",
        /// tcp-info's event socket was connected again.
        Reconnects = "reconnects",
    }
}
