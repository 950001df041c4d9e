//! `genkan run`: arguments only; the work is `app`'s.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::USAGE;
use crate::config::{Config, ConfigError, Overrides, read};
use crate::source;
use crate::source::cluster::Access;

/// Of a host with one process.
pub(super) const RUNTIME_DIR: &str = "/run/genkan";

#[derive(Debug, Args)]
pub struct Arguments {
    /// Configuration file (YAML); read again when it changes.
    #[arg(long, env = "GENKAN_CONFIG", value_name = "FILE")]
    config: PathBuf,

    /// Directory of Kubernetes manifests; watched, subdirectories too. Without it and without
    /// `--kubeconfig` the service account of the pod is used.
    #[arg(long, env = "GENKAN_MANIFESTS", value_name = "DIR", conflicts_with = "kubeconfig")]
    manifests: Option<PathBuf>,

    /// Watch the cluster of this kubeconfig, in its current context, instead of manifests.
    #[arg(long, env = "GENKAN_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Serve without kernel programs: bind the VIPs in this process.
    #[arg(long, env = "GENKAN_NO_BPF")]
    no_bpf: bool,

    /// Where this process is found by its successor, by `genkan reload` and the like.
    #[arg(long, env = "GENKAN_RUNTIME_DIR", value_name = "DIR", default_value = RUNTIME_DIR)]
    runtime_dir: PathBuf,

    /// Print sampled packets and what became of them.
    #[arg(long)]
    events: bool,

    /// Proxy workers; wins over `workers.count`.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// Set a value of the configuration, such as `timeouts.drain=5s`; wins over file and
    /// environment. May be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

/// Everything that `genkan run` was asked for.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Read and checked.
    pub config: Config,
    /// For reading it again, with `overrides`.
    pub config_path: PathBuf,
    pub overrides: Overrides,
    /// Where objects are asked for.
    pub objects: source::Origin,
    pub no_bpf: bool,
    pub events: bool,
    /// Of this process's sockets.
    pub runtime_dir: PathBuf,
    /// The file that was started: what it is when a successor starts is another matter.
    pub program: PathBuf,
}

// === impl Arguments ===

impl Arguments {
    /// Reads the configuration: flags win over `environment`, that over the file.
    ///
    /// # Errors
    ///
    /// All that is wrong with the configuration.
    pub fn into_options(
        self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<RunOptions, Vec<ConfigError>> {
        let mut overrides = Overrides::from_env(environment);
        for (field, value) in &self.set {
            overrides.set("--set", field, value);
        }
        if let Some(workers) = self.workers {
            overrides.set("--workers", "workers.count", &workers.to_string());
        }
        Ok(RunOptions {
            config: read::read(&self.config, &overrides)?,
            config_path: self.config,
            overrides,
            objects: objects(self.manifests, self.kubeconfig, Access::is_in_cluster())?,
            no_bpf: self.no_bpf,
            events: self.events,
            runtime_dir: self.runtime_dir,
            program: std::env::current_exe().unwrap_or_else(|_| "genkan".into()),
        })
    }
}

/// The one place where objects are asked for.
fn objects(
    manifests: Option<PathBuf>,
    kubeconfig: Option<PathBuf>,
    is_in_cluster: bool,
) -> Result<source::Origin, Vec<ConfigError>> {
    match (manifests, kubeconfig) {
        (Some(directory), _) => Ok(source::Origin::Manifests(directory)),
        (None, Some(file)) => Ok(source::Origin::Cluster(Access::Kubeconfig(file))),
        (None, None) if is_in_cluster => Ok(source::Origin::Cluster(Access::InCluster)),
        (None, None) => Err(vec![ConfigError {
            source: read::Source::Override("--manifests or --kubeconfig".to_owned()),
            field: String::new(),
            reason: "one of them is needed: this is no pod with a service account".to_owned(),
        }]),
    }
}

/// Prints why there is no configuration.
pub(super) fn refuse(errors: &[ConfigError]) -> ExitCode {
    for error in errors {
        eprintln!("error: {error}");
    }
    ExitCode::from(USAGE)
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.is_empty() => Ok((field.to_owned(), value.to_owned())),
        Some(_) | None => Err("FIELD=VALUE is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn options(
        file: &str,
        environment: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<RunOptions, Vec<ConfigError>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("genkan.yaml");
        fs::write(&path, file).unwrap();
        let always = ["genkan", "--manifests", "m", "--config", path.to_str().unwrap()];
        let arguments = Alone::parse_from(always.iter().chain(flags)).arguments;
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        arguments.into_options(environment)
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let file = "vips: []\nworkers: {count: 1}\nlimits: {http2_streams: 1, connections: 1}\n";
        let environment = [
            ("GENKAN_WORKERS__COUNT", "2"),
            ("GENKAN_LIMITS__HTTP2_STREAMS", "2"),
            ("GENKAN_ACCESS_LOG", "off"),
            ("GENKAN_LOG", "debug"),
            ("GENKAN_TEST_STRICT", "1"),
        ];
        let read = options(file, &environment, &["--workers", "3"]).unwrap();
        assert_eq!(read.config.workers.count, Some(3));
        assert_eq!(read.config.limits.http2_streams, 2);
        assert_eq!(read.config.limits.connections, 1);
        assert_eq!(read.config.access_log.destination(), None);

        let flags = ["--workers", "3", "--set", "workers.count=4", "--set", "timeouts.drain=5s"];
        let read = options(file, &[], &flags).unwrap();
        assert_eq!(read.config.workers.count, Some(3), "the flag of its own name is the last word");
        assert_eq!(read.config.timeouts.drain.as_secs(), 5);
    }

    #[test]
    fn objects_come_from_one_place() {
        let (m, k) = (|| Some(PathBuf::from("m")), || Some(PathBuf::from("k")));
        let cluster = |access| Ok(source::Origin::Cluster(access));
        assert_eq!(objects(m(), None, true), Ok(source::Origin::Manifests("m".into())));
        assert_eq!(objects(None, k(), true), cluster(Access::Kubeconfig("k".into())));
        assert_eq!(objects(None, None, true), cluster(Access::InCluster));
        let refused = objects(None, None, false).unwrap_err();
        assert!(refused[0].to_string().starts_with("--manifests or --kubeconfig: "));
        let both = ["genkan", "--config", "c", "--manifests", "m", "--kubeconfig", "k"];
        assert!(Alone::try_parse_from(both).is_err());
    }

    #[test]
    fn a_refused_override_is_named() {
        let errors =
            options("vips: []", &[("GENKAN_LIMITS__REQUEST_LINE", "1x")], &[]).unwrap_err();
        let text = errors[0].to_string();
        assert!(text.starts_with("GENKAN_LIMITS__REQUEST_LINE: limits.request_line: "), "{text}");

        let errors = options("vips: []", &[], &["--workers", "0"]).unwrap_err();
        let text = errors[0].to_string();
        assert!(text.starts_with("--workers: workers.count: 0 workers"), "{text}");

        let errors = options("vips: []", &[], &["--set", "timeouts.drian=1s"]).unwrap_err();
        assert_eq!(
            errors[0].to_string(),
            "--set: timeouts.drian: unknown key `drian`, did you mean `drain`?"
        );
        for (name, text) in [
            (
                "GENKAN_TIMEOUT__DRAIN",
                "timeout.drain: unknown key `timeout`, did you mean `timeouts`?",
            ),
            (
                "GENKAN_TIMEOUTS__DRIAN",
                "timeouts.drian: unknown key `drian`, did you mean `drain`?",
            ),
            ("GENKAN_ACESS_LOG", "acess_log: unknown key `acess_log`, did you mean `access_log`?"),
        ] {
            let errors = options("vips: []", &[(name, "1s")], &[]).unwrap_err();
            assert_eq!(errors[0].to_string(), format!("{name}: {text}"));
        }
        let others = [("GENKAN_PORT", "tcp://10.0.0.1:80"), ("GENKAN_SERVICE_HOST", "10.0.0.1")];
        assert!(options("vips: []", &others, &[]).is_ok(), "those of a Service are not ours");
    }
}
