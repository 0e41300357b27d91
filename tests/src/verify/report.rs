//! The daemon's counters, as it prints them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// The head of a summary's first line, and of its last.
pub const FIRST: &str = "packets: ";
/// The head of a summary's last line.
pub const LAST: &str = "balance: ";

/// One summary: the values of each line by name, and what the balance line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    lines: BTreeMap<String, BTreeMap<String, u64>>,
    balance: String,
}

impl Summary {
    /// Parses the lines from [`FIRST`] to [`LAST`].
    ///
    /// # Errors
    /// A line that is not of the documented form.
    pub fn parse(text: &[String]) -> Result<Self> {
        let (mut lines, mut balance) = (BTreeMap::new(), None);
        for line in text {
            let (head, rest) = line.split_once(':').with_context(|| line.clone())?;
            if head == "balance" {
                balance = Some(rest.trim().to_owned());
                continue;
            }
            let mut values = BTreeMap::new();
            for word in rest.split_whitespace() {
                let (key, number) = value(word).with_context(|| line.clone())?;
                if values.insert(key, number).is_some() {
                    bail!("two values of one name: {word} in {line}");
                }
            }
            if lines.insert(head.to_owned(), values).is_some() {
                bail!("two lines of {head}: {text:?}");
            }
        }
        let balance = balance.with_context(|| format!("no balance in {text:?}"))?;
        let summary = Self { lines, balance };
        for key in ["seen", "written", "discarded", "held"] {
            ensure!(
                summary.line("packets").contains_key(key),
                "no {key} in {text:?}"
            );
        }
        Ok(summary)
    }

    /// The value of `key` in the line that begins with `line`; 0 when it is absent.
    #[must_use]
    pub fn get(&self, line: &str, key: &str) -> u64 {
        self.lines
            .get(line)
            .and_then(|values| values.get(key))
            .copied()
            .unwrap_or(0)
    }

    /// All values of a line.
    #[must_use]
    pub fn line(&self, line: &str) -> BTreeMap<String, u64> {
        self.lines.get(line).cloned().unwrap_or_default()
    }

    /// Checks that every packet is accounted for, by the daemon's word and by our own sum.
    ///
    /// # Errors
    /// The sums differ.
    pub fn in_balance(&self) -> Result<()> {
        let packets = |key| self.get("packets", key);
        let reasons: u64 = self.line("discarded").values().sum();
        ensure!(
            packets("discarded") == reasons,
            "discarded is {} and the reasons add up to {reasons}: {self:?}",
            packets("discarded")
        );
        ensure!(
            packets("seen") == packets("written") + reasons + packets("held"),
            "seen is not written + discarded + held: {self:?}"
        );
        ensure!(self.balance == "exact", "{self:?}");
        Ok(())
    }
}

fn value(word: &str) -> Result<(String, u64)> {
    let (key, value) = word.split_once('=').context("no key=value")?;
    let value = value.parse().with_context(|| word.to_owned())?;
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Summary> {
        Summary::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    const GOOD: &str = "packets: seen=100 written=80 discarded=20 held=0\n\
        discarded: not_tcp=2 unnamed=18\nfiles: published=50 failed=0\nbalance: exact";

    #[test]
    fn a_balanced_summary_is_accepted() {
        let summary = parse(GOOD).unwrap();
        summary.in_balance().unwrap();
        assert_eq!(summary.get("files", "published"), 50);
        assert_eq!(summary.get("events", "bad_json"), 0);
    }

    #[test]
    fn an_unbalanced_one_is_not() {
        for (from, to) in [
            ("seen=100", "seen=101"),
            ("not_tcp=2", "not_tcp=3"),
            ("exact", "off by 1"),
        ] {
            let summary = parse(&GOOD.replace(from, to)).unwrap();
            assert!(summary.in_balance().is_err(), "{to}");
        }
    }

    #[test]
    fn a_malformed_one_is_an_error() {
        for (from, to) in [
            ("balance: exact", ""),
            ("seen=100 ", ""),
            ("=18", "=x"),
            ("unnamed=", "unnamed"),
            ("files:", "packets:"),
            ("not_tcp=", "unnamed="),
        ] {
            assert!(parse(&GOOD.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }
}
