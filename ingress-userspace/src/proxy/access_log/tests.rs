use std::cell::OnceCell;

use http::{HeaderValue, Method, Uri, Version};

use super::*;
use crate::config::PortProtocol;
use crate::proxy::error::Failure;
use crate::proxy::request::{Connection, Outcome};

fn record(recorder: &Recorder, path: &str, failure: Option<Failure>) {
    let connection = Connection::new(
        "192.0.2.1:4000".parse().unwrap(),
        "198.51.100.1:80".parse().unwrap(),
        PortProtocol::Http,
        None,
    );
    let clock = OnceCell::new();
    let entry = Entry {
        connection: &connection,
        version: Version::HTTP_11,
        method: Some(&Method::GET),
        uri: Some(&path.parse::<Uri>().unwrap()),
        host: Some(&HeaderValue::from_bytes(b"a\"b\xff").unwrap()),
        status: 404,
        received: 0,
        sent: 12,
        duration: Duration::from_micros(1500),
        outcome: &Outcome::default(),
        failure,
    };
    recorder.record(&entry, clock.get_or_init(Clock::new));
}

#[test]
fn each_request_is_one_json_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let (log, thread) = AccessLog::start(Some(&file)).unwrap();
    let recorder = log.recorder(3, Arc::default());
    record(&recorder, "/a?b=c", Some(Failure::NoRoute));
    record(&recorder, "/second", None);
    drop((recorder, log));
    thread.join().unwrap();

    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["client"], "192.0.2.1:4000");
    assert_eq!(lines[0]["path"], "/a?b=c");
    assert_eq!(lines[0]["host"], "a\"b\u{ff}");
    assert_eq!(lines[0]["failure"], "no_route");
    assert_eq!(lines[0]["duration_us"], 1500);
    assert_eq!(lines[0]["worker"], 3);
    assert_eq!(lines[1]["path"], "/second");
    assert!(lines[1].get("failure").is_none());
}

#[test]
fn what_the_writer_cannot_take_is_dropped_and_counted() {
    let (sender, _nobody_reads) = sync_channel(1);
    let counters: Arc<Counters> = Arc::default();
    let recorder = AccessLog { batches: sender }.recorder(0, counters.clone());
    for _ in 0..3 {
        record(&recorder, "/", None);
        record(&recorder, "/", None);
        recorder.flush();
    }
    assert_eq!(counters.log_dropped.value(), 4);
}
