//! The lab with the running program, and how an act is played on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use genkan::config::read::{Overrides, parse};
use genkan::testing::ca::TestCa;
use genkan::testing::lab::{self, EdgeLab};
use genkan::testing::require_root;
use genkan::testing::story::Story;

use crate::acts::{Act, Ask};
use crate::table::Row;

mod ask;

/// Pods of the lab; the example manifests spread their Services over them.
const PODS: usize = 4;
/// After this a change of the manifests counts as not served.
const PATIENCE: Duration = Duration::from_secs(20);
/// The story's files, for a signal handler that can't reach the stage.
static FILES: OnceLock<PathBuf> = OnceLock::new();

/// The lab with the program running at its edge.
pub(crate) struct Stage {
    pub(crate) story: Story,
    pub(crate) ca: Arc<TestCa>,
    examples: PathBuf,
    /// Number of the next request: it is in its query, and so in the access log.
    next: usize,
}

/// Removes the namespaces and the files of a stage.
pub(crate) fn clear(name: &str) {
    lab::remove_named(name);
    if let Some(files) = FILES.get() {
        fs::remove_dir_all(files).ok();
    }
}

// === impl Stage ===

impl Stage {
    pub(crate) fn set(name: &str, keep: bool) -> Result<Self> {
        if !require_root() {
            bail!("network namespaces and BPF need root");
        }
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
        let examples = std::env::var_os("GENKAN_EXAMPLES").map_or(examples, PathBuf::from);
        println!("== lab: client - router - edge - {PODS} pods");
        let mut story = Story::named(name, program()?, PODS);
        FILES.set(story.config_file().parent().unwrap_or_else(|| Path::new("/")).to_owned()).ok();
        let path = examples.join("genkan.yaml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let config = parse(&text, &path, &Overrides::default())
            .map_err(|errors| anyhow!("{}: {errors:?}", path.display()))?;
        story.configure(|current| *current = config);
        println!("== genkan run at the edge");
        story.start();
        let xdp = story.xdp(EdgeLab::UPLINK).context("no XDP program on the uplink")?;
        let mode = if xdp.native { "native" } else { "generic" };
        println!("   XDP {mode} on {}: {}", EdgeLab::UPLINK, xdp.program);
        let stage = Self { story, ca: Arc::new(TestCa::new()), examples, next: 0 };
        if keep {
            fs::write(stage.ca_file(), stage.ca.pem()).context("write the demo's CA")?;
        }
        Ok(stage)
    }

    /// The certificate authority of the demo's Secrets, for curl's `--cacert`.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.story.config_file().with_file_name("ca.pem")
    }

    /// Serves the act's manifests instead of those before and makes its requests.
    pub(crate) fn play(&mut self, act: &Act) -> Result<Vec<Row>> {
        self.replace_manifests(act)?;
        let mut rows = self.ask_all(&act.asks);
        if let Some((file, edit)) = act.edit {
            self.edit(act, file, edit)?;
            rows.extend(self.ask_all(&act.asks_after_edit));
        }
        Ok(rows)
    }

    fn replace_manifests(&self, act: &Act) -> Result<()> {
        let manifests = &self.story.manifests;
        for entry in fs::read_dir(manifests.directory())?.flatten() {
            manifests.remove(&entry.file_name().to_string_lossy());
        }
        for (name, host) in act.secrets {
            let secret = self.ca.issue(&[host]).secret_yaml("default", name);
            manifests.write(&format!("{name}.yaml"), &secret);
        }
        let directory = self.examples.join(act.manifests);
        let listed = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
        for entry in listed.flatten() {
            let text = fs::read_to_string(entry.path())?;
            manifests.write(&entry.file_name().to_string_lossy(), &text);
        }
        Ok(())
    }

    /// Puts another `spec` into a served file.
    fn edit(&self, act: &Act, file: &str, edit: &str) -> Result<()> {
        println!("   edit: the spec of {edit} goes into {file}");
        let text = fs::read_to_string(self.examples.join(act.manifests).join(file))?;
        let spec = fs::read_to_string(self.examples.join(edit))?;
        let (head, _) =
            text.split_once("\nspec:").with_context(|| format!("{file} has no spec"))?;
        self.story.manifests.write(file, &format!("{head}\n{spec}"));
        Ok(())
    }

    /// The first request is repeated until the new manifests are served.
    fn ask_all(&mut self, asks: &[Ask]) -> Vec<Row> {
        let started = Instant::now();
        let mut rows = Vec::new();
        for (index, ask) in asks.iter().enumerate() {
            let mut row = self.ask(ask);
            while index == 0 && row.wrong.is_some() && started.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
                row = self.ask(ask);
            }
            println!("   {row}");
            if index == 0 {
                println!("   (served {} ms after the change)", started.elapsed().as_millis());
            }
            rows.push(row);
        }
        rows
    }
}

/// `genkan`, built beside this program.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.parent().and_then(Path::parent).map(|target| target.join("genkan"));
    beside.filter(|path| path.is_file()).context("`genkan` is not built; use `cargo xtask demo`")
}
