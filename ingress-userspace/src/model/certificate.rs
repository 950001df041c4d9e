//! A PEM certificate chain and its PEM key, checked to belong together (T3).
//!
//! In: the bytes of `tls.crt` and `tls.key`. Out: a pair ready for handshakes with what routing
//! asks of it: names, validity, fingerprint. Does not judge trust or expiry.

use std::fmt::Write;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::secret::ServerCertificate;

mod validity;

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<ServerCertificate>,
    /// DNS names of the leaf, lower case.
    pub(super) names: Vec<Arc<str>>,
    /// Seconds since the epoch.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// SHA-256 of the leaf, lower-case hex.
    pub(super) fingerprint: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Fault {
    /// The fault is in the key, else in the chain.
    pub(super) in_key: bool,
    pub(super) message: String,
}

pub(super) fn read_pair(chain: &[u8], key: &[u8]) -> Result<Pair, Fault> {
    let chain = read_chain(chain).map_err(in_chain)?;
    let key = read_key(key).map_err(in_key)?;
    let signing = aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|error| in_key(format!("the key is not usable: {error}")))?;
    let leaf = &chain[0];
    let parsed = webpki::EndEntityCert::try_from(leaf)
        .map_err(|error| in_chain(format!("the leaf certificate is not readable: {error}")))?;
    let names = parsed.valid_dns_names().map(|name| name.to_ascii_lowercase().into()).collect();
    let (not_before, not_after) = validity::of(leaf)
        .ok_or_else(|| in_chain("the validity of the leaf is not readable".to_owned()))?;
    let fingerprint = fingerprint(leaf);

    let certified = CertifiedKey::new(chain, signing);
    if certified.keys_match().is_err() {
        return Err(in_key(mismatch(&certified)));
    }
    let certified = Arc::new(ServerCertificate::new(Arc::new(certified), key));
    Ok(Pair { certified, names, not_before, not_after, fingerprint })
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("no PEM block CERTIFICATE found".to_owned());
    }
    Ok(chain)
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    use rustls::pki_types::pem::Error;

    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => {
            let encrypted = String::from_utf8_lossy(pem).contains("ENCRYPTED PRIVATE KEY");
            let what = if encrypted { "the key is encrypted" } else { "no PEM key found" };
            format!("{what}: PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY is expected")
        }
        other => format!("not PEM: {other}"),
    })
}

/// The commonest mistake gets its own words.
fn mismatch(pair: &CertifiedKey) -> String {
    let belongs = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], pair.key.clone()).keys_match().is_ok()
    };
    match pair.cert.iter().position(belongs) {
        Some(at) => format!(
            "the key belongs to certificate {} of the chain: the leaf has to come first",
            at + 1
        ),
        None => "the key does not belong to the leaf certificate".to_owned(),
    }
}

fn fingerprint(leaf: &CertificateDer<'_>) -> Arc<str> {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let sha256 = suite.tls13().expect("a TLS 1.3 suite by its name").common.hash_provider;
    let mut hex = String::with_capacity(64);
    for byte in sha256.hash(leaf).as_ref() {
        write!(hex, "{byte:02x}").expect("a String takes every write");
    }
    hex.into()
}

fn in_chain(message: String) -> Fault {
    Fault { in_key: false, message }
}

fn in_key(message: String) -> Fault {
    Fault { in_key: true, message }
}
