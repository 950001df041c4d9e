use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

const IDLE: Duration = Duration::from_secs(60);

/// The outer ends of a relay that runs.
fn relayed() -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<(u64, u64)>) {
    let (client, inner_client) = duplex(100);
    let (upstream, inner_upstream) = duplex(70);
    let relay = tokio::spawn(relay(inner_client, inner_upstream, IDLE));
    (client, upstream, relay)
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

#[tokio::test(start_paused = true)]
async fn bytes_of_both_directions_arrive_as_they_were_sent() {
    let (client, upstream, relay) = relayed();
    let (up, down) = (noise(100_000, 1), noise(70_000, 2));
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut upstream_reads, mut upstream_writes) = tokio::io::split(upstream);
    let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
    tokio::join!(
        async {
            client_writes.write_all(&up).await.unwrap();
            client_writes.shutdown().await.unwrap();
        },
        async {
            upstream_writes.write_all(&down).await.unwrap();
            upstream_writes.shutdown().await.unwrap();
        },
        async { client_reads.read_to_end(&mut got_down).await.unwrap() },
        async { upstream_reads.read_to_end(&mut got_up).await.unwrap() },
    );
    assert!(got_up == up && got_down == down);
    assert_eq!(relay.await.unwrap(), (100_000, 70_000));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let (mut client, mut upstream, relay) = relayed();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    upstream.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    tokio::time::sleep(IDLE / 2).await;
    upstream.write_all(b"answer").await.unwrap();
    drop(upstream);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(relay.await.unwrap(), (8, 6));
}

#[tokio::test(start_paused = true)]
async fn silence_in_both_directions_ends_it() {
    let (mut client, _upstream, relay) = relayed();
    let start = Instant::now();
    tokio::time::sleep(IDLE / 2).await;
    client.write_all(b"ping").await.unwrap();
    relay.await.unwrap();
    assert_eq!(start.elapsed(), IDLE + IDLE / 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_sender() {
    let (mut client, _upstream, _relay) = relayed();
    // Far more than the buffers on the way hold.
    let sent = tokio::time::timeout(IDLE / 2, client.write_all(&[0; 1 << 20])).await;
    assert!(sent.is_err());
}
