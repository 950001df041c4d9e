//! The ground: sockets, interfaces, local routes, CPUs, descriptors, sets of addresses. Every driver
//! stands on it; it knows none.
//!
//! [`sys`] is the only place of userspace with `unsafe` code.

pub mod address;
pub mod confine;
pub mod cpu;
pub mod descriptors;
pub mod host;
pub mod interface;
pub mod listen;
pub mod load;
pub mod netlink;
pub mod packet;
pub mod sources;
#[allow(unsafe_code, reason = "system calls and mappings that no crate wraps")]
pub mod sys;

#[cfg(test)]
mod tests;
