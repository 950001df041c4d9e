//! How many connections each worker has, as `dispatch` sees it when it looks for the least loaded.
//!
//! One word per worker: in the kernel's array (mapped), or on the heap without kernel programs.
//! Publishing is one relaxed store by the worker that owns the slot; nobody else writes it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::sys::SharedMemory;

/// The slots of all workers.
#[derive(Debug, Clone)]
pub struct LoadBoard {
    memory: Arc<Memory>,
    workers: usize,
}

/// The slot of one worker.
#[derive(Debug)]
pub struct LoadSlot {
    memory: Arc<Memory>,
    worker: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Box<[AtomicU32]>),
    /// Slots `stride` bytes apart, the word first.
    Kernel {
        memory: SharedMemory,
        stride: usize,
    },
}

// === impl LoadBoard ===

impl LoadBoard {
    /// A board that no kernel program reads.
    pub fn heap(workers: usize) -> Self {
        let slots = (0..workers).map(|_| AtomicU32::new(0)).collect();
        Self { memory: Arc::new(Memory::Heap(slots)), workers }
    }

    /// The mmapable array map behind `map`, whose values are `stride` bytes apart.
    pub fn kernel(map: BorrowedFd<'_>, workers: usize, stride: usize) -> io::Result<Self> {
        let memory = SharedMemory::map(map, workers.max(1) * stride)?;
        Ok(Self { memory: Arc::new(Memory::Kernel { memory, stride }), workers })
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The slot of a worker, set to zero: its connections went with its predecessor.
    pub fn slot(&self, worker: usize) -> LoadSlot {
        assert!(worker < self.workers, "worker {worker} of {}", self.workers);
        let slot = LoadSlot { memory: self.memory.clone(), worker };
        slot.connections_changed(0);
        slot
    }

    /// Connections of every worker.
    pub fn connections(&self) -> Vec<u32> {
        (0..self.workers).map(|worker| self.memory.word(worker).load(Ordering::Relaxed)).collect()
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
        self.memory.word(self.worker).store(now, Ordering::Relaxed);
    }
}

// === impl Memory ===

impl Memory {
    #[inline]
    fn word(&self, worker: usize) -> &AtomicU32 {
        match self {
            Self::Heap(slots) => &slots[worker],
            Self::Kernel { memory, stride } => memory.word(worker * stride),
        }
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
        publishes(&LoadBoard::kernel(file.as_fd(), 3, 64).unwrap());
    }

    #[test]
    #[should_panic(expected = "worker 3 of 3")]
    fn refuses_a_worker_without_a_slot() {
        LoadBoard::heap(3).slot(3);
    }
}
