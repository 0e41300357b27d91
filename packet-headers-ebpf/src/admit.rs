//! Which packets go to user space, and on which lane.

use core::hint::black_box;

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use packet_headers_common::settings::Lane;
use packet_headers_common::{KernelDiscard, TapPoint};
use packet_headers_ebpf::parse::Headers;

use crate::Place;
use crate::filter;
use crate::maps::{FLOWS, IGNORED};

/// A packet that goes to user space.
pub(crate) struct Admitted {
    /// The way that it goes.
    pub(crate) lane: Lane,
    /// When it passed: `CLOCK_BOOTTIME` in nanoseconds. A packet that is dropped is not worth a look
    /// at the clock.
    pub(crate) now_ns: u64,
}

/// Decides by what is known of the packet's connection.
///
/// A SYN that begins a new connection wipes out that the four-tuple was done with or ignored. It
/// does not touch a connection that is being captured: anybody can forge one.
///
/// # Errors
/// The [`KernelDiscard`] that says why the packet is dropped here.
#[inline(always)]
pub(crate) fn admit(headers: &Headers, place: &Place) -> Result<Admitted, KernelDiscard> {
    let Some(flow) = FLOWS.get_ptr_mut(&headers.key) else {
        return candidate(headers);
    };
    // SAFETY: an entry's memory outlives the program's run. Another CPU may write a home at the same
    // time: then one of the two is the home, and the other's packets are duplicates from then on.
    let flow = unsafe { &mut *flow };
    if flow.deadline_ns != 0 {
        let now_ns = now();
        if now_ns < flow.deadline_ns {
            // The compiler knows that it is 0 or 1; the verifier is shown.
            let side = black_box(usize::from(!headers.from_low)) & 1;
            let tap = &mut flow.primary_tap[side];
            return if tap.accepts(TapPoint::new(place.ifindex, place.direction), now_ns) {
                let lane = Lane::Admitted;
                Ok(Admitted { lane, now_ns })
            } else {
                Err(KernelDiscard::Duplicate)
            };
        }
        flow.deadline_ns = 0;
    }
    if !headers.first_syn {
        return Err(KernelDiscard::AfterCapture);
    }
    // Gone already when another CPU was faster.
    let _removed = FLOWS.remove(&headers.key);
    Ok(as_candidate())
}

/// A packet of a connection that nobody named yet.
#[inline(always)]
fn candidate(headers: &Headers) -> Result<Admitted, KernelDiscard> {
    if !filter::passes(&headers.key) {
        return Err(KernelDiscard::Filtered);
    }
    if IGNORED.get_ptr(&headers.key).is_some() {
        if !headers.first_syn {
            return Err(KernelDiscard::Ignored);
        }
        // Gone already when another CPU was faster.
        let _removed = IGNORED.remove(&headers.key);
    }
    Ok(as_candidate())
}

#[inline(always)]
fn as_candidate() -> Admitted {
    Admitted {
        lane: Lane::Candidate,
        now_ns: now(),
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes no argument, exists since 5.8.
    unsafe { bpf_ktime_get_boot_ns() }
}
