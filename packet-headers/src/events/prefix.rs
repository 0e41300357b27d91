//! The prefix of this boot's UUIDs, known from the start or learned from tcp-info.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tracing::{info, warn};

use model::{FlowUuid, UuidPrefix};

/// A prefix that may not be known yet. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LearnedPrefix(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    prefix: OnceLock<UuidPrefix>,
    /// Wakes those who wait for it.
    learned: Notify,
    /// Whether it was logged that a name does not end in its cookie.
    said_odd: AtomicBool,
    /// Whether it was logged that a name has another prefix.
    said_other: AtomicBool,
}

impl LearnedPrefix {
    /// A prefix that is known.
    #[must_use]
    pub fn known(prefix: UuidPrefix) -> Self {
        Self(Arc::new(Shared {
            prefix: prefix.into(),
            ..Shared::default()
        }))
    }

    /// A prefix that is to be learned.
    #[must_use]
    pub fn unknown() -> Self {
        Self::default()
    }

    /// The prefix, once it is known.
    #[must_use]
    pub fn get(&self) -> Option<&UuidPrefix> {
        self.0.prefix.get()
    }

    /// Waits until the prefix is known.
    pub async fn learned(&self) {
        let learned = self.0.learned.notified();
        // From its creation on, the wait misses nothing.
        if self.get().is_none() {
            learned.await;
        }
    }

    /// Learns the prefix from the UUID that tcp-info gave to the socket with this cookie. Returns
    /// true if that made it known. Once known, it stays; the first name that contradicts it is
    /// logged.
    pub fn learn(&self, uuid: &FlowUuid, cookie: u64) -> bool {
        if let Some(prefix) = self.get() {
            let ours = prefix.uuid(cookie);
            if ours != *uuid && first(&self.0.said_other) {
                warn!(
                    "tcp-info calls a connection {uuid}, but the kernel's events call it {ours}: \
                     if tcp-info's prefix has changed, restart packet-headers"
                );
            }
            return false;
        }
        let Some(prefix) = before_cookie(uuid, cookie) else {
            if first(&self.0.said_odd) {
                warn!(
                    "tcp-info calls a connection {uuid}, which does not end in its cookie \
                     _{cookie:016X}: no prefix can be learned from it"
                );
            }
            return false;
        };
        let said = prefix.to_string();
        let learned = self.0.prefix.set(prefix).is_ok();
        if learned {
            self.0.learned.notify_waiters();
            info!("learned from tcp-info that UUIDs begin with {said}");
        }
        learned
    }
}

/// True the first time.
fn first(said: &AtomicBool) -> bool {
    !said.swap(true, Ordering::Relaxed)
}

/// The UUID without the cookie that it must end in; `None` when it does not, or nothing is left.
fn before_cookie(uuid: &FlowUuid, cookie: u64) -> Option<UuidPrefix> {
    let suffix = format!("_{cookie:016X}");
    let prefix = uuid.as_str().strip_suffix(&suffix)?;
    UuidPrefix::new(prefix).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "vm_1795414125_unsafe_0000000000001002";

    fn uuid(text: &str) -> FlowUuid {
        FlowUuid::new(text).unwrap()
    }

    #[test]
    fn a_prefix_is_learned_from_a_name_and_its_cookie() {
        let prefix = LearnedPrefix::unknown();
        let clone = prefix.clone();
        assert!(prefix.get().is_none());
        assert!(prefix.learn(&uuid(NAME), 0x1002));
        let learned = clone.get().unwrap();
        assert_eq!(learned.to_string(), "vm_1795414125_unsafe");
        assert_eq!(learned.uuid(0x1002), uuid(NAME));
        assert!(!prefix.learn(&uuid(NAME), 0x1002));
    }

    #[test]
    fn a_name_that_does_not_end_in_its_cookie_teaches_nothing() {
        let prefix = LearnedPrefix::unknown();
        for (name, cookie) in [
            (NAME, 0x1003),
            (NAME, 0),
            (NAME, 0x2),
            ("vm_1002", 0x1002),
            ("vm_00000000000001002", 0x1002),
            ("vm-0000000000001002", 0x1002),
            ("vm_000000000000abcd", 0xABCD),
            ("_0000000000001002", 0x1002),
            ("0000000000001002", 0x1002),
        ] {
            assert!(!prefix.learn(&uuid(name), cookie), "{name} {cookie:X}");
            assert!(prefix.get().is_none());
        }
        assert!(prefix.learn(&uuid(NAME), 0x1002));
    }

    #[test]
    fn a_prefix_that_is_known_stays() {
        let prefix = LearnedPrefix::known(UuidPrefix::new("first").unwrap());
        assert!(!prefix.learn(&uuid("second_0000000000000001"), 1));
        assert_eq!(prefix.get().unwrap().to_string(), "first");
    }

    proptest! {
        #[test]
        fn any_name_of_a_prefix_teaches_it(text in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,182}", cookie: u64) {
            let given = UuidPrefix::new(&text).unwrap();
            let prefix = LearnedPrefix::unknown();
            prop_assert!(prefix.learn(&given.uuid(cookie), cookie));
            prop_assert_eq!(prefix.get().unwrap().to_string(), text);
        }

        #[test]
        fn any_other_cookie_teaches_nothing(text in "[A-Za-z0-9_-]{1,30}", one: u64, other: u64) {
            prop_assume!(one != other);
            let name = UuidPrefix::new(&text).unwrap().uuid(one);
            prop_assert!(!LearnedPrefix::unknown().learn(&name, other));
        }
    }
}
