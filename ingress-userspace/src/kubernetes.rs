//! The way to the API server: whose word is taken for where it is and who we are, and the client.
//!
//! TLS by rustls. Tokens and certificates in files are read again by the client; a kubeconfig is
//! read again when the API server does not know us any more.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::Mutex;
use tower::{BoxError, ServiceBuilder};

/// Who says where the API server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A file as `kubectl` reads it, with its current context.
    Kubeconfig(PathBuf),
    /// The service account of this pod.
    InCluster,
}

/// The client that all watches share.
pub struct Link {
    access: Access,
    /// URL of the API server.
    server: String,
    current: Mutex<Made>,
}

struct Made {
    client: Client,
    at: Instant,
}

const CONNECT: Duration = Duration::from_secs(5);
/// A connection whose other end is gone without a word, as behind a failed load balancer, is known
/// within this and three times a third of it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Between two readings of the access.
const RENEWAL: Duration = Duration::from_secs(10);
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

// === impl Access ===

impl Access {
    /// Whether this process runs in a pod with a service account.
    pub fn is_in_cluster() -> bool {
        std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(TOKEN).exists()
    }

    /// Reads what the access is made of. Nothing is connected yet. To be called on the runtime that
    /// will use the client.
    ///
    /// # Errors
    ///
    /// What is missing or unreadable.
    pub async fn connect(self) -> anyhow::Result<Link> {
        let (client, server) = self.read().await?;
        let current = Mutex::new(Made { client, at: Instant::now() });
        Ok(Link { access: self, server, current })
    }

    async fn read(&self) -> anyhow::Result<(Client, String)> {
        let config = match self {
            Self::Kubeconfig(path) => {
                let file = Kubeconfig::read_from(path)?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
            }
            Self::InCluster => Config::incluster()?,
        };
        if let Some(proxy) = &config.proxy_url {
            anyhow::bail!("proxy-url {proxy}: a proxy to the API server is not supported");
        }
        let server = config.cluster_url.to_string();
        Ok((client(config)?, server))
    }
}

// === impl Link ===

impl Link {
    pub fn server(&self) -> &str {
        &self.server
    }

    pub async fn client(&self) -> Client {
        self.current.lock().await.client.clone()
    }

    /// The API server does not know us: what the access is made of may be another by now. Many
    /// watches ask at a time; it is read once.
    pub async fn renew(&self) {
        let mut current = self.current.lock().await;
        if current.at.elapsed() < RENEWAL {
            return;
        }
        current.at = Instant::now();
        match self.access.read().await {
            Ok((client, _)) => current.client = client,
            Err(error) => {
                tracing::warn!("the access to the API server is not read again: {error:#}")
            }
        }
    }
}

/// kube's own stack logs each failed request as an error and repeats some by itself; here the
/// watches decide both.
fn client(config: Config) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector.set_keepalive_interval(Some(KEEP_ALIVE / 3));
    connector.set_keepalive_retries(Some(3));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build(connector));
    Ok(Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        let error = Access::Kubeconfig(path).connect().await.err().expect("refused");
        format!("{error:#}")
    }

    #[tokio::test]
    async fn unusable_kubeconfig_is_refused_with_its_reason() {
        let missing = Access::Kubeconfig("/nonexistent/config".into()).connect().await;
        let error = format!("{:#}", missing.err().expect("refused"));
        assert!(error.contains("/nonexistent/config"), "{error}");
        let error = refused("apiVersion: v1\nkind: Config\n").await;
        assert!(error.contains("context"), "{error}");
        let proxied = "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
            contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n\
            clusters: [{name: a, cluster: {server: 'https://192.0.2.1', \
            proxy-url: 'http://192.0.2.2:3128'}}]\n";
        let error = refused(proxied).await;
        assert!(error.contains("proxy-url"), "{error}");
    }
}
