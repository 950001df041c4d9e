//! What is logged, changed while the process runs.

use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::{EnvFilter, Registry, reload};

/// The filter of this process. Set once, with the logger.
static FILTER: OnceLock<Filter> = OnceLock::new();

struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    /// What the process was started with.
    first: String,
    now: Mutex<String>,
}

pub(super) fn keep(filter: &str, handle: reload::Handle<EnvFilter, Registry>) {
    let (first, now) = (filter.to_owned(), Mutex::new(filter.to_owned()));
    // A second logger was refused before.
    let _ = FILTER.set(Filter { handle, first, now });
}

/// The filter in force; `None` without a logger of ours.
pub fn filter() -> Option<String> {
    Some(FILTER.get()?.now.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// What the process was started with.
pub fn first_filter() -> Option<String> {
    Some(FILTER.get()?.first.clone())
}

/// Takes another filter, in the form that [`init`](super::init) takes.
///
/// # Errors
///
/// Why it is not taken; the one before stays.
pub fn set_filter(text: &str) -> Result<(), String> {
    let parsed = EnvFilter::builder().parse(text).map_err(|error| error.to_string())?;
    let filter = FILTER.get().ok_or("this process has no logger")?;
    filter.handle.reload(parsed).map_err(|error| error.to_string())?;
    text.clone_into(&mut filter.now.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}
