//! As many marks as a picture can show: all of them, or, when they are too many, what each column of the
//! picture shows of them.

/// How many columns there are in a picture whose marks were thinned.
pub(crate) const COLUMNS: usize = 1000;

/// How many bars a column shows at most.
const BARS: usize = 4;

/// The time that a picture shows, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Span {
    /// How long it is, in nanoseconds; at least 1.
    pub(crate) fn length(self) -> i64 {
        self.end.saturating_sub(self.start).max(1)
    }

    /// The column of a time. What is before or after the span is in the first or the last one.
    fn column(self, time: i64, columns: usize) -> usize {
        let columns = columns as i128;
        let at = i128::from(time) - i128::from(self.start);
        let column = at * columns / i128::from(self.length());
        usize::try_from(column.clamp(0, columns - 1)).unwrap_or(0)
    }

    /// The time in the middle of a column.
    fn middle(self, column: usize, columns: usize) -> i64 {
        let at = i128::from(self.length()) * (2 * column as i128 + 1) / (2 * columns as i128);
        self.start
            .saturating_add(i64::try_from(at).unwrap_or(i64::MAX))
    }
}

/// A mark at a time, from one value to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) time: i64,
    pub(crate) low: i64,
    pub(crate) high: i64,
}

/// Bars of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    span: Span,
    columns: usize,
    shown: Shown<Bar, Vec<(i64, i64)>>,
    /// How many there were.
    pub(crate) count: u64,
}

/// All marks, or what columns show of them.
#[derive(Debug, Clone)]
enum Shown<M, C> {
    All(Vec<M>),
    Columns(Vec<C>),
}

impl Bars {
    pub(crate) fn new(span: Span) -> Self {
        Self::with_columns(span, COLUMNS)
    }

    fn with_columns(span: Span, columns: usize) -> Self {
        Self {
            span,
            columns,
            shown: Shown::All(Vec::new()),
            count: 0,
        }
    }

    pub(crate) fn add(&mut self, bar: Bar) {
        self.count += 1;
        self.show(bar);
    }

    /// Something at one value.
    pub(crate) fn dot(&mut self, time: i64, value: i64) {
        let (low, high) = (value, value);
        self.add(Bar { time, low, high });
    }

    /// Whether some cannot be told apart.
    pub(crate) fn is_thinned(&self) -> bool {
        matches!(self.shown, Shown::Columns(_))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Bar> + '_ {
        let (all, columns) = match &self.shown {
            Shown::All(bars) => (&bars[..], &[][..]),
            Shown::Columns(columns) => (&[][..], &columns[..]),
        };
        let of_columns = columns.iter().enumerate().flat_map(|(column, bars)| {
            let time = self.span.middle(column, self.columns);
            bars.iter().map(move |&(low, high)| Bar { time, low, high })
        });
        all.iter().copied().chain(of_columns)
    }

    /// The same for a picture of fewer columns.
    pub(crate) fn narrower(&self, columns: usize) -> Self {
        let mut narrower = Self::with_columns(self.span, columns);
        self.iter().for_each(|bar| narrower.show(bar));
        narrower.count = self.count;
        narrower
    }

    fn show(&mut self, bar: Bar) {
        match &mut self.shown {
            Shown::All(bars) if bars.len() < BARS * self.columns => bars.push(bar),
            Shown::All(bars) => {
                let bars = std::mem::take(bars);
                self.shown = Shown::Columns(vec![Vec::new(); self.columns]);
                bars.into_iter().for_each(|bar| self.show(bar));
                self.show(bar);
            }
            Shown::Columns(columns) => {
                let column = self.span.column(bar.time, self.columns);
                if let Some(bars) = columns.get_mut(column) {
                    merge(bars, (bar.low, bar.high));
                }
            }
        }
    }
}

/// Adds a bar to those of a column, which lie apart from each other from low to high. When they are too
/// many, the two with the smallest gap between become one.
fn merge(bars: &mut Vec<(i64, i64)>, (mut low, mut high): (i64, i64)) {
    let first = bars.partition_point(|bar| bar.1 < low);
    let last = bars.partition_point(|bar| bar.0 <= high);
    for bar in &bars[first..last] {
        (low, high) = (low.min(bar.0), high.max(bar.1));
    }
    bars.splice(first..last, [(low, high)]);
    if bars.len() > BARS {
        let gap = |at: &usize| bars[at + 1].0.abs_diff(bars[*at].1);
        let at = (0..bars.len() - 1).min_by_key(gap).unwrap_or(0);
        bars[at].1 = bars[at + 1].1;
        bars.remove(at + 1);
    }
}

/// A value that stays until it changes.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    span: Span,
    columns: usize,
    shown: Shown<(i64, i64), Option<Run>>,
    last: Option<i64>,
    max: Option<i64>,
}

/// What a line was within a column.
#[derive(Debug, Clone, Copy)]
struct Run {
    low: i64,
    high: i64,
    last: i64,
}

impl Line {
    pub(crate) fn new(span: Span) -> Self {
        Self::with_columns(span, COLUMNS)
    }

    fn with_columns(span: Span, columns: usize) -> Self {
        Self {
            span,
            columns,
            shown: Shown::All(Vec::new()),
            last: None,
            max: None,
        }
    }

    /// From `time` on it is `value`.
    pub(crate) fn becomes(&mut self, value: i64, time: i64) {
        if self.last != Some(value) {
            self.last = Some(value);
            self.max = self.max.max(Some(value));
            self.show(value, time);
        }
    }

    /// What it is now.
    pub(crate) fn last(&self) -> Option<i64> {
        self.last
    }

    /// The most that it was.
    pub(crate) fn max(&self) -> Option<i64> {
        self.max
    }

    pub(crate) fn is_thinned(&self) -> bool {
        matches!(self.shown, Shown::Columns(_))
    }

    /// Times, and what it becomes then.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let (all, columns) = match &self.shown {
            Shown::All(points) => (&points[..], &[][..]),
            Shown::Columns(columns) => (&[][..], &columns[..]),
        };
        let of_columns = columns.iter().enumerate().flat_map(|(column, run)| {
            let time = self.span.middle(column, self.columns);
            let values = run.map(|run| [run.low, run.high, run.last]);
            values.into_iter().flatten().map(move |value| (time, value))
        });
        all.iter().copied().chain(of_columns)
    }

    /// The same for a picture of fewer columns.
    pub(crate) fn narrower(&self, columns: usize) -> Self {
        let mut narrower = Self::with_columns(self.span, columns);
        self.iter()
            .for_each(|(time, value)| narrower.becomes(value, time));
        narrower
    }

    fn show(&mut self, value: i64, time: i64) {
        match &mut self.shown {
            Shown::All(points) if points.len() < BARS * self.columns => points.push((time, value)),
            Shown::All(points) => {
                let points = std::mem::take(points);
                self.shown = Shown::Columns(vec![None; self.columns]);
                points
                    .into_iter()
                    .for_each(|(time, value)| self.show(value, time));
                self.show(value, time);
            }
            Shown::Columns(columns) => {
                let column = self.span.column(time, self.columns);
                if let Some(run) = columns.get_mut(column) {
                    let (low, high) = run.map_or((value, value), |run| (run.low, run.high));
                    let (low, high) = (low.min(value), high.max(value));
                    let last = value;
                    *run = Some(Run { low, high, last });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span {
        start: 0,
        end: 10_000_000,
    };

    #[test]
    fn few_bars_are_all_kept() {
        let mut bars = Bars::new(SPAN);
        let most = i64::try_from(BARS * COLUMNS).unwrap();
        (0..most).for_each(|number| bars.dot(number, number));
        assert!(!bars.is_thinned());
        assert_eq!(bars.iter().count(), BARS * COLUMNS);
        bars.dot(5, 5);
        assert!(bars.is_thinned());
        assert_eq!(bars.count, 4001);
    }

    #[test]
    fn many_bars_cover_what_they_covered() {
        let mut bars = Bars::new(SPAN);
        for number in 0..1_000_000_i64 {
            let (time, low) = (number * 10, number * 100);
            bars.add(Bar {
                time,
                low,
                high: low + 100,
            });
        }
        assert_eq!(
            bars.iter().count(),
            COLUMNS,
            "one in each column, without a gap"
        );
        let ends = |bar: Bar| (bar.low, bar.high);
        let all: Vec<_> = bars.iter().map(ends).collect();
        assert!(all.windows(2).all(|two| two[0].1 == two[1].0));
        assert_eq!((all[0].0, all[COLUMNS - 1].1), (0, 100_000_000));
    }

    #[test]
    fn a_column_keeps_its_largest_gaps() {
        let mut bars = vec![];
        for low in [0, 100, 200, 310, 320, 290] {
            merge(&mut bars, (low, low + 5));
        }
        assert_eq!(bars, [(0, 5), (100, 105), (200, 205), (290, 325)]);
        merge(&mut bars, (0, 400));
        assert_eq!(bars, [(0, 400)]);
    }

    #[test]
    fn a_thinned_line_keeps_its_extremes_and_its_end() {
        let mut line = Line::new(SPAN);
        for number in 0..100_000_i64 {
            line.becomes(number % 1000, number * 100);
        }
        assert!(line.is_thinned());
        let values: Vec<_> = line.iter().collect();
        assert!(values.len() <= 3 * COLUMNS);
        assert_eq!(values.iter().map(|(_, value)| *value).max(), Some(999));
        assert_eq!(values.last().map(|(_, value)| *value), Some(999));
        assert!(line.narrower(100).iter().count() <= 300.max(BARS * 100));
    }

    #[test]
    fn times_outside_are_at_the_edges() {
        assert_eq!(SPAN.column(i64::MIN, 10), 0);
        assert_eq!(SPAN.column(i64::MAX, 10), 9);
        let all = Span {
            start: i64::MIN,
            end: i64::MAX,
        };
        assert!(all.column(0, 10) < 10);
        assert!(all.middle(9, 10) > all.middle(0, 10));
    }
}
