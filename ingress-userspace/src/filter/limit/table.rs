//! The sources of one Ingress: for each, when its rates allow the next request, and how many of its
//! requests are under way.
//!
//! A fixed number of sets of [`WAYS`] places, found by a keyed hash of the source; each set has its
//! own lock, held for some tens of nanoseconds. Pages of sets are made as sources come; after that
//! nothing is allocated. At its largest a table has 65,536 places in 3.3 MiB, and never more: when
//! all places of a set are taken, the source that is nearest to being idle makes room. A source with
//! requests under way never does; where a set has nothing but those, a new source is refused.
//!
//! Rates are leaky buckets without delay, as nginx's `limit_req ... nodelay`: a request is admitted
//! while no more than `burst` others wait to drain. A bucket is one number, the moment at which it
//! will be empty. Time is passed in.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Refused;
use crate::routing::access::{Limits, RATES};

/// Places of a set.
const WAYS: usize = 16;
const SETS_OF_PAGE: usize = 32;
const PAGES: usize = 128;

#[derive(Debug)]
pub struct Table {
    hasher: RandomState,
    pages: Box<[OnceLock<Page>]>,
}

type Page = Box<[Mutex<Set>]>;

/// A cache line of its own for each lock.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    places: [Place; WAYS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// 0 = free: `::` is nobody's address.
    source: u128,
    /// When each bucket will be empty, in nanoseconds.
    empty_at: [u64; RATES],
    /// Requests under way.
    open: u32,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(u128);

/// A request under way; dropped when it ends, whichever way.
#[derive(Debug)]
pub struct Held {
    table: Arc<Table>,
    source: u128,
}

// === impl Table ===

impl Table {
    /// Counts a request of `source` at `now`, in nanoseconds of a clock that all callers share.
    ///
    /// A request that the rates admit and the connections do not has used the rates, as in nginx.
    ///
    /// # Errors
    ///
    /// The limit that is reached; then none of the rates was used.
    pub fn admit(
        table: &Arc<Self>,
        limits: &Limits,
        source: Source,
        now: u64,
    ) -> Result<Option<Held>, Refused> {
        let Source(source) = source;
        let mut set = table.set(source);
        let place = set.place(source, now).ok_or(Refused::Full)?;
        let mut after = place.empty_at;
        for (rate, (empty_at, after)) in
            limits.rates.iter().zip(place.empty_at.iter_mut().zip(&mut after))
        {
            let Some(rate) = rate else { continue };
            // Before an edit the bucket may have held more than it holds now.
            let full = now.saturating_add(rate.burst).saturating_add(rate.period);
            *empty_at = (*empty_at).clamp(now, full);
            if *empty_at - now > rate.burst {
                return Err(Refused::Rate);
            }
            *after = empty_at.saturating_add(rate.period);
        }
        place.empty_at = after;
        let Some(most) = limits.connections else { return Ok(None) };
        if place.open >= most {
            return Err(Refused::Connections);
        }
        place.open += 1;
        Ok(Some(Held { table: table.clone(), source }))
    }

    /// Whether a fresh table would answer the same from now on.
    pub fn is_idle(&self, now: u64) -> bool {
        let mut sets = self.pages.iter().filter_map(OnceLock::get).flatten();
        sets.all(|set| lock(set).places.iter().all(|place| place.is_idle(now)))
    }

    fn set(&self, source: u128) -> MutexGuard<'_, Set> {
        let hash = self.hasher.hash_one(source) as usize;
        let page = &self.pages[hash % PAGES];
        let sets = page.get_or_init(|| (0..SETS_OF_PAGE).map(|_| Mutex::default()).collect());
        lock(&sets[hash / PAGES % SETS_OF_PAGE])
    }
}

impl Default for Table {
    fn default() -> Self {
        let pages = (0..PAGES).map(|_| OnceLock::new()).collect();
        Self { hasher: RandomState::new(), pages }
    }
}

fn lock(set: &Mutex<Set>) -> MutexGuard<'_, Set> {
    // Nothing under the lock can panic.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Source ===

impl Source {
    /// `by_network`: IPv6 clients count by /64, which is what one of them has.
    pub fn new(address: IpAddr, by_network: bool) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            // Bit 0 tells the network ::/64 from a free place.
            IpAddr::V6(address) if by_network => address.to_bits() >> 64 << 64 | 1,
            IpAddr::V6(address) => address.to_bits(),
        })
    }
}

// === impl Set ===

impl Set {
    /// The place of a source, old or new. `None`: all are held by others.
    fn place(&mut self, source: u128, now: u64) -> Option<&mut Place> {
        let known = self.places.iter().position(|place| place.source == source);
        let at = match known {
            Some(at) => at,
            None => {
                let free = self.places.iter().enumerate().filter(|(_, place)| place.open == 0);
                let (at, _) = free.min_by_key(|(_, place)| place.debt(now))?;
                self.places[at] = Place { source, ..Place::default() };
                at
            }
        };
        Some(&mut self.places[at])
    }
}

// === impl Place ===

impl Place {
    fn is_idle(&self, now: u64) -> bool {
        self.open == 0 && self.debt(now) == 0
    }

    /// How long until all buckets are empty.
    fn debt(&self, now: u64) -> u64 {
        self.empty_at.iter().map(|at| at.saturating_sub(now)).max().unwrap_or(0)
    }
}

// === impl Held ===

impl Drop for Held {
    fn drop(&mut self) {
        let mut set = self.table.set(self.source);
        let place = set.places.iter_mut().find(|place| place.source == self.source);
        if let Some(place) = place {
            place.open = place.open.saturating_sub(1);
        }
    }
}
