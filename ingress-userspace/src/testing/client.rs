//! A client for tests: one request on a connection of its own, or a connection to keep.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A request body: whole, or streamed by the test.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// An answer read to its end.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

/// Longest time for anything a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

/// A GET in origin form.
pub fn get(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header("host", host).body(full("")).unwrap()
}

/// Sends a request over HTTP/1.1 on a new connection.
pub async fn ask(address: SocketAddr, request: Request<Body>) -> Got {
    read(http1(address).await.send_request(request).await.unwrap()).await.unwrap()
}

/// Reads an answer to its end.
pub async fn read(response: Response<Incoming>) -> Result<Got, hyper::Error> {
    let (head, body) = response.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("body in time")?;
    let trailers = body.trailers().cloned();
    Ok(Got { status: head.status, headers: head.headers, body: body.to_bytes(), trailers })
}

pub async fn http1(address: SocketAddr) -> http1::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    http1_over(stream).await
}

pub async fn http1_over<T>(stream: T) -> http1::SendRequest<Body>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move {
        // The end of the connection shows in the answers.
        let _ = connection.with_upgrades().await;
    });
    sender
}

/// TLS with this server name.
pub async fn tls(
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// HTTP/2 over TLS.
pub async fn http2(
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
    name: &str,
) -> http2::SendRequest<Body> {
    let stream = tls(address, config, name).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender
}

// === impl Got ===

impl Got {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON of an echo.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
