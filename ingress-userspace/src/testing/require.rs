//! Guards of tests that need rights or tools of the machine.
//!
//! A guard that is not met prints `SKIPPED: <test>: <why>` and answers `false`: the test returns.
//! With `GENKAN_TEST_STRICT=1` it panics instead, so that a CI run can't pass by skipping.

use std::path::Path;

/// Whether the test runs as root (network namespaces, BPF, privileged ports).
#[must_use = "return from the test when it is false"]
pub fn require_root() -> bool {
    require(nix::unistd::geteuid().is_root(), "needs root")
}

/// Whether `tool` is in `PATH`.
#[must_use = "return from the test when it is false"]
pub fn require_tool(tool: &str) -> bool {
    require(find_tool(tool), &format!("needs the tool {tool}"))
}

/// Any other condition: `why` completes the sentence "this test ...".
#[must_use = "return from the test when it is false"]
pub fn require(met: bool, why: &str) -> bool {
    if met {
        return true;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed test");
    let strict = std::env::var_os("GENKAN_TEST_STRICT").is_some_and(|value| value != "0");
    assert!(!strict, "SKIPPED: {test}: {why} (GENKAN_TEST_STRICT is set)");
    println!("SKIPPED: {test}: {why}");
    false
}

fn find_tool(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(|dir| Path::new(dir).to_owned()))
        .any(|dir| dir.join(tool).is_file())
}
