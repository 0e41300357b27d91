//! One measurement: a tool, a load, and their figures.

use anyhow::{Result, ensure};
use end_to_end::world::bpf::Statistics;
use end_to_end::world::netns::{Lab, WAN};
use end_to_end::world::procfs;

use crate::frames::Shape;
use crate::sender::{self, Pace, Sent, Until};
use crate::tools::{self, Running, Tool, Yield};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Which frames.
    pub(crate) shape: Shape,
    /// How fast.
    pub(crate) pace: Pace,
    /// How long.
    pub(crate) until: Until,
}

impl Load {
    /// Its name in tables.
    pub(crate) fn name(&self) -> String {
        let Shape { flows, size } = self.shape;
        let pace = match self.pace {
            Pace::FlatOut => "flat out".to_owned(),
            Pace::PerSecond(rate) => format!("{rate}/s"),
        };
        let flows = if flows == 1 {
            "1 flow".to_owned()
        } else {
            format!("{flows} flows")
        };
        format!("{flows}, {size} bytes, {pace}")
    }
}

/// The figures of a tool under a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// What the sender did.
    pub(crate) sent: Sent,
    /// What the tool did.
    pub(crate) did: Yield,
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
    let mut running = tools::start(tool, lab, load.shape.flows)?;
    if let Some(running) = &mut running {
        prepare(running)?;
    }
    let before = procfs::packets(&lab.host, WAN)?;
    let sent = sender::send(&lab.peer, load.shape, load.pace, load.until)?;
    let arrived = procfs::packets(&lab.host, WAN)? - before;
    ensure!(
        arrived >= sent.packets,
        "of {} packets only {arrived} arrived: the network lost the others, not the tool",
        sent.packets
    );
    let did = running.map(Running::finish).transpose()?;
    drop(statistics);
    Ok(Sample {
        sent,
        did: did.unwrap_or_default(),
    })
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
