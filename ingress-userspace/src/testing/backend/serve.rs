//! One request of the fake upstream: record it, look up its script, answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, CONTENT_TYPE, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::answer::{Answer, Content, Fault};
use super::body::{BodyError, ScriptedBody};
use super::{Mischief, Recorded, Shared};

#[derive(Clone)]
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) mischief: Arc<Mischief>,
    pub(super) connection: usize,
}

type Answering =
    Pin<Box<dyn Future<Output = Result<Response<ScriptedBody>, BodyError>> + Send + 'static>>;

// === impl Service ===

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<ScriptedBody>;
    type Error = BodyError;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let service = self.clone();
        Box::pin(async move { service.answer(request).await })
    }
}

impl Service {
    async fn answer(
        self,
        mut request: Request<Incoming>,
    ) -> Result<Response<ScriptedBody>, BodyError> {
        let scripted = self.shared.scripts.lock().unwrap().get(request.uri().path()).cloned();
        if scripted.is_none() && request.headers().contains_key(UPGRADE) {
            return Ok(self.upgrade(&mut request));
        }
        let answer = scripted.unwrap_or_else(Answer::echo);
        let (head, body) = request.into_parts();
        let mut recorded = Recorded {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            body: Bytes::new(),
            trailers: None,
            connection: self.connection,
        };
        let body = if answer.before_body || matches!(answer.content, Content::Mirror) {
            Some(body)
        } else {
            let body = body.collect().await?;
            recorded.trailers = body.trailers().cloned();
            recorded.body = body.to_bytes();
            None
        };
        self.shared.recorded.lock().unwrap().push(recorded.clone());
        tokio::time::sleep(answer.delay).await;

        if !answer.informational.is_empty() && recorded.version < Version::HTTP_2 {
            self.mischief.write_first(answer.informational.concat().into());
        }
        match answer.fault {
            Some(Fault::ResetBeforeHead) => {
                self.mischief.reset_on_close();
                return Err("scripted reset".into());
            }
            Some(Fault::CloseBeforeHead) => return Err("scripted close".into()),
            Some(Fault::ResetAfter(_)) => self.mischief.reset_on_close(),
            Some(Fault::CloseAfter(_) | Fault::StallAfter(_)) | None => {}
        }
        Ok(self.respond(answer, &recorded, body))
    }

    fn respond(
        &self,
        answer: Answer,
        recorded: &Recorded,
        body: Option<Incoming>,
    ) -> Response<ScriptedBody> {
        let content = match (answer.content, body) {
            (Content::Mirror, Some(body)) => ScriptedBody::mirror(body),
            (Content::Bytes(bytes), _) => ScriptedBody::bytes(bytes, answer.chunked, answer.pace),
            (Content::Echo | Content::Mirror, _) => {
                let echo = echo(&self.shared.pod, recorded);
                ScriptedBody::bytes(echo, answer.chunked, answer.pace)
            }
        };
        let mut response = Response::new(content.with(answer.trailers, answer.fault));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        self.name_pod(&mut response);
        if !response.headers().contains_key(CONTENT_TYPE) {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
        }
        response
    }

    /// 101 and an echo: WebSocket messages, or the bytes of any other protocol.
    fn upgrade(&self, request: &mut Request<Incoming>) -> Response<ScriptedBody> {
        let protocol = request.headers()[UPGRADE].clone();
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
        self.shared.recorded.lock().unwrap().push(Recorded {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
            body: Bytes::new(),
            trailers: None,
            connection: self.connection,
        });
        let mut response =
            Response::new(ScriptedBody::bytes(Bytes::new(), true, std::time::Duration::ZERO));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
        if let Some(key) = &key {
            let accept = derive_accept_key(key.as_bytes());
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept.parse().unwrap());
        }
        self.name_pod(&mut response);
        let upgrading = hyper::upgrade::on(request);
        tokio::spawn(echo_upgraded(upgrading, key.is_some()));
        response
    }

    fn name_pod(&self, response: &mut Response<ScriptedBody>) {
        let pod = HeaderValue::from_str(&self.shared.pod).unwrap();
        response.headers_mut().insert("x-pod", pod);
    }
}

fn echo(pod: &str, request: &Recorded) -> Bytes {
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &request.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str()).or_default().push(value);
    }
    let authority = request.uri.authority().map(|authority| authority.as_str());
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let echo = serde_json::json!({
        "pod": pod,
        "method": request.method.as_str(),
        "host": authority.or(host),
        "path": request.uri.path(),
        "query": request.uri.query(),
        "protocol": format!("{:?}", request.version),
        "headers": headers,
        "trailers": request.trailers.as_ref().map(field_names),
        "body_bytes": request.body.len(),
    });
    let mut text = serde_json::to_vec(&echo).unwrap();
    text.push(b'\n');
    text.into()
}

fn field_names(fields: &HeaderMap) -> Vec<String> {
    fields.keys().map(|name| name.as_str().to_owned()).collect()
}

async fn echo_upgraded(upgrading: OnUpgrade, websocket: bool) {
    let Ok(upgraded) = upgrading.await else { return };
    if websocket {
        let _ = echo_messages(TokioIo::new(upgraded)).await;
    } else {
        let _ = echo_bytes(TokioIo::new(upgraded)).await;
    }
}

async fn echo_messages(
    upgraded: TokioIo<Upgraded>,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn echo_bytes(mut upgraded: TokioIo<Upgraded>) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = upgraded.read(&mut buffer).await?;
        if count == 0 {
            return upgraded.shutdown().await;
        }
        upgraded.write_all(&buffer[..count]).await?;
    }
}
