//! The open connections of a worker: their number, published to `dispatch`, and the end of them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::net::load::LoadSlot;
use crate::proxy::counters::Counters;

#[derive(Debug)]
pub struct OpenConnections {
    shared: Rc<Shared>,
}

/// One open connection; dropped when it ends.
#[derive(Debug)]
pub struct Open {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    number: Cell<u32>,
    load: LoadSlot,
    counters: Arc<Counters>,
    none: Notify,
}

// === impl OpenConnections ===

impl OpenConnections {
    pub fn new(load: LoadSlot, counters: Arc<Counters>) -> Self {
        let (number, none) = (Cell::new(0), Notify::new());
        // A thread that had the place before may have left some.
        counters.connections_open.set(0);
        Self { shared: Rc::new(Shared { number, load, counters, none }) }
    }

    pub fn number(&self) -> usize {
        self.shared.number.get() as usize
    }

    pub fn open(&self) -> Open {
        self.shared.counters.connections.add(1);
        self.shared.changed(self.shared.number.get() + 1);
        Open { shared: self.shared.clone() }
    }

    /// Waits until no connection is open.
    pub async fn none(&self) {
        while self.shared.number.get() > 0 {
            self.shared.none.notified().await;
        }
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.shared.number.get() - 1;
        self.shared.changed(left);
        if left == 0 {
            self.shared.none.notify_one();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn changed(&self, now: u32) {
        self.number.set(now);
        self.load.connections_changed(now);
        self.counters.connections_open.set(now.into());
    }
}
