//! One measurement: a tool, a load, and their figures; and many of them, in turns.

use anyhow::{Result, ensure};
use end_to_end::world::bpf::Statistics;
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::procfs;

use crate::load::{Load, Pace};
use crate::sender::{self, Sent};
use crate::tools::{self, Running, Tool, Yield};

/// The figures of a tool under a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// What the sender did.
    pub(crate) sent: Sent,
    /// What the tool did.
    pub(crate) did: Yield,
    /// How often the tool's threads woke while packets were sent.
    pub(crate) wakeups: u64,
}

impl Sample {
    /// The number of the sender's packets that are in no file.
    pub(crate) fn lost(&self) -> u64 {
        self.sent.packets.saturating_sub(self.did.captured)
    }

    /// The processor time that the tool used for each packet in its files, in nanoseconds.
    pub(crate) fn used_each(&self) -> f64 {
        self.did.used.as_nanos() as f64 / self.did.captured.max(1) as f64
    }

    /// How long a run of the daemon's classifier took on average, in nanoseconds; none if nobody
    /// timed it.
    pub(crate) fn program(&self) -> Option<f64> {
        let runs = self.did.program;
        (runs.count > 0).then(|| runs.time as f64 / runs.count as f64)
    }

    /// How often the tool's threads woke in a second.
    pub(crate) fn wakeups_per_second(&self) -> f64 {
        self.wakeups as f64 / self.sent.took.as_secs_f64()
    }
}

/// A measurement between two of the sender alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The measurement.
    pub(crate) sample: Sample,
    /// The sender alone, before and after it.
    pub(crate) alone: [Sent; 2],
}

impl Window {
    /// How much more processor time the sender used for each packet than alone, in nanoseconds.
    pub(crate) fn later(&self) -> f64 {
        let alone = self.alone.map(|sent| sent.used_each());
        self.sample.sent.used_each() - f64::midpoint(alone[0], alone[1])
    }
}

/// Measures once.
pub(crate) fn measure(lab: &Lab, tool: &Tool, load: &Load) -> Result<Sample> {
    measure_after(lab, tool, load, |_| Ok(()))
}

/// Measures once, after `prepare` has had the tool, which is ready.
pub(crate) fn measure_after(
    lab: &Lab,
    tool: &Tool,
    load: &Load,
    prepare: impl FnOnce(&mut Running) -> Result<()>,
) -> Result<Sample> {
    let statistics = tool.is_timed().then(Statistics::enable).transpose()?;
    let mut running = tools::start(tool, lab, load.shape)?;
    if let Some(running) = &mut running {
        prepare(running)?;
    }
    let slept = running.as_ref().map(Running::wakeups).transpose()?;
    let sent = send(lab, load)?;
    let wakeups = match (&running, slept) {
        (Some(running), Some(before)) => running.wakeups()?.since(&before).total(),
        (None, _) | (_, None) => 0,
    };
    let did = running.map(Running::finish).transpose()?;
    drop(statistics);
    Ok(Sample {
        sent,
        did: did.unwrap_or_default(),
        wakeups,
    })
}

/// Sends a load; all of it must arrive.
fn send(lab: &Lab, load: &Load) -> Result<Sent> {
    let before = procfs::packets(&lab.host, WAN)?;
    let sent = sender::send(&lab.peer, load)?;
    let arrived = procfs::packets(&lab.host, WAN)? - before;
    ensure!(
        arrived >= sent.packets,
        "of {} packets only {arrived} arrived: the network lost the others, not the tool",
        sent.packets
    );
    Ok(sent)
}

/// Measures each cell once a round, in random order; the windows of each cell. Where the sender goes
/// flat out, it is measured alone before and after each of them, as the machine is not always equally
/// fast.
pub(crate) fn in_turns(
    lab: &Lab,
    rounds: usize,
    cells: &[(Tool, Load)],
) -> Result<Vec<Vec<Window>>> {
    let mut windows = vec![Vec::new(); cells.len()];
    let mut order: Vec<_> = (0..cells.len()).collect();
    for _ in 0..rounds {
        fastrand::shuffle(&mut order);
        let mut last: Option<(Load, Sent)> = None;
        for &at in &order {
            let (tool, load) = &cells[at];
            let alone = || match load.pace {
                Pace::FlatOut => send(lab, load),
                Pace::PerSecond(_) => Ok(Sent::default()),
            };
            let before = match last {
                Some((same, sent)) if same == *load => sent,
                Some(_) | None => alone()?,
            };
            let sample = measure(lab, tool, load)?;
            let after = alone()?;
            last = Some((*load, after));
            windows[at].push(Window {
                sample,
                alone: [before, after],
            });
        }
    }
    Ok(windows)
}

/// The median; of an even number of values, the mean of the middle two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), middle.checked_sub(1)) {
        (Some(upper), Some(below)) if values.len() % 2 == 0 => values
            .get(below)
            .map_or(*upper, |lower| (lower + upper) / 2.0),
        (Some(middle), _) => *middle,
        (None, _) => f64::NAN,
    }
}
