//! How many connections each worker has, as `dispatch` sees it when it looks for the least loaded.
//!
//! One word per worker on the heap, and in the kernel's array while this process is the one whose
//! workers get the connections. Publishing is a relaxed store by the worker that owns the slot;
//! nobody else writes it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::sys::SharedMemory;

/// The slots of all workers.
#[derive(Debug, Clone)]
pub struct LoadBoard {
    shared: Arc<Shared>,
}

/// The slot of one worker.
#[derive(Debug)]
pub struct LoadSlot {
    shared: Arc<Shared>,
    worker: usize,
}

#[derive(Debug)]
struct Shared {
    slots: Box<[AtomicU32]>,
    kernel: Option<Kernel>,
}

/// The array that `dispatch` reads: words `stride` bytes apart.
#[derive(Debug)]
struct Kernel {
    memory: SharedMemory,
    stride: usize,
    published: AtomicBool,
}

// === impl LoadBoard ===

impl LoadBoard {
    /// A board that no kernel program reads.
    pub fn heap(workers: usize) -> Self {
        Self::new(workers, None)
    }

    /// A board for the mmapable array map behind `map`, whose values are `stride` bytes apart.
    /// Nothing is written to it before [`Self::publish`].
    pub fn kernel(map: BorrowedFd<'_>, workers: usize, stride: usize) -> io::Result<Self> {
        let memory = SharedMemory::map(map, workers.max(1) * stride)?;
        let kernel = Kernel { memory, stride, published: AtomicBool::new(false) };
        Ok(Self::new(workers, Some(kernel)))
    }

    fn new(workers: usize, kernel: Option<Kernel>) -> Self {
        let slots = (0..workers).map(|_| AtomicU32::new(0)).collect();
        Self { shared: Arc::new(Shared { slots, kernel }) }
    }

    /// From here on `dispatch` sees these workers.
    pub fn publish(&self) {
        let Some(kernel) = &self.shared.kernel else { return };
        kernel.published.store(true, Ordering::SeqCst);
        for (worker, slot) in self.shared.slots.iter().enumerate() {
            kernel.word(worker).store(slot.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }

    /// From here on the kernel's array belongs to another process.
    pub fn retire(&self) {
        if let Some(kernel) = &self.shared.kernel {
            kernel.published.store(false, Ordering::SeqCst);
        }
    }

    pub fn workers(&self) -> usize {
        self.shared.slots.len()
    }

    /// The slot of a worker, set to zero: its connections went with its predecessor.
    pub fn slot(&self, worker: usize) -> LoadSlot {
        assert!(worker < self.workers(), "worker {worker} of {}", self.workers());
        let slot = LoadSlot { shared: self.shared.clone(), worker };
        slot.connections_changed(0);
        slot
    }

    /// Connections of every worker.
    pub fn connections(&self) -> Vec<u32> {
        self.shared.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).collect()
    }
}

// === impl LoadSlot ===

impl LoadSlot {
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Publishes how many connections the worker has now.
    #[inline]
    pub fn connections_changed(&self, now: u32) {
        self.shared.slots[self.worker].store(now, Ordering::Relaxed);
        if let Some(kernel) = &self.shared.kernel
            && kernel.published.load(Ordering::Relaxed)
        {
            kernel.word(self.worker).store(now, Ordering::Relaxed);
        }
    }
}

// === impl Kernel ===

impl Kernel {
    #[inline]
    fn word(&self, worker: usize) -> &AtomicU32 {
        self.memory.word(worker * self.stride)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn publishes(board: &LoadBoard) {
        let (first, second) = (board.slot(0), board.slot(2));
        first.connections_changed(7);
        second.connections_changed(9);
        assert_eq!(board.connections(), [7, 0, 9]);
        board.slot(0);
        assert_eq!(board.connections(), [0, 0, 9]);
    }

    #[test]
    fn publishes_connections_on_the_heap() {
        publishes(&LoadBoard::heap(3));
    }

    #[test]
    fn publishes_connections_in_shared_memory() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 * 64).unwrap();
        let board = LoadBoard::kernel(file.as_fd(), 3, 64).unwrap();
        board.publish();
        publishes(&board);
        let words = SharedMemory::map(file.as_fd(), 3 * 64).unwrap();
        assert_eq!([0, 64, 128].map(|at| words.word(at).load(Ordering::Relaxed)), [0, 0, 9]);
    }

    #[test]
    fn the_kernels_array_is_written_by_the_process_that_has_taken_over() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * 64).unwrap();
        let words = SharedMemory::map(file.as_fd(), 2 * 64).unwrap();
        let seen = || [0, 64].map(|at| words.word(at).load(Ordering::Relaxed));
        let board = || LoadBoard::kernel(file.as_fd(), 2, 64).unwrap();
        let (old, new) = (board(), board());
        let slots = [old.slot(0), new.slot(0)];
        old.publish();
        slots[0].connections_changed(500);
        slots[1].connections_changed(3);
        assert_eq!(seen(), [500, 0]);
        old.retire();
        new.publish();
        slots[0].connections_changed(499);
        assert_eq!(seen(), [3, 0]);
    }

    #[test]
    #[should_panic(expected = "worker 3 of 3")]
    fn refuses_a_worker_without_a_slot() {
        LoadBoard::heap(3).slot(3);
    }
}
