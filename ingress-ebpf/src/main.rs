//! Genkan's kernel programs: XDP `steer` and sk_lookup `dispatch`.
//!
//! This file is the entry alone: a verdict comes back from the decision in the library, and one
//! exhaustive match turns it into an action, one counter and perhaps an event.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod program;
#[cfg(target_arch = "bpf")]
mod trace;

/// The host build exists for the tests and lints of the library.
#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("these are kernel programs: build with --target bpfel-unknown-none");
}
