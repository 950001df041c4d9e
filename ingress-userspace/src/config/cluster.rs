//! What is read of a cluster, where it is kept for a start without API server, and what is written.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the cache is when nothing else is said.
pub const DEFAULT_CACHE: &str = "/run/genkan/objects.cache";

/// Only with `--kubeconfig`, or in a pod. Takes effect with the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Namespaces whose objects are read, by a Role in each; empty = all, by a ClusterRole.
    pub namespaces: Vec<String>,
    /// As many Secrets that Ingresses name, and as many ConfigMaps, have a watch each, which is a
    /// connection. With more, the certificates of a namespace share one.
    pub named_watches: usize,
    /// Path of the file that keeps what is known, with the keys of Secrets; or `off`.
    pub cache: CacheConfig,
    /// Keep the cache although its file is not on a tmpfs: keys of Secrets are written to a disk.
    pub cache_on_disk: bool,
    /// Write the addresses of Ingresses into their status, and Events about their problems.
    pub status: bool,
    /// Name of the Lease whose holder writes; absent = `$LEASE_NAME`, or `genkan`.
    pub lease: Option<String>,
    /// Its namespace; absent = that of the pod, or `genkan-system`.
    pub lease_namespace: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum CacheConfig {
    Off,
    At(PathBuf),
}

// === impl ClusterConfig ===

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            named_watches: 64,
            cache: CacheConfig::default(),
            cache_on_disk: false,
            status: true,
            lease: None,
            lease_namespace: None,
        }
    }
}

// === impl CacheConfig ===

impl CacheConfig {
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Off => None,
            Self::At(path) => Some(path),
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self::At(DEFAULT_CACHE.into())
    }
}

impl From<String> for CacheConfig {
    fn from(text: String) -> Self {
        if text == "off" { Self::Off } else { Self::At(text.into()) }
    }
}

impl From<CacheConfig> for String {
    fn from(cache: CacheConfig) -> Self {
        match cache {
            CacheConfig::Off => "off".to_owned(),
            CacheConfig::At(path) => path.to_string_lossy().into_owned(),
        }
    }
}
