//! Panics as lines of the log: a worker that panics must not wait for standard error either, and
//! who reads the log as JSON finds them there.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::thread;

/// From now on, of all threads.
pub(super) fn log() {
    std::panic::set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or_default();
    let place = panic.location().map(tracing::field::display);
    let message = panic.payload_as_str().unwrap_or_default();
    // Only with RUST_BACKTRACE, as without us.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let backtrace = backtrace.as_ref().map(tracing::field::display);
    tracing::error!(thread, place, backtrace, "panicked: {message}");
}
