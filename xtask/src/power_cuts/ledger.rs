//! What a machine told in one boot, as `tests/power-cuts/ledger.rs` writes it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// The files of each disk, by disk and path.
pub(super) type Files = BTreeMap<(String, String), State>;

/// A boot, from what it found to what it did until the machine was killed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The visible files before the daemons were started.
    pub(super) before: Files,
    /// Those after recovery.
    pub(super) after: Files,
    /// Those that appeared while the machine captured: the same keys.
    pub(super) published: BTreeMap<(String, String), Published>,
    /// The connections that were made, by the names of their files.
    pub(super) opened: HashMap<String, String>,
    /// What the daemons logged of recovery.
    pub(super) log: Vec<String>,
    /// When the last line was written: the time since the boot's program began.
    pub(super) last: Duration,
}

/// A file that appeared.
#[derive(Debug)]
pub(super) struct Published {
    /// When it was seen: the time since the boot's program began.
    pub(super) seen: Duration,
    /// A hash of what was in it.
    pub(super) hash: String,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Packets of one connection to the end.
    Whole {
        hash: String,
        packets: u64,
        ends: String,
    },
    /// Nothing, or zeros.
    Blank,
    /// Something that cannot be read to its end, for this reason.
    Torn(String),
}

impl Ledger {
    /// Whether the machine captures by now, according to the file that it writes.
    pub(super) fn has_begun(file: &Path) -> Result<bool> {
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in text.lines() {
            match line.split('\t').nth(1) {
                Some("capturing") => return Ok(true),
                Some("failed") => bail!("{line}"),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Reads what a machine told.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut ledger = Self::default();
        // What follows the last end of a line was cut with the power.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let words: Vec<_> = line.split('\t').collect();
            ledger.note(&words).with_context(|| line.to_owned())?;
        }
        Ok(ledger)
    }

    fn note(&mut self, words: &[&str]) -> Result<()> {
        let [at, what, words @ ..] = words else {
            bail!("too few words");
        };
        self.last = Duration::from_millis(at.parse()?);
        let files = match (*what, words) {
            ("before", _) => &mut self.before,
            ("after", _) => &mut self.after,
            ("published", [disk, path, hash]) => {
                let key = ((*disk).to_owned(), (*path).to_owned());
                let hash = (*hash).to_owned();
                let seen = self.last;
                // One that is told twice was there the first time.
                self.published
                    .entry(key)
                    .or_insert(Published { seen, hash });
                return Ok(());
            }
            ("opened", [uuid, ends]) => {
                self.opened.insert((*uuid).to_owned(), sorted(ends));
                return Ok(());
            }
            ("log", [disk, line]) => {
                self.log.push(format!("{disk}: {line}"));
                return Ok(());
            }
            ("failed", _) => bail!("the machine failed"),
            _ => return Ok(()),
        };
        let [disk, path, state @ ..] = words else {
            bail!("too few words for a file");
        };
        let key = ((*disk).to_owned(), (*path).to_owned());
        files.insert(key, State::parse(state)?);
        Ok(())
    }
}

impl State {
    fn parse(words: &[&str]) -> Result<Self> {
        Ok(match words {
            ["whole", hash, packets, ends] => Self::Whole {
                hash: (*hash).to_owned(),
                packets: packets.parse()?,
                ends: (*ends).to_owned(),
            },
            ["blank"] => Self::Blank,
            ["torn", why] => Self::Torn((*why).to_owned()),
            _ => bail!("no state of a file"),
        })
    }
}

/// Both ends of a connection, the lower first, as a file's are told.
fn sorted(ends: &str) -> String {
    let parse = |end: &str| end.parse::<std::net::SocketAddr>();
    let parsed: Result<Vec<_>, _> = ends.split(' ').map(parse).collect();
    let Ok(mut sorted) = parsed else {
        return ends.to_owned();
    };
    sorted.sort();
    let sorted: Vec<_> = sorted.iter().map(ToString::to_string).collect();
    sorted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_up_to_the_line_that_was_cut() {
        let text = "5\tbefore\text4\t2026/11/29/a.pcap\tblank\n\
            9\tafter\text4\t2026/11/29/b.pcap\ttorn\tpacket 3\n\
            12\tcapturing\tboot\n\
            14\topened\tx\t10.0.0.2:9 10.0.0.1:8\n\
            20\tpublished\txfs\t2026/11/29/x.pcap\tff\n\
            31\tnow\n\
            33\tpubl";
        let ledger = Ledger::parse(text).unwrap();
        assert_eq!(ledger.last, Duration::from_millis(31));
        assert_eq!(ledger.before.len(), 1);
        assert_eq!(ledger.opened["x"], "10.0.0.1:8 10.0.0.2:9");
        let key = ("xfs".to_owned(), "2026/11/29/x.pcap".to_owned());
        assert_eq!(ledger.published[&key].seen, Duration::from_millis(20));
        assert!(Ledger::parse("1\tfailed\tno disk\n").is_err());
    }
}
