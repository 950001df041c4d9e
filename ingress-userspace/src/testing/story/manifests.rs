//! The manifests directory of a story, and the documents that stories need again and again.
//!
//! Files are replaced by rename, as an operator's tool does it: a reader never meets half a file.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Story;

/// The directory that `genkan run --manifests` watches.
#[derive(Debug)]
pub struct Manifests {
    directory: PathBuf,
    staging: PathBuf,
}

/// An Ingress of API version networking.k8s.io/v1.
#[derive(Debug, Clone, Default)]
pub struct Ingress {
    name: String,
    annotations: Vec<(String, String)>,
    tls: Vec<(String, Vec<String>)>,
    rules: Vec<Rule>,
    default_backend: Option<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    host: Option<String>,
    path: String,
    kind: &'static str,
    service: String,
}

// === impl Manifests ===

impl Manifests {
    pub(super) fn create(parent: &Path) -> Self {
        let (directory, staging) = (parent.join("manifests"), parent.join("staging"));
        fs::create_dir(&directory).unwrap();
        fs::create_dir(&staging).unwrap();
        Self { directory, staging }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes or replaces a file.
    pub fn write(&self, file: &str, text: &str) {
        let staged = self.staging.join("new");
        fs::write(&staged, text).unwrap();
        fs::rename(staged, self.directory.join(file)).unwrap();
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.directory.join(file)).unwrap();
    }

    /// Replaces the directory's content as the kubelet updates a ConfigMap volume: a new directory,
    /// a symlink `..data` swapped to it, and a stable symlink for each file.
    pub fn swap_volume(&self, version: &str, files: &[(&str, &str)]) {
        let content = self.directory.join(format!("..{version}"));
        fs::create_dir(&content).unwrap();
        for (file, text) in files {
            fs::write(content.join(file), text).unwrap();
        }
        let staged = self.staging.join("data");
        std::os::unix::fs::symlink(format!("..{version}"), &staged).unwrap();
        let data = self.directory.join("..data");
        let old = fs::read_link(&data).ok();
        fs::rename(staged, &data).unwrap();
        for (file, _) in files {
            let link = self.directory.join(file);
            if fs::symlink_metadata(&link).is_err() {
                std::os::unix::fs::symlink(Path::new("..data").join(file), link).unwrap();
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(self.directory.join(old)).unwrap();
        }
    }
}

// === impl Ingress ===

impl Ingress {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A rule with a `Prefix` path.
    #[must_use]
    pub fn rule(self, host: &str, path: &str, service: &str) -> Self {
        self.path(Some(host), path, "Prefix", service)
    }

    #[must_use]
    pub fn path(
        mut self,
        host: Option<&str>,
        path: &str,
        kind: &'static str,
        service: &str,
    ) -> Self {
        let host = host.map(str::to_owned);
        self.rules.push(Rule { host, path: path.to_owned(), kind, service: service.to_owned() });
        self
    }

    #[must_use]
    pub fn tls(mut self, secret: &str, hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        self.tls.push((secret.to_owned(), hosts));
        self
    }

    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn default_backend(mut self, service: &str) -> Self {
        self.default_backend = Some(service.to_owned());
        self
    }

    pub fn yaml(&self) -> String {
        let mut text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {}\n",
            self.name
        );
        if !self.annotations.is_empty() {
            text.push_str("  annotations:\n");
        }
        for (name, value) in &self.annotations {
            text.push_str(&format!("    {name}: {value:?}\n"));
        }
        text.push_str("spec:\n");
        if let Some(service) = &self.default_backend {
            text.push_str(&format!("  defaultBackend: {}\n", backend(service)));
        }
        if !self.tls.is_empty() {
            text.push_str("  tls:\n");
        }
        for (secret, hosts) in &self.tls {
            text.push_str(&format!("  - secretName: {secret}\n    hosts: {hosts:?}\n"));
        }
        if !self.rules.is_empty() {
            text.push_str("  rules:\n");
        }
        for rule in &self.rules {
            text.push_str(&rule.yaml());
        }
        text
    }
}

// === impl Rule ===

impl Rule {
    fn yaml(&self) -> String {
        let host =
            self.host.as_ref().map_or_else(String::new, |host| format!("host: {host:?}\n    "));
        format!(
            "  - {host}http:\n      paths:\n      - path: {:?}\n        pathType: {}\n        \
             backend: {}\n",
            self.path,
            self.kind,
            backend(&self.service)
        )
    }
}

/// A Service with port 80 (`http`) and no selector.
pub fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - name: http\n\
         \x20   port: 80\n    targetPort: {}\n",
        Story::POD_PORT
    )
}

/// An EndpointSlice of one family with ready endpoints.
pub fn slice(service: &str, family: &str, addresses: &[IpAddr]) -> String {
    let mut text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service}-{}\n  \
         labels:\n    kubernetes.io/service-name: {service}\naddressType: {family}\nports:\n\
         - name: http\n  port: {}\n  protocol: TCP\n",
        family.to_lowercase(),
        Story::POD_PORT
    );
    if addresses.is_empty() {
        text.push_str("endpoints: []\n");
        return text;
    }
    text.push_str("endpoints:\n");
    for address in addresses {
        text.push_str(&format!("- addresses: [\"{address}\"]\n  conditions:\n    ready: true\n"));
    }
    text
}

fn backend(service: &str) -> String {
    format!("{{service: {{name: {service}, port: {{number: 80}}}}}}")
}
