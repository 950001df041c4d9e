//! What is counted and logged of one stream, whatever its end.

use std::cell::Cell;
use std::rc::Rc;

use http::header::HOST;
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version};
use tokio::time::Instant;

use crate::proxy::Failure;
use crate::proxy::access_log::{Entry, Kept};
use crate::proxy::request::{Connection, Outcome};
use crate::proxy::worker::WorkerState;

/// Counts and logs when it is dropped: at the end of the answer, or when the client resets the
/// stream before.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) outcome: Outcome,
    state: Rc<WorkerState>,
    connection: Rc<Connection>,
    started: Instant,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    kept: Kept,
    received: Rc<Cell<u64>>,
    sent: u64,
    status: Option<StatusCode>,
    failure: Option<Failure>,
    complete: bool,
}

// === impl Record ===

impl Record {
    pub(super) fn begin<B>(
        state: Rc<WorkerState>,
        connection: Rc<Connection>,
        request: &Request<B>,
    ) -> Self {
        let kept = Kept::of(request.headers(), state.wants());
        Self {
            outcome: Outcome::begin(request.headers()),
            state,
            connection,
            started: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: request.headers().get(HOST).cloned(),
            kept,
            received: Rc::default(),
            sent: 0,
            status: None,
            failure: None,
            complete: false,
        }
    }

    /// Counter of the body bytes from the client.
    pub(super) fn received(&self) -> Rc<Cell<u64>> {
        self.received.clone()
    }

    pub(super) fn failed(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// The head of the answer is known.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// The whole answer was taken.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.complete && self.failure.is_none() {
            self.failure = Some(Failure::ClientGone);
        }
        let gone = Failure::ClientGone.status();
        let entry = Entry {
            connection: &self.connection,
            version: Version::HTTP_2,
            method: Some(&self.method),
            uri: Some(&self.uri),
            host: self.host.as_ref(),
            referer: self.kept.referer.as_ref(),
            user_agent: self.kept.user_agent.as_ref(),
            status: self.status.unwrap_or(gone).as_u16(),
            received: self.received.get(),
            sent: self.sent,
            duration: self.started.elapsed(),
            outcome: &self.outcome,
            failure: self.failure,
        };
        self.state.finished(&entry);
    }
}
