//! The clients of [`super::Mix`]: each keeps its connection as long as the server lets it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::{Mix, Tally};

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn run(mix: Mix, stop: CancellationToken, tally: Arc<Tally>) {
    let mut clients = JoinSet::new();
    for _ in 0..mix.http1_clients {
        clients.spawn(forever(Kind::Http1, mix.clone(), stop.clone(), tally.clone()));
    }
    for _ in 0..mix.http2_clients {
        clients.spawn(forever(Kind::Http2, mix.clone(), stop.clone(), tally.clone()));
    }
    for _ in 0..mix.websockets {
        clients.spawn(forever(Kind::WebSocket, mix.clone(), stop.clone(), tally.clone()));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Http1,
    Http2,
    WebSocket,
}

async fn forever(kind: Kind, mix: Mix, stop: CancellationToken, tally: Arc<Tally>) {
    while !stop.is_cancelled() {
        let session = match kind {
            Kind::Http1 => http1(&mix, &stop, &tally).await,
            Kind::Http2 => http2(&mix, &stop, &tally).await,
            Kind::WebSocket => websocket(&mix, &stop, &tally).await,
        };
        if let Err(error) = session {
            tally.fail(format!("{kind:?}: {error}"));
            tokio::time::sleep(mix.pause).await;
        }
    }
}

async fn http1(mix: &Mix, stop: &CancellationToken, tally: &Tally) -> Result<(), Error> {
    let stream = TcpStream::connect(mix.http).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    while !stop.is_cancelled() {
        let request = Request::get(&mix.path).header(header::HOST, &mix.host);
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let announced_close =
            response.headers().get(header::CONNECTION).is_some_and(|v| v == "close");
        expect_ok(response).await?;
        tally.requests.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(mix.pause).await;
        if announced_close || sender.is_closed() {
            tally.closed.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    }
    Ok(())
}

async fn http2(mix: &Mix, stop: &CancellationToken, tally: &Tally) -> Result<(), Error> {
    let (address, trust) = mix.https.clone().ok_or("HTTP/2 clients need an https address")?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = rustls::pki_types::ServerName::try_from(mix.host.clone())?;
    let stream = TlsConnector::from(trust).connect(name, stream).await?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    while !stop.is_cancelled() {
        let mut streams = JoinSet::new();
        for _ in 0..4 {
            let uri = format!("https://{}{}", mix.host, mix.path);
            let request = Request::get(uri).body(Empty::<Bytes>::new())?;
            let mut sender = sender.clone();
            streams.spawn(async move { expect_ok(sender.send_request(request).await?).await });
        }
        while let Some(answer) = streams.join_next().await {
            answer??;
            tally.requests.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(mix.pause).await;
        if sender.is_closed() {
            tally.closed.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    }
    Ok(())
}

async fn websocket(mix: &Mix, stop: &CancellationToken, tally: &Tally) -> Result<(), Error> {
    let path = mix.websocket_path.as_deref().ok_or("WebSocket clients need a path")?;
    let stream = TcpStream::connect(mix.http).await?;
    let uri = format!("ws://{}{path}", mix.host);
    let (mut session, _) = tokio_tungstenite::client_async(uri, stream).await?;
    let mut number = 0_u64;
    while !stop.is_cancelled() {
        number += 1;
        let text = format!("message {number}");
        session.send(Message::text(text.clone())).await?;
        match session.next().await {
            Some(Ok(Message::Text(echo))) if echo.as_str() == text => {
                tally.messages.fetch_add(1, Ordering::Relaxed);
            }
            Some(Ok(other)) => return Err(format!("not an echo: {other:?}").into()),
            Some(Err(error)) => return Err(error.into()),
            None => {
                tally.closed.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        tokio::time::sleep(mix.pause).await;
    }
    session.close(None).await?;
    Ok(())
}

async fn expect_ok(response: http::Response<hyper::body::Incoming>) -> Result<(), Error> {
    let status = response.status();
    response.into_body().collect().await?;
    if status == StatusCode::OK { Ok(()) } else { Err(format!("answer {status}").into()) }
}
