//! Connections of a host below the level of requests: scans, foreign listeners, streams, WebSocket.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::Host;
use super::client::block_on;

/// What became of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connect {
    Open,
    Refused,
    /// No answer: the SYNs were dropped.
    TimedOut,
}

/// A foreign listener of a host, which nobody is to reach.
pub struct Listener {
    listener: TcpListener,
}

/// Connects from a host, as one of its addresses when `source` says so.
pub fn connect(host: &Host, source: Option<IpAddr>, to: SocketAddr, limit: Duration) -> Connect {
    let outcome = host.run(|| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&to.into(), limit)
    });
    match outcome {
        Ok(()) => Connect::Open,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Connect::Refused,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Connect::TimedOut,
        Err(error) => panic!("connecting to {to} from {}: {error}", host.name()),
    }
}

/// Sends chunk by chunk to a path that mirrors its body; the next chunk goes when the last one came
/// back. Only a proxy that streams both ways lets it end.
pub fn exchange(
    host: &Host,
    to: SocketAddr,
    name: &str,
    path: &str,
    chunks: &[Bytes],
) -> Result<()> {
    block_on(host, async {
        let stream = TcpStream::connect(to).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (outgoing, incoming) = tokio::sync::mpsc::channel::<Bytes>(1);
        let body = StreamBody::new(futures_util::stream::unfold(incoming, async |mut incoming| {
            let chunk = incoming.recv().await?;
            Some((Ok::<_, io::Error>(Frame::data(chunk)), incoming))
        }));
        let request = http::Request::post(path).header(http::header::HOST, name);
        // The answer's head may wait for the first chunk.
        let mut chunks = chunks.iter();
        let first = chunks.next().context("nothing to send")?;
        outgoing.send(first.clone()).await?;
        let answer = sender.send_request(request.body(Box::pin(body))?).await?;
        ensure!(answer.status() == http::StatusCode::OK, "answer {}", answer.status());
        let mut answer = answer.into_body();
        expect_chunk(&mut answer, first).await?;
        for chunk in chunks {
            outgoing.send(chunk.clone()).await?;
            expect_chunk(&mut answer, chunk).await?;
        }
        drop(outgoing);
        ensure!(answer.collect().await?.to_bytes().is_empty(), "more came back than was sent");
        Ok(())
    })
}

/// Opens a WebSocket session and has each message echoed.
pub fn websocket_echo(
    host: &Host,
    to: SocketAddr,
    name: &str,
    path: &str,
    messages: &[&str],
) -> Result<()> {
    block_on(host, async {
        let stream = TcpStream::connect(to).await?;
        let uri = format!("ws://{name}{path}");
        let (mut session, _) = tokio_tungstenite::client_async(uri, stream).await?;
        for &message in messages {
            session.send(Message::text(message)).await?;
            match session.next().await {
                Some(Ok(Message::Text(echo))) if echo.as_str() == message => {}
                other => bail!("{message:?} came back as {other:?}"),
            }
        }
        session.close(None).await?;
        Ok(())
    })
}

// === impl Listener ===

impl Listener {
    /// Listens in a host, on all its addresses when `address` is unspecified.
    pub fn bind(host: &Host, address: SocketAddr) -> Self {
        let listener = host.run(|| TcpListener::bind(address)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    /// Panics when a connection has arrived.
    pub fn assert_untouched(&self) {
        match self.listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok((_, client)) => panic!("{client} reached {:?}", self.listener),
            Err(error) => panic!("{:?}: {error}", self.listener),
        }
    }
}

async fn expect_chunk(answer: &mut hyper::body::Incoming, chunk: &Bytes) -> Result<()> {
    let mut received = Vec::new();
    while received.len() < chunk.len() {
        let frame = answer.frame().await.context("the answer ended early")??;
        received.extend_from_slice(frame.data_ref().context("no data")?);
    }
    ensure!(received == *chunk, "other bytes came back than were sent");
    Ok(())
}
