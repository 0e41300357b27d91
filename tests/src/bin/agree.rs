//! Compares the rows of captured uploads with tshark: `agree DIRECTORY`, which has a directory of files for each
//! kind of path. Of those called `delay` nothing is lost or reordered, so that more must agree.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::peers::figures::Figures;
use end_to_end::peers::{reader, tshark};

fn main() -> Result<()> {
    let directory = env::args_os().nth(1).context("agree DIRECTORY")?;
    let mut uploads = 0;
    for paths in entries(Path::new(&directory))? {
        let is_clean = paths.ends_with("delay");
        for file in entries(&paths)? {
            uploads += agree(&file, is_clean).with_context(|| format!("{}", file.display()))?;
        }
    }
    ensure!(uploads > 0, "there are no files");
    println!("{uploads} uploads are what tshark says");
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(directory).with_context(|| format!("{}", directory.display()))?;
    read.map(|entry| Ok(entry?.path())).collect()
}

/// How many uploads a file has, all of which agree.
fn agree(file: &Path, is_clean: bool) -> Result<usize> {
    let rows = reader::rows(&[file])?.into_iter().map(Figures::new);
    let all = rows.collect::<Result<Vec<_>>>()?;
    let ports: Vec<_> = all.iter().map(|figures| figures.which.1).collect();
    let seen = tshark::of(file, &ports)?;
    for figures in &all {
        let seen = seen.get(&figures.which).context("tshark saw it")?;
        seen.agrees(figures, figures.count("client_goodput_bytes"), is_clean)?;
    }
    Ok(all.len())
}
