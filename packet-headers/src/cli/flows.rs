//! The arguments of `flows` and `merge`, which read captures. They are not the daemon's, and take nothing
//! from the environment.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use capture_query::{Condition, Filter, Order, OrderBy, parse_time};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use model::owner::{CgroupTree, ContainerName, PodUid, ProcessName, WantedOwners};

use super::refusal::Refusal;
use super::{duration, network, size};

/// The end of the help of `flows`.
const FLOWS_HELP: &str = "\
Examples:
  packet-headers flows captures
  packet-headers flows --sort retransmissions --reverse --limit 10 captures/2026/11/29
  packet-headers flows --address 192.0.2.0/24 --port 443 --min-rtt 200ms captures
  packet-headers flows --process nginx --min-retransmissions 1 captures
  packet-headers flows --container 4f5a1c3e9b7d --sort bytes --reverse captures
  packet-headers flows --format parquet -o rows.parquet captures archive.tgz
  packet-headers flows --where 'server_ce_packets>0' --paths captures | xargs -d '\\n' ls -l

Exit codes: 0 all was read, 1 some files could not be read to their end (they are named), 2 usage.";

/// The end of the help of `merge`.
const MERGE_HELP: &str = "\
Examples:
  packet-headers merge --address 192.0.2.7 captures -o host.pcapng
  packet-headers merge --min-retransmissions 1 captures/2026/11/29 -o - | wireshark -k -i -
  packet-headers merge --cgroup /system.slice/nginx.service captures -o nginx.pcapng

Exit codes: 0 all was read, 1 some files could not be read to their end (they are named), 2 usage.";

/// What to read, and how to show it.
#[derive(Debug, Args)]
#[command(after_help = FLOWS_HELP)]
pub struct FlowsArguments {
    /// How rows are written
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    pub format: RowFormat,
    /// Where to: a file, which appears when it is complete [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Sort by a column, or start, end, duration, bytes, retransmissions or rtt: the
    /// smallest first. Without --limit, all rows are in memory
    #[arg(long, value_name = "COLUMN")]
    sort: Option<OrderBy>,
    /// Sort with the largest first
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// Show the first so many rows
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    /// Show only the names of the files that have such connections, one a line
    #[arg(long = "paths", conflicts_with = "format")]
    pub only_paths: bool,
    /// List the columns that rows have, with what they say, and exit
    #[arg(long, exclusive = true)]
    pub columns: bool,
    #[command(flatten)]
    captures: CaptureFileArguments,
}

/// What to merge, and into what.
#[derive(Debug, Args)]
#[command(after_help = MERGE_HELP)]
pub struct MergeArguments {
    /// The pcapng file to write, which appears when it is complete; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    captures: CaptureFileArguments,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// For people: the most important figures
    Table,
    /// A JSON object a line, with all columns
    Jsonl,
    /// Comma-separated values, with all columns
    Csv,
    /// Apache Parquet, with all columns; needs --output
    Parquet,
}

/// Which captures to read, and which connections in them are meant.
#[derive(Debug, Args)]
pub struct CaptureFileArguments {
    /// Captures (pcap or pcapng, perhaps in gzip or zstd), archives of them (tar), and directories,
    /// which are searched for both
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How many files to read at the same time [default: as many as there are processors]
    #[arg(long, value_name = "NUMBER", hide_short_help = true)]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    filters: FilterArguments,
}

/// Which connections are meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters, all of which have to be fulfilled")]
pub(super) struct FilterArguments {
    /// One end is this address, or in this network; repeatable
    #[arg(long, value_name = "NET", value_delimiter = ',', value_parser = network::parse)]
    address: Vec<IpNet>,

    /// One end has this port; repeatable
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,

    /// Its last packet is not before this time: 2026-11-29, 2026-11-29T14:05 (UTC), or with +01:00
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,

    /// Its first packet is before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,

    /// Both ends together retransmitted at least so many packets
    #[arg(long, value_name = "NUMBER")]
    min_retransmissions: Option<u64>,

    /// Its median round-trip time is at least this
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_rtt: Option<Duration>,

    /// Both ends together sent at least so many bytes of payload
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    min_bytes: Option<u64>,

    /// This user's process was at the end that captured, by its ID; repeatable. Like all of the
    /// process, it is known of pcapng files of this program whose addresses are not anonymized
    #[arg(long, value_name = "UID", value_delimiter = ',')]
    uid: Vec<u32>,

    /// A process of this name was at that end, or a thread: what `ps -L -o comm` says, 15 bytes at
    /// most; repeatable
    #[arg(long, value_name = "NAME")]
    process: Vec<ProcessName>,

    /// Its process was in this cgroup, or in one below it; repeatable
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<CgroupTree>,

    /// Its process was in this container: the ID, or its first 8 digits or more, or an LXC
    /// container's name; repeatable
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    container: Vec<ContainerName>,

    /// Its process was in this Kubernetes pod, by the pod's UID; repeatable
    #[arg(long, value_name = "UID", value_delimiter = ',')]
    pod: Vec<PodUid>,

    /// A column compared with a value by = != < <= > or >=, as in
    /// 'server_rtt_p95_us>200000'; what is not known fulfils none; repeatable
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<Condition>,
}

impl FlowsArguments {
    /// What to read.
    #[must_use]
    pub const fn captures(&self) -> &CaptureFileArguments {
        &self.captures
    }

    /// The order of the rows, if one is wanted.
    #[must_use]
    pub fn order(&self) -> Option<Order> {
        let largest_first = self.reverse;
        self.sort.map(|by| Order { by, largest_first })
    }

    pub(super) fn contradiction(&self) -> Result<(), Refusal> {
        if self.format == RowFormat::Parquet && self.output.is_none() {
            let message = "--format=parquet is written to a file: name it with --output";
            return Err((ErrorKind::MissingRequiredArgument, message.to_owned()));
        }
        Ok(())
    }
}

impl MergeArguments {
    /// What to read.
    #[must_use]
    pub const fn captures(&self) -> &CaptureFileArguments {
        &self.captures
    }
}

impl CaptureFileArguments {
    /// The files and directories to read.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// How many threads read.
    #[must_use]
    pub fn threads(&self) -> usize {
        let all = || available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or_else(all).get()
    }

    /// Which connections are meant.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.filters.filter()
    }
}

impl FilterArguments {
    /// Which connections are meant.
    pub(super) fn filter(&self) -> Filter {
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Filter {
            addresses: self.address.clone(),
            ports: self.port.clone(),
            since: self.since,
            until: self.until,
            min_retransmissions: self.min_retransmissions,
            min_rtt_us: self.min_rtt.map(microseconds),
            min_bytes: self.min_bytes,
            owners: self.owners(),
            conditions: self.conditions.clone(),
        }
    }

    fn owners(&self) -> WantedOwners {
        WantedOwners {
            uids: self.uid.clone(),
            processes: self.process.clone(),
            cgroups: self.cgroup.clone(),
            containers: self.container.clone(),
            pods: self.pod.clone(),
        }
    }
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    size::parse(text).map(|bytes| bytes.as_u64())
}
