//! The Go toolchain, for programs of other people that tests use.

use std::path::Path;

use crate::program::{self, Program};

/// The Go release that the go.mod files name.
const GO: (u32, u32) = (1, 26);
/// Where the archives from go.dev are unpacked by convention, often without an entry in PATH.
const USUAL: &str = "/usr/local/go/bin/go";

/// `go`, not to download another release of itself.
pub(crate) fn go() -> Program {
    let path = if program::exists("go") { "go" } else { USUAL };
    Program::new(path).env("GOTOOLCHAIN", "local")
}

/// Why the installed Go does not do, and what would; `None` when it does.
pub(crate) fn lack() -> Option<String> {
    let found = if program::exists("go") || Path::new(USUAL).is_file() {
        let version = go().args(["env", "GOVERSION"]).output().unwrap_or_default();
        let version = version.trim().trim_start_matches("go").to_owned();
        if is_new_enough(&version) {
            return None;
        }
        format!("the installed Go is {version}")
    } else {
        "there is no `go` program".to_owned()
    };
    let (major, minor) = GO;
    Some(format!(
        "{found}; Go {major}.{minor} or newer builds it (Debian's golang is too old, \
         go.dev has releases: unpack one to /usr/local/go)"
    ))
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split(['.', 'r', 'b']).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= GO,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn compares_releases_by_number() {
        assert!(is_new_enough("1.26.8"));
        assert!(is_new_enough("1.27rc1"));
        assert!(!is_new_enough("1.9.2"));
        assert!(!is_new_enough(""));
    }
}
