//! One request of a host, from connect to the last byte: HTTP/1.1 or HTTP/2, plain or TLS; blocking.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::{DEADLINE, Host};

/// A request and how it travels.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    tls: Option<Tls>,
    source: Option<IpAddr>,
}

#[derive(Debug, Clone)]
struct Tls {
    config: Arc<rustls::ClientConfig>,
    server_name: ServerName<'static>,
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What the server showed; `None` without TLS.
    pub certificate: Option<CertificateDer<'static>>,
}

// === impl Request ===

impl Request {
    pub fn get(host: &str, path: &str) -> Self {
        Self::new(Method::GET, host, path)
    }

    pub fn new(method: Method, host: &str, path: &str) -> Self {
        Self {
            method,
            host: host.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            tls: None,
            source: None,
        }
    }

    pub fn post(host: &str, path: &str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get(host, path) }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Over TLS, asking for the request's host by SNI. ALPN decides between HTTP/2 and HTTP/1.1.
    #[must_use]
    pub fn tls(self, config: &Arc<rustls::ClientConfig>) -> Self {
        let server_name = ServerName::try_from(self.host.clone()).unwrap();
        self.tls_as(config, server_name)
    }

    /// Over TLS without SNI.
    #[must_use]
    pub fn tls_without_name(self, config: &Arc<rustls::ClientConfig>) -> Self {
        self.tls_as(config, IpAddr::from([192, 0, 2, 1]).into())
    }

    /// From one of the host's addresses.
    #[must_use]
    pub fn from_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Sends it from a host over a connection of its own.
    pub fn send(&self, host: &Host, to: SocketAddr) -> Result<Answer> {
        block_on(host, self.exchange(to))
    }

    /// Sends it from where the calling thread is.
    pub fn send_here(&self, to: SocketAddr) -> Result<Answer> {
        run(self.exchange(to))
    }

    async fn exchange(&self, to: SocketAddr) -> Result<Answer> {
        let stream = self.connect(to).await.with_context(|| format!("connect to {to}"))?;
        let Some(tls) = &self.tls else { return self.http1(stream).await };
        let connector = TlsConnector::from(tls.config.clone());
        let stream = connector.connect(tls.server_name.clone(), stream).await.context("TLS")?;
        let (_, session) = stream.get_ref();
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| certificate.clone().into_owned());
        let answer = if session.alpn_protocol() == Some(b"h2") {
            self.http2(stream).await
        } else {
            self.http1(stream).await
        };
        Ok(Answer { certificate, ..answer? })
    }

    async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        Ok(socket.connect(to).await?)
    }

    async fn http1<S>(&self, stream: S) -> Result<Answer>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::spawn(connection);
        let request = self.head(&self.path).header(http::header::HOST, &self.host);
        let answer = sender.send_request(request.body(Full::new(self.body.clone()))?).await?;
        Answer::read(answer).await
    }

    async fn http2<S>(&self, stream: S) -> Result<Answer>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (executor, io) = (TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await?;
        tokio::spawn(connection);
        let request = self.head(&format!("https://{}{}", self.host, self.path));
        let answer = sender.send_request(request.body(Full::new(self.body.clone()))?).await?;
        Answer::read(answer).await
    }

    fn head(&self, uri: &str) -> http::request::Builder {
        let head = http::Request::builder().method(self.method.clone()).uri(uri);
        self.headers.iter().fold(head, |head, (name, value)| head.header(name, value))
    }

    fn tls_as(
        mut self,
        config: &Arc<rustls::ClientConfig>,
        server_name: ServerName<'static>,
    ) -> Self {
        self.tls = Some(Tls { config: config.clone(), server_name });
        self
    }
}

// === impl Answer ===

impl Answer {
    /// The pod that answered; empty when the answer is the proxy's own.
    pub fn pod(&self) -> &str {
        self.header("x-pod").unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The echo of a pod.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The path that the pod saw.
    pub fn upstream_path(&self) -> String {
        self.json()["path"].as_str().unwrap().to_owned()
    }

    /// A request header field as the pod saw it. Panics unless it arrived exactly once.
    pub fn upstream_header(&self, name: &str) -> String {
        let json = self.json();
        let values = json["headers"][name].as_array().cloned().unwrap_or_default();
        assert_eq!(values.len(), 1, "{name}: {json}");
        values[0].as_str().unwrap().to_owned()
    }

    async fn read(answer: http::Response<hyper::body::Incoming>) -> Result<Self> {
        let (head, body) = answer.into_parts();
        Ok(Self {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: body.collect().await.context("read the body")?.to_bytes(),
            certificate: None,
        })
    }
}

/// A TLS client that takes any certificate, to see which one is shown.
pub fn any_certificate(alpn: &[&str]) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    // A resumed session has the certificate of the first handshake.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Runs a future on a runtime of its own inside a host; fails when it takes too long.
pub(super) fn block_on<T: Send>(
    host: &Host,
    future: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    host.run(|| run(future))
}

fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(DEADLINE, future).await })?
}

#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

// === impl Anyone ===

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
