//! Floods of HTTP/2 frames: a client that sends what costs it nothing gets no memory and no time of
//! others. Rapid resets and too many streams are in `http2.rs`.
#![allow(clippy::unwrap_used, reason = "a failure of test support is the failure of the test")]

use genkan::testing::backend::Backend;
use genkan::testing::ca::TestCa;
use genkan::testing::client::{PATIENCE, ask, get, tls};
use genkan::testing::edge::Edge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

const HOST: &str = "a.example";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// What a whole flood may cost: far less than what it sends.
const BOUND: usize = 24 << 20;
const FLOOD: usize = 64 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

struct Site {
    edge: Edge,
    ca: TestCa,
    _backend: Backend,
}

impl Site {
    fn new() -> Self {
        let (edge, ca, backend) = (Edge::start(), TestCa::new(), Backend::http1("pod"));
        edge.route(HOST, &backend);
        edge.apply(&ca.issue(&[HOST]).secret_yaml("default", "a"));
        edge.ingress(HOST, "pod", &format!("tls: [{{hosts: [{HOST}], secretName: a}}]"));
        edge.apply(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\n\
             metadata: {name: plain, namespace: default}\n\
             spec: {rules: [{host: plain.example, http: {paths: [{path: /, pathType: Prefix, \
             backend: {service: {name: pod, port: {number: 80}}}}]}}]}\n",
        );
        Self { edge, ca, _backend: backend }
    }

    async fn connect(&self) -> TlsStream<tokio::net::TcpStream> {
        let trust = self.ca.client_config(&["h2"]);
        let mut stream = tls(self.edge.https(), trust, HOST).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream
    }

    /// Sends pieces until the server ends the connection, does not take more, or it was enough.
    /// Nothing is read. Another client is served meanwhile.
    async fn flood(&self, name: &str, opening: &[u8], piece: &[u8]) {
        let mut stream = self.connect().await;
        let before = resident();
        let mut sent = 0;
        let flooding = async {
            stream.write_all(opening).await?;
            let many = piece.repeat((16 << 10) / piece.len() + 1);
            while sent < FLOOD {
                stream.write_all(&many).await?;
                sent += many.len();
            }
            Ok::<_, std::io::Error>(())
        };
        let outcome = tokio::time::timeout(PATIENCE / 4, flooding).await;
        for _ in 0..20 {
            assert_eq!(ask(self.edge.http(), get("plain.example", "/")).await.status, 200);
        }
        let grown = resident().saturating_sub(before);
        println!("{name}: {sent} bytes sent, {outcome:?}, {grown} bytes of memory");
        assert!(grown < BOUND, "{name}: {grown} bytes");
    }
}

/// Memory of this process, which is client and server.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_without_end_cost_no_memory() {
    let site = Site::new();
    let ping = frame(PING, 0, 0, &[7; 8]);
    site.flood("PING", &[], &ping).await;
    site.flood("empty SETTINGS", &[], &frame(SETTINGS, 0, 0, &[])).await;
    // The table of dynamic headers, the window, up and down.
    let settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 255, 255]);
    site.flood("SETTINGS", &[], &settings).await;
    site.flood("PRIORITY", &[], &frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])).await;
    site.flood("WINDOW_UPDATE", &[], &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
    // A request whose body never ends and never says anything.
    let head = frame(HEADERS, 4, 1, &request_fields("POST"));
    site.flood("empty DATA", &head, &frame(DATA, 0, 1, &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_block_without_end_ends_the_connection() {
    let site = Site::new();
    let mut stream = site.connect().await;
    stream.write_all(&frame(HEADERS, 0, 1, &request_fields("GET"))).await.unwrap();
    let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let continuation = frame(CONTINUATION, 0, 1, &field.repeat(100));
    let before = resident();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        for _ in 0..100_000 {
            if writer.write_all(&continuation).await.is_err() {
                return;
            }
        }
        panic!("a header block of a gigabyte was taken");
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut answer)).await.unwrap();
    sending.await.unwrap();
    assert!(resident().saturating_sub(before) < BOUND);
    assert_eq!(ask(site.edge.http(), get("plain.example", "/")).await.status, 200);
}

/// `:method`, `:scheme` https, `:path` /, `:authority` in HPACK literals.
fn request_fields(method: &str) -> Vec<u8> {
    let mut block = vec![0x87, 0x84];
    for (index, value) in [(2, method), (1, HOST)] {
        block.extend([index, u8::try_from(value.len()).unwrap()]);
        block.extend(value.as_bytes());
    }
    block
}
