//! Ground of everything that is counted: values with one writer, and the text that a scrape gets.
//!
//! A [`Counter`] is written by one thread and read by any: a load and a store, no locked
//! instruction. What belongs to a worker is never shared with another one; a scrape adds up. There
//! is no registry: whoever owns values writes them into an [`Exposition`] when asked.

mod counter;
mod exposition;
mod histogram;
pub mod process;
mod tally;

pub use counter::Counter;
pub use exposition::{Exposition, Family, Form};
pub use histogram::{BOUNDS, Distribution, Histogram};
pub use tally::{Block, Sum, Tally};
