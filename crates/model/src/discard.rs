//! Why a packet that user space received is in no file.

use crate::counter_set;

counter_set! {
    /// Why a packet that user space received is in no file.
    Discards by Discard {
        /// Nobody named its connection within `--uuidwaitduration`, or before the end.
        Unnamed = "unnamed",
        /// It waited for a name, and was the oldest when candidate memory ran out.
        CandidateMemory = "candidate_memory",
        /// Its connection was refused: `--maxflows`, or the memory for flows ran out.
        TooManyFlows = "too_many_flows",
        /// Its connection is not of the `--direction` that is wanted.
        Unwanted = "unwanted_direction",
        /// The same packet was taken at another interface.
        Duplicate = "duplicate",
        /// It came after its flow's `--captureduration`.
        AfterCapture = "after_captureduration",
        /// It came after its flow's file had been finished: `--flowtimeout`.
        AfterTimeout = "after_flowtimeout",
        /// It came after its connection had ended, and its flow's file with it.
        AfterEnd = "after_end",
        /// The flow's file could not be written.
        WriteFailed = "write_failed",
        /// The disk was too slow: the blocks that wait for the writer reached their bound.
        WriterBehind = "writer_behind",
        /// A ring item that this build does not understand.
        BadRecord = "bad_record",
    }
}
