//! Connections over a stream in memory, in paused time. Each answer is one of our own, in one piece.

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::*;
use crate::config::{Config, PortProtocol};
use crate::proxy::Settings;
use crate::proxy::worker::fixture;

/// Client connection preface, SETTINGS, GOAWAY without a reason.
const HELLO_AND_GOODBYE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
/// For the connection, one byte.
const WINDOW_UPDATE: &[u8] = b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01";

/// A served connection and the client's end of it.
struct Talk {
    io: DuplexStream,
    state: Rc<WorkerState>,
    server: JoinHandle<()>,
}

/// A client whose window takes one byte at a time.
struct Narrow {
    sender: h2::client::SendRequest<Bytes>,
    state: Rc<WorkerState>,
    server: JoinHandle<()>,
}

// === impl Talk ===

impl Talk {
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::from(&Config::default());
        change(&mut settings);
        let state = Rc::new(fixture::state(settings));
        let (io, server) = duplex(64 << 10);
        let (peer, local) = ("192.0.2.1:4000", "198.51.100.1:443");
        let connection = Connection::new(
            peer.parse().unwrap(),
            local.parse().unwrap(),
            PortProtocol::Https,
            None,
        );
        let served = serve_connection(server, state.clone(), Rc::new(connection));
        Self { io, state, server: spawn_local(served) }
    }

    /// A connection that has come to its end on our side.
    async fn over() -> Self {
        let mut talk = Self::with(|_| {});
        talk.io.write_all(HELLO_AND_GOODBYE).await.unwrap();
        talk.io.read_to_end(&mut Vec::new()).await.unwrap();
        talk
    }
}

// === impl Narrow ===

impl Narrow {
    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let Talk { io, state, server } = Talk::with(change);
        let mut client = h2::client::Builder::new();
        let (sender, connection) = client.initial_window_size(1).handshake(io).await.unwrap();
        spawn_local(async move { drop(connection.await) });
        Self { sender, state, server }
    }

    async fn ask(&mut self) -> http::Response<h2::RecvStream> {
        let request = Request::get("https://nobody.example/").body(()).unwrap();
        let (answer, _) = self.sender.send_request(request, true).unwrap();
        answer.await.unwrap()
    }
}

/// Reads an answer byte by byte, with a pause before each. Returns how many there were.
async fn read(answer: http::Response<h2::RecvStream>, pause: Duration) -> Result<usize, h2::Error> {
    let mut body = answer.into_body();
    let mut read = 0;
    while let Some(bytes) = body.data().await {
        let taken = bytes?.len();
        read += taken;
        sleep(pause).await;
        body.flow_control().release_capacity(taken)?;
    }
    Ok(read)
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

fn length(answer: &http::Response<h2::RecvStream>) -> usize {
    answer.headers()["content-length"].to_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_a_client_that_takes_its_last_piece_slowly() {
    local(async {
        let mut client = Narrow::with(|_| {}).await;
        let answer = client.ask().await;
        client.state.context.drain.cancel();
        let length = length(&answer);
        let read = read(answer, Duration::from_secs(10)).await;
        assert_eq!(read.expect("the answer is whole"), length);
        timeout(GOODBYE * 2, client.server).await.expect("then the connection ends").unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_part_of_the_last_piece_only_is_let_go() {
    local(async {
        let mut client = Narrow::with(|settings| {
            settings.timeouts.keep_alive = Duration::from_secs(1000);
        })
        .await;
        let begun = Instant::now();
        let _answer = client.ask().await;
        timeout(Duration::from_secs(100), client.server).await.expect("it is let go").unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(60), "{:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn idle_time_begins_with_the_end_of_the_last_stream() {
    local(async {
        let mut client = Narrow::with(|_| {}).await;
        let answer = client.ask().await;
        assert!(read(answer, Duration::from_secs(15)).await.unwrap() >= 8, "it is a long stream");
        sleep(Duration::from_secs(55)).await;
        client.ask().await;
        drop(client.sender);
        client.server.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    local(async {
        let mut client = Narrow::with(|_| {}).await;
        let answer = client.ask().await;
        read(answer, Duration::ZERO).await.unwrap();
        let begun = Instant::now();
        client.server.await.unwrap();
        let waited = begun.elapsed().as_secs();
        assert!((75..=95).contains(&waited), "{waited} s");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_when_the_client_has_read_to_its_end() {
    local(async {
        let mut talk = Talk::over().await;
        // As clients do for what they have read.
        for _ in 0..3 {
            sleep(Duration::from_secs(1)).await;
            talk.io.write_all(WINDOW_UPDATE).await.expect("our side still reads");
        }
        assert!(!talk.server.is_finished());
        let begun = Instant::now();
        drop(talk.io);
        talk.server.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_keeps_nothing_open() {
    local(async {
        let begun = Instant::now();
        let silent = Talk::over().await;
        silent.server.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 5);

        let begun = Instant::now();
        let mut chatty = Talk::over().await;
        while chatty.io.write_all(WINDOW_UPDATE).await.is_ok() {
            sleep(Duration::from_secs(4)).await;
        }
        let waited = begun.elapsed().as_secs();
        assert!((60..=64).contains(&waited), "{waited} s");
    })
    .await;
}
