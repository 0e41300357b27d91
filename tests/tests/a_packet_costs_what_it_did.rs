//! Promise: the work of user space for a packet does not grow unnoticed. Nothing is timed:
//! instructions are counted, and compared with those in `instructions.txt`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use end_to_end::world::command::output_of;
use end_to_end::world::parallel;
use tempfile::TempDir;

/// How far a count may be from its figure in either direction, in percent. Two runs differ by less
/// than a thousandth of this, two compilers by a few percent.
const MARGIN: f64 = 10.0;

/// Prevents the C library from copying long stretches with an instruction that callgrind counts
/// once for each byte.
const TUNABLES: &str =
    "glibc.cpu.x86_rep_movsb_threshold=1073741824:glibc.cpu.x86_rep_stosb_threshold=1073741824";

/// A line of the file of figures.
#[derive(Debug, PartialEq)]
struct Figure {
    /// A kind of traffic, as the example `packet_cost` of the crate flow-table calls it.
    case: String,
    /// The number of packets; the program is run with it, and with twice as many.
    packets: u64,
    /// Instructions for each packet.
    instructions: f64,
}

/// The file of figures.
fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/instructions.txt")
}

/// The figures in a text; lines that begin with `#` are comments.
fn figures(text: &str) -> Result<Vec<Figure>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figure = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [case, packets, instructions] = fields.as_slice() else {
            return Err(anyhow!("not a case, packets and instructions: {line:?}"));
        };
        Ok(Figure {
            case: (*case).to_owned(),
            packets: packets.parse().with_context(|| line.to_owned())?,
            instructions: instructions.parse().with_context(|| line.to_owned())?,
        })
    };
    lines.map(figure).collect()
}

/// Runs the example `packet_cost`; returns the number of instructions of the whole run.
fn count(case: &str, packets: u64) -> Result<u64> {
    let built =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/examples/packet_cost");
    let program = env::var_os("PACKET_HEADERS_COST").map_or(built, PathBuf::from);
    ensure!(
        program.exists(),
        "no program at {}: cargo build --release -p flow-table --example packet_cost, or set PACKET_HEADERS_COST",
        program.display()
    );
    let directory = TempDir::new()?;
    let counts = directory.path().join("counts");
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    command.arg(format!("--callgrind-out-file={}", counts.display()));
    command.arg(program).args([case, &packets.to_string()]);
    command.arg(directory.path());
    command.env("GLIBC_TUNABLES", TUNABLES);
    output_of(&mut command, "valgrind")?;
    let counts = fs::read_to_string(counts)?;
    let total = counts
        .lines()
        .find_map(|line| line.strip_prefix("summary: "));
    let total = total.context("callgrind printed no sum")?;
    total.parse().with_context(|| format!("a sum of {total}"))
}

/// Instructions for each packet of every figure's case: the difference between two runs, of which
/// one has twice the packets, so that the program's start does not count.
fn per_packet(figures: &[Figure]) -> Result<Vec<f64>> {
    let runs = figures.iter().flat_map(|figure| [(figure, 1), (figure, 2)]);
    let runs: Vec<_> = runs.collect();
    let counts = parallel::map(&runs, |(Figure { case, packets, .. }, times)| {
        count(case, times * packets).with_context(|| case.clone())
    })?;
    let pairs = counts.chunks(2).zip(figures);
    let each = pairs.map(|(pair, figure)| (pair[1] - pair[0]) as f64 / figure.packets as f64);
    Ok(each.collect())
}

/// How far a count is from its figure, if it is too far.
fn deviation(figure: f64, counted: f64) -> Option<String> {
    let percent = (counted / figure - 1.0) * 100.0;
    let word = if percent > 0.0 { "more" } else { "fewer" };
    (percent.abs() > MARGIN).then(|| {
        format!(
            "{counted:.0} instead of {figure:.0}, {:.0} % {word}",
            percent.abs()
        )
    })
}

#[test]
fn instructions_per_packet_are_those_that_are_written_down() -> Result<()> {
    let file = file();
    let text = fs::read_to_string(&file)?;
    let (mut wrong, mut renewed) = (String::new(), String::new());
    let figures = figures(&text)?;
    for (figure, counted) in figures.iter().zip(per_packet(&figures)?) {
        let Figure { case, packets, .. } = figure;
        println!("{case}: {counted:.1}");
        writeln!(renewed, "{case} {packets} {counted:.0}")?;
        if let Some(deviation) = deviation(figure.instructions, counted) {
            writeln!(wrong, "{case}: {deviation}")?;
        }
    }
    ensure!(
        wrong.is_empty(),
        "the number of instructions for a packet has changed:\n{wrong}\
         `valgrind --tool=callgrind target/release/examples/packet_cost CASE PACKETS DIRECTORY` shows where. If the \
         change is intended, put these figures into {}:\n{renewed}",
        file.display()
    );
    Ok(())
}

#[test]
fn a_count_may_leave_its_figure_by_the_margin_and_no_more() {
    assert_eq!(deviation(1000.0, 1099.0), None);
    assert_eq!(deviation(1000.0, 901.0), None);
    let more = deviation(1000.0, 1110.0);
    assert_eq!(more.as_deref(), Some("1110 instead of 1000, 11 % more"));
    let fewer = deviation(1000.0, 880.0);
    assert_eq!(fewer.as_deref(), Some("880 instead of 1000, 12 % fewer"));
}
