//! Whether this host's clock is synchronized, as far as the kernel knows.
#![allow(
    unsafe_code,
    reason = "no safe wrapper knows adjtimex(2); the call reads the state and changes nothing"
)]

use std::mem::MaybeUninit;

/// Whether an NTP or PTP client keeps the clock synchronized; `None` when the kernel does not say.
pub(super) fn is_synchronized() -> Option<bool> {
    // All zero: no mode, so that nothing is set.
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is to a live variable of the size that the kernel writes.
    let state = unsafe { libc::adjtimex(state.as_mut_ptr()) };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}
