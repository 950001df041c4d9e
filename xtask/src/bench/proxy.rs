//! One request path: wrk through Genkan and through nginx, to the same backend, round by round.
//!
//! Both have one worker, keep their connections to the backend, add the same request fields and
//! write an access log. The rounds alternate, so that a slow minute of the machine hits both. The
//! verdict is the ratio of each round, never a number of one machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::network::{BACKEND, EDGE, Network, Server, UPLINK, VIP};
use super::spread::Spread;
use crate::program::{self, Program};
use crate::progress::Step;
use crate::workspace;

const ROUNDS: usize = 5;
const SECONDS: u64 = 3;
const CONNECTIONS: &str = "-c64";
const HOST: &str = "bench.example.com";
const NGINX_PORT: u16 = 8081;
const BACKEND_PORT: u16 = 8080;
const BODY: usize = 1024;
const START: Duration = Duration::from_secs(20);

/// What one round of one proxy gave.
#[derive(Clone, Copy)]
struct Round {
    per_second: f64,
    /// Processor time of the proxy for one request, in microseconds.
    cpu: f64,
}

/// Text with one line for each measure.
pub(super) fn run() -> Result<String> {
    if !program::is_root() {
        bail!("the proxy benchmark makes network namespaces: run it as root");
    }
    let genkan = build()?;
    let step = Step::begin("bench proxy");
    let files = workspace::own("bench")?;
    write_files(&files)?;
    let network = Network::create()?;
    let at = |name: &str| files.join(name).display().to_string();
    let nginx = |name: &str| -> Result<Server> {
        let (config, prefix) = (at(&format!("{name}.conf")), at(""));
        network.serve(
            name,
            &["nginx", "-p", &prefix, "-c", &config],
            files.join(format!("{name}.log")),
        )
    };
    let _backend = nginx("backend")?;
    let mut ours = Proxy {
        url: format!("http://{VIP}/"),
        server: network.serve(
            "genkan",
            &[
                &genkan,
                "run",
                "--config",
                &at("genkan.yaml"),
                "--manifests",
                &at("manifests"),
                "--runtime-dir",
                &at("run"),
            ],
            files.join("genkan.log"),
        )?,
    };
    let mut theirs = Proxy { url: format!("http://{EDGE}:{NGINX_PORT}/"), server: nginx("nginx")? };
    for proxy in [&mut ours, &mut theirs] {
        proxy.warm(&network)?;
    }
    let ticks = ticks_per_second()?;
    let (mut our_rounds, mut their_rounds) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        step.note(&format!("round {} of {ROUNDS}", round + 1));
        our_rounds.push(ours.round(&network, ticks)?);
        their_rounds.push(theirs.round(&network, ticks)?);
    }
    step.ok("");
    text(&our_rounds, &their_rounds)
}

// === impl Round ===

impl Round {
    fn per_second(&self) -> f64 {
        self.per_second
    }

    fn cpu(&self) -> f64 {
        self.cpu
    }
}

struct Proxy {
    url: String,
    server: Server,
}

// === impl Proxy ===

impl Proxy {
    /// Until it answers 200, so that the rounds measure neither start nor errors.
    fn warm(&mut self, network: &Network) -> Result<()> {
        let started = Instant::now();
        while self.wrk(network, "-d1s").is_err() {
            self.server.ticks()?;
            if started.elapsed() > START {
                bail!("{} does not answer\n{}", self.url, program::tail(&self.server.log));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn round(&mut self, network: &Network, ticks: f64) -> Result<Round> {
        let before = self.server.ticks()?;
        let (requests, per_second) = self.wrk(network, &format!("-d{SECONDS}s"))?;
        let used = self.server.ticks()? - before;
        Ok(Round { per_second, cpu: used as f64 / ticks * 1e6 / requests })
    }

    /// Requests in all and per second. Any failed request is an error.
    fn wrk(&self, network: &Network, duration: &str) -> Result<(f64, f64)> {
        let host = format!("Host: {HOST}");
        let said = network
            .client("wrk")
            .args(["-t1", CONNECTIONS, duration, "-H", &host, &self.url])
            .output()?;
        if let Some(bad) =
            said.lines().find(|l| l.contains("Socket errors") || l.contains("Non-2xx"))
        {
            bail!("{}: {}", self.url, bad.trim());
        }
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
        let per_second = number(said.split("Requests/sec:").nth(1).and_then(|t| t.lines().next()));
        let requests = said.lines().find_map(|line| line.split_once(" requests in ")?.0.into());
        per_second
            .zip(number(requests))
            .filter(|(_, requests)| *requests > 0.0)
            .map(|(per_second, requests)| (requests, per_second))
            .with_context(|| format!("wrk answered no request: {said}"))
    }
}

fn build() -> Result<String> {
    let step = Step::begin("build genkan for release");
    Program::cargo()
        .args([
            "build",
            "--release",
            "--package",
            "ingress-userspace",
            "--bin",
            "genkan",
            "--locked",
        ])
        .checked(&step, "bench-build")?;
    step.ok("");
    Ok(workspace::target().join("release/genkan").display().to_string())
}

fn ticks_per_second() -> Result<f64> {
    let said = Program::new("getconf").args(["CLK_TCK"]).output()?;
    said.trim().parse().context("getconf CLK_TCK")
}

fn text(ours: &[Round], theirs: &[Round]) -> Result<String> {
    let mut lines = vec![
        format!(
            "proxy: wrk {CONNECTIONS}, {BODY}-byte answers, one worker each, {ROUNDS} rounds of \
             {SECONDS} s, through the VIP with XDP"
        ),
        format!("{:<34}{:>30}", "", "min - median - max"),
    ];
    let measures = [
        ("requests/s", Round::per_second as fn(&Round) -> f64),
        ("proxy CPU us/request", Round::cpu),
    ];
    for (name, of) in measures {
        let spread = |rounds: Vec<f64>| Spread::of(rounds).context("no rounds");
        let ratios = ours.iter().zip(theirs).map(|(a, b)| of(a) / of(b)).collect();
        for (who, rounds) in [("genkan", ours), ("nginx", theirs)] {
            let spread = spread(rounds.iter().map(of).collect())?;
            lines.push(format!("{:<34}{:>30}", format!("{name}, {who}"), spread.to_string()));
        }
        let ratio = spread(ratios)?;
        lines.push(format!("{:<34}{:>30}", format!("{name}, genkan / nginx"), ratio.to_string()));
    }
    Ok(lines.join("\n"))
}

fn write_files(files: &Path) -> Result<()> {
    let manifests = files.join("manifests");
    fs::create_dir_all(&manifests).context("create the benchmark's manifests")?;
    let write = |path: PathBuf, text: String| {
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write(files.join("genkan.yaml"), genkan_config())?;
    write(manifests.join("bench.yaml"), objects())?;
    let backend = format!(
        "server {{ listen {BACKEND}:{BACKEND_PORT}; access_log off; default_type text/plain; \
         location / {{ return 200 \"{}\"; }} }}",
        "x".repeat(BODY)
    );
    write(files.join("backend.conf"), nginx_config("backend", &backend))?;
    let proxy = format!(
        "upstream backend {{ server {BACKEND}:{BACKEND_PORT}; keepalive 320; \
           keepalive_requests 10000; }}\n\
         server {{ listen {EDGE}:{NGINX_PORT}; access_log nginx-access.log combined buffer=64k; \
           server_name {HOST}; location / {{ \
           proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
           proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr; \
           proxy_set_header X-Forwarded-For $remote_addr; \
           proxy_set_header X-Forwarded-Proto $scheme; \
           proxy_set_header X-Request-ID $request_id; }} }}"
    );
    write(files.join("nginx.conf"), nginx_config("nginx", &proxy))
}

/// One process, in the foreground, that writes only beside its configuration.
fn nginx_config(name: &str, http: &str) -> String {
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\npid {name}.pid;\n\
         error_log {name}-error.log warn;\nevents {{ worker_connections 4096; }}\n\
         http {{\nclient_body_temp_path {name}-body;\nproxy_temp_path {name}-proxy;\n\
         fastcgi_temp_path {name}-fastcgi;\nuwsgi_temp_path {name}-uwsgi;\n\
         scgi_temp_path {name}-scgi;\nkeepalive_requests 1000;\n{http}\n}}\n"
    )
}

fn genkan_config() -> String {
    format!(
        "vips:\n- name: bench\n  addresses: [{VIP}]\n  interfaces: [{UPLINK}]\n\
         classes: {{serve_classless: true}}\nworkers: {{count: 1}}\n\
         endpoints: {{allow: [{BACKEND}/32]}}\n"
    )
}

fn objects() -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: bench}}\nspec:\n  \
         rules:\n  - host: {HOST}\n    http:\n      paths:\n      - path: /\n        \
         pathType: Prefix\n        backend: {{service: {{name: backend, port: {{number: 80}}}}}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: backend}}\nspec:\n  \
         ports: [{{port: 80, targetPort: {BACKEND_PORT}}}]\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
         name: backend-v4\n  labels: {{kubernetes.io/service-name: backend}}\n\
         addressType: IPv4\nports: [{{port: {BACKEND_PORT}}}]\n\
         endpoints: [{{addresses: [{BACKEND}]}}]\n"
    )
}
