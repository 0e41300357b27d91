//! Bytes made by hand, and what is read from them.

mod archives;
mod common;
mod formats;
mod hostile_and_cut_off;
mod links;
