//! Flow events from the kernel: the sockets of this host, as the socket program sees them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use packet_headers_common::FlowKey;
use packet_headers_common::event::{Event, SocketEvent};

use super::{Close, EventSink, FlowEvent, Open};
use crate::accounts::{Accounts, EventIssue};
use crate::clock::{BootNanos, WallClock};
use crate::flow::uuid::UuidPrefix;
use crate::kernel::ring::RingReader;

/// How long the thread sleeps when nothing happens; the program wakes it when something does.
const TICK: Duration = Duration::from_millis(100);

/// Turns what the socket program tells into flow events, until `stop` is set and the ring is empty.
///
/// # Errors
/// When the ring cannot be waited for.
pub fn follow(
    mut ring: RingReader,
    prefix: &UuidPrefix,
    sink: &EventSink,
    accounts: &Arc<Accounts>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut clock = WallClock::sample();
    loop {
        let stopping = stop.load(Ordering::Acquire);
        clock.resample();
        let mut event = None;
        while ring.next(|item| event = Event::parse(item)) {
            let Some(event) = event.take() else {
                accounts.events.add(EventIssue::BadRecord, 1);
                continue;
            };
            if sink
                .deliver_blocking(&flow_event(&event, prefix, &clock))
                .is_err()
            {
                return Ok(());
            }
        }
        if stopping {
            return Ok(());
        }
        ring.wait(TICK)?;
    }
}

fn flow_event(event: &Event, prefix: &UuidPrefix, clock: &WallClock) -> FlowEvent {
    let at = BootNanos(event.boot_ns);
    let uuid = prefix.uuid(event.cookie);
    match event.what {
        SocketEvent::Open(role) => FlowEvent::Open(Open {
            at,
            opened: clock.wall(at),
            uuid,
            local: event.local,
            remote: event.remote,
            role: Some(role),
        }),
        SocketEvent::Close => FlowEvent::Close(Close {
            at,
            uuid,
            key: Some(FlowKey::new(event.local, event.remote)),
        }),
    }
}
