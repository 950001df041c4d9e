//! What is in `deploy/` fits to the program: values of the chart, rights of the pod.

#![allow(clippy::unwrap_used, reason = "test helpers fail by panics")]

#[path = "deployment/pod.rs"]
mod pod;
#[path = "deployment/values.rs"]
mod values;

use std::fs;
use std::path::Path;

use serde_json::Value;

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}
