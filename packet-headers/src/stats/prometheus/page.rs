//! Builds metric families from numbers counted elsewhere.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::stats::distribution::Distribution;
use crate::stats::durations::Durations;

/// The metric families of one scrape.
#[derive(Default)]
pub(super) struct Page {
    pub(super) families: Vec<MetricFamily>,
}

/// The labels of one metric.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, "", [("", value)]);
    }

    /// A counter for each value of one label.
    pub(super) fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let metrics = values.into_iter().map(|(text, value)| {
            let mut counter = Counter::default();
            counter.set_value(value as f64);
            let mut metric = labelled(&[(label, text)]);
            metric.set_counter(counter);
            metric
        });
        self.add(name, help, MetricType::COUNTER, metrics.collect());
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.gauges(name, help, [(&[("", "")][..], value)]);
    }

    /// A gauge for each set of labels.
    pub(super) fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) {
        let metrics = values.into_iter().map(|(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value as f64);
            let mut metric = labelled(labels);
            metric.set_gauge(gauge);
            metric
        });
        self.add(name, help, MetricType::GAUGE, metrics.collect());
    }

    /// A histogram in seconds.
    pub(super) fn durations(&mut self, name: &str, help: &str, durations: &Durations) {
        let buckets = durations.cumulative();
        let buckets = buckets.map(|(bound, count)| (bound.as_secs_f64(), count));
        let beyond = (durations.longer(), durations.sum().as_secs_f64());
        self.histogram((name, help), buckets, beyond);
    }

    /// A histogram of any figure.
    pub(super) fn distribution(&mut self, name: &str, help: &str, figure: &Distribution) {
        let beyond = (figure.above(), figure.sum());
        self.histogram((name, help), figure.cumulative(), beyond);
    }

    /// A histogram by its cumulative buckets, what is above them, and the sum of all.
    fn histogram(
        &mut self,
        (name, help): (&str, &str),
        buckets: impl Iterator<Item = (f64, u64)>,
        (above, sum): (u64, f64),
    ) {
        let mut within = 0;
        let bucket = |(bound, count)| {
            within = count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.map(bucket).collect());
        histogram.set_sample_count(within + above);
        histogram.set_sample_sum(sum);
        let mut metric = labelled(&[]);
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    /// Adds a family. One without metrics is not valid in the text format, and is left out.
    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

/// A metric with these labels. A label with an empty name stands for no label.
fn labelled(labels: Labels<'_>) -> Metric {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let named = labels.iter().filter(|(name, _)| !name.is_empty());
    Metric::from_label(named.map(pair).collect())
}
