//! The kernel side: programs, maps and routes kept equal to the configuration.

pub mod plan;
