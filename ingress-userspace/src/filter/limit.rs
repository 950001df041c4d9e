//! How many requests a client may send, and how many at a time, to the routes that limit it.
//!
//! The limits hold for the node: a client's connections land on several workers, so its state is
//! in a [`Table`] that all workers share. There is one for each Ingress that has limits, made when
//! the first request comes and dropped when all its sources are idle; it outlives edits of the
//! Ingress. Routes without limits never come here.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::routing::access::Limits;

mod table;

pub use table::{Held, Source, Table};

/// How long a worker keeps its handle to a table that nobody asks for.
const FORGET: Duration = Duration::from_secs(60);

/// The tables of a node.
#[derive(Debug)]
pub struct Limiter {
    start: Instant,
    tables: Mutex<HashMap<Arc<str>, Arc<Table>>>,
}

/// One worker's way to the tables, without a lock for the one it looks for.
#[derive(Debug)]
pub struct Limiting {
    shared: Arc<Limiter>,
    known: RefCell<HashMap<Arc<str>, Known>>,
}

#[derive(Debug)]
struct Known {
    table: Arc<Table>,
    /// Nanoseconds since the start of the limiter.
    used: Cell<u64>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Rate,
    Connections,
    /// So many sources have requests under way that there is no place for another.
    Full,
}

// === impl Limiter ===

impl Limiter {
    pub fn new() -> Self {
        Self { start: Instant::now(), tables: Mutex::default() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn table(&self, id: &Arc<str>) -> Arc<Table> {
        self.tables().entry(id.clone()).or_default().clone()
    }

    /// Drops the tables that no worker holds and that remember nothing.
    fn sweep(&self, now: u64) {
        self.tables().retain(|_, table| Arc::strong_count(table) > 1 || !table.is_idle(now));
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Table>>> {
        // Whole after each statement, so a panic elsewhere leaves nothing half done.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Limiting ===

impl Limiting {
    pub fn new(shared: Arc<Limiter>) -> Self {
        Self { shared, known: RefCell::default() }
    }

    /// Counts a request. What is returned, if anything, is to be kept until the request has ended.
    /// `by_network`: IPv6 clients count by /64.
    ///
    /// # Errors
    ///
    /// The limit that the client has reached.
    pub fn admit(
        &self,
        limits: &Limits,
        client: IpAddr,
        by_network: bool,
    ) -> Result<Option<Held>, Refused> {
        if limits.exempt.contains(client) {
            return Ok(None);
        }
        let source = Source::new(client, by_network);
        let now = self.shared.now();
        let known = self.known.borrow();
        if let Some(known) = known.get(&limits.id) {
            known.used.set(now);
            return Table::admit(&known.table, limits, source, now);
        }
        drop(known);
        let table = self.shared.table(&limits.id);
        let known = Known { table: table.clone(), used: Cell::new(now) };
        self.known.borrow_mut().insert(limits.id.clone(), known);
        Table::admit(&table, limits, source, now)
    }

    /// Lets go of what has not been asked for lately. To be called now and then.
    pub fn sweep(&self) {
        let mut known = self.known.borrow_mut();
        if known.is_empty() {
            return;
        }
        let now = self.shared.now();
        let before = known.len();
        let forget = FORGET.as_nanos();
        known.retain(|_, known| u128::from(now.saturating_sub(known.used.get())) < forget);
        if known.len() < before {
            self.shared.sweep(now);
        }
    }
}

#[cfg(test)]
mod tests;
