//! Answers questions about captures: a row for each connection, and chosen connections as one capture.
//!
//! Sources are read once, or twice where only a whole row tells whether a connection is chosen, on
//! several threads. Memory is bounded, however many and however large they are.

mod column;
mod condition;
mod connections;
mod datagrams;
mod ends;
mod figures;
mod filter;
mod flow;
mod flows;
mod identity;
mod kept;
pub mod merge;
mod of_file;
mod one;
mod order;
mod ordered;
mod paths;
mod rows;
mod scan;
mod time;

pub use capture_reader::Buffer;
pub use column::{ColumnNumber, NoColumn};
pub use condition::{BadCondition, Condition, compare};
pub use figures::Figures;
pub use filter::Filter;
pub use kept::{Kept, Sample};
pub use of_file::rows_of_file;
pub use one::{Item, Meant, Place, find, named, packets_of};
pub use order::{NoOrder, Order, OrderBy, Rank, Ranking};
pub use paths::{Source, sources};
pub use rows::{Audience, rows};
pub use scan::{Problem, Progress, Trouble};
pub use time::{BadTime, parse_time};
