//! The data side in this process: real workers on loopback sockets, routes from manifests.
//!
//! What is between the control side and the clients is all real: model, compiler, published
//! snapshots, TLS, HTTP, pools. Steering is not: each worker has listeners of its own, so a test can
//! say which worker it talks to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, PortProtocol};
use crate::filter;
use crate::model::{self, Change, Kind, Origin, Problem};
use crate::net::listen::listen_direct;
use crate::net::load::LoadBoard;
use crate::proxy::counters::Counters;
use crate::proxy::worker::{WorkerHandle, WorkerParts, spawn};
use crate::proxy::{Settings, access_log::AccessLog};
use crate::routing::{self, Compiler, fixture};
use crate::snapshot::Publisher;
use crate::tls;
use crate::upstream::ClientTls;

use super::backend::Backend;

/// Running workers and the control over what they serve.
pub struct Edge {
    workers: Vec<Worker>,
    publisher: Publisher,
    settings: Arc<ArcSwap<Settings>>,
    compiler: Mutex<Compiler>,
    decode: model::decode::Settings,
}

/// How an [`Edge`] is started.
pub struct EdgeBuilder {
    config: Config,
    workers: usize,
    upstream_roots: rustls::RootCertStore,
    access_log: Option<AccessLog>,
}

struct Worker {
    handle: WorkerHandle,
    http: SocketAddr,
    https: SocketAddr,
}

// === impl EdgeBuilder ===

impl EdgeBuilder {
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Who signs the certificates of verified HTTPS endpoints.
    #[must_use]
    pub fn upstream_roots(mut self, roots: rustls::RootCertStore) -> Self {
        self.upstream_roots = roots;
        self
    }

    #[must_use]
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.access_log = Some(log);
        self
    }

    pub fn start(self) -> Edge {
        let publisher = Publisher::new(self.workers);
        let listen = || listen_direct("127.0.0.1:0".parse().unwrap()).unwrap();
        let listeners: Vec<_> = (0..self.workers).map(|_| (listen(), listen())).collect();
        let mut settings = Settings::from(&self.config);
        // As on a VIP whose HTTPS is where clients look for it.
        settings.https_ports.insert(Ipv4Addr::LOCALHOST.into(), 443);
        for (http, https) in &listeners {
            settings.ports.insert(http.local_addr().unwrap(), PortProtocol::Http);
            settings.ports.insert(https.local_addr().unwrap(), PortProtocol::Https);
        }
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let tls = tls::Acceptor::new(publisher.head()).unwrap();
        let upstream_tls = Arc::new(ClientTls::new(self.upstream_roots));
        let opened = CancellationToken::new();
        opened.cancel();
        let (board, filters) = (LoadBoard::heap(self.workers), filter::Shared::default());
        let start = |(index, (http, https)): (usize, (std::net::TcpListener, _))| {
            let https: std::net::TcpListener = https;
            let (plain, encrypted) = (http.local_addr().unwrap(), https.local_addr().unwrap());
            let parts = WorkerParts {
                index,
                cpu: None,
                listeners: vec![http, https],
                opened: opened.clone(),
                settings: settings.clone(),
                snapshots: publisher.subscribe(index),
                load: board.slot(index),
                counters: Arc::default(),
                tls: tls.clone(),
                upstream_tls: upstream_tls.clone(),
                access_log: self.access_log.clone(),
                filters: filters.clone(),
            };
            Worker { handle: spawn(parts).unwrap(), http: plain, https: encrypted }
        };
        let workers = listeners.into_iter().enumerate().map(start).collect();
        let decode = model::decode::Settings::from(&self.config);
        let mut config = self.config;
        // The fake upstreams listen on loopback, which E9 refuses.
        config.endpoints.allow.push("127.0.0.0/8".parse::<IpNet>().unwrap());
        let compiler = Mutex::new(Compiler::new(routing::Settings::from(&config)));
        Edge { workers, publisher, settings, compiler, decode }
    }
}

// === impl Edge ===

impl Edge {
    /// One worker, class-less Ingresses served.
    pub fn builder() -> EdgeBuilder {
        let mut config = Config::default();
        config.classes.serve_classless = true;
        EdgeBuilder {
            config,
            workers: 1,
            upstream_roots: rustls::RootCertStore::empty(),
            access_log: None,
        }
    }

    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn http(&self) -> SocketAddr {
        self.workers[0].http
    }

    pub fn https(&self) -> SocketAddr {
        self.workers[0].https
    }

    /// The HTTP address of one worker.
    pub fn http_of(&self, worker: usize) -> SocketAddr {
        self.workers[worker].http
    }

    /// The HTTPS address of one worker.
    pub fn https_of(&self, worker: usize) -> SocketAddr {
        self.workers[worker].https
    }

    pub fn worker(&self, index: usize) -> &WorkerHandle {
        &self.workers[index].handle
    }

    pub fn counters(&self) -> &Counters {
        self.workers[0].handle.counters()
    }

    /// Adds or replaces the objects of YAML documents. Panics when one of them has a problem.
    pub fn apply(&self, yaml: &str) -> &Self {
        let (change, problems) = self.read(yaml);
        assert!(problems.is_empty(), "{problems:?}");
        self.publish(change);
        self
    }

    /// Adds or replaces the objects of YAML documents, as far as they can be served. Returns what is
    /// wrong with each of them and with what they say together.
    pub fn apply_anyway(&self, yaml: &str) -> Vec<Problem> {
        let (change, mut problems) = self.read(yaml);
        problems.extend(self.publish(change));
        problems
    }

    fn read(&self, yaml: &str) -> (Change, Vec<Problem>) {
        let origin = Origin::Cluster;
        let (mut change, mut problems) = (Change::default(), Vec::new());
        for document in serde_saphyr::from_multiple::<serde_json::Value>(yaml).unwrap() {
            for decoded in model::decode::decode(&document, &origin, &self.decode) {
                problems.extend(decoded.problems);
                change.upserts.extend(decoded.objects);
            }
        }
        (change, problems)
    }

    /// Removes an object of the namespace `default`, or `namespace/name`.
    pub fn remove(&self, kind: Kind, name: &str) -> &Self {
        self.publish(fixture::removals([(kind, name)]));
        self
    }

    /// Service `name` with port 80 and these endpoints. `protocol`: `appProtocol`, such as
    /// `kubernetes.io/h2c`.
    pub fn service(&self, name: &str, protocol: Option<&str>, endpoints: &[SocketAddr]) -> &Self {
        let app = protocol.map_or_else(String::new, |p| format!(", appProtocol: {p}"));
        let mut yaml = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{ports: [{{port: 80{app}}}]}}\n"
        );
        // A port for each endpoint: the fake upstreams share an address.
        for (number, endpoint) in endpoints.iter().enumerate() {
            yaml.push_str(&format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{name: {name}-{number}, namespace: default, \
                 labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n\
                 ports: [{{port: {}}}]\nendpoints: [{{addresses: [\"{}\"]}}]\n",
                endpoint.port(),
                endpoint.ip()
            ));
        }
        self.apply(&yaml)
    }

    /// A Service for each fake upstream, and an Ingress that sends all paths of `host` to the first
    /// one.
    pub fn route(&self, host: &str, backend: &Backend) -> &Self {
        self.service(backend.pod(), None, &[backend.address()]);
        self.ingress(host, backend.pod(), "")
    }

    /// Sends all paths of `host` to port 80 of a Service; `spec`: more lines of the spec in flow
    /// style, such as `tls: [...]`.
    pub fn ingress(&self, host: &str, service: &str, spec: &str) -> &Self {
        self.apply(&format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\n\
             metadata: {{name: \"{}\", namespace: default}}\nspec:\n  rules:\n  - host: \"{host}\"\n\
             \x20   http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: \
             {{name: {service}, port: {{number: 80}}}}}}}}]}}\n  {spec}\n",
            host.replace('*', "any")
        ))
    }

    /// Changes what is read live from the configuration.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) -> &Self {
        let mut settings = Settings::clone(&self.settings.load());
        change(&mut settings);
        self.settings.store(Arc::new(settings));
        self
    }

    /// The problems that the change raised.
    fn publish(&self, change: Change) -> Vec<Problem> {
        // Certificates of the test CA are valid from 1975 on.
        let now = 1_800_000_000;
        let compiled = self.compiler.lock().unwrap().apply(change, now);
        self.publisher.publish(compiled.snapshot);
        compiled.problems
    }
}
