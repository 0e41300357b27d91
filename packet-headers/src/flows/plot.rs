//! `plot`: a picture of one connection.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use capture_query::{Filter, Item, Meant, Place, Source, find, named, packets_of, sources};
use flow_plots::{DatagramRecorder, Picture, Recorder};
use flow_stats::{Protocol, Row};

use super::INCOMPLETE;
use super::output::Output;
use crate::cli::{PictureFormat, PlotArguments};
use crate::terminal::{self, is_gone};

/// Draws a connection.
///
/// # Errors
/// There is no such connection, or several may be meant; or the output cannot be written.
pub fn plot(arguments: &PlotArguments, format: PictureFormat) -> Result<ExitCode> {
    let source = source(arguments)?;
    let mut incomplete = false;
    let mut meant = find(
        std::slice::from_ref(&source),
        &arguments.filter(),
        &mut |problem| {
            terminal::complain(&format_args!(
                "{}: {}",
                problem.path.display(),
                problem.what
            ));
            incomplete |= problem.what.is_loss();
        },
    );
    let (row, place) = match meant.first.pop() {
        Some(only) if meant.count == 1 => only,
        last => {
            meant.first.extend(last);
            bail!(not_one(&source.path, &meant, &arguments.filter()));
        }
    };
    let picture = picture(row, &place)?;
    let text = match format {
        PictureFormat::Svg => picture.svg(),
        PictureFormat::Html => picture.html(),
    };
    let to = arguments
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    let mut output = Output::open(to)?;
    match output.write_all(text.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if to.is_none() && is_gone(&error) => {}
        written => {
            written.context("writing the picture")?;
            output.finish()?;
        }
    }
    Ok(if incomplete {
        ExitCode::from(INCOMPLETE)
    } else {
        ExitCode::SUCCESS
    })
}

/// Reads the connection once more, now that its beginning and its end are known.
fn picture(row: Row, place: &Place) -> Result<Picture> {
    let picture = match row.transport.protocol {
        Some(Protocol::Udp | Protocol::Quic) => of_udp(&row, place),
        Some(Protocol::Tcp) | None => of_tcp(&row, place),
    };
    let Some(mut picture) = picture else {
        bail!("the file has changed while it was read: try again");
    };
    picture.set_uuid(row.uuid);
    Ok(picture)
}

fn of_tcp(row: &Row, place: &Place) -> Option<Picture> {
    let span = (row.start_time.0, row.end_time.0);
    let mut recorder: Option<Recorder> = None;
    packets_of(place, &mut |item| match (&mut recorder, item) {
        (Some(recorder), Item::Packet(segment)) => recorder.add(segment),
        (Some(recorder), Item::Error(error)) => recorder.add_error(error),
        (none, Item::Packet(segment)) => *none = Some(Recorder::new(segment, span)),
        // An error is about a packet that came before.
        (None, Item::Error(_)) | (_, Item::Datagram(_)) => {}
    });
    recorder.map(Recorder::finish)
}

fn of_udp(row: &Row, place: &Place) -> Option<Picture> {
    let span = (row.start_time.0, row.end_time.0);
    let is_to_quic = row.quic.migration == Some(true);
    let mut recorder: Option<DatagramRecorder> = None;
    packets_of(place, &mut |item| match (&mut recorder, item) {
        (Some(recorder), Item::Datagram(datagram)) => recorder.add(datagram),
        (none, Item::Datagram(datagram)) => {
            *none = Some(DatagramRecorder::new(datagram, span, is_to_quic));
        }
        (_, Item::Packet(_) | Item::Error(_)) => {}
    });
    recorder.map(DatagramRecorder::finish)
}

/// The file that is meant: itself, or the one that is named by a UUID.
fn source(arguments: &PlotArguments) -> Result<Source> {
    let path = &arguments.connection;
    if path.is_dir() {
        bail!(
            "{} is a directory: name a file, or a UUID and --datadir; `packet-headers flows {0}` \
             shows the connections in it",
            path.display()
        );
    }
    if path.metadata().is_ok_and(|of| !of.is_file()) {
        bail!(
            "{} is not a file that can be read twice, as is done here: save it first",
            path.display()
        );
    }
    if path.exists() || path.components().count() != 1 {
        let (mut found, errors) = sources(std::slice::from_ref(path));
        if let Some((path, error)) = errors.into_iter().next() {
            return Err(error).with_context(|| format!("opening {}", path.display()));
        }
        return found.pop().context("no such file");
    }
    let uuid = path.to_string_lossy();
    let (found, errors) = sources(&arguments.datadir);
    for (path, error) in errors {
        terminal::complain(&format_args!("{}: {error}", path.display()));
    }
    let found: Vec<_> = named(&found, &uuid).collect();
    match &found[..] {
        [only] => Ok((*only).clone()),
        [] => bail!(
            "{uuid} is neither a file nor the UUID of one in {}: say with --datadir where to look",
            list(&arguments.datadir)
        ),
        several => {
            let paths: Vec<_> = several.iter().map(|source| source.path.clone()).collect();
            bail!("several files have this UUID: name one of {}", list(&paths));
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

/// Says how many connections are meant, and how to choose one. The first of them are shown before.
fn not_one(path: &Path, meant: &Meant, filter: &Filter) -> String {
    let path = path.display();
    if meant.all == 0 {
        return format!("{path} has neither a TCP connection nor a UDP flow");
    }
    if meant.count == 0 {
        return format!(
            "of the {} connections in {path} the filters take none",
            meant.all
        );
    }
    let those = match *filter == Filter::default() {
        true => String::new(),
        false => " that the filters take".to_owned(),
    };
    for (row, _) in &meant.first {
        let ends = [
            (row.client_ip, row.client_port),
            (row.server_ip, row.server_port),
        ];
        let [client, server] = ends.map(std::net::SocketAddr::from);
        let start = flow_stats::time_text(row.start_time.0);
        terminal::complain(&format_args!("{client} to {server}, from {start}"));
    }
    let told = match meant.first.len() as u64 == meant.count {
        true => "these",
        false => "of which these are the first (`packet-headers flows` shows all)",
    };
    format!(
        "{path} has {} connections{those}, {told}: choose one by filters such as --address and --port",
        meant.count
    )
}
