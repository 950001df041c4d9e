//! One request, phase by phase, the same for every downstream protocol.
//!
//! | phase | does | an error answers |
//! |---|---|---|
//! | read | host (H7) and path (D7), each brought into its one form | 400, 501 for CONNECT |
//! | route | exact, wildcard, any host; path; default | 404 (C8) |
//! | sources | natively here, the allow and deny lists of the route (D21) | 403 |
//! | measure | the limit of the route for the body; what the client announces | 413 |
//! | refuse | what configuration closes | 503 (C12, C13) |
//! | redirect | what has moved, preflights of browsers, then HTTP to HTTPS (T11) | - |
//! | choose | the canary of the route, or not; the session of the client | 503 |
//! | admit | rates, requests at a time, lists, passwords (D21) | 401, 403, 429 or 503 |
//! | rewrite | target of the route, header fields (A3), those of annotations | 400 |
//! | send | endpoint, connection, request, head of the answer | 502, 503, 504 |
//! | answer | fields of the connection removed, HSTS (T13) | 502 |
//!
//! Limits and timeouts of the client's side are enforced where its bytes are read. What annotations
//! ask for stands in the route's [`Filters`](crate::routing::Filters): a route without them takes
//! one branch in each phase that could look at them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CONTENT_LENGTH, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use tokio::time::Instant;

use super::body::{ReplyBody, RequestBody};
use super::context::ProxyContext;
use super::counters::VipCounters;
use super::error::Failure;
use crate::config::PortProtocol;
use crate::filter::headers::{self, Origin};
use crate::filter::limit::Held;
use crate::filter::request_id::{self, RequestId};
use crate::filter::{self, cors, redirect, target};
use crate::routing::access::Auth;
use crate::routing::{self, Action, Cluster, ClusterId, RequestHost, Route, Snapshot};
use crate::tls::Handshake;
use crate::upstream::{Answer, Attempts, Target, Tunnel};

mod access;
mod failure;
mod host;
mod redirects;
mod session;

use session::Session;

use access::Gate;

/// A request with this field panics in test builds: the tests of what follows need one that does.
#[cfg(feature = "testing")]
pub const PANIC: &str = "genkan-test-panic";

/// What is known of the client's connection. One for each connection, shared by its requests.
#[derive(Debug, Clone)]
pub struct Connection {
    pub peer: SocketAddr,
    /// The VIP and port that the client connected to.
    pub local: SocketAddr,
    pub protocol: PortProtocol,
    /// Server name of the handshake, lower case.
    pub sni: Option<Arc<str>>,
    /// Absent without TLS.
    pub handshake: Option<Handshake>,
    /// Where its requests are counted besides their routes.
    pub vip: Option<Arc<VipCounters>>,
    /// Peer address and local port as header values, made once for all requests.
    peer_text: HeaderValue,
    port_text: HeaderValue,
}

/// The answer to one request.
#[derive(Debug)]
pub enum Reply {
    Response(Response<ReplyBody>),
    /// Answered by the table in `error`; the downstream side writes it.
    Failed(Failure),
    /// 101: the head is relayed, then bytes flow both ways.
    Switch {
        head: Response<()>,
        upstream: Tunnel<RequestBody>,
        /// How long nothing may move; `None` = `timeouts.upstream_read`.
        idle: Option<Duration>,
    },
}

/// What is known of a served request besides the answer; lives until the request has ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Counted, for 5 to 10 ns: a borrow would hold the whole snapshot for as long as a WebSocket
    /// runs.
    pub route: Option<Arc<Route>>,
    /// Where it goes: that of the route, or of its canary.
    pub cluster: Option<ClusterId>,
    /// The endpoint that answered, or was tried last, and how many were.
    pub tried: Attempts,
    /// For the log, and the `X-Request-ID` that an endpoint gets. Empty when no head could be read.
    pub request_id: RequestId,
    /// From sending the request to the head of the endpoint's answer, retries included.
    pub upstream: Option<Duration>,
    /// What an origin that may read the answer is told.
    allowed_origin: Option<HeaderValue>,
    /// Counts the request as under way, for the limit of its client.
    held: Option<Held>,
}

// === impl Connection ===

impl Connection {
    pub fn new(
        peer: SocketAddr,
        local: SocketAddr,
        protocol: PortProtocol,
        sni: Option<Arc<str>>,
    ) -> Self {
        let peer_text = HeaderValue::from_str(&peer.ip().to_canonical().to_string())
            .expect("an address is a valid header value");
        let port_text = HeaderValue::from(local.port());
        Self { peer, local, protocol, sni, handshake: None, vip: None, peer_text, port_text }
    }

    /// Its requests are counted there too.
    #[must_use]
    pub fn counted_by(self, vip: Arc<VipCounters>) -> Self {
        Self { vip: Some(vip), ..self }
    }

    /// The same over TLS.
    #[must_use]
    pub fn with_handshake(self, handshake: Handshake) -> Self {
        Self { handshake: Some(handshake), ..self }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Of a request with these header fields, of which nothing else is known.
    pub fn begin(headers: &HeaderMap) -> Self {
        Self { request_id: request_id::of(headers), ..Self::default() }
    }

    /// Adds what the route says about each of its answers. `failure`: the answer is ours.
    pub fn complete(&self, failure: Option<Failure>, fields: &mut HeaderMap) {
        let Some(filters) = self.route.as_ref().and_then(|route| route.filters.as_deref()) else {
            return;
        };
        for (name, value) in filters.response_headers.iter() {
            fields.insert(name, value.clone());
        }
        if let Some(cors) = &filters.cors {
            cors::answer(cors, self.allowed_origin.as_ref(), fields);
        }
        if failure == Some(Failure::Unauthorized)
            && let Some(Auth::Basic(basic)) = filters.access.as_ref().map(|access| &access.auth)
        {
            fields.insert(WWW_AUTHENTICATE, basic.challenge.clone());
        }
    }
}

/// Serves one request, of which `outcome` has [begun](Outcome::begin). Never fails: a [`Failure`]
/// becomes its answer. `outcome` is up to date also when this is dropped, because the client has
/// gone.
pub async fn serve(
    context: &ProxyContext,
    connection: &Connection,
    request: Request<RequestBody>,
    outcome: &mut Outcome,
) -> Reply {
    #[cfg(feature = "testing")]
    assert!(!request.headers().contains_key(PANIC), "asked to panic by a test");
    let reply = answer(context, connection, request, outcome).await;
    let mut reply = reply.unwrap_or_else(Reply::Failed);
    // A 101 is an answer like others: ingress-nginx's `more_set_headers` asks for no status.
    match &mut reply {
        Reply::Response(response) => outcome.complete(None, response.headers_mut()),
        Reply::Switch { head, .. } => outcome.complete(None, head.headers_mut()),
        Reply::Failed(_) => {}
    }
    reply
}

async fn answer(
    context: &ProxyContext,
    connection: &Connection,
    mut request: Request<RequestBody>,
    outcome: &mut Outcome,
) -> Result<Reply, Failure> {
    if request.method() == Method::CONNECT {
        return Err(Failure::MethodNotServed);
    }
    let https = connection.protocol == PortProtocol::Https;
    let named = host::named(&request)?;
    let uri = std::mem::take(request.uri_mut());
    let mut lower_case = String::new();
    let host = request_host(named.as_ref(), &mut lower_case)?;
    let path = request_path(request.method(), &uri)?;

    let snapshot = context.snapshot();
    let strict = https && context.settings().tls.strict_sni;
    if strict && snapshot.misdirects(connection.sni.as_deref(), host) {
        return Err(Failure::Misdirected);
    }
    let route = snapshot.route(host, &path).ok_or(Failure::NoRoute)?;
    outcome.route = Some(route.clone());
    let filters = route.filters.as_deref();
    if let Some(limit) = filters.and_then(|filters| filters.request_body) {
        request.body_mut().set_limit(limit);
    }
    let gate = filters.and_then(|f| f.access.as_deref());
    let gate = gate.map(|access| Gate::new(context, access, connection.peer.ip()));
    if let Some(cors) = filters.and_then(|filters| filters.cors.as_deref()) {
        outcome.allowed_origin = cors::allowed(cors, request.headers());
    }
    if let Some(gate) = &gate {
        gate.judge_early()?;
    }
    if request.body().announces_too_much() {
        return Err(Failure::BodyTooLarge);
    }
    // Before anything else that would be answered: a path that is closed says nothing, and its
    // canary is closed with it (C13).
    if let Action::Refuse { reason, .. } = &route.action {
        return Err(Failure::Closed(reason.as_str()));
    }
    if let Action::Redirect(moved) = &route.action {
        return redirects::moved(moved, https, named.as_ref(), connection.local);
    }
    if cors::is_preflight(request.method(), outcome.allowed_origin.as_ref()) {
        let mut answer = Response::new(ReplyBody::Empty);
        *answer.status_mut() = StatusCode::NO_CONTENT;
        return Ok(Reply::Response(answer));
    }
    if !https && let Some(redirect) = redirect::applies(route) {
        let vip = connection.local.ip();
        let port = context.settings().https_ports.get(&vip).copied();
        // Where nothing speaks HTTPS a redirect leads nowhere.
        if port.is_some() || redirect.forced {
            return redirects::to_https(redirect, host, vip, port, &uri);
        }
    }
    let mut session = filters.and_then(|filters| Session::of(filters, request.headers()));
    let mut action = &route.action;
    if let Some(canary) = filters.and_then(|filters| filters.canary.as_deref())
        && session::takes(canary, route, session.as_ref(), &snapshot, request.headers())
    {
        action = &canary.action;
        session = session.filter(|_| canary.sticky);
    }
    let (id, cluster) = destination(&snapshot, action)?;
    outcome.cluster = Some(id);
    if let Some(gate) = &gate {
        outcome.held = gate.admit(cluster, request.headers_mut()).await?;
    }

    *request.uri_mut() = target_of(route, &uri, &path)?;
    let origin = Origin {
        peer: &connection.peer_text,
        port: &connection.port_text,
        https,
        host: named.as_ref(),
        request_id: &outcome.request_id,
    };
    let upgrade = prepare(&mut request, origin);
    if let Some(filters) = filters {
        filter::apply(request.headers_mut(), filters, route.rewrite.is_some());
    }

    let timeouts = filters.map(|filters| filters.timeouts).unwrap_or_default();
    let sticky = session.map(|session| session.sticky(cluster));
    let version = snapshot.version;
    let target = Target { id, cluster, version, upgrade, timeouts, sticky };
    let sent = Instant::now();
    let answered = context.upstreams.send(target, request, &mut outcome.tried).await;
    outcome.upstream = Some(sent.elapsed());
    let answered = answered?;
    let set_cookie = session
        .and_then(|session| session.set_cookie(outcome.tried.session, cluster, route, https));
    let hsts = route.hsts.as_deref().filter(|_| https);
    match answered {
        Answer::Response(response) => {
            let mut response = response.map(ReplyBody::Upstream);
            check_framing(response.headers())?;
            headers::from_upstream(response.headers_mut(), false);
            add(response.headers_mut(), set_cookie, hsts);
            Ok(Reply::Response(response))
        }
        Answer::Switch { mut head, tunnel } => {
            headers::from_upstream(head.headers_mut(), true);
            add(head.headers_mut(), set_cookie, hsts);
            Ok(Reply::Switch { head, upstream: tunnel, idle: timeouts.read })
        }
    }
}

fn request_host<'a>(
    named: Option<&'a HeaderValue>,
    lower_case: &'a mut String,
) -> Result<RequestHost<'a>, Failure> {
    let Some(named) = named else { return Ok(RequestHost::Absent) };
    let text = named.to_str().map_err(|_| Failure::BadRequest("malformed host"))?;
    routing::host::normalise(text, lower_case).map_err(|_| Failure::BadRequest("malformed host"))
}

fn request_path<'a>(method: &Method, uri: &'a Uri) -> Result<Cow<'a, str>, Failure> {
    match uri.path() {
        "*" if method == Method::OPTIONS => Ok(Cow::Borrowed("")),
        path => routing::path::normalise(path).map_err(|_| Failure::BadRequest("path not allowed")),
    }
}

fn destination<'a>(
    snapshot: &'a Snapshot,
    action: &Action,
) -> Result<(ClusterId, &'a Arc<Cluster>), Failure> {
    match *action {
        Action::Refuse { reason, .. } => Err(Failure::Closed(reason.as_str())),
        Action::Redirect(_) => Err(Failure::Closed("moved")),
        Action::Forward(id) => {
            let cluster = snapshot.cluster(id);
            Ok((id, cluster.ok_or(Failure::NoEndpoint("no such cluster"))?))
        }
    }
}

/// What the endpoint is asked for: the form of the path that was routed, or the rewritten one.
fn target_of(route: &Route, uri: &Uri, path: &str) -> Result<Uri, Failure> {
    let path = match &route.rewrite {
        Some(rewrite) => rewrite.apply(path),
        // `OPTIONS *`
        None if path.is_empty() => Cow::Borrowed("*"),
        None => Cow::Borrowed(path),
    };
    target::with_path(uri, &path).ok_or(Failure::BadRequest("rewritten path is not a path"))
}

/// True: the request asks for another protocol.
fn prepare(request: &mut Request<RequestBody>, origin: Origin<'_>) -> bool {
    let upgrade = headers::to_upstream(request.headers_mut(), origin);
    let body = request.body();
    let unframed = !body.is_end_stream() && body.size_hint().exact().is_none();
    if unframed && !request.headers().contains_key(CONTENT_LENGTH) {
        // hyper would send none with these methods.
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
    }
    upgrade
}

/// An answer with two framings could be read in two ways (RFC 9112 6.3).
fn check_framing(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        return Err(Failure::BadResponse("both Content-Length and Transfer-Encoding"));
    }
    Ok(())
}

/// What is ours in an endpoint's answer: the session, and T13.
fn add(headers: &mut HeaderMap, set_cookie: Option<HeaderValue>, hsts: Option<&str>) {
    if let Some(cookie) = set_cookie {
        headers.append(SET_COOKIE, cookie);
    }
    if let Some(hsts) = hsts.and_then(|hsts| HeaderValue::from_str(hsts).ok()) {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts);
    }
}
