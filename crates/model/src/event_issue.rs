//! What can be wrong with an event.

use crate::counter_set;

counter_set! {
    /// What was refused, or lost, of the events that begin and end flows.
    EventIssues by EventIssue {
        /// A line of over 64 KiB.
        TooLong = "too_long",
        /// A line that is not the JSON of an event.
        BadJson = "bad_json",
        /// An event number that is neither Open nor Close.
        UnknownEvent = "unknown_event",
        /// An Open without an ID.
        NilId = "nil_id",
        /// An Open with an address that is none.
        BadAddress = "bad_address",
        /// A UUID that is no file name.
        BadUuid = "bad_uuid",
        /// A timestamp that is none.
        BadTimestamp = "bad_timestamp",
        /// An item of the kernel's event ring that this build does not understand.
        BadRecord = "bad_record",
        /// Another socket of a connection that already has a name: both ends are on this host.
        SecondSocket = "second_socket",
        /// An Open for a connection that already has that name.
        Repeated = "repeated",
        /// An Open of a connection that is not captured: too many flows, or another direction.
        Refused = "refused",
        /// A Close of a flow that is not known.
        UnknownClose = "unknown_close",
        /// The kernel told of a connection while the prefix of its UUID was not known.
        NoPrefix = "no_prefix",
        /// An event that the event server did not tell its clients: it was behind, or had no room.
        NotServed = "not_served",
        /// The event socket was connected again.
        Reconnects = "reconnects",
    }
}
