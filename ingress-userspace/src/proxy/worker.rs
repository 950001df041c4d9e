//! Workers.

mod buffers;
mod clock;
mod state;

pub use buffers::Buffers;
pub use clock::Clock;
pub use state::WorkerState;
