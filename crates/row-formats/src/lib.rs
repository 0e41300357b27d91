//! Rows of connections for programs: JSON lines, CSV and Parquet.
//!
//! Names, types and order of the columns are those of [`flow_stats::COLUMNS`], in all formats.

pub mod csv;
pub mod jsonl;
pub mod parquet;

#[cfg(test)]
mod tests;
