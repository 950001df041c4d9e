//! Read and write buffers that the connections of a worker lend from one pool while they are busy.

use std::cell::RefCell;

use bytes::BytesMut;

/// Room of a lent buffer: a request head with cookies, or the head and first bytes of an answer.
const SIZE: usize = 8 << 10;
/// Buffers kept; more are given back to the allocator.
const KEPT: usize = 128;

#[derive(Debug, Default)]
pub struct Buffers {
    free: RefCell<Vec<BytesMut>>,
}

// === impl Buffers ===

impl Buffers {
    /// An empty buffer with at least [`SIZE`] bytes of room.
    pub fn take(&self) -> BytesMut {
        while let Some(mut buffer) = self.free.borrow_mut().pop() {
            buffer.clear();
            // False: something still holds a slice, or it has been too small from the start.
            if buffer.try_reclaim(SIZE) {
                return buffer;
            }
        }
        BytesMut::with_capacity(SIZE)
    }

    pub fn give(&self, buffer: BytesMut) {
        let mut free = self.free.borrow_mut();
        // Buffers that grew for a body are not kept.
        if free.len() < KEPT && buffer.capacity() <= 2 * SIZE {
            free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_the_same_memory_again() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"some bytes");
        let head = buffer.split_to(4).freeze();
        let at = head.as_ptr();
        drop(head);
        buffers.give(buffer);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        assert!(again.capacity() >= SIZE);
    }

    #[test]
    fn does_not_lend_memory_that_is_in_use() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"some bytes");
        let head = buffer.split_to(4).freeze();
        buffers.give(buffer);
        let mut again = buffers.take();
        again.extend_from_slice(b"other");
        assert_eq!(&head[..], b"some");
    }
}
