//! How connections end that we close: nothing of an answer is lost.

use super::*;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// Frame types (RFC 9113 11.2).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A client whose kernel takes little, so that most of an answer waits in the sending socket.
async fn small(site: &Site) -> TlsStream<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let stream = socket.connect(site.edge.https()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
    let connector = TlsConnector::from(site.ca.client_config(&["h2"]));
    connector.connect(name, stream).await.unwrap()
}

/// Asks for `path` and reads to the end of the answer, telling the server about each piece.
async fn take(site: &Site, path: &str) -> std::io::Result<usize> {
    let mut stream = small(site).await;
    let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // Windows that hold the whole answer.
    begin.extend(frame(SETTINGS, 0, 0, &[0, 4, 0x10, 0, 0, 0]));
    begin.extend(frame(WINDOW_UPDATE, 0, 0, &[0x10, 0, 0, 0]));
    let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    block.extend([0x41, u8::try_from(HOST.len()).unwrap()]);
    block.extend_from_slice(HOST.as_bytes());
    begin.extend(frame(HEADERS, 5, 1, &block));
    stream.write_all(&begin).await?;
    let mut read = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        match (head[3], head[4]) {
            (PING, 0) => stream.write_all(&frame(PING, ACK, 0, &payload)).await?,
            (DATA, flags) => {
                read += length;
                if flags & END_STREAM != 0 {
                    return Ok(read);
                }
                let taken = u32::try_from(length).unwrap().to_be_bytes();
                stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &taken)).await?;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_answer_of_a_connection_is_whole() {
    const SIZE: usize = 600_000;
    let site = Site::with(|c| c.limits.keep_alive_requests = 1);
    site.backend.on("/big", Answer::size(SIZE));
    for _ in 0..5 {
        let read = tokio::time::timeout(client::PATIENCE, take(&site, "/big")).await;
        assert_eq!(read.expect("in time").expect("no reset"), SIZE);
    }
}
