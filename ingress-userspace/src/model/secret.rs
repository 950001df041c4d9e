//! A Secret that holds a certificate and its key (T3).

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::object::ObjectRef;

/// A readable pair whose key belongs to its leaf. Debug never shows the key.
#[derive(Debug, Clone)]
pub struct CertificateSecret {
    pub object: ObjectRef,
    pub certified: Arc<CertifiedKey>,
    /// DNS names of the leaf (subjectAltName), lower case, wildcards as written.
    pub names: Vec<Arc<str>>,
    /// Seconds since the epoch.
    pub not_before: i64,
    pub not_after: i64,
    /// SHA-256 of the leaf, lower-case hex: identity for change detection and messages.
    pub fingerprint: Arc<str>,
}

impl PartialEq for CertificateSecret {
    fn eq(&self, other: &Self) -> bool {
        // The chain says it all: its leaf fixes names, validity and, by its public key, the key.
        self.object == other.object && self.certified.cert == other.certified.cert
    }
}
