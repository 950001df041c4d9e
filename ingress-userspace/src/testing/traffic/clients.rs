//! The clients of [`super::Mix`]: each keeps its connection as long as the server lets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::{Mix, Tally};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Messages = StreamBody<std::pin::Pin<Box<dyn Outgoing>>>;

trait Outgoing: futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send {}

impl<S: futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send> Outgoing for S {}

/// Streams of one connection at a time.
const STREAMS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Http1,
    Fresh,
    Http2,
    WebSocket,
    Grpc,
}

/// One client.
struct Client {
    mix: Mix,
    stop: CancellationToken,
    tally: Arc<Tally>,
}

pub(super) async fn run(mix: Mix, stop: CancellationToken, tally: Arc<Tally>) {
    let mut clients = JoinSet::new();
    for (kind, count) in [
        (Kind::Http1, mix.http1_clients),
        (Kind::Fresh, mix.fresh_clients),
        (Kind::Http2, mix.http2_clients),
        (Kind::WebSocket, mix.websockets),
        (Kind::Grpc, mix.grpc_streams),
    ] {
        for _ in 0..count {
            let (mix, stop, tally) = (mix.clone(), stop.clone(), tally.clone());
            clients.spawn(Client { mix, stop, tally }.forever(kind));
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

// === impl Client ===

impl Client {
    async fn forever(self, kind: Kind) {
        while !self.stop.is_cancelled() {
            let session = match kind {
                Kind::Http1 => self.http1().await,
                Kind::Fresh => self.fresh().await,
                Kind::Http2 => self.http2().await,
                Kind::WebSocket => self.websocket().await,
                Kind::Grpc => self.grpc().await,
            };
            if let Err(error) = session {
                self.tally.fail(format!("{kind:?}: {}", chain(&*error)));
                self.pause().await;
            }
        }
    }

    async fn http1(&self) -> Result<(), Error> {
        let mut sender = self.connect_http1().await?;
        while !self.stop.is_cancelled() {
            let request = Request::get(&self.mix.path).header(header::HOST, &self.mix.host);
            let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
            let announced =
                response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
            self.expect_ok(response).await?;
            self.pause().await;
            if announced {
                self.took_leave();
                return Ok(());
            }
            if sender.is_closed() {
                count(&self.tally.closed);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn fresh(&self) -> Result<(), Error> {
        let mut sender = self.connect_http1().await?;
        let request = Request::get(&self.mix.path)
            .header(header::HOST, &self.mix.host)
            .header(header::CONNECTION, "close");
        self.expect_ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?).await?;
        self.pause().await;
        Ok(())
    }

    async fn http2(&self) -> Result<(), Error> {
        let sender = self.connect_http2::<Empty<Bytes>>().await?;
        while !self.stop.is_cancelled() {
            let mut streams = JoinSet::new();
            for _ in 0..STREAMS {
                let request = Request::get(self.uri(&self.mix.path)).body(Empty::new())?;
                let mut sender = sender.clone();
                streams.spawn(async move {
                    let response = sender.send_request(request).await?;
                    let status = response.status();
                    response.into_body().collect().await?;
                    Ok::<_, hyper::Error>(status)
                });
            }
            let mut unsent = false;
            while let Some(answer) = streams.join_next().await {
                match answer? {
                    Ok(StatusCode::OK) => count(&self.tally.requests),
                    Ok(status) => return Err(format!("answer {status}").into()),
                    // Not sent: the connection had been announced to end.
                    Err(error) if error.is_canceled() && self.mix.goodbyes => unsent = true,
                    Err(error) => return Err(error.into()),
                }
            }
            self.pause().await;
            if unsent || sender.is_closed() {
                self.took_leave();
                return Ok(());
            }
        }
        Ok(())
    }

    async fn websocket(&self) -> Result<(), Error> {
        let path = self.mix.websocket_path.as_deref().ok_or("WebSocket clients need a path")?;
        let stream = TcpStream::connect(self.mix.http).await?;
        let uri = format!("ws://{}{path}", self.mix.host);
        let (mut session, _) = tokio_tungstenite::client_async(uri, stream).await?;
        let (begun, mut number) = (Instant::now(), 0_u64);
        while self.goes_on(begun) {
            number += 1;
            let text = format!("message {number}");
            session.send(Message::text(text.clone())).await?;
            match session.next().await {
                Some(Ok(Message::Text(echo))) if echo.as_str() == text => {
                    count(&self.tally.messages);
                }
                Some(Ok(other)) => return Err(format!("not an echo: {other:?}").into()),
                Some(Err(error)) => return Err(error.into()),
                None => {
                    count(&self.tally.closed);
                    return Ok(());
                }
            }
            self.pause().await;
        }
        session.close(None).await?;
        Ok(())
    }

    /// One bidirectional stream whose messages come back, and the status at its end.
    async fn grpc(&self) -> Result<(), Error> {
        let path = self.mix.grpc_path.as_deref().ok_or("gRPC clients need a path")?;
        let mut sender = self.connect_http2::<Messages>().await?;
        let (outgoing, incoming) = mpsc::channel::<Bytes>(1);
        let messages = futures_util::stream::unfold(incoming, async |mut incoming| {
            let message = incoming.recv().await?;
            Some((Ok(Frame::data(message)), incoming))
        });
        let request = Request::post(self.uri(path))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(StreamBody::new(Box::pin(messages) as std::pin::Pin<Box<dyn Outgoing>>))?;
        let message = Bytes::from_static(b"\0\0\0\0\x05hello");
        outgoing.send(message.clone()).await?;
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("answer {}", response.status()).into());
        }
        let mut body = response.into_body();
        let begun = Instant::now();
        loop {
            let mut echo = Vec::new();
            while echo.len() < message.len() {
                let frame = body.frame().await.ok_or("the stream ended without a status")??;
                echo.extend_from_slice(frame.data_ref().ok_or("a status too early")?);
            }
            if echo != message {
                return Err("another message came back".into());
            }
            count(&self.tally.messages);
            if !self.goes_on(begun) {
                break;
            }
            self.pause().await;
            outgoing.send(message.clone()).await?;
        }
        drop(outgoing);
        let trailers = body.collect().await?.trailers().cloned().ok_or("no trailers")?;
        if trailers.get("grpc-status").is_none_or(|status| status != "0") {
            return Err(format!("status {trailers:?}").into());
        }
        count(&self.tally.requests);
        Ok(())
    }

    async fn connect_http1(&self) -> Result<http1::SendRequest<Empty<Bytes>>, Error> {
        let stream = TcpStream::connect(self.mix.http).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn connect_http2<B>(&self) -> Result<http2::SendRequest<B>, Error>
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Error>,
    {
        let https = self.mix.https.clone();
        let (address, trust) = https.ok_or("HTTP/2 clients need an https address")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = rustls::pki_types::ServerName::try_from(self.mix.host.clone())?;
        let stream = TlsConnector::from(trust).connect(name, stream).await?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn expect_ok(
        &self,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<(), Error> {
        let status = response.status();
        response.into_body().collect().await?;
        if status != StatusCode::OK {
            return Err(format!("answer {status}").into());
        }
        count(&self.tally.requests);
        Ok(())
    }

    fn took_leave(&self) {
        count(if self.mix.goodbyes { &self.tally.goodbyes } else { &self.tally.closed });
    }

    fn goes_on(&self, begun: Instant) -> bool {
        let session = self.mix.session.unwrap_or(Duration::MAX);
        !self.stop.is_cancelled() && begun.elapsed() < session
    }

    async fn pause(&self) {
        tokio::time::sleep(self.mix.pause).await;
    }

    fn uri(&self, path: &str) -> String {
        format!("https://{}{path}", self.mix.host)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The error and its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
