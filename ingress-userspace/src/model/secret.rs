//! A Secret: a certificate with its key (T3), and data that an Ingress may name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::sign::CertifiedKey;

use super::object::ObjectRef;

#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    pub object: ObjectRef,
    pub certificate: SecretCertificate,
    pub data: SecretData,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SecretCertificate {
    /// It holds none.
    Absent,
    Usable(CertificateSecret),
    /// The last good one stays (T9).
    Unreadable,
}

/// What it holds besides a certificate, as written: nobody looks into it before an Ingress names it.
/// Debug shows nothing of it.
#[derive(Clone, Default, PartialEq)]
pub struct SecretData(pub(super) BTreeMap<Arc<str>, Entry>);

#[derive(Clone, PartialEq)]
pub(super) enum Entry {
    /// Of `data`.
    Base64(Arc<str>),
    /// Of `stringData`.
    Text(Arc<str>),
}

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

// === impl Secret ===

impl From<CertificateSecret> for Secret {
    fn from(certificate: CertificateSecret) -> Self {
        Self {
            object: certificate.object.clone(),
            certificate: SecretCertificate::Usable(certificate),
            data: SecretData::default(),
        }
    }
}

// === impl SecretData ===

impl SecretData {
    /// The bytes of an entry; `Err`: it is not base64.
    pub fn get(&self, key: &str) -> Option<Result<Vec<u8>, base64::DecodeError>> {
        self.0.get(key).map(Entry::bytes)
    }

    /// All entries by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Result<Vec<u8>, base64::DecodeError>)> {
        self.0.iter().map(|(key, entry)| (&**key, entry.bytes()))
    }
}

/// Entries as plain text.
impl FromIterator<(Arc<str>, Arc<str>)> for SecretData {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<str>)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, text)| (key, Entry::Text(text))).collect())
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretData({})", self.0.len())
    }
}

// === impl Entry ===

impl Entry {
    fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            // Line breaks are skipped and nothing else, as in the API server.
            Self::Base64(text) => STANDARD.decode(text.replace(['\r', '\n'], "")),
        }
    }
}

// === impl CertificateSecret ===

impl PartialEq for CertificateSecret {
    fn eq(&self, other: &Self) -> bool {
        // The chain says it all: its leaf fixes names, validity and, by its public key, the key.
        self.object == other.object && self.certified.cert == other.certified.cert
    }
}
