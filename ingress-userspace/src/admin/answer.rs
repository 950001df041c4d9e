//! One request of the administration, and its answer.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use tokio::time::timeout;

use super::query::Query;
use super::status::Readiness;
use super::{Node, Shared, dump, explain, log, metrics, page, ready, view};
use crate::metrics::Form;

/// By which door a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Socket,
    /// Loopback TCP: every user of the host can connect, and every page in a browser there, so it
    /// only reads, and only for who names it by its address.
    Address,
}

pub(super) type Answer = Response<Bytes>;

/// Longest body that is read, and how long it may take.
const BODY: usize = 4 << 10;
/// A question has a URL and request fields.
const QUESTION: usize = 64 << 10;
const BODY_TIME: Duration = Duration::from_secs(5);

const INDEX: &str = "\
GET  /              for browsers: a page
GET  /livez         whether the process should be left running
GET  /readyz        whether traffic should be sent here, and why
GET  /version
GET  /metrics       OpenMetrics, or Prometheus text
GET  /status        all that `genkan status` shows
GET  /problems      what is wrong with the objects
GET  /config_dump   configuration in force, routes, clusters, certificates
GET  /log           what is logged
PUT  /log           {\"filter\": \"info,genkan::proxy=debug\", \"seconds\": 300}
POST /explain       what would become of a request, and why (`genkan explain`)
POST /drain         as SIGTERM
";

pub(super) async fn to<B>(shared: &Shared, way: Way, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    if way == Way::Address
        && let Some(refusal) = refused(&request)
    {
        return refusal;
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match (request.uri().path(), request.method()) {
        ("/log", &Method::PUT) => return set_log(shared, request).await,
        ("/log", _) if reads => return json(StatusCode::OK, &shared.log.told()),
        ("/log", _) => return not_allowed("GET, HEAD, PUT"),
        ("/explain", &Method::POST) => return explain(shared, request).await,
        ("/explain", _) => return not_allowed("POST"),
        ("/drain", &Method::POST) => return drain(shared).await,
        ("/drain", _) => return not_allowed("POST"),
        _ if !reads => return not_allowed("GET, HEAD"),
        _ => {}
    }
    let mut query = match Query::parse(request.uri().query()) {
        Ok(query) => query,
        Err(why) => return text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    query.json |= accepts(&request, "application/json");
    match request.uri().path() {
        "/" if accepts(&request, "text/html") => page(shared, &query).await,
        "/" => text(StatusCode::OK, INDEX),
        "/page.css" => answer(StatusCode::OK, "text/css; charset=utf-8", page::STYLE.into()),
        "/page.js" => answer(StatusCode::OK, "text/javascript; charset=utf-8", page::SCRIPT.into()),
        "/version" => json(StatusCode::OK, &version()),
        "/livez" => live(shared).await,
        "/metrics" => metrics(shared, &query, &request).await,
        "/readyz" => {
            let readiness = readiness(shared).await;
            let status =
                if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            if query.json { json(status, &readiness) } else { text(status, readiness.text()) }
        }
        path @ ("/status" | "/problems" | "/config_dump") => match shared.node.get() {
            Some(node) => document(shared, &**node, path, &query).await,
            None => text(StatusCode::SERVICE_UNAVAILABLE, shared.starting().text()),
        },
        _ => text(StatusCode::NOT_FOUND, format!("there are:\n{INDEX}")),
    }
}

async fn document(shared: &Shared, node: &dyn Node, path: &str, query: &Query) -> Answer {
    let view = match shared.control.view().await {
        Ok(view) => view,
        Err(silent) => return text(StatusCode::SERVICE_UNAVAILABLE, format!("{silent}\n")),
    };
    match path {
        "/problems" => json(StatusCode::OK, &view::problems(&view.problems, query)),
        "/config_dump" => json(StatusCode::OK, &dump::dump(&node.snapshot(), &view, query)),
        _ => {
            let readiness = ready::readiness(&node.workers(), Ok(&view));
            json(StatusCode::OK, &view::status(node, &view, readiness, query))
        }
    }
}

async fn page(shared: &Shared, query: &Query) -> Answer {
    let Some(node) = shared.node.get() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, shared.starting().text());
    };
    let view = match shared.control.view().await {
        Ok(view) => view,
        Err(silent) => return text(StatusCode::SERVICE_UNAVAILABLE, format!("{silent}\n")),
    };
    let readiness = ready::readiness(&node.workers(), Ok(&view));
    let html = page::render(&view::status(&**node, &view, readiness, query), query);
    let mut page = answer(StatusCode::OK, "text/html; charset=utf-8", html.into());
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, page::POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        page.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    page
}

async fn metrics<B>(shared: &Shared, query: &Query, request: &Request<B>) -> Answer {
    let Some(node) = shared.node.get() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, shared.starting().text());
    };
    let form = match query.form {
        Some(form) => form,
        None if accepts(request, "application/openmetrics-text") => Form::OpenMetrics,
        None => Form::Prometheus,
    };
    // Without the control side, what it does not know is still worth a scrape.
    let view = shared.control.view().await;
    let view = view.as_ref().map_err(|silent| *silent);
    let body = metrics::text(&**node, view, form, query.detail);
    answer(StatusCode::OK, form.content_type(), body.into())
}

async fn readiness(shared: &Shared) -> Readiness {
    let Some(node) = shared.node.get() else { return shared.starting() };
    let view = shared.control.view().await;
    ready::readiness(&node.workers(), view.as_ref().map_err(|silent| *silent))
}

async fn live(shared: &Shared) -> Answer {
    // A start may take its time.
    let Some(node) = shared.node.get() else { return text(StatusCode::OK, "starting\n") };
    let view = shared.control.view().await;
    match ready::stuck(&node.workers(), view.as_ref().map_err(|silent| *silent)) {
        None => text(StatusCode::OK, "alive\n"),
        Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn drain(shared: &Shared) -> Answer {
    if shared.node.get().is_none() {
        return text(StatusCode::SERVICE_UNAVAILABLE, shared.starting().text());
    }
    match shared.control.drain().await {
        Ok(()) => text(StatusCode::ACCEPTED, "draining\n"),
        Err(silent) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{silent}\n")),
    }
}

async fn explain<B>(shared: &Shared, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let body = Limited::new(request.into_body(), QUESTION).collect();
    let Ok(Ok(body)) = timeout(BODY_TIME, body).await else {
        return text(StatusCode::BAD_REQUEST, "a JSON object is expected\n");
    };
    let question: explain::Request = match serde_json::from_slice(&body.to_bytes()) {
        Ok(question) => question,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    if shared.node.get().is_none() {
        return text(StatusCode::SERVICE_UNAVAILABLE, shared.starting().text());
    }
    match shared.control.explain(question).await {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(silent) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{silent}\n")),
    }
}

async fn set_log<B>(shared: &Shared, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let body = Limited::new(request.into_body(), BODY).collect();
    let Ok(Ok(body)) = timeout(BODY_TIME, body).await else {
        return text(StatusCode::BAD_REQUEST, "a short JSON object is expected\n");
    };
    let wish: log::Wish = match serde_json::from_slice(&body.to_bytes()) {
        Ok(wish) => wish,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    match shared.log.set(&wish) {
        Ok(()) => json(StatusCode::OK, &shared.log.told()),
        Err(why) => text(StatusCode::BAD_REQUEST, format!("filter: {why}\n")),
    }
}

/// What loopback TCP does not do.
fn refused<B>(request: &Request<B>) -> Option<Answer> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = "this address only reads; ask by the Unix socket\n";
        return Some(text(StatusCode::FORBIDDEN, message));
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_address = host.parse::<std::net::SocketAddr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        || host.split(':').next() == Some("localhost");
    (!is_address).then(|| text(StatusCode::FORBIDDEN, "Host has to be an address or localhost\n"))
}

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    architecture: &'static str,
}

fn version() -> Version {
    let architecture = std::env::consts::ARCH;
    Version { name: "genkan", version: env!("CARGO_PKG_VERSION"), architecture }
}

fn accepts<B>(request: &Request<B>, kind: &str) -> bool {
    let mut fields = request.headers().get_all(ACCEPT).iter();
    fields.any(|field| field.to_str().is_ok_and(|text| text.contains(kind)))
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("allowed: {allowed}\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.into())
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            answer(status, "application/json", body.into())
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
