//! Since when a client has read nothing of what was sent to it. Pure.

use std::time::{Duration, Instant};

/// A client is idle when it has read nothing for so long. One that reads takes a few milliseconds.
const LEAST: Duration = Duration::from_secs(2);

/// Since when a client has read nothing, by a look at it now and then.
#[derive(Debug, Default)]
pub(super) struct Idleness {
    since: Option<Instant>,
    before: Account,
}

/// What was sent to a client, and what of that it has not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Bytes sent so far.
    pub(super) sent: u64,
    /// The memory that the kernel keeps for what is unread, in bytes: more than there is to read.
    pub(super) unread: u32,
}

impl Idleness {
    /// Takes another look.
    pub(super) fn look(&mut self, now: Instant, account: Account) {
        let before = std::mem::replace(&mut self.before, account);
        let sent = account.sent.saturating_sub(before.sent);
        // It has read if less is unread than what was unread before and what was sent since.
        let has_read = u64::from(account.unread) < u64::from(before.unread) + sent;
        self.since = match account.unread {
            0 => None,
            _ if has_read => Some(now),
            _ => self.since.or(Some(now)),
        };
    }

    /// Since when it has been idle, if it is.
    pub(super) fn since(&self, now: Instant) -> Option<Instant> {
        self.since
            .filter(|since| now.saturating_duration_since(*since) >= LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a client is idle after looks at it, one each second.
    fn is_idle(accounts: &[(u64, u32)]) -> bool {
        let mut idleness = Idleness::default();
        let mut now = Instant::now();
        for &(sent, unread) in accounts {
            now += Duration::from_secs(1);
            idleness.look(now, Account { sent, unread });
        }
        idleness.since(now).is_some()
    }

    #[test]
    fn who_leaves_unread_what_it_was_sent_is_idle_after_two_seconds() {
        assert!(!is_idle(&[(300, 768)]));
        assert!(!is_idle(&[(300, 768), (300, 768)]));
        assert!(is_idle(&[(300, 768), (300, 768), (300, 768)]));
        // Events go on to be sent.
        assert!(is_idle(&[(300, 768), (900, 2304), (1500, 3840)]));
    }

    #[test]
    fn who_reads_is_not() {
        assert!(!is_idle(&[(0, 0); 9]));
        assert!(!is_idle(&[(300, 0), (300, 0), (900, 0), (900, 0)]));
        // It is always behind, but reads.
        assert!(!is_idle(&[
            (9000, 9000),
            (12000, 9000),
            (15000, 9000),
            (18000, 9000)
        ]));
        // It has read at last.
        assert!(!is_idle(&[(300, 768), (300, 768), (300, 768), (300, 0)]));
    }
}
