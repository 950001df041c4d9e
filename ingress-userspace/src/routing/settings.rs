//! What the compiler takes from the configuration.

use std::sync::Arc;

use http::HeaderName;

use super::cluster::Balance;
use super::endpoint_rules::{EndpointRules, Node};
use crate::config::{BalanceConfig, Compat, Config};

/// Changed as a whole by [`Compiler::set_settings`](super::Compiler::set_settings).
#[derive(Debug, Clone)]
pub struct Settings {
    /// ingress-nginx's behaviour where Ingress leaves it open (`deploy/docs/rules.md`: "in compat mode").
    pub compat: Compat,
    /// Classes that are ours by the legacy annotation, without an IngressClass (K2).
    pub class_names: Vec<Arc<str>>,
    /// `spec.controller` of the IngressClasses that are ours (K1).
    pub controller: Arc<str>,
    /// Serve Ingresses without a class (K5).
    pub serve_classless: bool,
    /// Namespace and name of the Secret shown when no host has its own.
    pub default_certificate: Option<(Arc<str>, Arc<str>)>,
    /// Redirect plain HTTP of hosts with TLS (T11).
    pub https_redirect: bool,
    /// `Strict-Transport-Security` on HTTPS answers (T13).
    pub hsts: Option<Arc<str>>,
    /// Verify the certificates of HTTPS upstreams (D23).
    pub verify_upstream: bool,
    pub balance: Balance,
    /// Seconds for which the certificate of a deleted Secret is still shown (T9).
    pub deleted_secret_grace: i64,
    pub endpoints: EndpointRules,
    /// What the ConfigMaps of `custom-headers` may hold.
    pub custom_headers: Vec<HeaderName>,
}

/// T13: what ingress-nginx sends.
const HSTS: &str = "max-age=31536000; includeSubDomains";

// === impl Settings ===

impl Settings {
    pub fn new(config: &Config, node: Node) -> Self {
        let nginx = config.compat == Compat::Nginx;
        let secret = config.tls.default_certificate.as_deref();
        let names = config.headers.allowed_custom.iter();
        let custom_headers = names.map(|name| HeaderName::from_bytes(name.as_bytes()));
        Self {
            compat: config.compat,
            class_names: config.classes.names.iter().map(|name| name.as_str().into()).collect(),
            controller: config.classes.controller.as_str().into(),
            serve_classless: config.classes.serve_classless,
            default_certificate: secret
                .and_then(|name| name.split_once('/'))
                .map(|(namespace, name)| (namespace.into(), name.into())),
            https_redirect: config.tls.https_redirect.unwrap_or(true),
            hsts: config.tls.hsts.unwrap_or(nginx).then(|| HSTS.into()),
            verify_upstream: config.tls.verify_upstream.unwrap_or(!nginx),
            balance: match config.balance {
                BalanceConfig::RoundRobin => Balance::RoundRobin,
                BalanceConfig::LeastRequest => Balance::LeastRequest,
            },
            deleted_secret_grace: 3600,
            endpoints: EndpointRules::new(config, node),
            custom_headers: custom_headers.filter_map(Result::ok).collect(),
        }
    }

    pub fn is_nginx(&self) -> bool {
        self.compat == Compat::Nginx
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&Config::default())
    }
}

impl From<&Config> for Settings {
    /// Without what only the host knows.
    fn from(config: &Config) -> Self {
        Self::new(config, Node::default())
    }
}
