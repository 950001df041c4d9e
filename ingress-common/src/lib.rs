//! The contract between Genkan's kernel programs and its userspace.
//!
//! Every type here crosses the boundary through a map: it is `repr(C)`, has no hidden padding and no
//! invalid bit pattern (proven by `bytemuck::Pod`), and is pinned by `tests/layout.rs`. Fields in
//! network order say so by their type ([`Be16`], [`Be32`]); all others are in host order. Nothing
//! here does I/O, and nothing but the VIP table's placement (`std`) allocates.
//!
//! Reading order: [`address`], [`vip`], [`policy`], [`worker`], [`verdict`], [`event`], [`map`].
#![no_std]

#[cfg(feature = "std")]
extern crate std;

pub mod address;
pub mod event;
pub mod flow;
pub mod map;
pub mod policy;
#[cfg(feature = "std")]
pub mod table;
#[cfg(feature = "user")]
mod user;
pub mod verdict;
pub mod vip;
pub mod worker;

pub use address::{Address, Be16, Be32, Family};
pub use verdict::Verdict;

/// Version of the shared layouts. Pinned maps of another version are not reused.
pub const ABI: u32 = 1;
