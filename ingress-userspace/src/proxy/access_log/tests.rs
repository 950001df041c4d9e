use std::path::Path;

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Uri, Version};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::access_log::AccessLogFormat;
use crate::config::{Config, PortProtocol};
use crate::proxy::Settings;
use crate::proxy::error::Failure;
use crate::proxy::request::{Connection, Outcome};
use crate::snapshot::Publisher;
use crate::testing::deadline::eventually;
use crate::upstream::{Attempts, ClientTls};

/// A worker's log without a worker.
struct Site {
    recorder: Recorder,
    context: ProxyContext,
    clock: Clock,
}

// === impl Site ===

impl Site {
    fn new(log: &AccessLog, config: &AccessLogConfig) -> Self {
        let line = config.destination().map(|_| Arc::new(Line::new(config)));
        Self {
            recorder: log.recorder(line, Arc::default()),
            context: context(),
            clock: Clock::new(),
        }
    }

    fn record(&self, path: &str, failure: Option<Failure>) {
        let peer = "192.0.2.1:4000".parse().unwrap();
        let local = "198.51.100.1:80".parse().unwrap();
        let connection = Connection::new(peer, local, PortProtocol::Http, None);
        let mut outcome = Outcome::default();
        let endpoint = Some("10.0.0.1:8080".parse().unwrap());
        outcome.tried = Attempts { endpoint, count: 2, ..Attempts::default() };
        outcome.upstream = Some(Duration::from_micros(700));
        outcome.request_id.extend_from_slice(b"0af7");
        let agent = HeaderValue::from_bytes(b"curl \"7\"\x01")
            .unwrap_or_else(|_| HeaderValue::from_bytes(b"curl \"7\"\xff").unwrap());
        let entry = Entry {
            connection: &connection,
            version: Version::HTTP_11,
            method: Some(&Method::GET),
            uri: Some(&path.parse::<Uri>().unwrap()),
            host: Some(&HeaderValue::from_bytes(b"a\"b\xff").unwrap()),
            referer: None,
            user_agent: Some(&agent),
            status: 404,
            received: 0,
            sent: 12,
            duration: Duration::from_micros(1500),
            outcome: &outcome,
            failure,
        };
        self.recorder.record(&entry, &self.context, &self.clock);
    }
}

fn context() -> ProxyContext {
    ProxyContext::new(
        3,
        Arc::new(ArcSwap::from_pointee(Settings::from(&Config::default()))),
        Publisher::new(4).subscribe(3),
        CancellationToken::new(),
        Arc::new(ClientTls::new(rustls::RootCertStore::empty())),
        Arc::default(),
        Default::default(),
    )
}

fn to_file(file: &Path) -> AccessLogConfig {
    let to = AccessLogTarget::File(file.to_owned());
    AccessLogConfig { to, ..AccessLogConfig::default() }
}

/// What the log says after these requests.
fn written(config: &AccessLogConfig, record: impl FnOnce(&Site)) -> String {
    let AccessLogTarget::File(file) = &config.to else { panic!("a file is expected") };
    let (log, thread) = AccessLog::start(config).unwrap();
    let site = Site::new(&log, config);
    record(&site);
    drop((site, log));
    thread.join().unwrap();
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn each_request_is_one_json_line() {
    let directory = tempfile::tempdir().unwrap();
    let text = written(&to_file(&directory.path().join("access.log")), |site| {
        site.record("/a?b=c", Some(Failure::NoRoute));
        site.record("/second", None);
    });
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["client"], "192.0.2.1:4000");
    assert_eq!(lines[0]["path"], "/a?b=c");
    assert_eq!(lines[0]["host"], "a\"b\u{ff}");
    assert_eq!(lines[0]["failure"], "no_route");
    assert_eq!(lines[0]["duration_us"], 1500);
    assert_eq!(lines[0]["upstream_us"], 700);
    assert_eq!(lines[0]["endpoint"], "10.0.0.1:8080");
    assert_eq!((&lines[0]["attempts"], &lines[0]["worker"]), (&2.into(), &3.into()));
    assert_eq!(lines[0]["request_id"], "0af7");
    assert_eq!(lines[1]["path"], "/second");
    for absent in ["failure", "sni", "route", "pod", "tls_version"] {
        assert!(lines[1].get(absent).is_none(), "{absent}: {}", lines[1]);
    }
}

#[test]
fn fields_and_their_order_can_be_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = to_file(&directory.path().join("access.log"));
    config.fields = ["sni", "status", "scheme", "duration"].map(str::to_owned).into();
    let text = written(&config, |site| site.record("/", None));
    assert_eq!(text, "{\"status\":404,\"scheme\":\"http\",\"duration\":0.001}\n");
    config.fields = vec!["sni".to_owned()];
    let text = written(&config, |site| site.record("/", None));
    assert!(text.ends_with("\n{}\n"), "{text}");
}

#[test]
fn combined_is_that_of_other_servers() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = to_file(&directory.path().join("access.log"));
    config.format = AccessLogFormat::Combined;
    let text = written(&config, |site| site.record("/a?b", None));
    let (begin, rest) = text.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(begin, "192.0.2.1 - -");
    assert!(time.ends_with(" +0000") && time.len() == 26, "{time}");
    assert_eq!(rest, "\"GET /a?b HTTP/1.1\" 404 12 \"-\" \"curl \\x227\\x22\\xFF\"\n");
}

#[test]
fn a_text_of_ones_own_has_a_dash_for_what_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = to_file(&directory.path().join("access.log"));
    config.format = AccessLogFormat::Text("$status|${path}|$route|$$|$reason".to_owned());
    let text = written(&config, |site| site.record("/x", Some(Failure::NoRoute)));
    assert_eq!(text, "404|/x|-|$|no route for this host and path\n");
}

#[test]
fn renamed_file_is_left_when_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (file, old) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let config = to_file(&file);
    let (log, thread) = AccessLog::start(&config).unwrap();
    let site = Site::new(&log, &config);
    site.record("/one", None);
    site.recorder.flush();
    eventually("the first line is there", || {
        std::fs::read_to_string(&file).unwrap().contains("/one")
    });
    std::fs::rename(&file, &old).unwrap();
    log.reopen(&config);
    eventually("the file is there again", || file.exists());
    site.record("/two", None);
    // A place that cannot be opened changes nothing.
    log.reopen(&to_file(&directory.path().join("missing/access.log")));
    drop((site, log));
    thread.join().unwrap();
    assert!(!std::fs::read_to_string(&old).unwrap().contains("/two"));
    assert!(std::fs::read_to_string(&file).unwrap().contains("/two"));
}

#[test]
fn log_that_is_off_writes_nothing_until_it_is_on() {
    let directory = tempfile::tempdir().unwrap();
    let config = to_file(&directory.path().join("access.log"));
    let text = written(&config, |site| {
        site.recorder.follow(None);
        site.record("/unseen", None);
        site.recorder.follow(Some(Arc::default()));
        site.record("/seen", None);
    });
    assert!(text.contains("/seen") && !text.contains("/unseen"), "{text}");
}

#[test]
fn what_the_writer_cannot_take_is_dropped_and_counted() {
    let (sender, messages) = sync_channel(1);
    let counters: Arc<Counters> = Arc::default();
    let log = AccessLog { batches: sender, orders: Arc::default() };
    let recorder = log.recorder(Some(Arc::default()), counters.clone());
    let site = Site { recorder, context: context(), clock: Clock::new() };
    for _ in 0..3 {
        site.record("/", None);
        site.record("/", None);
        site.recorder.flush();
    }
    assert_eq!((counters.log_dropped.value(), counters.log_lines.value()), (4, 0));
    drop((site, log));
    Writer::open(Target::Off, Arc::default()).unwrap().run(&messages);
    assert_eq!((counters.log_dropped.value(), counters.log_lines.value()), (4, 2));
}

#[test]
fn lines_that_cannot_be_written_are_counted_as_lost() {
    let full = Path::new("/dev/full");
    let (log, thread) = AccessLog::start(&to_file(full)).unwrap();
    let site = Site::new(&log, &to_file(full));
    let counters = site.recorder.counters.clone();
    site.record("/one", None);
    site.record("/two", None);
    drop((site, log));
    thread.join().unwrap();
    assert_eq!((counters.log_lost.value(), counters.log_lines.value()), (2, 0));
}

#[test]
fn another_destination_is_open_before_it_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let (log, thread) = AccessLog::start(&to_file(&first)).unwrap();
    let site = Site::new(&log, &to_file(&first));
    let error = AccessLog::open(&to_file(&directory.path().join("missing/access.log")));
    assert!(error.unwrap_err().to_string().contains("missing/access.log"));
    log.switch(AccessLog::open(&to_file(&second)).unwrap());
    site.record("/there", None);
    drop((site, log));
    thread.join().unwrap();
    assert!(std::fs::read_to_string(&second).unwrap().contains("/there"));
    assert_eq!(std::fs::read_to_string(&first).unwrap(), "");
}
