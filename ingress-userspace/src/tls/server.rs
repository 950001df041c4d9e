//! What we agree to with a client.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};

/// In order of preference (T15).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Sessions kept for TLS 1.2 clients that do not know tickets.
const SESSIONS: usize = 4096;

/// TLS 1.2 and 1.3, no early data (T14). The ticket keys live in the configuration and rotate.
pub(super) fn config(
    provider: Arc<CryptoProvider>,
    resolver: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = Ticketer::new()?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.max_early_data_size = 0;
    Ok(config)
}
