//! The pause before the next attempt to connect.

use std::time::Duration;

use model::EventSocket;

/// The pause before the next attempt to connect. It doubles, so that a missing tcp-info costs next to
/// nothing.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    /// The longest pause while nobody listens.
    longest: Duration,
}

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(100);

    /// On this host a refused attempt costs microseconds, and what tcp-info says before we are
    /// connected is lost.
    const LONGEST_HERE: Duration = Duration::from_millis(250);

    /// Elsewhere, and whenever connections do not last.
    const LONGEST: Duration = Duration::from_secs(5);

    /// A connection that lasted this long was good: after it, the pause is the shortest again.
    const LASTED: Duration = Duration::from_secs(1);

    pub(super) fn new(socket: &EventSocket) -> Self {
        let is_here = match socket {
            EventSocket::Unix(_) => true,
            EventSocket::Tcp(address) => address.ip().is_loopback(),
        };
        Self {
            next: Self::SHORTEST,
            longest: if is_here {
                Self::LONGEST_HERE
            } else {
                Self::LONGEST
            },
        }
    }

    /// The pause after a refused attempt.
    pub(super) fn refused(&mut self) -> Duration {
        // After connections that did not last, it may be longer.
        self.next = self.next.min(self.longest);
        self.pause()
    }

    /// The pause after a connection that has ended after this long.
    pub(super) fn ended(&mut self, lasted: Duration) -> Duration {
        if lasted >= Self::LASTED {
            self.next = Self::SHORTEST;
        }
        self.pause()
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        pause
    }

    /// Half the pause to all of it, so that the daemons of one host do not all connect at once.
    pub(super) fn spread(pause: Duration) -> Duration {
        pause * fastrand::u32(50..=100) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(socket: &str) -> Backoff {
        Backoff::new(&socket.parse().unwrap())
    }

    fn refused(backoff: &mut Backoff) -> Vec<u128> {
        (0..8).map(|_| backoff.refused().as_millis()).collect()
    }

    #[test]
    fn on_this_host_no_pause_is_longer_than_a_quarter_of_a_second() {
        for socket in ["/run/events.sock", "tcp://127.0.0.1:9", "tcp://[::1]:9"] {
            let pauses = refused(&mut backoff(socket));
            assert_eq!(pauses, [100, 200, 250, 250, 250, 250, 250, 250]);
        }
    }

    #[test]
    fn elsewhere_pauses_double_up_to_five_seconds() {
        let pauses = refused(&mut backoff("tcp://192.0.2.1:9"));
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn connections_that_do_not_last_are_made_less_and_less_often() {
        let mut backoff = backoff("/run/events.sock");
        let ended = |backoff: &mut Backoff| backoff.ended(Duration::from_millis(1)).as_millis();
        let pauses: Vec<_> = (0..8).map(|_| ended(&mut backoff)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.refused(), Backoff::LONGEST_HERE);
        assert_eq!(backoff.ended(Backoff::LASTED), Backoff::SHORTEST);
    }

    #[test]
    fn pauses_are_spread_and_never_longer() {
        let spread = || Backoff::spread(Duration::from_secs(1)).as_millis();
        let spread: Vec<_> = (0..1000).map(|_| spread()).collect();
        assert!(spread.iter().all(|pause| (500..=1000).contains(pause)));
        assert!(spread.iter().any(|&pause| pause < 600));
        assert!(spread.iter().any(|&pause| pause > 900));
    }
}
