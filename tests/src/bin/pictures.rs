//! Draws the pictures of docs/plot.md, by the program itself: `pictures DIRECTORY`.

use std::env;
use std::path::Path;

use anyhow::{Context, Result};
use end_to_end::peers::plot::draw_examples;

fn main() -> Result<()> {
    let directory = env::args_os().nth(1).context("pictures DIRECTORY")?;
    draw_examples(Path::new(&directory))
}
