//! One request from the client through the VIP, and everything that is known about its way.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use genkan::testing::backend::Backend;
use genkan::testing::lab::EdgeLab;
use genkan::testing::story::{Answer, Connect, Request, websocket_echo};

use super::Stage;
use crate::acts::{Ask, Family, How, Promise};
use crate::table::Row;

/// How long a port is given to answer that is not to answer.
const SILENCE: Duration = Duration::from_millis(800);
/// The access log is written in batches.
const LOGGED: Duration = Duration::from_secs(5);

/// What came back.
#[derive(Default)]
struct Reply {
    /// `200 HTTP/2.0`, `echo`, `no answer`.
    shown: String,
    status: Option<u16>,
    pod: Option<String>,
    upstream_path: Option<String>,
}

impl Stage {
    pub(super) fn ask(&mut self, ask: &Ask) -> Row {
        self.next += 1;
        let query = format!("?demo={}", self.next);
        let vip = match ask.family {
            Family::V4 => EdgeLab::VIP4,
            Family::V6 => EdgeLab::VIP6,
        };
        let (reply, counted) = self.story.counting(vip, || self.send(ask, vip, &query));
        let mut row = Row { request: shown(ask, vip), moved: counted.moved(), ..Row::default() };
        match reply {
            Ok(reply) => {
                row.worker = if is_http(ask.how) { self.worker(&query) } else { None };
                row.pod = reply.pod.clone().or_else(|| self.pod_that_saw(&query));
                row.wrong = broken(&ask.promise, &reply, row.pod.as_deref());
                row.answer = reply.shown;
            }
            Err(error) => {
                row.answer = "failed".to_owned();
                row.wrong = Some(format!("{error:#}"));
            }
        }
        row
    }

    fn send(&self, ask: &Ask, vip: IpAddr, query: &str) -> Result<Reply> {
        let path = format!("{}{query}", ask.path);
        let request = Request::get(ask.host, &path);
        let answer = match ask.how {
            How::Http => self.story.send(vip, &request)?,
            How::Https => {
                self.story.send(vip, &request.tls(&self.ca.client_config(&["http/1.1"])))?
            }
            How::Http2 => self.story.send(vip, &request.tls(&self.ca.client_config(&["h2"])))?,
            How::WebSocket => return self.websocket(ask.host, &path, vip),
            How::Ping => return self.ping(vip),
            How::Port(port) => return self.knock(vip, port),
        };
        Ok(reply(&answer))
    }

    fn websocket(&self, host: &str, path: &str, vip: IpAddr) -> Result<Reply> {
        let to = SocketAddr::new(vip, 80);
        websocket_echo(&self.story.lab.client, to, host, path, &["one", "two", "three"])?;
        Ok(Reply { shown: "101, 3 messages".to_owned(), status: Some(200), ..Reply::default() })
    }

    fn ping(&self, vip: IpAddr) -> Result<Reply> {
        let mut ping = self.story.lab.client.command("ping");
        let output =
            ping.args(["-c", "1", "-W", "2", &vip.to_string()]).output().context("ping")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(Reply { shown: "echo".to_owned(), ..Reply::default() })
    }

    fn knock(&self, vip: IpAddr, port: u16) -> Result<Reply> {
        let shown = match self.story.connect(vip, port, SILENCE) {
            Connect::TimedOut => "no answer",
            Connect::Refused => "refused",
            Connect::Open => "open",
        };
        Ok(Reply { shown: shown.to_owned(), ..Reply::default() })
    }

    /// The worker that wrote the access log's line of the request with this query.
    fn worker(&self, query: &str) -> Option<u64> {
        let deadline = Instant::now() + LOGGED;
        let mark = format!("{query}\"");
        loop {
            let log = self.story.log();
            let line = log.lines().rfind(|line| line.contains(&mark));
            let entry = line.and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if let Some(entry) = entry {
                return entry["worker"].as_u64();
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The pod that a request with this query arrived at.
    fn pod_that_saw(&self, query: &str) -> Option<String> {
        let query = query.trim_start_matches('?');
        let saw = |backend: &Backend| {
            backend.requests().iter().any(|request| request.uri.query() == Some(query))
        };
        self.story.backends.iter().position(saw).map(pod_name)
    }
}

/// Why the reply is not what the manifests promise; `None` when it is.
fn broken(promise: &Promise, reply: &Reply, pod: Option<&str>) -> Option<String> {
    let from = |pods: &[usize]| {
        let named = pods.iter().any(|number| pod == Some(pod_name(*number).as_str()));
        (!named || reply.status != Some(200)).then(|| format!("promised: 200 from {pods:?}"))
    };
    match promise {
        Promise::Pods(pods) => from(pods),
        Promise::Rewritten(pods, path) => from(pods).or_else(|| {
            (reply.upstream_path.as_deref() != Some(path))
                .then(|| format!("the pod saw {:?}, promised: {path}", reply.upstream_path))
        }),
        Promise::Status(status) => {
            (reply.status != Some(*status)).then(|| format!("promised: {status}"))
        }
        Promise::Echo => (reply.shown != "echo").then(|| "promised: an echo".to_owned()),
        Promise::Silence => (reply.shown != "no answer").then(|| "promised: nothing".to_owned()),
    }
}

fn reply(answer: &Answer) -> Reply {
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    Reply {
        shown: format!("{} {:?}", answer.status, answer.version),
        status: Some(answer.status),
        pod: Some(answer.pod().to_owned()).filter(|pod| !pod.is_empty()),
        upstream_path: echo["path"].as_str().map(str::to_owned),
    }
}

fn shown(ask: &Ask, vip: IpAddr) -> String {
    let family = if vip.is_ipv4() { "v4" } else { "v6" };
    let what = match ask.how {
        How::Http => format!("GET http://{}{}", ask.host, ask.path),
        How::Https | How::Http2 => format!("GET https://{}{}", ask.host, ask.path),
        How::WebSocket => format!("ws://{}{}", ask.host, ask.path),
        How::Ping => "ping".to_owned(),
        How::Port(port) => format!("connect to port {port}"),
    };
    format!("{what} ({family})")
}

fn is_http(how: How) -> bool {
    !matches!(how, How::Ping | How::Port(_))
}

fn pod_name(number: usize) -> String {
    format!("pod-{number}")
}
