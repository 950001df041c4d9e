//! A Secret: a certificate with its key (T3), and data that an Ingress may name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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

/// A chain with its key: ready for handshakes, and as it is handed to another process. Debug never
/// shows the key.
pub struct ServerCertificate {
    pair: Arc<CertifiedKey>,
    key: PrivateKeyDer<'static>,
}

/// A readable pair whose key belongs to its leaf. Debug never shows the key.
#[derive(Debug, Clone)]
pub struct CertificateSecret {
    pub object: ObjectRef,
    pub certified: Arc<ServerCertificate>,
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

// === impl ServerCertificate ===

impl ServerCertificate {
    /// `pair` is what became of a chain and this key.
    pub fn new(pair: Arc<CertifiedKey>, key: PrivateKeyDer<'static>) -> Self {
        Self { pair, key }
    }

    /// # Errors
    ///
    /// When the key is of no kind that handshakes can use.
    pub fn read(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
        Ok(Self { pair: Arc::new(CertifiedKey::new(chain, signing)), key })
    }

    pub fn pair(&self) -> &Arc<CertifiedKey> {
        &self.pair
    }

    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.pair.cert
    }

    /// For a process that serves it.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerCertificate({} in the chain)", self.pair.cert.len())
    }
}

// === impl CertificateSecret ===

impl PartialEq for CertificateSecret {
    fn eq(&self, other: &Self) -> bool {
        // The chain says it all: its leaf fixes names, validity and, by its public key, the key.
        self.object == other.object && self.certified.chain() == other.certified.chain()
    }
}
