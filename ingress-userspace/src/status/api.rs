//! The requests of this module, and why one failed.
//!
//! What is written is built and read as JSON: no object is taken apart here that others may extend.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use kube::api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Request};
use kube::client::Body;
use kube::core::request::Error as Malformed;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::plan::report::API_VERSION;
use crate::kubernetes::Link;

/// The field manager of everything that is written.
pub(super) const MANAGER: &str = "genkan";
const PATIENCE: Duration = Duration::from_secs(5);
/// Of an answer; a page of a list is the longest.
const LONGEST: usize = 64 << 20;

/// A collection of one namespace, or of all.
pub(super) struct Collection(Request);

pub(super) struct Api {
    link: Link,
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Status of the answer; 0 without one.
    code: u16,
    message: String,
}

/// A `Status`, as far as it is told on.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

type Asked = Result<http::Request<Vec<u8>>, Malformed>;

// === impl Collection ===

impl Collection {
    pub(super) fn leases(namespace: &str) -> Self {
        let root = "/apis/coordination.k8s.io/v1/namespaces";
        Self(Request::new(format!("{root}/{namespace}/leases")))
    }

    pub(super) fn events(namespace: &str) -> Self {
        // As kubectl does it: those of objects without a namespace are in the default one.
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        Self(Request::new(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events")))
    }

    pub(super) fn reports(namespace: &str) -> Self {
        Self(Request::new(format!("/apis/{API_VERSION}/namespaces/{namespace}/ingressreports")))
    }

    pub(super) fn all_reports() -> Self {
        Self(Request::new(format!("/apis/{API_VERSION}/ingressreports")))
    }

    pub(super) fn ingresses(namespace: &str) -> Self {
        let root = "/apis/networking.k8s.io/v1/namespaces";
        Self(Request::new(format!("{root}/{namespace}/ingresses")))
    }
}

// === impl Api ===

impl Api {
    pub(super) fn new(link: Link) -> Self {
        Self { link }
    }

    pub(super) async fn get(&self, of: &Collection, name: &str) -> Result<Value, Fault> {
        self.send(of.0.get(name, &GetParams::default())).await
    }

    pub(super) async fn list(&self, of: &Collection, labels: &str) -> Result<Vec<Value>, Fault> {
        let mut params = ListParams::default().labels(labels).limit(500);
        let mut all = Vec::new();
        loop {
            let mut page = self.send(of.0.list(&params)).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                all.extend(items);
            }
            let next = page.pointer("/metadata/continue").and_then(Value::as_str);
            match next.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(next),
                None => return Ok(all),
            }
        }
    }

    pub(super) async fn create(&self, of: &Collection, object: &Value) -> Result<Value, Fault> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), dry_run: false };
        self.send(of.0.create(&params, object.to_string().into_bytes())).await
    }

    /// Of the version that the object names.
    pub(super) async fn replace(
        &self,
        of: &Collection,
        name: &str,
        object: &Value,
    ) -> Result<Value, Fault> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), dry_run: false };
        self.send(of.0.replace(name, &params, object.to_string().into_bytes())).await
    }

    /// Creates the object, or gives it these fields: server-side apply.
    pub(super) async fn apply(
        &self,
        of: &Collection,
        name: &str,
        object: &Value,
    ) -> Result<Value, Fault> {
        let params = PatchParams::apply(MANAGER).force();
        self.send(of.0.patch(name, &params, &Patch::Apply(object))).await
    }

    pub(super) async fn delete(&self, of: &Collection, name: &str) -> Result<(), Fault> {
        self.send(of.0.delete(name, &DeleteParams::default())).await.map(drop)
    }

    /// A merge patch (RFC 7396).
    pub(super) async fn patch(
        &self,
        of: &Collection,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Fault> {
        self.send(of.0.patch(name, &merging(), &Patch::Merge(patch))).await
    }

    /// The same of the status.
    pub(super) async fn patch_status(
        &self,
        of: &Collection,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Fault> {
        self.send(of.0.patch_subresource("status", name, &merging(), &Patch::Merge(patch))).await
    }

    async fn send(&self, request: Asked) -> Result<Value, Fault> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        let client = self.link.client().await;
        // kube's own reading logs what it cannot read, such as the page of an API server that does
        // not know a kind.
        let answer = timeout(PATIENCE, async {
            let answer = client.send(request.map(Body::from)).await?;
            let status = answer.status();
            let text = Limited::new(answer.into_body(), LONGEST).collect().await;
            let text = text.map_err(|error| Fault::broken(&*error))?.to_bytes();
            if status.is_success() {
                return serde_json::from_slice(&text).map_err(|error| Fault::broken(&error));
            }
            let refusal = serde_json::from_slice::<Refusal>(&text).unwrap_or_default();
            Err(Fault::refused(status.as_u16(), &refusal.message))
        });
        let answer = answer.await.unwrap_or_else(|_| {
            let message = format!("no answer of the API server within {} s", PATIENCE.as_secs());
            Err(Fault { code: 0, message })
        });
        if answer.as_ref().is_err_and(|fault| fault.code == 401) {
            self.link.renew().await;
        }
        answer
    }
}

fn merging() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

// === impl Fault ===

impl Fault {
    pub(super) fn is_absence(&self) -> bool {
        self.code == 404
    }

    fn refused(code: u16, message: &str) -> Self {
        // What else is on the way may answer with a page.
        let message: String =
            message.lines().next().unwrap_or_default().chars().take(300).collect();
        Self { code, message: format!("the API server answers {code}: {message}") }
    }

    fn broken(error: &dyn Error) -> Self {
        Self { code: 0, message: format!("the answer of the API server is not readable: {error}") }
    }

    /// Another version of the object is there, or one where none was expected.
    pub(super) fn is_conflict(&self) -> bool {
        self.code == 409
    }
}

impl From<kube::Error> for Fault {
    fn from(error: kube::Error) -> Self {
        let mut message = format!("the API server is not reached: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self { code: 0, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
