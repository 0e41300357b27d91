//! The command line, and the validated configuration made from it.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Again, Config, Live, Sizes};
use crate::events::uuid_prefix;
use model::Timing;

mod capture;
mod compatibility;
mod duration;
mod environment;
mod examples;
mod files;
mod flows;
mod given_files;
mod go;
mod group;
mod in_force;
mod key_file;
mod limits;
mod named_file;
mod names;
mod netns;
mod network;
mod owners;
mod plot;
mod pointers;
mod protocols;
mod refusal;
mod rows;
mod service;
mod settings;
mod size;
mod watch;

use capture::CaptureArguments;
use compatibility::CompatibilityArguments;
use files::FileArguments;
pub use flows::{CaptureFileArguments, FlowsArguments, MergeArguments, RowFormat};
pub use in_force::InForce;
use limits::LimitArguments;
pub(crate) use named_file::NamedFile;
use names::NameArguments;
use owners::OwnerArguments;
pub use plot::{PictureFormat, PlotArguments};
use protocols::ProtocolArguments;
use refusal::Refusal;
use rows::RowArguments;
use service::ServiceArguments;
pub use service::{LogFormat, wants_json};
use settings::Settings;
pub use watch::{ExtcapArguments, WatchArguments};

/// Saves the packet headers, and only the headers, of every TCP connection on this host: one pcap
/// file per connection, named by the connection's UUID.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
#[command(after_help = examples::OF_CAPTURE, after_long_help = examples::long())]
pub struct CommandLine {
    /// The command to run; without one, capture.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// How to capture.
    #[command(flatten)]
    pub capture: Arguments,
    /// What all of that amounts to, and where it comes from.
    #[arg(skip)]
    pub in_force: InForce,
}

/// A command other than capturing.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check this host against a capture with these flags
    #[command(after_help = examples::OF_DOCTOR)]
    Doctor {
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
        /// How to capture.
        #[command(flatten)]
        capture: Box<Arguments>,
    },
    /// Print the configuration that a capture with these flags has, and where each value comes from
    #[command(after_help = examples::OF_CONFIG)]
    Config {
        /// How to capture.
        #[command(flatten)]
        capture: Box<Arguments>,
    },
    /// Show a running daemon's numbers, rates and connections, live
    Top(TopArguments),
    /// Show a row of figures for each connection in capture files
    Flows(FlowsArguments),
    /// Write chosen connections of capture files into one pcapng file, in time order
    Merge(MergeArguments),
    /// Draw a connection of a capture file: sequence numbers, round-trip times, throughput
    Plot(PlotArguments),
    /// Write what a running daemon captures as it captures it, for tshark or Wireshark
    Watch(WatchArguments),
    /// Be an interface of Wireshark's: what a running daemon captures
    Extcap(ExtcapArguments),
    /// Show the manual page of packet-headers, or of one of its commands
    #[command(after_help = examples::OF_MAN)]
    Man {
        /// The command [default: all of packet-headers]
        command: Option<String>,
    },
    /// Print what makes a shell complete the flags of packet-headers
    #[command(after_help = examples::OF_COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which daemon to show, and how.
#[derive(Debug, Args)]
#[command(after_help = examples::OF_TOP)]
pub struct TopArguments {
    /// The daemon to watch: its --prometheusx.listen-address
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9990")]
    pub address: String,
    /// Time between two polls, at least 100ms
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse)]
    pub interval: Duration,
    /// Print one snapshot as text and exit
    #[arg(long)]
    pub once: bool,
}

/// How to capture.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    capture: CaptureArguments,

    #[command(flatten)]
    protocols: ProtocolArguments,

    #[command(flatten)]
    owners: OwnerArguments,

    #[command(flatten)]
    names: NameArguments,

    #[command(flatten)]
    files: FileArguments,

    #[command(flatten)]
    rows: RowArguments,

    #[command(flatten)]
    limits: LimitArguments,

    #[command(flatten)]
    service: ServiceArguments,

    #[command(flatten)]
    compatibility: CompatibilityArguments,
}

/// The definition of the command line, including the environment variables of its flags.
#[must_use]
pub fn command() -> Command {
    environment::read_by(CommandLine::command())
}

impl CommandLine {
    /// Parses the arguments of a process, beginning with its name. The environment supplies flags
    /// that are not among them, and a configuration file those that are in neither.
    ///
    /// # Errors
    /// A clap error: an argument that cannot be understood, or the help or version text if that was
    /// requested.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = command();
        command.build();
        let arguments = go::with_two_dashes(arguments, &go::long_flags(&command));
        let settings = Settings::named(&arguments, &command)
            .map_err(|why| command.error(ErrorKind::ValueValidation, why))?;
        if let Some(settings) = &settings {
            command = settings.apply(self::command());
            command.build();
        }
        let matches = command.try_get_matches_from_mut(&arguments);
        let matches = matches.map_err(|error| pointers::add(error, &arguments, &mut command))?;
        let line = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let in_force = InForce::of(&command, &matches, settings.as_ref());
        Ok(Self { in_force, ..line })
    }
}

/// Reads the configuration of a capture again: `line` is what it was started with, and `at_start` what was
/// in force then.
///
/// # Errors
/// What is wrong with it.
pub fn read_again(
    line: impl IntoIterator<Item = OsString>,
    at_start: &InForce,
) -> Result<Again, clap::Error> {
    let line = CommandLine::read(line)?;
    line.capture.check()?;
    Ok(Again {
        live: line.capture.live(),
        changed: line.in_force.differs_from(at_start),
    })
}

impl FlowsArguments {
    /// Refuses flags that contradict each other.
    ///
    /// # Errors
    /// A clap error with the usage, for exit code 2.
    pub fn check(&self) -> Result<(), clap::Error> {
        self.contradiction()
            .map_err(|refusal| refused("flows", refusal))
    }
}

impl PlotArguments {
    /// What is written.
    ///
    /// # Errors
    /// A clap error with the usage, for exit code 2.
    pub fn format(&self) -> Result<PictureFormat, clap::Error> {
        self.format_or_refusal()
            .map_err(|refusal| refused("plot", refusal))
    }
}

/// The error of a verb, with its usage.
fn refused(verb: &'static str, (kind, message): Refusal) -> clap::Error {
    let mut command = command();
    command.build();
    let of_verb = command.find_subcommand_mut(verb);
    of_verb
        .unwrap_or(&mut Command::new(verb))
        .error(kind, message)
}

impl Arguments {
    /// Refuses flags that contradict each other.
    ///
    /// # Errors
    /// A clap error with the usage, for exit code 2.
    pub fn check(&self) -> Result<(), clap::Error> {
        self.contradiction()
            .map_err(|(kind, message)| command().error(kind, message))
    }

    fn contradiction(&self) -> Result<(), Refusal> {
        let (wait, capture) = (self.names.uuid_wait(), self.capture.duration());
        if wait > capture {
            let message = format!(
                "--uuidwaitduration ({}) must not exceed --captureduration ({})",
                humantime::format_duration(wait),
                humantime::format_duration(capture)
            );
            return Err((ErrorKind::ValueValidation, message));
        }
        if self.service.serves_events() && !self.names.watches_sockets() {
            let message = "--eventsocket.listen serves the events of the kernel flow source, which \
                           is off with tcp-info alone: use --flow-source=hybrid or kernel";
            return Err((ErrorKind::ArgumentConflict, message.to_owned()));
        }
        if self.service.serves_watchers() && self.files.hides_addresses() {
            let message = "--watch-socket would show the addresses that --anonymize.ip hides";
            return Err((ErrorKind::ArgumentConflict, message.to_owned()));
        }
        let (hides, watches) = (self.files.hides_addresses(), self.names.watches_sockets());
        self.owners.check(hides, watches)?;
        self.names.check()?;
        self.limits.check()?;
        self.protocols.check(self.sizes())?;
        self.rows.check()?;
        self.files.check()
    }

    /// Remarks to log once, about the configuration, and given flags that have no effect or only part of
    /// it.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let of_flags = self.compatibility.notes().chain(self.capture.notes());
        self.service.notes().into_iter().chain(of_flags)
    }

    /// How log lines are written.
    #[must_use]
    pub const fn log_format(&self) -> LogFormat {
        self.service.log_format()
    }

    /// What of it can be put in force while the daemon captures.
    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            timing: Timing {
                uuid_wait: self.names.uuid_wait(),
                capture: self.capture.duration(),
                idle: self.capture.idle(),
                linger: self.capture.linger(),
                spill: self.files.spill_interval(),
            },
            udp_silence: self.protocols.silence(),
            filters: self.capture.filters(),
            owners: self.owners.wanted(),
            kept: self.rows.kept(),
            rows_interval: self.rows.interval(),
            retention: self.files.retention(),
        }
    }

    /// The configured sizes.
    fn sizes(&self) -> Sizes {
        self.limits.sizes(self.capture.header_bytes())
    }

    /// The daemon's configuration.
    ///
    /// # Errors
    /// When a file that a flag names cannot be used.
    pub fn into_config(self) -> Result<Config> {
        let Live {
            timing,
            udp_silence,
            filters,
            owners,
            ..
        } = self.live();
        let attach = self.capture.attach();
        let decapsulate = self.capture.decapsulate();
        let icmp_errors = self.capture.icmp_errors();
        let hardware_clock = self.capture.hardware_clock();
        let sizes = self.sizes();
        let (every_netns, netns) = (self.names.every_netns(), self.names.other_netns());
        let existing = self.names.existing();
        let source = self.names.into_source()?;
        let prefix = || source.prefix().map_or_else(uuid_prefix::of_this_host, Ok);
        let datagrams = self.protocols.datagrams(sizes, prefix)?;
        let interfaces = self.capture.into_interfaces();
        Ok(Config {
            every_netns,
            netns,
            existing,
            datagrams,
            source,
            files: self.files.into_config()?,
            rows: self.rows.into_config()?,
            sandbox: self.service.sandbox(),
            output: self.service.output(),
            file: self.service.file()?,
            again: None,
            service: self.service.into_config(),
            interfaces,
            attach,
            decapsulate,
            icmp_errors,
            hardware_clock,
            timing,
            udp_silence,
            sizes,
            filters,
            owners,
        })
    }
}

#[cfg(test)]
mod tests;
