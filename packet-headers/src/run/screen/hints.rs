//! Why what people expect may not appear. Each hint is given once. Pure.

use std::time::Duration;

use super::facts::Facts;

/// How long nothing has to appear before that is explained: whoever has just started the daemon
/// takes some seconds to make the first connection.
const PATIENCE: Duration = Duration::from_secs(6);

/// The hints that were not given yet.
#[derive(Debug)]
pub(super) struct Hints {
    asked: Asked,
    loopback: bool,
    elsewhere: bool,
    nothing: bool,
    open: bool,
}

/// What was asked for.
#[derive(Debug)]
pub(in crate::run) struct Asked {
    /// The interfaces that are captured, if there are any yet.
    pub(in crate::run) interfaces: Option<String>,
    /// How long a connection is captured.
    pub(in crate::run) capture: Duration,
    /// Whether loopback is captured.
    pub(in crate::run) loopback: bool,
    /// Whether connections of every network namespace are named.
    pub(in crate::run) every_netns: bool,
}

impl Hints {
    pub(super) const fn new(asked: Asked) -> Self {
        Self {
            asked,
            loopback: true,
            elsewhere: true,
            nothing: true,
            open: true,
        }
    }

    /// The next hint, if there is reason for one this long after capture began.
    pub(super) fn next(&mut self, facts: &Facts, after: Duration) -> Option<String> {
        if facts.loopback > 0 && take(&mut self.loopback) {
            return Some("hint: connections over loopback are left out: --interface lo".to_owned());
        }
        if facts.elsewhere > 0 && take(&mut self.elsewhere) {
            return Some(
                "hint: connections of containers and other network namespaces are left out:\n      \
                 --netns all"
                    .to_owned(),
            );
        }
        if after < PATIENCE || facts.files > 0 {
            return None;
        }
        if facts.opened == 0 {
            return take(&mut self.nothing).then(|| self.nothing_yet(facts.seen));
        }
        (facts.open > 0 && take(&mut self.open)).then(|| {
            let longest = humantime::format_duration(self.asked.capture);
            format!(
                "hint: a file appears once its connection has ended, or after {longest}\n      \
                 (--captureduration)"
            )
        })
    }

    fn nothing_yet(&self, seen: u64) -> String {
        let Asked {
            interfaces,
            loopback,
            every_netns,
            ..
        } = &self.asked;
        let Some(interfaces) = interfaces else {
            return "hint: there is no interface to capture yet".to_owned();
        };
        let what = match seen {
            0 => "no packet",
            _ => "packets, but no TCP connection",
        };
        let mut hint = format!("hint: {what} on {interfaces} yet");
        if self.loopback && !loopback {
            hint += "\n      loopback is left out: --interface lo captures it";
        }
        if self.elsewhere && !every_netns {
            hint += "\n      containers and other network namespaces are left out: --netns all";
        }
        hint
    }
}

/// Whether it was still there; it is not any more.
const fn take(hint: &mut bool) -> bool {
    std::mem::replace(hint, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these facts, early and late.
    fn said(facts: &Facts) -> Vec<String> {
        let mut hints = Hints::new(Asked {
            interfaces: Some("eth0".to_owned()),
            capture: Duration::from_secs(30),
            loopback: false,
            every_netns: false,
        });
        let moments = [0, 1, 7, 8, 9].map(Duration::from_secs);
        let said = moments.map(|moment| hints.next(facts, moment));
        said.into_iter().flatten().collect()
    }

    fn one(facts: &Facts) -> String {
        let [hint] = &said(facts)[..] else {
            panic!("{:?}", said(facts))
        };
        assert!(hint.lines().all(|line| line.len() < 80), "{hint}");
        hint.clone()
    }

    /// Something that is left out, and a file, so that there is no more to say.
    fn beside(facts: &Facts) -> Facts {
        Facts {
            opened: 1,
            files: 1,
            ..facts.clone()
        }
    }

    #[test]
    fn silence_is_explained_once() {
        let hint = one(&Facts::default());
        for word in ["no packet on eth0", "--interface lo", "--netns all"] {
            assert!(hint.contains(word), "{hint}");
        }
        let facts = Facts {
            seen: 5,
            ..Facts::default()
        };
        assert!(one(&facts).contains("packets, but no TCP connection on eth0"));
    }

    #[test]
    fn nobody_is_told_to_ask_for_what_was_asked_for() {
        let mut hints = Hints::new(Asked {
            interfaces: Some("lo".to_owned()),
            capture: Duration::from_secs(30),
            loopback: true,
            every_netns: true,
        });
        let hint = hints.next(&Facts::default(), PATIENCE).unwrap();
        assert_eq!(hint, "hint: no packet on lo yet");
        hints.asked.interfaces = None;
        hints.nothing = true;
        let hint = hints.next(&Facts::default(), PATIENCE).unwrap();
        assert!(hint.contains("no interface to capture yet"), "{hint}");
    }

    #[test]
    fn what_is_left_out_is_said_at_once_and_the_flag_that_captures_it() {
        let facts = Facts {
            loopback: 3,
            ..Facts::default()
        };
        // Not twice, when nothing else comes.
        let [first, second] = &said(&facts)[..] else {
            panic!("{:?}", said(&facts))
        };
        assert!(first.contains("--interface lo") && !second.contains("--interface lo"));
        let hint = one(&beside(&facts));
        assert!(hint.contains("over loopback are left out: --interface lo"));
        let facts = Facts {
            elsewhere: 1,
            ..Facts::default()
        };
        let hint = one(&beside(&facts));
        assert!(hint.contains("of containers") && hint.contains("--netns all"));
    }

    #[test]
    fn who_waits_for_a_file_is_told_when_it_comes() {
        let facts = Facts {
            seen: 9,
            opened: 1,
            open: 1,
            ..Facts::default()
        };
        let hint = one(&facts);
        assert!(
            hint.contains("once its connection has ended, or after 30s"),
            "{hint}"
        );
    }

    #[test]
    fn while_files_appear_nothing_is_said() {
        let facts = Facts {
            opened: 2,
            open: 1,
            files: 1,
            ..Facts::default()
        };
        assert_eq!(said(&facts), Vec::<String>::new());
    }
}
