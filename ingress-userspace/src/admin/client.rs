//! A client of the administration, for the commands that ask a running process.
//!
//! Blocking: one connection for each request, all of it within a given time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// Asks the process behind one socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{}: {error} (is `genkan run` running, with this admin.socket?)", socket.display())]
    Connect { socket: PathBuf, error: io::Error },
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("broken answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("{status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("not the answer of this version: {0}")]
    Form(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

// === impl Client ===

impl Client {
    pub fn new(socket: &Path, timeout: Duration) -> Self {
        Self { socket: socket.to_owned(), timeout }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `target`: path and query.
    ///
    /// # Errors
    ///
    /// When there is no answer; an answer of any status is none.
    pub fn get(&self, target: &str) -> Result<Answer, ClientError> {
        self.ask(Method::GET, target, Bytes::new())
    }

    /// A document, such as [`Status`](super::status::Status) of `/status`.
    ///
    /// # Errors
    ///
    /// Also for an answer other than 200.
    pub fn document<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        let answer = self.get(target)?.or_refused()?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// # Errors
    ///
    /// When there is no answer; an answer of any status is none.
    pub fn ask(&self, method: Method, target: &str, body: Bytes) -> Result<Answer, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::time::timeout(self.timeout, self.exchange(method, target, body))
                .await
                .unwrap_or(Err(ClientError::Late(self.timeout)))
        })
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| ClientError::Connect { socket: self.socket.clone(), error })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, "localhost")
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status, body })
        };
        tokio::select! {
            answer = exchange => answer,
            // It ends only after the exchange, or with an error that the exchange tells as well.
            Err(error) = connection => Err(error.into()),
        }
    }
}

// === impl Answer ===

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Errors
    ///
    /// For every status but 2xx, with the text of the answer.
    pub fn or_refused(self) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let message = self.text().trim().to_owned();
        Err(ClientError::Refused { status: self.status, message })
    }
}
