//! The official gRPC interoperability client and server, built from grpc-go.
//!
//! They are ordinary dependencies of the Go module in `xtask/interop`; its go.sum pins them.
//! Tests find the two programs by `GENKAN_INTEROP_DIR`.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use super::go;
use crate::progress::Step;
use crate::workspace;

const PROGRAMS: [&str; 2] = ["client", "server"];
const PACKAGES: &str = "google.golang.org/grpc/interop/";

/// Where the built programs `client` and `server` are; `None` when they were not built.
pub(crate) fn directory() -> Option<PathBuf> {
    let directory = workspace::own("interop").ok()?;
    PROGRAMS.iter().all(|name| directory.join(name).is_file()).then_some(directory)
}

pub(super) fn build() -> Result<()> {
    if directory().is_some() {
        return Ok(());
    }
    println!("missing the gRPC interoperability programs: tests drive them through the proxy");
    if let Some(lack) = go::lack() {
        if env::var_os("CI").is_some() {
            bail!("{lack}");
        }
        println!("skipped the gRPC interoperability programs: {lack}");
        return Ok(());
    }
    let step = Step::begin("go build grpc interop client and server");
    go::go()
        .directory(&workspace::root().join("xtask/interop"))
        .args(["build", "-trimpath", "-mod=readonly", "-o"])
        .args([workspace::own("interop")?])
        .args(PROGRAMS.map(|name| format!("{PACKAGES}{name}")))
        .limit(Duration::from_secs(1200))
        .checked(&step, "interop")?;
    step.ok("");
    Ok(())
}
