//! How many ICMP errors go to user space: anybody can forge them, about any connection.

use packet_headers_common::KernelDiscard;

use crate::allowance::{Errors, GROUPS};
use crate::maps::ERRORS;

/// How many errors about the named connections of a group a processor takes in a second.
const ABOUT_NAMED: u64 = 64;

/// How many about those without a name.
const ABOUT_OTHERS: u64 = 8;

/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Whether one more error is taken about a connection with this hash.
///
/// # Errors
/// There were too many.
#[inline(always)]
pub(crate) fn allow(hash: u64, named: bool, now_ns: u64) -> Result<(), KernelDiscard> {
    let group = (hash >> 16) as u32 & (GROUPS - 1);
    let (group, most) = match named {
        true => (group, ABOUT_NAMED),
        false => (GROUPS + group, ABOUT_OTHERS),
    };
    let errors: *mut Errors = ERRORS
        .get_ptr_mut(group)
        .ok_or(KernelDiscard::TooManyErrors)?;
    // SAFETY: the slot of this CPU, which no other packet program touches while this one runs.
    let errors = unsafe { &mut *errors };
    if now_ns.wrapping_sub(errors.since_ns) >= SECOND {
        errors.since_ns = now_ns;
        errors.taken = 0;
    }
    if errors.taken >= most {
        return Err(KernelDiscard::TooManyErrors);
    }
    errors.taken += 1;
    Ok(())
}
