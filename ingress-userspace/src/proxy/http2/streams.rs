//! The streams of one connection, as far as the connection has to look after them.
//!
//! hyper takes the next piece of an answer as soon as the client's window has room for one byte, and
//! is done with a stream when it has handed the last piece to h2. So pieces know their stream: it is
//! open until h2 has written or dropped the last of them, and each byte that h2 writes is one that
//! the client has made room for. A client may leave a piece where it is for `timeouts.client_send`,
//! then its connection ends. Looking is done a few times in that span by the connection, so that a
//! stream needs neither a timer nor a clock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::{Buf, Bytes};

#[derive(Debug)]
pub(super) struct Streams {
    opened: Cell<u64>,
    open: Cell<usize>,
    /// Places of streams, used again.
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// hyper has no more to ask of the stream.
    served: bool,
    /// Pieces that wait for the client to take them.
    pieces: usize,
    /// Looks since the client took anything of them.
    looks: u32,
}

/// One open stream: what hyper asks for its answer.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Rc<Streams>,
    place: usize,
}

/// A piece of an answer on its way through hyper and h2.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    streams: Rc<Streams>,
    place: usize,
}

// === impl Streams ===

impl Streams {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            opened: Cell::new(0),
            open: Cell::new(0),
            places: RefCell::default(),
            free: RefCell::default(),
        })
    }

    pub(super) fn begin(self: &Rc<Self>) -> Stream {
        self.opened.set(self.opened.get() + 1);
        self.open.set(self.open.get() + 1);
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut places = self.places.borrow_mut();
            places.push(Place::default());
            places.len() - 1
        });
        Stream { streams: self.clone(), place }
    }

    /// Streams since the connection began.
    pub(super) fn opened(&self) -> u64 {
        self.opened.get()
    }

    /// Streams that are not finished: not answered, or with pieces that are not written.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// True: a client has not taken anything of a stream for so many looks.
    pub(super) fn look(&self, patience: u32) -> bool {
        let mut places = self.places.borrow_mut();
        places.iter_mut().filter(|place| place.pieces > 0).any(|place| {
            place.looks += 1;
            place.looks > patience
        })
    }

    /// Changes a place, and frees it when nothing is left of its stream.
    fn leave(&self, index: usize, change: impl FnOnce(&mut Place)) {
        let mut places = self.places.borrow_mut();
        let place = &mut places[index];
        change(place);
        if place.served && place.pieces == 0 {
            *place = Place::default();
            self.open.set(self.open.get() - 1);
            self.free.borrow_mut().push(index);
        }
    }
}

// === impl Stream ===

impl Stream {
    /// The next bytes of the answer.
    pub(super) fn piece(&self, bytes: Bytes) -> Piece {
        self.streams.places.borrow_mut()[self.place].pieces += 1;
        Piece { bytes, streams: self.streams.clone(), place: self.place }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.leave(self.place, |place| place.served = true);
    }
}

// === impl Piece ===

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if count > 0 {
            self.streams.places.borrow_mut()[self.place].looks = 0;
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.streams.leave(self.place, |place| {
            place.pieces -= 1;
            place.looks = 0;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(stream: &Stream) -> Piece {
        stream.piece(Bytes::from_static(b"piece"))
    }

    #[test]
    fn only_a_stream_that_is_not_taken_runs_out_of_patience() {
        let streams = Streams::new();
        let _waiting_for_upstream = streams.begin();
        let (taken, stuck) = (streams.begin(), streams.begin());
        let held = piece(&stuck);
        for _ in 0..4 {
            let piece = piece(&taken);
            assert!(!streams.look(4));
            drop(piece);
        }
        assert!(streams.look(4));
        drop(held);
        assert!(!streams.look(4));
    }

    #[test]
    fn a_piece_that_is_taken_byte_by_byte_is_taken() {
        let streams = Streams::new();
        let stream = streams.begin();
        let mut piece = piece(&stream);
        for _ in 0..5 {
            assert!(!streams.look(1));
            piece.advance(1);
        }
        // That more waits behind it is not the client's doing.
        assert!(!streams.look(1));
        let _next = stream.piece(Bytes::from_static(b"next"));
        assert!(streams.look(1));
    }

    #[test]
    fn a_stream_is_open_until_its_last_piece_is_gone() {
        let streams = Streams::new();
        let stream = streams.begin();
        let (first, last) = (piece(&stream), piece(&stream));
        drop(stream);
        drop(first);
        assert_eq!(streams.open(), 1);
        assert!(!streams.look(1));
        assert!(streams.look(1), "it is looked after also when hyper has done its part");
        drop(last);
        assert_eq!(streams.open(), 0);
    }

    #[test]
    fn places_are_used_again() {
        let streams = Streams::new();
        for _ in 0..100 {
            let stream = streams.begin();
            let piece = piece(&stream);
            drop(stream);
            drop(piece);
        }
        assert_eq!((streams.opened(), streams.open()), (100, 0));
        assert_eq!(streams.places.borrow().len(), 1);
    }
}
