//! The streams of one connection, as far as the connection has to look after them.
//!
//! hyper asks for the next piece of an answer when the client's window has room for it. A stream
//! that has given a piece and is not asked for more is waiting for its client; a client may do that
//! for `timeouts.client_send`, then its connection ends. Looking is done a few times in that span by
//! the connection, so that a stream needs neither a timer nor a clock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

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
    /// Waits for its client to take what it was given.
    given: bool,
    /// Looks since then.
    looks: u32,
}

/// One open stream.
#[derive(Debug)]
pub(super) struct Stream {
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

    /// Streams that are not finished.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// True: a client has not taken anything of a stream for so many looks.
    pub(super) fn look(&self, patience: u32) -> bool {
        let mut places = self.places.borrow_mut();
        places.iter_mut().filter(|place| place.given).any(|place| {
            place.looks += 1;
            place.looks > patience
        })
    }
}

// === impl Stream ===

impl Stream {
    /// A piece of the answer was given to hyper.
    pub(super) fn gave(&self) {
        self.set(Place { given: true, looks: 0 });
    }

    /// hyper asks for more: the client has taken what it was given.
    pub(super) fn asked(&self) {
        self.set(Place::default());
    }

    fn set(&self, state: Place) {
        self.streams.places.borrow_mut()[self.place] = state;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.asked();
        self.streams.open.set(self.streams.open.get() - 1);
        self.streams.free.borrow_mut().push(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_that_is_not_taken_runs_out_of_patience() {
        let streams = Streams::new();
        let waiting_for_upstream = streams.begin();
        let taken = streams.begin();
        let stuck = streams.begin();
        waiting_for_upstream.asked();
        stuck.gave();
        for _ in 0..4 {
            taken.gave();
            assert!(!streams.look(4));
            taken.asked();
        }
        assert!(streams.look(4));
        drop(stuck);
        assert!(!streams.look(4));
    }

    #[test]
    fn places_are_used_again() {
        let streams = Streams::new();
        for _ in 0..100 {
            let stream = streams.begin();
            stream.gave();
        }
        assert_eq!((streams.opened(), streams.open()), (100, 0));
        assert_eq!(streams.places.borrow().len(), 1);
    }
}
