//! One request: what it asks for, whether it may, and the answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::state::Filter;
use super::{Asked, Shared};

type Body = BoxBody<Bytes, std::io::Error>;

/// What a request asks for.
#[derive(Debug, Default)]
struct Question {
    filter: Filter,
    watch: bool,
    limit: usize,
    /// How many objects the pages before had.
    offset: usize,
    version: Option<u64>,
    seconds: u64,
    bookmarks: bool,
}

pub(super) async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let Some((question, is_get)) = Question::read(request.uri()) else {
        return Ok(refusal(StatusCode::NOT_FOUND, "no such path"));
    };
    let verb = match (is_get, question.watch) {
        (true, _) => "get",
        (false, true) => "watch",
        (false, false) => "list",
    };
    let filter = &question.filter;
    let (plural, name) = (filter.plural.clone(), filter.name.clone());
    let asked = Asked { verb, plural: plural.clone(), name: name.clone() };
    shared.requests.lock().unwrap().push(asked);
    let delay = {
        let faults = shared.faults();
        let by_name = faults
            .named
            .get(&plural)
            .is_none_or(|names| name.as_ref().is_some_and(|name| names.contains(name)));
        if !by_name || faults.forbidden.contains(&(verb, plural.clone())) {
            let why = format!("User \"test\" cannot {verb} resource \"{plural}\"");
            return Ok(refusal(StatusCode::FORBIDDEN, &why));
        }
        if question.watch && question.version.is_some_and(|version| version < faults.forgotten) {
            return Ok(refusal(StatusCode::GONE, "too old resource version"));
        }
        faults.list_delay
    };
    Ok(match verb {
        "get" => match shared.state().get(filter) {
            Some(object) => whole(StatusCode::OK, object),
            None => refusal(StatusCode::NOT_FOUND, "not found"),
        },
        "list" => {
            tokio::time::sleep(delay).await;
            list(shared, &question)
        }
        _ => watch(shared, question),
    })
}

fn list(shared: &Shared, question: &Question) -> Response<Body> {
    let state = shared.state();
    let all: Vec<&Value> = state.matching(&question.filter).map(|(_, object)| object).collect();
    let rest = all.get(question.offset..).unwrap_or_default();
    let limit = if question.limit == 0 { rest.len() } else { question.limit };
    let (page, more) = rest.split_at(limit.min(rest.len()));
    let untyped = page.iter().map(|&object| {
        let mut object = object.clone();
        // Items of lists do not say what they are.
        let fields = object.as_object_mut().expect("objects are objects");
        fields.remove("apiVersion");
        fields.remove("kind");
        object
    });
    let next = (!more.is_empty()).then(|| (question.offset + page.len()).to_string());
    let list = json!({
        "kind": "List",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": state.version().to_string(), "continue": next},
        "items": untyped.collect::<Vec<_>>(),
    });
    whole(StatusCode::OK, &list)
}

/// What a watch has still to send.
struct Watching {
    shared: Arc<Shared>,
    question: Question,
    version: u64,
    epoch: u64,
    ends: tokio::time::Instant,
    lines: Vec<Bytes>,
}

fn watch(shared: &Arc<Shared>, question: Question) -> Response<Body> {
    let state = shared.state();
    let mut lines = Vec::new();
    let version = question.version.unwrap_or_else(|| {
        // What is there comes first.
        for (_, object) in state.matching(&question.filter) {
            lines.push(line("ADDED", object));
        }
        state.version()
    });
    drop(state);
    lines.reverse();
    let ends = tokio::time::Instant::now() + Duration::from_secs(question.seconds.max(1));
    let epoch = shared.faults().epoch;
    let shared = shared.clone();
    let watching = Watching { shared, question, version, epoch, ends, lines };
    let frames = stream::unfold(watching, |mut watching| async move {
        let frame = watching.next().await?;
        Some((Ok(Frame::data(frame)), watching))
    });
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}

impl Watching {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let shared = self.shared.clone();
            // Registered before the look: what comes in between is not missed.
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.look() {
                Look::Line(line) => return Some(line),
                Look::End => return None,
                Look::Nothing => drop(tokio::time::timeout_at(self.ends, changed).await),
            }
        }
    }

    fn look(&mut self) -> Look {
        if let Some(line) = self.lines.pop() {
            return Look::Line(line);
        }
        let faults = self.shared.faults();
        if faults.epoch != self.epoch {
            self.epoch = faults.epoch;
            self.ends = tokio::time::Instant::now();
            if faults.torn {
                return Look::Line(Bytes::from_static(b"{\"type\":\"ADD"));
            }
        }
        drop(faults);
        if tokio::time::Instant::now() >= self.ends {
            return Look::End;
        }
        let state = self.shared.state();
        for event in state.since(self.version, &self.question.filter) {
            if event.kind != "BOOKMARK" || self.question.bookmarks {
                self.lines.push(line(event.kind, &event.object));
            }
        }
        self.version = state.version();
        drop(state);
        self.lines.reverse();
        self.lines.pop().map_or(Look::Nothing, Look::Line)
    }
}

enum Look {
    Line(Bytes),
    End,
    Nothing,
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    text.into()
}

fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let code = status.as_u16();
    let reason = status.canonical_reason();
    let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message, "reason": reason, "code": code});
    whole(status, &answer)
}

fn whole(status: StatusCode, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

// === impl Question ===

impl Question {
    /// With whether it asks for one object by its path.
    fn read(uri: &http::Uri) -> Option<(Self, bool)> {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        match parts.next()? {
            "api" => drop(parts.next()?),
            "apis" => drop((parts.next()?, parts.next()?)),
            _ => return None,
        }
        let mut question = Self::default();
        let mut part = parts.next()?;
        if part == "namespaces" {
            question.filter.namespace = Some(parts.next()?.to_owned());
            part = parts.next()?;
        }
        question.filter.plural = part.to_owned();
        question.filter.name = parts.next().map(str::to_owned);
        let is_get = question.filter.name.is_some();
        for pair in uri.query().unwrap_or_default().split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            question.set(key, &value);
        }
        Some((question, is_get))
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "watch" => self.watch = value == "true" || value == "1",
            "limit" => self.limit = value.parse().unwrap_or(0),
            "continue" => self.offset = value.parse().unwrap_or(0),
            "resourceVersion" => self.version = value.parse().ok(),
            "timeoutSeconds" => self.seconds = value.parse().unwrap_or(300),
            "allowWatchBookmarks" => self.bookmarks = value == "true",
            "fieldSelector" => match value.split_once('=') {
                Some(("metadata.name", name)) => self.filter.name = Some(name.to_owned()),
                Some(("type", of_type)) => self.filter.of_type = Some(of_type.to_owned()),
                _ => {}
            },
            _ => {}
        }
    }
}
