//! The words between an [`Original`](super::Original) and its [`Replica`](super::Replica).
//!
//! ```text
//! Begin  ( Share | Release | Cluster | Endpoints | RemoveCluster
//!        | Rule* Host | RemoveHost | Alias | RemoveAlias | Fallback
//!        | Certificate | RemoveCertificate | UnknownCertificate | DefaultCertificate )*  Commit
//! ```
//!
//! A message is one rule or one value at most, so that its size is bounded by that of an object of
//! an API server. What many routes share goes once and is referred to by its number.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::htpasswd::Users;
use crate::model::{HostPattern, PathKind};
use crate::routing::cluster::{Cluster, ClusterId, ClusterState, UpstreamEndpoint};
use crate::routing::filters::Filters;
use crate::routing::matcher::PathMatch;
use crate::routing::rewrite::Rewrite;
use crate::routing::route::{Action, Redirect};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// What follows makes `version` out of `base`; 0 is a snapshot with nothing in it.
    Begin {
        base: u64,
        version: u64,
    },
    /// A value that later messages name. Numbers are never used again.
    Share {
        number: u64,
        value: Shared,
    },
    /// No later message names it.
    Release {
        number: u64,
    },
    Cluster {
        id: ClusterId,
        #[serde(with = "crate::arc")]
        cluster: Arc<Cluster>,
    },
    /// All that changed of a cluster that is there.
    Endpoints {
        id: ClusterId,
        #[serde(with = "crate::arc")]
        endpoints: Arc<[UpstreamEndpoint]>,
        state: ClusterState,
    },
    RemoveCluster {
        id: ClusterId,
    },
    /// A rule of the host that follows.
    Rule {
        #[serde(with = "crate::arc")]
        text: Arc<str>,
        way: PathMatch,
        route: RouteParts,
    },
    /// The host has the rules before this, no others, and this default (C5).
    Host {
        host: HostPattern,
        default: Option<RouteParts>,
    },
    RemoveHost {
        host: HostPattern,
    },
    /// Has the routes of a host, as they are now.
    Alias {
        alias: HostPattern,
        host: HostPattern,
    },
    RemoveAlias {
        alias: HostPattern,
    },
    /// C6.
    Fallback(Option<RouteParts>),
    Certificate {
        host: HostPattern,
        shown: Shown,
    },
    RemoveCertificate {
        host: HostPattern,
    },
    /// The number of the certificate for names that nobody knows.
    UnknownCertificate(Option<u64>),
    /// The number of the listener's own.
    DefaultCertificate(Option<u64>),
    /// From now on all of it holds.
    Commit {
        version: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Shared {
    Filters {
        #[serde(with = "crate::arc")]
        filters: Arc<Filters>,
        /// The number of those who may come in with a password.
        users: Option<u64>,
    },
    Users(#[serde(with = "crate::arc")] Arc<Users>),
    Certificate {
        chain: Chain,
        key: Key,
    },
}

/// A certificate chain in DER, the leaf first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain(pub Vec<Vec<u8>>);

/// A private key in DER. Debug never shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    Pkcs1(Vec<u8>),
    Sec1(Vec<u8>),
    Pkcs8(Vec<u8>),
}

/// What a name is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// The certificate with this number.
    Own(u64),
    Default,
}

/// A [`Route`](crate::routing::Route); the values that it shares are numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteParts {
    #[serde(with = "crate::arc")]
    pub id: Arc<str>,
    #[serde(with = "crate::arc")]
    pub namespace: Arc<str>,
    #[serde(with = "crate::arc")]
    pub ingress: Arc<str>,
    #[serde(with = "crate::arc")]
    pub path: Arc<str>,
    pub kind: Option<PathKind>,
    pub action: Action,
    pub rewrite: Option<Rewrite>,
    pub https_redirect: Option<Redirect>,
    #[serde(with = "crate::arc::optional")]
    pub hsts: Option<Arc<str>>,
    pub filters: Option<u64>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
