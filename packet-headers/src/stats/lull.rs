//! Tells when packets come again: while none do, nobody needs to look what became of them.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A time without packets. One task may wait for its end.
#[derive(Debug, Default)]
pub struct Lull {
    awaited: AtomicBool,
    over: Notify,
}

impl Lull {
    /// Packets came.
    #[inline]
    pub fn end(&self) {
        // Nearly always nobody waits, and then nothing is written that other processors read.
        if self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::AcqRel) {
            self.over.notify_one();
        }
    }

    /// From now on, packets end [the wait](Self::over), even if it begins later.
    pub fn begin(&self) {
        self.awaited.store(true, Ordering::Release);
    }

    /// Waits until packets come.
    pub async fn over(&self) {
        self.over.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// Whether a wait would end now.
    async fn is_over(lull: &Lull) -> bool {
        let mut over = pin!(lull.over());
        poll_fn(|context| Poll::Ready(over.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn packets_end_a_lull_that_somebody_waits_for() {
        let lull = Lull::default();
        lull.end();
        assert!(!is_over(&lull).await, "nobody asked");
        lull.begin();
        assert!(!is_over(&lull).await, "there was no packet");
        lull.end();
        lull.end();
        assert!(is_over(&lull).await);
        assert!(!is_over(&lull).await, "once is enough");
    }
}
