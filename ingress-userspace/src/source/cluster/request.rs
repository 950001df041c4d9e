//! The requests of one watch: a page, one object, a stream of events.
//!
//! Texts are read here and not by kube, which logs a text that it cannot read, with the keys of
//! Secrets in it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Limited};
use kube::api::{GetParams, ListParams, Request, WatchEvent, WatchParams};
use kube::client::Body;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use super::fault::Fault;
use super::item::{Item, Page};
use super::resource::Resource;
use crate::kubernetes::Link;

/// Where the requests go.
pub(super) struct Requests {
    pub(super) link: Arc<Link>,
    pub(super) resource: &'static Resource,
    pub(super) namespace: Option<Arc<str>>,
    /// A field selector; none = all.
    pub(super) fields: Option<String>,
    /// How long an answer, or the head of a stream, may take.
    pub(super) patience: Duration,
}

/// A `Status`, as far as it is told on.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

/// Objects of one page.
const PAGE: u32 = 500;
/// Of an answer that is an error.
const ERROR_TEXT: usize = 64 << 10;

// === impl Requests ===

impl Requests {
    /// `next`: where it begins, as the page before has said.
    pub(super) async fn page(&self, next: Option<&str>) -> Result<Page, Fault> {
        let params = ListParams {
            limit: Some(PAGE),
            continue_token: next.map(str::to_owned),
            field_selector: self.fields.clone(),
            ..ListParams::default()
        };
        let request = self.to().list(&params).map_err(kube::Error::BuildRequest)?;
        let text = self.text(request).await?;
        serde_json::from_str(&text).map_err(|error| Fault::unreadable(self.resource, &error))
    }

    /// `None`: it does not exist.
    pub(super) async fn object(&self, name: &str) -> Result<Option<Item>, Fault> {
        let request = self.to().get(name, &GetParams::default());
        match self.text(request.map_err(kube::Error::BuildRequest)?).await {
            Ok(text) => match serde_json::from_str(&text) {
                Ok(item) => Ok(Some(item)),
                Err(error) => Err(Fault::unreadable(self.resource, &error)),
            },
            Err(fault) if fault.is_absence() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Events from `version` on; without one, those that make what is there, and what follows. The
    /// server ends the stream after `limit`.
    pub(super) async fn events(
        &self,
        version: &str,
        limit: Duration,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Item>, Fault>> + use<>, Fault> {
        let seconds = u32::try_from(limit.as_secs().max(1)).unwrap_or(u32::MAX);
        let mut params = WatchParams::default().timeout(seconds);
        params.field_selector.clone_from(&self.fields);
        let request = self.to().watch(&params, version).map_err(kube::Error::BuildRequest)?;
        let response = self.within(self.send(request)).await?;
        let (resource, body) = (self.resource, response.into_body());
        let bytes = body.into_data_stream().map_err(io::Error::other);
        let lines = FramedRead::new(StreamReader::new(bytes), LinesCodec::new());
        Ok(lines.map(move |line| match line {
            Ok(line) => {
                serde_json::from_str(&line).map_err(|error| Fault::unreadable(resource, &error))
            }
            Err(error) => Err(Fault::dropped(resource, &error)),
        }))
    }

    async fn text(&self, request: http::Request<Vec<u8>>) -> Result<String, Fault> {
        self.within(async {
            let body = self.send(request).await?.into_body();
            let bytes =
                body.collect().await.map_err(|error| Fault::dropped(self.resource, &error))?;
            String::from_utf8(bytes.to_bytes().into()).map_err(|_| Fault::not_text(self.resource))
        })
        .await
    }

    /// The answer, when it is none of refusal.
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Body>, Fault> {
        let client = self.link.client().await;
        let response = client.send(request.map(Body::from)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let text = Limited::new(response.into_body(), ERROR_TEXT).collect().await;
        let text = text.map(|text| text.to_bytes()).unwrap_or_default();
        // Something else on the way says it in other forms.
        let refusal = serde_json::from_slice::<Refusal>(&text).unwrap_or_default();
        Err(Fault::refused(code, &refusal.message))
    }

    async fn within<T>(&self, asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let answer = timeout(self.patience, asking).await;
        answer.unwrap_or_else(|_| Err(Fault::silent(self.resource, self.patience)))
    }

    fn to(&self) -> Request {
        Request::new(self.resource.path(self.namespace.as_deref()))
    }
}
