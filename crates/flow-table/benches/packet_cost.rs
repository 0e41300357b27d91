//! `packet_cost CASE PACKETS DIRECTORY`: gives the data path so many packets of one kind, and writes
//! their files into an empty directory. For programs that count instructions.

use std::path::Path;

use anyhow::{Result, bail};

use crate::data_path::cases::Case;

mod data_path;
mod traffic;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [case, packets, directory] = arguments.as_slice() else {
        bail!("usage: packet_cost CASE PACKETS DIRECTORY");
    };
    Case::named(case)?.run(packets.parse()?, Path::new(directory))
}
