//! TLS towards the clients.
//!
//! One [`Acceptor`] for the process, used by all workers: it holds the ticket keys, so that a
//! session of one worker is resumed by any other. Which certificate is shown is looked up in the
//! newest snapshot for each handshake (T16); running connections keep what they have.

mod alert;
mod handshake;
mod resolver;
mod self_signed;
mod server;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use self::resolver::Resolver;
use crate::routing::{Snapshot, host};
pub use handshake::{Handshake, Version};

/// Ends TLS. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Handshaken<T> {
    pub stream: TlsStream<T>,
    pub protocol: Protocol,
    /// Server name, lower case; absent also for an address or a malformed name (T4).
    pub sni: Option<Arc<str>>,
    pub handshake: Handshake,
}

/// What ALPN has agreed on; HTTP/1.1 without ALPN (T15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("no certificate for the server name, and tls.strict_sni is set")]
    UnknownName,
    #[error("TLS handshake failed: {0}")]
    Failed(#[source] io::Error),
}

/// The process cannot serve TLS at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("TLS configuration not possible: {0}")]
    Config(#[from] rustls::Error),
    #[error("self-signed certificate not possible: {0}")]
    SelfSigned(#[from] rcgen::Error),
}

// === impl Acceptor ===

impl Acceptor {
    /// Reads certificates from the snapshots published at `head`. Generates the certificate that
    /// is shown while there is no other.
    pub fn new(head: Arc<ArcSwap<Snapshot>>) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver = Arc::new(Resolver::new(head, self_signed::certificate()?));
        let config = server::config(provider, resolver.clone())?;
        Ok(Self { config: Arc::new(config), resolver })
    }

    /// `strict`: unknown and missing server names end with alert 112 (T5). The caller limits the
    /// time.
    pub async fn accept<T>(&self, stream: T, strict: bool) -> Result<Handshaken<T>, HandshakeError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = if strict {
            self.accept_known(stream).await?
        } else {
            TlsAcceptor::from(self.config.clone()).accept(stream).await
        };
        accepted.map(Handshaken::new).map_err(HandshakeError::Failed)
    }

    async fn accept_known<T>(&self, stream: T) -> Result<io::Result<TlsStream<T>>, HandshakeError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let mut start = match hello.await {
            Ok(start) => start,
            Err(error) => return Ok(Err(error)),
        };
        if !self.resolver.knows(start.client_hello().server_name()) {
            alert::unrecognized_name(&mut start.io).await;
            return Err(HandshakeError::UnknownName);
        }
        Ok(start.into_stream(self.config.clone()).await)
    }
}

// === impl Handshaken ===

impl<T> Handshaken<T> {
    fn new(stream: TlsStream<T>) -> Self {
        let (_, session) = stream.get_ref();
        let protocol = match session.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let mut lower_case = String::new();
        let sni = session
            .server_name()
            .and_then(|name| host::server_name(name, &mut lower_case))
            .map(Arc::from);
        let handshake = Handshake::of(session, protocol);
        Self { stream, protocol, sni, handshake }
    }
}
