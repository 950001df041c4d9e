//! Ground of everything that is counted: values with one writer, and facts about the process.
//!
//! A [`Counter`] is written by one thread and read by any: a load and a store, no locked
//! instruction. What belongs to a worker is never shared with another one; a scrape adds up.

mod counter;
pub mod process;

pub use counter::Counter;
