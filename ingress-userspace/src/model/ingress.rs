//! An Ingress, version-independent and checked: what of it can be served.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::object::ObjectRef;
use super::options::IngressOptions;

/// One Ingress of any served API version.
///
/// A bad rule, path, TLS entry or annotation is left out here and stands in the problems (C13);
/// an access-control annotation that does not parse closes its paths instead (`Backend::Closed`).
#[derive(Debug, Clone, PartialEq)]
pub struct Ingress {
    pub object: ObjectRef,
    /// Seconds since the epoch from `metadata.creationTimestamp`; absent = youngest (C1).
    pub created: Option<i64>,
    pub generation: i64,
    /// `spec.ingressClassName`.
    pub class_name: Option<Arc<str>>,
    /// The legacy annotation `kubernetes.io/ingress.class`; wins over the field (K2).
    pub class_annotation: Option<Arc<str>>,
    pub default_backend: Option<Backend>,
    /// `spec.rules` is not empty, even when each of its rules was refused: such an Ingress is no
    /// catch-all (C6).
    pub has_rules: bool,
    pub rules: Vec<Rule>,
    pub tls: Vec<TlsEntry>,
    pub options: Box<IngressOptions>,
    /// D19: what to say about nginx annotations that are there and not read, if this Ingress is
    /// ours.
    pub unread: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Index in `spec.rules`, for messages and for C1 inside one object.
    pub index: usize,
    pub host: HostPattern,
    /// Empty when the rule has no `http` (H9).
    pub paths: Vec<IngressPath>,
}

/// H1-H3. Names are lower case, without trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HostPattern {
    Any,
    Exact(#[serde(with = "crate::arc")] Arc<str>),
    /// Holds what follows `*.`: `foo.example` for `*.foo.example`.
    Wildcard(#[serde(with = "crate::arc")] Arc<str>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct IngressPath {
    pub index: usize,
    /// As written; empty stands for `/` (P6).
    pub path: Arc<str>,
    pub kind: PathKind,
    pub backend: Backend,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PathKind {
    Exact,
    Prefix,
    ImplementationSpecific,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Backend {
    Service {
        name: Arc<str>,
        port: PortRef,
    },
    /// C12: a `resource` backend of a kind that is not served; answers 503.
    Resource {
        kind: Arc<str>,
        name: Arc<str>,
    },
    /// C13: closed because an access rule of this path could not be read; answers 503.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortRef {
    Name(Arc<str>),
    Number(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsEntry {
    pub index: usize,
    pub hosts: Vec<HostPattern>,
    /// Secret in the Ingress's namespace; `None` = SNI known, default certificate (T2).
    pub secret: Option<Arc<str>>,
}
