//! TLS towards endpoints.
//!
//! Two names and two trusts. With verification (D23, native default) the endpoint has to show a
//! certificate for `<service>.<namespace>.svc`, signed by a root of the system, and gets that name
//! as SNI. Without (nginx's default) it is addressed by its IP, so that no SNI is sent, as nginx
//! does (`proxy_ssl_server_name off`), and any certificate is taken. The configurations are shared
//! by all workers: a session of one can be resumed by another.

mod unverified;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::unverified::Unverified;
use super::Error;
use crate::routing::Cluster;

#[derive(Debug, Clone)]
pub struct ClientTls {
    verified: Pair,
    unverified: Pair,
}

/// The same trust with and without offering HTTP/2.
#[derive(Debug, Clone)]
struct Pair {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

// === impl ClientTls ===

impl ClientTls {
    pub fn new(roots: RootCertStore) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verified = client(&provider).with_root_certificates(roots).with_no_client_auth();
        let unverified = client(&provider)
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified::new(provider)))
            .with_no_client_auth();
        Self { verified: Pair::new(verified), unverified: Pair::new(unverified) }
    }

    /// Trusts the roots of the system. Roots that cannot be read are returned as text: they are
    /// worth a warning, and an endpoint that needs them will answer 502.
    pub fn with_system_roots() -> (Self, Vec<String>) {
        let found = rustls_native_certs::load_native_certs();
        let mut problems: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(found.certs);
        if ignored > 0 {
            problems.push(format!("{ignored} system root certificates are malformed"));
        }
        (Self::new(roots), problems)
    }

    pub(super) async fn connect(
        &self,
        cluster: &Cluster,
        address: SocketAddr,
        verify: bool,
        http2: bool,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let pair = if verify { &self.verified } else { &self.unverified };
        let config = if http2 { &pair.http2 } else { &pair.http1 };
        let name = if verify {
            ServerName::try_from(format!("{}.{}.svc", cluster.service, cluster.namespace))
                .map_err(|_| Error::Tls)?
        } else {
            ServerName::IpAddress(address.ip().into())
        };
        TlsConnector::from(config.clone()).connect(name, stream).await.map_err(|_| Error::Tls)
    }
}

// === impl Pair ===

impl Pair {
    fn new(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { http1: Arc::new(config), http2: Arc::new(http2) }
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has TLS 1.2 and 1.3")
}
