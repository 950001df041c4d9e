//! The decisions of Genkan's kernel programs, without the kernel.
//!
//! Generic over where the bytes come from ([`packet::Frame`]) and over what is known about the node
//! ([`node::Node`]), so that the same code runs in the kernel, in host tests and under a fuzzer.
//! The programs themselves are in `main.rs`. Nothing here allocates, panics or loops unbounded.
//!
//! Reading order is the life of a packet: [`packet`], [`steer`], [`admit`], [`answer`], [`dispatch`].
#![no_std]

pub mod admit;
pub mod answer;
pub mod dispatch;
pub mod icmp;
pub mod node;
pub mod packet;
pub mod steer;
pub mod tcp;
