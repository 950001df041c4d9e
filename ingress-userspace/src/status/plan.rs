//! What is to be written, as values: nothing here asks a server or a clock.
//!
//! A [`batch`] is what has changed; [`book`] knows the Ingresses and what stands in their status, [`address`] what should stand there,
//! [`nodes`] which nodes serve it, [`election`] who may write. [`standing`] knows what is wrong with
//! which object, [`events`] and [`report`] what is said about it.

pub(super) mod address;
pub(super) mod batch;
pub(super) mod book;
mod bucket;
pub(super) mod election;
pub(super) mod events;
pub(super) mod nodes;
pub(super) mod report;
pub(super) mod standing;
