//! The workspace's test binaries: built once, told apart, run one by one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::{Part, tally};
use crate::program::Program;
use crate::progress::Step;
use crate::workspace;

/// Where an integration test of the userspace crate belongs, by how its name begins. The others
/// need nothing of the machine.
const PARTS: &[(&str, Part)] = &[
    ("packet", Part::Kernel),
    ("kernel_", Part::Kernel),
    ("edge_", Part::Netns),
    ("dataplane_", Part::Netns),
    ("grpc", Part::Interop),
    ("clients", Part::Interop),
    ("websocket", Part::Interop),
    ("nginx_", Part::Interop),
    ("cluster_", Part::Interop),
];

/// One test binary.
pub(super) struct Binary {
    pub(super) part: Part,
    package: String,
    target: String,
    executable: PathBuf,
    manifest: PathBuf,
}

impl Binary {
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.package, self.target)
    }

    /// Whether all of it needs root.
    pub(super) fn needs_root_only(&self) -> bool {
        matches!(self.part, Part::Kernel | Part::Netns)
    }

    /// The test run as cargo would start it.
    pub(super) fn program(&self) -> Program {
        let directory = self.manifest.parent().unwrap_or_else(|| Path::new("."));
        let test = Program::new(&self.executable.to_string_lossy())
            .directory(directory)
            .env("CARGO_MANIFEST_DIR", directory)
            .env("CARGO_PKG_NAME", &self.package)
            // Skips are told on standard output, which libtest hides when a test passes.
            .args(["--show-output"]);
        match self.part {
            Part::Unit | Part::Lint => test.limit(Duration::from_secs(600)),
            // Each of these is several programs; more at a time only wait for each other.
            Part::Kernel | Part::Netns | Part::Interop => {
                test.args(["--test-threads=2"]).limit(Duration::from_secs(900))
            }
        }
    }
}

/// Compiles all tests of the workspace, in one profile and with one set of features.
///
/// # Errors
/// Something does not compile.
pub(super) fn build() -> Result<Vec<Binary>> {
    let step = Step::begin("build all tests");
    let ended = Program::cargo()
        .args(["test", "--workspace", "--no-run", "--locked", "--message-format=json"])
        .logged(&step, "test-build")?;
    let log =
        fs::read_to_string(&ended.log).with_context(|| format!("read {}", ended.log.display()))?;
    if !ended.success {
        step.failed("");
        bail!("the tests don't build: {}\n{}", ended.how, rendered(&log));
    }
    let mut binaries: Vec<Binary> = messages(&log).filter_map(|m| binary(&m)).collect();
    if binaries.is_empty() {
        return Err(anyhow!("cargo named no test binary")).context(tally::failures(&ended.log));
    }
    binaries.sort_by_key(|binary| (binary.part, binary.label()));
    step.ok(&format!("{} binaries", binaries.len()));
    Ok(binaries)
}

fn messages(log: &str) -> impl Iterator<Item = Value> {
    log.lines()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
}

fn binary(message: &Value) -> Option<Binary> {
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let executable = message["executable"].as_str().filter(|_| is_test)?;
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let package = manifest.parent()?.file_name()?.to_str()?.to_owned();
    let target = message["target"]["name"].as_str()?.to_owned();
    let kind = message["target"]["kind"][0].as_str()?;
    let part = part(&package, &target, kind);
    Some(Binary { part, package, target, executable: executable.into(), manifest })
}

fn part(package: &str, target: &str, kind: &str) -> Part {
    if kind != "test" || package != "ingress-userspace" {
        return Part::Unit;
    }
    let named = PARTS.iter().find(|(start, _)| target.starts_with(start));
    named.map_or(Part::Unit, |(_, part)| *part)
}

/// What the compiler said, as people read it, and what cargo said beside it.
fn rendered(log: &str) -> String {
    let plain = log.lines().filter(|line| !line.starts_with('{')).map(str::to_owned);
    let errors = messages(log)
        .filter(|message| message["message"]["level"] == "error")
        .filter_map(|message| message["message"]["rendered"].as_str().map(str::to_owned));
    let text: Vec<String> = errors.chain(plain).collect();
    let log =
        workspace::own("log").map_or_else(|_| PathBuf::new(), |log| log.join("test-build.log"));
    format!("{}\n(whole log: {})", text.join("\n"), log.display())
}

#[cfg(test)]
mod tests {
    use super::{Part, part};

    #[test]
    fn the_name_of_an_integration_test_tells_its_part() {
        assert_eq!(part("ingress-userspace", "edge_rules", "test"), Part::Netns);
        assert_eq!(part("ingress-userspace", "http1", "test"), Part::Unit);
        assert_eq!(part("ingress-userspace", "packet", "test"), Part::Kernel);
        assert_eq!(part("ingress-userspace", "genkan", "lib"), Part::Unit);
        assert_eq!(part("ingress-common", "layout", "test"), Part::Unit);
    }
}
