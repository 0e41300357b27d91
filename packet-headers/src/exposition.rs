//! A parser for the Prometheus text format (exposition formats, version 0.0.4), as far as our own
//! metrics use it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

/// One line: a metric's value.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// All values of one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    /// Parses a page of metrics.
    ///
    /// # Errors
    /// When a line is not a sample; the message quotes it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples =
            lines.map(|line| sample(line).with_context(|| format!("not a sample: {line}")));
        Ok(Self(samples.collect::<Result<_>>()?))
    }

    /// The sum over all labels; `None` when there is no such metric.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let values = self.0.iter().filter(|sample| sample.name == name);
        values.map(|sample| sample.value).reduce(|a, b| a + b)
    }

    /// The sum over all samples with this value of a label.
    pub(crate) fn sum_of(&self, name: &str, label: &str, value: &str) -> f64 {
        let labelled = self.by(name, label).filter(|(have, _)| *have == value);
        labelled.map(|(_, value)| value).sum()
    }

    /// The values of a metric by one of its labels.
    pub(crate) fn by<'a>(
        &'a self,
        name: &'a str,
        label: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        let named = self.0.iter().filter(move |sample| sample.name == name);
        named.filter_map(move |sample| {
            let (_, have) = sample.labels.iter().find(|(key, _)| key == label)?;
            Some((have.as_str(), sample.value))
        })
    }

    /// The values of a label for which a gauge is positive.
    pub(crate) fn on<'a>(&'a self, name: &'a str, label: &'a str) -> Vec<&'a str> {
        let on = self.by(name, label).filter(|(_, on)| *on > 0.0);
        on.map(|(label, _)| label).collect()
    }

    /// For how long the program has run, in whole seconds, as far as the clock can tell.
    pub(crate) fn uptime(&self, now: SystemTime) -> Option<Duration> {
        let start = self.sum("process_start_time_seconds").unwrap_or(0.0);
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let up = (start > 0.0).then(|| Duration::try_from_secs_f64(now - start).ok())??;
        Some(Duration::from_secs(up.as_secs()))
    }
}

/// `name{label="value",…} 1.5 1795414125000`, labels and time being optional.
fn sample(line: &str) -> Result<Sample> {
    let end = line.find(['{', ' ', '\t']).context("no value")?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next().context("no value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().context("the value is not a number")?,
    })
}

/// A label's name and value.
type Label = (String, String);

/// Parses labels up to the closing brace. Also returns the rest of the line.
fn labels(mut text: &str) -> Result<(Vec<Label>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (key, rest) = text.split_once("=\"").context("no label")?;
        let (value, rest) = quoted(rest)?;
        labels.push((key.trim().to_owned(), value));
        text = rest;
    }
}

/// Parses a value up to the closing quote. Also returns the rest of the line.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some(escaped) => value.push(escaped),
                None => bail!("nothing after a backslash"),
            },
            other => value.push(other),
        }
    }
    bail!("a label's value has no closing quote")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = "# HELP x What it is.\n# TYPE x counter\nx 3\n\n\
        y{reason=\"not_tcp\"} 10\ny{reason=\"not_ip\",side=\"a b\"} 2 1795414125000\n\
        z{path=\"C:\\\\x\\\"\\n}\"} +Inf\nbig 1.5e+07\nnone{} NaN\n";

    #[test]
    fn values_are_found_by_name_and_label() {
        let samples = Samples::parse(PAGE).unwrap();
        assert_eq!(samples.sum("x"), Some(3.0));
        assert_eq!(samples.sum("y"), Some(12.0));
        assert_eq!(samples.sum("big"), Some(15_000_000.0));
        assert_eq!(samples.sum("nothing"), None);
        assert_eq!(samples.sum_of("y", "reason", "not_ip"), 2.0);
        assert_eq!(samples.sum_of("y", "reason", "else"), 0.0);
        let by: Vec<_> = samples.by("y", "reason").collect();
        assert_eq!(by, [("not_tcp", 10.0), ("not_ip", 2.0)]);
        let (path, value) = samples.by("z", "path").next().unwrap();
        assert_eq!((path, value), ("C:\\x\"\n}", f64::INFINITY));
        assert!(samples.sum("none").unwrap().is_nan());
    }

    #[test]
    fn what_is_no_sample_is_named() {
        for bad in [
            "x",
            "x{",
            "x{a=\"b",
            "x{a=\"b\\",
            "x{a} 1",
            "x one",
            "<html>",
        ] {
            let error = Samples::parse(bad).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_page_makes_it_panic(text in "[a-z{}=\"\\\\ ,0-9\n#é]{0,60}") {
            let _parsed_or_not = Samples::parse(&text);
        }

        #[test]
        fn a_label_is_read_as_it_was_meant(value in "\\PC{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let samples = Samples::parse(&format!("m{{l=\"{escaped}\"}} 1")).unwrap();
            prop_assert_eq!(samples.by("m", "l").next(), Some((value.as_str(), 1.0)));
        }
    }
}
