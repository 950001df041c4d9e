//! The official gRPC interoperability client and server, built from grpc-go.
//!
//! They are ordinary dependencies of the Go module in `xtask/interop`; its go.sum pins them.
//! Tests find the two programs by `GENKAN_INTEROP_DIR`.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::program::{self, Program};
use crate::progress::Step;
use crate::workspace;

const PROGRAMS: [&str; 2] = ["client", "server"];
const PACKAGES: &str = "google.golang.org/grpc/interop/";
/// The Go release that go.mod names.
const GO: (u32, u32) = (1, 26);

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
    if let Some(lack) = go_lack() {
        let message = format!(
            "{lack}; Go {}.{} or newer builds them (Debian's golang is too old, go.dev has releases)",
            GO.0, GO.1
        );
        if env::var_os("CI").is_some() {
            bail!("{message}");
        }
        println!("skipped the gRPC interoperability programs: {message}");
        return Ok(());
    }
    let step = Step::begin("go build grpc interop client and server");
    Program::new("go")
        .directory(&workspace::root().join("xtask/interop"))
        .args(["build", "-trimpath", "-mod=readonly", "-o"])
        .args([workspace::own("interop")?])
        .args(PROGRAMS.map(|name| format!("{PACKAGES}{name}")))
        .limit(Duration::from_secs(1200))
        .checked(&step, "interop")?;
    step.ok("");
    Ok(())
}

/// Why the installed Go does not do; `None` when it does.
fn go_lack() -> Option<String> {
    if !program::exists("go") {
        return Some("there is no `go` program".to_owned());
    }
    let version = Program::new("go").args(["env", "GOVERSION"]).output().ok()?;
    let numbers = version.trim().trim_start_matches("go");
    let mut parts = numbers.split('.').filter_map(|part| part.parse::<u32>().ok());
    let found = (parts.next()?, parts.next()?);
    (found < GO).then(|| format!("the installed Go is {numbers}"))
}
